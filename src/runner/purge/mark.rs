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

/// A file with a line for each memory (its id) and each text (its SHA-256) that was about to be removed.
#[derive(Debug)]
pub(super) struct Mark {
    /// None of a bank without a folder: then every run takes it that an earlier one left something.
    path: Option<PathBuf>,
    /// Whether an earlier run left it.
    pub open: bool,
    /// The memories.
    pub ids: BTreeSet<u128>,
    /// The texts, by their SHA-256.
    pub texts: BTreeSet<Digest>,
}

impl Mark {
    /// What earlier runs left. The error is in words for people.
    pub fn read(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else {
            return Ok(Self { path: None, open: true, ids: BTreeSet::new(), texts: BTreeSet::new() });
        };
        let told = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let mut mark = Self { path: Some(path.to_owned()), open: false, ids: BTreeSet::new(), texts: BTreeSet::new() };
        match path.metadata() {
            Ok(found) if found.len() > MAX => return Err(told(&"it is too large to be a purge's mark: look at it")),
            Ok(_) => mark.open = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(mark),
            Err(error) => return Err(told(&error)),
        }
        // A line that was not written to its end is of something that was not removed.
        for line in std::fs::read_to_string(path).map_err(|error| told(&error))?.lines() {
            match line.len() {
                32 => mark.ids.extend(u128::from_str_radix(line, 16)),
                64 => mark.texts.extend(line.parse::<Digest>()),
                _ => {}
            }
        }
        Ok(mark)
    }

    /// Notes what is about to be removed, if only that something is; on the disk before this returns.
    pub fn note(&mut self, ids: &[u128], texts: &[Digest]) -> io::Result<()> {
        self.ids.extend(ids);
        self.texts.extend(texts);
        let Some(path) = &self.path else { return Ok(()) };
        // The last line before may not have been written to its end.
        let mut lines = String::from("\n");
        for id in ids {
            let _ = writeln!(lines, "{id:032x}");
        }
        for text in texts {
            let _ = writeln!(lines, "{text}");
        }
        let folder = path.parent().unwrap_or(path);
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        file.write_all(lines.as_bytes())?;
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
        mark.note(&[], &[]).unwrap();
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
