//! What a purge removes and has not proven to be gone yet, for the run after one that was killed or could not prove it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::domain::Digest;

/// A mark that is larger is none of ours: a run notes at most 100,000 ids of 33 bytes and 1,000 digests of 65.
const MAX: u64 = 64 << 20;

/// The lines that say that accesses were about to be removed, and that memories were, their points or their links.
const ACCESSES: &str = "accesses";
const MEMORIES: &str = "memories";

/// A file with a line for each memory (its id) and each text (its SHA-256) that was about to be removed.
#[derive(Debug)]
pub(super) struct Mark {
    /// None of a bank without a folder: then every run takes it that an earlier one left something.
    path: Option<PathBuf>,
    /// Whether an earlier run left it.
    pub open: bool,
    /// Whether that one was about more than accesses.
    pub memories: bool,
    /// The memories.
    pub ids: BTreeSet<u128>,
    /// The texts, by their SHA-256.
    pub texts: BTreeSet<Digest>,
}

impl Mark {
    /// What earlier runs left. The error is in words for people.
    pub fn read(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else {
            return Ok(Self { path: None, open: true, memories: false, ids: BTreeSet::new(), texts: BTreeSet::new() });
        };
        let told = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let (ids, texts) = (BTreeSet::new(), BTreeSet::new());
        let mut mark = Self { path: Some(path.to_owned()), open: false, memories: false, ids, texts };
        match path.metadata() {
            Ok(found) if found.len() > MAX => return Err(told(&"it is too large to be a purge's mark: look at it")),
            Ok(_) => mark.open = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(mark),
            Err(error) => return Err(told(&error)),
        }
        // A line that was not written to its end is of something that was not removed.
        let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
        for line in text.lines() {
            match line.len() {
                32 => mark.ids.extend(u128::from_str_radix(line, 16)),
                64 => mark.texts.extend(line.parse::<Digest>()),
                _ => mark.memories |= line == MEMORIES,
            }
        }
        Ok(mark)
    }

    /// Notes that accesses are about to be removed; on the disk before this returns.
    pub fn note_accesses(&self) -> io::Result<()> {
        self.append(&format!("{ACCESSES}\n"))
    }

    /// Notes what is about to be removed of memories, if only that something is; on the disk before this returns.
    pub fn note(&mut self, ids: &[u128], texts: &[Digest]) -> io::Result<()> {
        self.ids.extend(ids);
        self.texts.extend(texts);
        let mut lines = format!("{MEMORIES}\n");
        for id in ids {
            let _ = writeln!(lines, "{id:032x}");
        }
        for text in texts {
            let _ = writeln!(lines, "{text}");
        }
        self.append(&lines)
    }

    fn append(&self, lines: &str) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let folder = path.parent().unwrap_or(path);
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        // The last line before may not have been written to its end.
        file.write_all(format!("\n{lines}").as_bytes())?;
        file.sync_all()?;
        File::open(folder)?.sync_all()
    }

    /// All of it is proven.
    pub fn clear(self) -> Result<(), String> {
        let Some(path) = self.path else { return Ok(()) };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_there_for_the_next_run_until_it_is_proven() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank/purge-open");
        let mut mark = Mark::read(Some(&path)).unwrap();
        assert!(!mark.open);
        mark.note_accesses().unwrap();
        let next = Mark::read(Some(&path)).unwrap();
        assert_eq!((next.open, next.memories), (true, false));
        mark.note(&[], &[]).unwrap();
        assert!(Mark::read(Some(&path)).unwrap().memories);
        mark.note(&[7, 9], &[Digest::of(b"tea")]).unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "0000000000").unwrap();
        let next = Mark::read(Some(&path)).unwrap();
        assert_eq!((next.open, &next.ids, &next.texts), (true, &mark.ids, &mark.texts));
        let mut next = next;
        next.note(&[11], &[]).unwrap();
        assert!(Mark::read(Some(&path)).unwrap().ids.contains(&11), "a line that was cut takes no other with it");
        next.clear().unwrap();
        assert!(!Mark::read(Some(&path)).unwrap().open);
    }
}
