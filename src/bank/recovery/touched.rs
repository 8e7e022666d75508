//! The points of a table that a recovery writes or removes, each noted before: only they are put back, and only while they
//! are as they were written.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::journal::{QuarantineError, at, sync};
use crate::domain::PointId;

/// How much of the end of the file is read at once, in search of its last whole line.
const PIECE: u64 = 64 << 10;

/// A file of lines as `COPY` takes them: the id of a point, and what is written beside its vector (`\N` where it is removed).
#[derive(Clone, Debug)]
pub struct Touched {
    path: PathBuf,
}

impl Touched {
    /// Makes the file anew, with nothing in it; on the disk before this returns.
    pub fn make(path: &Path) -> Result<Self, QuarantineError> {
        let new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        new.and_then(|file| file.sync_all()).map_err(at(path))?;
        path.parent().map_or(Ok(()), sync)?;
        Ok(Self { path: path.to_owned() })
    }

    /// One that is there.
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes points and the keys that will be written beside their vectors, none of such as are removed; on the disk before
    /// this returns.
    pub fn note<'a>(
        &self,
        points: impl IntoIterator<Item = (PointId, Option<&'a Map<String, Value>>)>,
    ) -> Result<(), QuarantineError> {
        let mut lines = String::new();
        for (id, keys) in points {
            let keys = keys.map(|keys| Value::Object(keys.clone()).to_string().replace('\\', "\\\\"));
            let _ = writeln!(lines, "{id}\t{}", keys.as_deref().unwrap_or("\\N"));
        }
        let mut file = self.append()?;
        file.write_all(lines.as_bytes()).and_then(|()| file.sync_all()).map_err(at(&self.path))
    }

    /// The file, to write whole lines to its end.
    pub fn append(&self) -> Result<File, QuarantineError> {
        OpenOptions::new().append(true).open(&self.path).map_err(at(&self.path))
    }

    /// Cuts a line that was not written to its end: of what it tells nothing was done.
    pub fn cut(&self) -> Result<(), QuarantineError> {
        let cut = || -> io::Result<()> {
            let mut file = OpenOptions::new().read(true).write(true).open(&self.path)?;
            let mut end = file.metadata()?.len();
            while end > 0 {
                let from = end.saturating_sub(PIECE);
                file.seek(SeekFrom::Start(from))?;
                let mut piece = Vec::new();
                Read::by_ref(&mut file).take(end - from).read_to_end(&mut piece)?;
                if let Some(newline) = memchr::memrchr(b'\n', &piece) {
                    end = from + newline as u64 + 1;
                    break;
                }
                end = from;
            }
            file.set_len(end)?;
            file.sync_all()
        };
        cut().map_err(at(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_noted_to_its_end_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("touched");
        assert!(Touched::of(&path).note([(PointId::Uuid(1), None)]).is_err(), "it is not made by a note");
        let touched = Touched::make(&path).unwrap();
        touched.cut().unwrap();
        let Value::Object(keys) = json!({"data": "a\\b\nc\td"}) else { panic!() };
        touched.note([(PointId::Uuid(1), Some(&keys)), (PointId::Uuid(2), None)]).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        let expected = "00000000-0000-0000-0000-000000000001\t{\"data\":\"a\\\\\\\\b\\\\nc\\\\td\"}\n\
                        00000000-0000-0000-0000-000000000002\t\\N\n";
        assert_eq!(whole, expected);
        touched.append().unwrap().write_all(&vec![b'x'; 100_000]).unwrap();
        touched.cut().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
        std::fs::write(&path, "torn").unwrap();
        touched.cut().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }
}
