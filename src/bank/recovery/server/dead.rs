//! Memories of which no point comes back where the bank has no row of them: they were deleted since the set was made.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use zstd::stream::read::Decoder;
use zstd::stream::write::Encoder;

use super::table::at;
use crate::bank::Meter;
use crate::bank::sqlite::{each_deleted, each_memory};
use crate::domain::PointId;
use crate::engine::backup::{DDL, Sections};
use crate::engine::integrity::sqlite::uuid;

/// No id is longer as text.
const ID: usize = 64;

/// The rows of memories as a set has them.
#[derive(Clone, Debug)]
pub enum SetRows {
    /// The set has none, and neither has the bank.
    None,
    /// A private copy of a SQLite database.
    Sqlite(PathBuf),
    /// A file of the rows of the table `memories`, in a folder with the script.
    Copy(PathBuf),
}

/// Writes the ids of all memories that the set has rows of, and of those that mem0's history says were deleted: memory
/// does not grow with them. Blocks.
pub fn write_dead(rows: &SetRows, history: Option<&Path>, to: &Path, meter: &Meter) -> Result<(), String> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(to).map_err(at(to))?;
    let mut into = Encoder::new(BufWriter::new(file), 1).map_err(at(to))?;
    let mut failed = Ok(());
    let mut write = |id: u128| {
        if failed.is_ok() {
            failed = meter.check().map_err(io::Error::other).and_then(|()| writeln!(into, "{}", PointId::Uuid(id)));
        }
        failed.is_ok()
    };
    match rows {
        SetRows::None => {}
        SetRows::Sqlite(copy) => each_memory(copy, &mut write).map_err(|error| error.to_string())?,
        SetRows::Copy(file) => each_copied(file, &mut write)?,
    }
    if let Some(history) = history {
        each_deleted(history, &mut write).map_err(|error| error.to_string())?;
    }
    failed.and_then(|()| into.finish()).and_then(|mut buffer| buffer.flush()).map_err(at(to))
}

/// Gives the column `id` of each row of a file as COPY writes them, as long as they are taken. One without an id is an
/// error.
fn each_copied(file: &Path, mut take: impl FnMut(u128) -> bool) -> Result<(), String> {
    let script = file.with_file_name(DDL);
    let text = std::fs::read_to_string(&script).map_err(at(&script))?;
    let rows = Sections::parse(&text).map(|sections| sections.rows).unwrap_or_default();
    let target = rows.iter().find(|rows| file.ends_with(&rows.file)).map(|rows| rows.target.as_str());
    let columns = target.and_then(|target| target.strip_suffix(')')?.split_once(".memories ("));
    let place = columns.and_then(|(_, columns)| columns.split(", ").position(|column| column == "id"));
    let place = place.ok_or_else(|| format!("{} does not tell the ids of {}", script.display(), file.display()))?;
    let mut read = || -> io::Result<()> {
        let mut bytes = BufReader::new(Decoder::new(File::open(file)?)?);
        let (mut column, mut id) = (0, Vec::new());
        loop {
            let piece = bytes.fill_buf()?;
            for byte in piece {
                match byte {
                    b'\n' => {
                        let found = uuid::any(&id).ok_or_else(|| io::Error::other("a row has an id that is none"))?;
                        if !take(found) {
                            return Ok(());
                        }
                        (column, id) = (0, Vec::new());
                    }
                    b'\t' => column += 1,
                    _ if column == place && id.len() < ID => id.push(*byte),
                    _ => {}
                }
            }
            let taken = piece.len();
            if taken == 0 {
                return Ok(());
            }
            bytes.consume(taken);
        }
    };
    read().map_err(at(file))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn written(rows: &SetRows, history: Option<&Path>) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("dead");
        write_dead(rows, history, &to, &Meter::default()).unwrap();
        let text = zstd::decode_all(File::open(to).unwrap()).unwrap();
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn all_that_the_set_has_and_all_that_history_deleted_is_dead_without_a_row() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two, three] =
            ["1", "2", "3"].map(|digit| format!("{0}-{1}-{1}-{1}-{1}{0}", digit.repeat(8), digit.repeat(4)));
        let file = folder.path().join("memories.copy.zst");
        let lines = format!("t\\tx\t{one}\tlikes\\ntea\n\\N\t{two}\t\n");
        std::fs::write(&file, zstd::encode_all(lines.as_bytes(), 1).unwrap()).unwrap();
        let script = "\\copy public.apps (id) from program 'zstd -dc apps.copy.zst'\n\
                      \\copy public.memories (\"a (b\", id, content) from program 'zstd -dc memories.copy.zst'\n";
        std::fs::write(folder.path().join(DDL), script).unwrap();
        assert_eq!(written(&SetRows::Copy(file.clone()), None), [&one, &two].map(String::as_str));
        let stopped = Meter::default();
        stopped.cancel();
        let dead = folder.path().join("dead");
        let told = |meter: &Meter| write_dead(&SetRows::Copy(file.clone()), None, &dead, meter).unwrap_err();
        assert!(told(&stopped).ends_with("cancelled"), "{}", told(&stopped));
        let none = format!("{lines}t\\tx\tnone\t\n");
        std::fs::write(&file, zstd::encode_all(none.as_bytes(), 1).unwrap()).unwrap();
        assert!(told(&Meter::default()).ends_with("a row has an id that is none"), "{}", told(&Meter::default()));

        let database = folder.path().join("openmemory.db");
        let plain = one.replace('-', "");
        let made = Connection::open(&database).unwrap();
        made.execute_batch(&format!("CREATE TABLE memories (id); INSERT INTO memories VALUES ('{plain}'), (7)"))
            .unwrap();
        let history = folder.path().join("history.db");
        let changes = [(&two, "ADD"), (&three, "ADD"), (&two, "DELETE"), (&three, "DELETE"), (&three, "ADD")];
        let changes = changes.map(|(id, event)| format!("('{id}', '{event}')")).join(", ");
        let made = Connection::open(&history).unwrap();
        made.execute_batch(&format!("CREATE TABLE history (memory_id, event); INSERT INTO history VALUES {changes}"))
            .unwrap();
        assert_eq!(written(&SetRows::Sqlite(database), Some(&history)), [&one, &two].map(String::as_str));
        assert_eq!(written(&SetRows::None, Some(&history)), [two]);
    }
}
