//! The rows of tables on their way into a set.

use std::io::{self, BufWriter, IntoInnerError, Write};
use std::time::Duration;

use futures::TryStreamExt as _;
use tokio::runtime::Handle;

use super::super::error::BackupError;
use super::super::write::{BUFFER, Writer, part};
use super::{Dump, SILENCE, Table};
use crate::bank::net::postgres::heard;
use crate::engine::backup::{DDL, Missing, Part, PartKind, postgres_folder};

/// How often the lock is looked after while the server thinks.
const LOOK: Duration = Duration::from_secs(30);

/// Why tables are not in a set.
enum Missed {
    /// As the server says.
    There(String),
    /// Something on this side, which ends the set.
    Here(BackupError),
}

impl From<BackupError> for Missed {
    fn from(error: BackupError) -> Self {
        Self::Here(error)
    }
}

impl Writer<'_> {
    /// Writes tables, or tells them missing. Blocks.
    pub(in crate::bank::backup) fn tables(&mut self, mut dump: Dump) -> Result<(), BackupError> {
        let (component, first) = (dump.component, self.parts.len());
        for why in std::mem::take(&mut dump.beyond) {
            self.missing.push(Missing { component: component.to_owned(), why });
        }
        let written = self.each_table(&mut dump);
        Handle::current().block_on(dump.close());
        match written {
            Ok(()) => Ok(()),
            Err(Missed::Here(error)) => Err(error),
            Err(Missed::There(why)) => {
                // A file that no manifest names would be a fault of the set.
                self.parts.truncate(first);
                self.partial.discard(&postgres_folder(component))?;
                self.missing.push(Missing { component: component.to_owned(), why });
                Ok(())
            }
        }
    }

    fn each_table(&mut self, dump: &mut Dump) -> Result<(), Missed> {
        let folder = postgres_folder(dump.component);
        for table in dump.tables.clone() {
            let Some(file) = table.relation.file() else {
                return Err(Missed::There(format!("the table {} has a name that no file has", table.relation.name)));
            };
            let path = self.recipients.stored(format!("{folder}/{file}"));
            let expected = self.wait(dump.count(&table))?.map_err(Missed::There)?;
            let (rows, part) = self.rows(dump, &table, path)?;
            if rows != expected {
                let name = &table.relation.name;
                let why = format!("{expected} rows of {name} were counted and {rows} came: check its indexes");
                return Err(Missed::There(why));
            }
            let points = (dump.points.as_ref() == Some(&table.relation.plain)).then_some(rows);
            let rows = [(table.relation.plain.clone(), rows)].into();
            self.parts.push(Part { rows, points, ..part });
        }
        let script = self.wait(dump.script())?.map_err(Missed::There)?;
        let path = self.recipients.stored(format!("{folder}/{DDL}"));
        let passed = self.small(&path, script.as_bytes())?;
        self.parts.push(part(dump.component, PartKind::Ddl, path, &passed));
        Ok(())
    }

    /// Writes the rows of one table, and counts them.
    fn rows(&mut self, dump: &mut Dump, table: &Table, path: String) -> Result<(u64, Part), Missed> {
        let (handle, component, meter) = (Handle::current(), dump.component, self.meter);
        let mut trouble = None;
        let piped = self.pipe(&path, |into| {
            let mut into = BufWriter::with_capacity(BUFFER, into);
            let rows = handle.block_on(meter.unless_cancelled(dump.copy(table, &mut into, &mut trouble)));
            let rows = rows.map_err(io::Error::other)??;
            into.into_inner().map_err(IntoInnerError::into_error)?;
            Ok(rows)
        });
        match (piped, trouble) {
            (Ok((rows, passed)), _) => Ok((rows, part(component, PartKind::Rows, path, &passed))),
            (Err(error @ (BackupError::Cancelled(_) | BackupError::LockLost(_))), _) | (Err(error), None) => {
                Err(Missed::Here(error))
            }
            (Err(_), Some(why)) => Err(Missed::There(why)),
        }
    }

    /// Waits for the server, and keeps the lock meanwhile.
    fn wait<T>(&mut self, work: impl Future<Output = T>) -> Result<T, BackupError> {
        let (meter, lock) = (self.meter, &mut self.lock);
        Handle::current().block_on(async {
            let mut work = std::pin::pin!(meter.unless_cancelled(work));
            loop {
                tokio::select! {
                    done = &mut work => return Ok(done?),
                    () = tokio::time::sleep(LOOK) => lock.renew()?,
                }
            }
        })
    }
}

impl Dump {
    /// How many rows a table itself has at this moment, whatever its indexes say.
    async fn count(&mut self, table: &Table) -> Result<u64, String> {
        for kind in ["enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"] {
            self.run(&format!("SET LOCAL {kind} = off")).await?;
        }
        let rows: i64 = self.value(&format!("SELECT count(*) FROM ONLY {}", table.relation.name)).await?;
        Ok(rows.unsigned_abs())
    }

    /// Pours the rows of a table into a set, one line for each. What is wrong with the server is left in `trouble`.
    async fn copy(&mut self, table: &Table, into: &mut impl Write, trouble: &mut Option<String>) -> io::Result<u64> {
        let mut failed = |error: &sqlx::Error| {
            let why = super::told(error, &self.place.0);
            *trouble = Some(why.clone());
            io::Error::other(why)
        };
        let statement = format!("COPY {} TO STDOUT", table.relation.target());
        let begun = heard(SILENCE, self.connection.copy_out_raw(&statement)).await;
        let mut pieces = begun.map_err(|error| failed(&error))?;
        let mut rows = 0;
        while let Some(piece) = heard(SILENCE, pieces.try_next()).await.map_err(|error| failed(&error))? {
            rows += memchr::memchr_iter(b'\n', &piece).count() as u64;
            into.write_all(&piece)?;
        }
        Ok(rows)
    }
}
