use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};

use super::LeakScan;
use super::collector::{Collector, Place};
use super::name::{FileKind, STORES, foreign, kind};
use super::text::{TextError, scan_stream};
use crate::bank::{Cancelled, Meter};
use crate::engine::audit::leak::Scanner;

/// How deep folders are entered.
const DEEPEST: usize = 16;
/// How many entries of folders are looked at, and how many files are read, in all.
const MOST_ENTRIES: u64 = 500_000;
const MOST_FILES: u64 = 50_000;
/// How much of one file is read, in bytes: of a larger one its end, which is the newest of a log.
const LARGEST: u64 = 256 << 20;
/// How much is read in all, in bytes.
const MOST_BYTES: u64 = 4 << 30;
/// How many paths are named per reason in the check's detail.
const NAMED: usize = 5;

/// Scans the text files of a volume that is mounted at `root`.
///
/// Opens regular files only, each beneath the folder that was listed and never through a symbolic link.
/// Databases, binary files, storage folders of database servers and folders of packages are passed over.
pub fn scan_volume(root: &Path, volume: &str, scanner: &Scanner, meter: &Meter) -> Result<LeakScan, Cancelled> {
    let component = format!("volume/{volume}");
    let mut walk = Walk { collector: Collector::new(scanner, &component), meter, tally: Tally::default() };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    match Dir::open(root, flags, Mode::empty()) {
        Ok(folder) => walk.folder(folder, "", 0)?,
        Err(error) => walk.tally.note(Unread::Errors, &format!("the volume ({})", error.desc())),
    }
    let Walk { collector, tally, .. } = walk;
    Ok(collector.finish(&tally.read(), &tally.unread()))
}

/// Why something was not read.
#[derive(Clone, Copy)]
enum Unread {
    Errors,
    Partly,
    Deep,
    Bound,
}

impl Unread {
    const ALL: [Self; 4] = [Self::Errors, Self::Partly, Self::Deep, Self::Bound];

    const fn words(self) -> &'static str {
        match self {
            Self::Errors => "unreadable",
            Self::Partly => "only the last 256 MiB of",
            Self::Deep => "folders deeper than 16",
            Self::Bound => "beyond the bound of the scan",
        }
    }
}

#[derive(Default)]
struct Tally {
    entries: u64,
    files: u64,
    bytes: u64,
    binary: u64,
    databases: u64,
    stores: u64,
    unread: [(u64, Vec<String>); 4],
}

impl Tally {
    fn note(&mut self, why: Unread, path: &str) {
        let (count, paths) = &mut self.unread[why as usize];
        *count += 1;
        if paths.len() < NAMED {
            paths.push(path.to_owned());
        }
    }

    fn full(&self) -> bool {
        self.entries >= MOST_ENTRIES || self.files >= MOST_FILES || self.bytes >= MOST_BYTES
    }

    fn read(&self) -> String {
        let Self { files, bytes, binary, databases, stores, .. } = self;
        format!(
            "read {bytes} bytes of {files} text files; passed over {binary} binary files, {databases} databases, {stores} storage folders"
        )
    }

    fn unread(&self) -> Vec<String> {
        let told = |why: Unread| {
            let (count, paths) = &self.unread[why as usize];
            (*count > 0).then(|| format!("{} {count} ({})", why.words(), paths.join(", ")))
        };
        Unread::ALL.into_iter().filter_map(told).collect()
    }
}

struct Walk<'w> {
    collector: Collector<'w>,
    meter: &'w Meter,
    tally: Tally,
}

impl Walk<'_> {
    fn folder(&mut self, mut folder: Dir, path: &str, depth: usize) -> Result<(), Cancelled> {
        let mut names: Vec<CString> = Vec::new();
        for entry in folder.iter() {
            match entry {
                Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Ok(_) if self.tally.full() => {
                    self.tally.note(Unread::Bound, shown(path));
                    break;
                }
                Ok(entry) => {
                    self.tally.entries += 1;
                    names.push(entry.file_name().to_owned());
                }
                Err(error) => {
                    self.tally.note(Unread::Errors, &format!("{} ({})", shown(path), error.desc()));
                    break;
                }
            }
        }
        if names.iter().any(|n| STORES.iter().any(|s| s.as_bytes() == n.to_bytes())) {
            self.tally.stores += 1;
            return Ok(());
        }
        // In order, so that two runs tell the same.
        names.sort();
        for name in names {
            self.meter.check()?;
            self.entry(&folder, &name, path, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, folder: &Dir, name: &CStr, parent: &str, depth: usize) -> Result<(), Cancelled> {
        let text = printable(name);
        let path = if parent.is_empty() { text.clone() } else { format!("{parent}/{text}") };
        let status = match fstatat(folder.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(status) => status,
            // Gone since the folder was listed.
            Err(Errno::ENOENT) => return Ok(()),
            Err(error) => {
                self.tally.note(Unread::Errors, &format!("{path} ({})", error.desc()));
                return Ok(());
            }
        };
        let file_type = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT;
        if file_type == SFlag::S_IFDIR && !foreign(&text) {
            if depth >= DEEPEST {
                self.tally.note(Unread::Deep, &path);
                return Ok(());
            }
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            match Dir::openat(folder.as_fd(), name, flags, Mode::empty()) {
                Ok(inner) => self.folder(inner, &path, depth + 1)?,
                Err(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR) => {}
                Err(error) => self.tally.note(Unread::Errors, &format!("{path} ({})", error.desc())),
            }
        } else if file_type == SFlag::S_IFREG
            && let Some(kind) = kind(&text)
        {
            if self.tally.full() {
                self.tally.note(Unread::Bound, &path);
                return Ok(());
            }
            // Without waiting: what was a file a moment ago may be a pipe now.
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            match openat(folder.as_fd(), name, flags, Mode::empty()) {
                Ok(file) => self.file(File::from(file), &path, kind)?,
                Err(Errno::ENOENT | Errno::ELOOP) => {}
                Err(error) => self.tally.note(Unread::Errors, &format!("{path} ({})", error.desc())),
            }
        }
        Ok(())
    }

    fn file(&mut self, file: File, path: &str, kind: FileKind) -> Result<(), Cancelled> {
        match self.text(file, path, kind) {
            Ok(()) => Ok(()),
            Err(TextError::Cancelled(cancelled)) => Err(cancelled),
            Err(TextError::Io(error)) => {
                self.tally.note(Unread::Errors, &format!("{path} ({})", error.kind()));
                Ok(())
            }
        }
    }

    fn text(&mut self, mut file: File, path: &str, kind: FileKind) -> Result<(), TextError> {
        let status = file.metadata()?;
        if !status.is_file() {
            return Ok(());
        }
        let mut head = Vec::with_capacity(8192);
        file.by_ref().take(8192).read_to_end(&mut head)?;
        if head.starts_with(b"SQLite format 3\0") {
            self.tally.databases += 1;
            return Ok(());
        }
        if head.contains(&0) {
            self.tally.binary += 1;
            return Ok(());
        }
        let begin = status.len().saturating_sub(LARGEST);
        if begin > 0 {
            self.tally.note(Unread::Partly, path);
        }
        file.seek(SeekFrom::Start(begin))?;
        self.meter.grow(status.len() - begin);
        self.tally.files += 1;
        let others_read = status.mode() & 0o044 != 0;
        let settings = (kind == FileKind::Settings).then_some(others_read);
        let place = Place { object: path, line: None, settings };
        let first_line = (begin == 0).then_some(1);
        // A file that grows while it is read is read to where it ended when it was opened.
        self.tally.bytes +=
            scan_stream(file.take(status.len() - begin), &place, first_line, &mut self.collector, self.meter)?;
        Ok(())
    }
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "the volume's root" } else { path }
}

/// A name with what is no text, or would break a line, replaced.
fn printable(name: &CStr) -> String {
    name.to_string_lossy().chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
