//! A table that a recovery made, noted before the transaction that makes it ends: it goes where the recovery is rolled back,
//! and as long as nobody wrote to it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sqlx::Row as _;

use super::table::BEGIN;
use super::{ServerError, Session};
use crate::bank::Secrets;
use crate::bank::net::secret::Held;
use crate::bank::recovery::journal::sync;
use crate::domain::PgvectorEndpoint;

/// Which table it is, and what made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Made {
    /// Its number in the catalogue, which no other table has.
    pub oid: u32,
    /// The transaction that wrote all of its rows, as `xmin` has it.
    pub transaction: u32,
    /// How many they are.
    pub rows: u64,
}

/// The name of the table with this number.
const NAME: &str = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::int8::oid AND c.relkind = 'r'";
/// Which lock of the server tells that a transaction which made a table has ended: with the table's number.
const LOCK: i64 = 0x6d62_6d61 << 32;

impl Made {
    /// The one that a file tells of; none where no table was made to its end.
    pub fn of(path: &Path) -> Result<Option<Self>, String> {
        let told = |why: &dyn std::error::Error| format!("{}: {why}", path.display());
        match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(told(&error)),
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| told(&error)),
        }
    }

    /// Forgets what an earlier attempt noted.
    pub fn forget(path: &Path) -> Result<(), String> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
            _ => Ok(()),
        }
    }

    /// Notes it; whole and on the disk before this returns.
    pub(super) fn note(&self, path: &Path) -> Result<(), String> {
        let new = path.with_extension("new");
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            fs::rename(&new, path)
        };
        write().map_err(|error| format!("{}: {error}", path.display()))?;
        path.parent().map_or(Ok(()), sync).map_err(|error| error.to_string())
    }

    /// Makes whoever takes it away wait for the end of the transaction of this session.
    pub(super) async fn lock(oid: u32, session: &mut Session) -> Result<(), sqlx::Error> {
        session.run(&format!("SELECT pg_catalog.pg_advisory_xact_lock({})", LOCK | i64::from(oid))).await
    }

    /// Removes it, with its indexes; that it is not there is no error. One to which somebody wrote stays, which is an error.
    pub async fn take_away(
        &self,
        endpoint: &PgvectorEndpoint,
        (namespace, secrets): (&str, &impl Secrets),
    ) -> Result<(), String> {
        let url = Held { namespace, secrets }.text(&endpoint.url).await.map_err(|lack| lack.message)?;
        let mut session = Session::open(&url).await?;
        let place = session.place.clone();
        let gone = self.remove(&mut session).await;
        session.close().await;
        match gone {
            Ok(None) => Ok(()),
            Ok(Some(name)) => {
                Err(format!("somebody wrote to {name} since it was made: it stays. Keep it, or DROP TABLE {name}"))
            }
            Err(error) => Err(ServerError::of(&error, "the table that was made", &place).to_string()),
        }
    }

    /// The table's name where it has to stay.
    async fn remove(&self, session: &mut Session) -> Result<Option<String>, sqlx::Error> {
        let Self { oid, transaction, rows } = self;
        session.run(BEGIN).await?;
        // It may be the end of that very transaction which was not heard of.
        Self::lock(*oid, session).await?;
        let named = session.ask(NAME, Some(&oid.to_string())).await?;
        let Some(row) = named.first() else { return Ok(None) };
        let name: String = row.try_get(0)?;
        session.run(&format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")).await?;
        let asked = format!(
            "SELECT pg_catalog.to_regclass($1)::oid::int8, count(*)::int8, \
               count(*) FILTER (WHERE v.xmin::text <> '{transaction}')::int8 FROM ONLY {name} v"
        );
        let found = session.ask(&asked, Some(&name)).await?;
        let row = found.first().ok_or(sqlx::Error::RowNotFound)?;
        let (same, count, others): (Option<i64>, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if same != Some(i64::from(*oid)) || count.unsigned_abs() != *rows || others > 0 {
            return Ok(Some(name));
        }
        session.run(&format!("DROP TABLE {name}")).await?;
        session.run("COMMIT").await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_told_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.made");
        assert_eq!(Made::of(&path), Ok(None));
        let made = Made { oid: u32::MAX, transaction: 7, rows: 9 };
        made.note(&path).unwrap();
        assert_eq!(Made::of(&path), Ok(Some(made)));
        fs::write(&path, "{").unwrap();
        assert!(Made::of(&path).is_err());
        Made::forget(&path).unwrap();
        Made::forget(&path).unwrap();
        assert_eq!(Made::of(&path), Ok(None));
    }
}
