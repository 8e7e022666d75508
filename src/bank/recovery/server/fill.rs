//! Pours what a set has of a database into an empty one.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use zstd::stream::read::Decoder;

use super::{ServerError, Session};
use crate::bank::Meter;
use crate::bank::net::postgres::heard;
use crate::engine::backup::{DDL, Sections};

/// Bytes of rows that are sent at once, and how many of these wait.
const PIECE: usize = 256 << 10;
const AHEAD: usize = 4;
/// How long the server may take to take one of them, and to say at the end that it has all.
const SILENCE: Duration = Duration::from_mins(5);
const END: Duration = Duration::from_hours(1);

/// Executes the script of a folder and pours in the rows of each file beside it; how many each had.
pub(super) async fn fill(url: &str, folder: &Path, meter: &Meter) -> Result<BTreeMap<String, u64>, ServerError> {
    let script = folder.join(DDL);
    let text = tokio::fs::read_to_string(&script).await.map_err(|error| file(&script, &error))?;
    let Some(Sections { before, rows, after }) = Sections::parse(&text) else {
        return Err(ServerError::Refused(format!("{DDL} does not say where the rows of tables come in")));
    };
    let mut session = Session::open(url).await.map_err(ServerError::Away)?;
    run(&mut session, &before, "its statements before the rows").await?;
    let mut poured = BTreeMap::new();
    for table in rows {
        let count = pour(&mut session, &table.target, &folder.join(&table.file), meter).await?;
        poured.insert(table.file, count);
    }
    run(&mut session, &after, "its keys, indexes and references").await?;
    session.close().await;
    Ok(poured)
}

async fn run(session: &mut Session, statements: &str, what: &str) -> Result<(), ServerError> {
    match session.run(statements).await {
        Ok(()) => Ok(()),
        Err(error) => Err(ServerError::of(&error, what, &session.place)),
    }
}

/// Pours the rows of one file into a table, named with its columns as it stands in a COPY; how many the server took.
pub async fn pour(session: &mut Session, target: &str, from: &Path, meter: &Meter) -> Result<u64, ServerError> {
    let mut pieces = pieces(from.to_owned());
    let (what, place) = (format!("the rows of {target}"), session.place.clone());
    let told = |error: sqlx::Error| ServerError::of(&error, &what, &place);
    let begun = heard(SILENCE, session.connection.copy_in_raw(&format!("COPY {target} FROM STDIN"))).await;
    let mut copy = begun.map_err(told)?;
    while let Some(piece) = pieces.recv().await {
        let piece = match piece.and_then(|piece| meter.check().map(|()| piece).map_err(io::Error::other)) {
            Ok(piece) => piece,
            Err(error) => {
                let _ = heard(SILENCE, copy.abort("the rows cannot be read")).await;
                return Err(file(from, &error));
            }
        };
        heard(SILENCE, copy.send(piece)).await.map_err(told)?;
    }
    heard(END, copy.finish()).await.map_err(told)
}

/// Reads a file in a thread of its own, a little ahead, and unpacks it where it is packed.
fn pieces(from: PathBuf) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let read = || -> io::Result<()> {
            let file = std::fs::File::open(&from)?;
            let packed = from.extension().is_some_and(|extension| extension == "zst");
            let mut bytes: Box<dyn Read> = if packed { Box::new(Decoder::new(file)?) } else { Box::new(file) };
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                let taken = bytes.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
                if taken == 0 || sender.blocking_send(Ok(piece)).is_err() {
                    return Ok(());
                }
            }
        };
        if let Err(error) = read() {
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

fn file(path: &Path, error: &io::Error) -> ServerError {
    ServerError::Away(format!("{}: {error}", path.display()))
}
