//! The table of a bank's points on a PostgreSQL server, and the same table as a set has it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::TryStreamExt as _;
use sqlx::Row as _;
use zstd::stream::write::Encoder;

use super::session::told;
use super::{ServerError, Session, pour};
use crate::bank::consistency::SqlSide;
use crate::bank::net::postgres::heard;
use crate::bank::net::secret::Held;
use crate::bank::recovery::Touched;
use crate::bank::sqlite::free;
use crate::bank::{Meter, Secrets};
use crate::domain::{PgvectorEndpoint, PointId};
use crate::engine::backup::{DDL, Sections};
use crate::engine::consistency::State;
use crate::engine::recovery::TableKnown;

/// How long the server is waited for where it is not heard of.
const SILENCE: Duration = Duration::from_mins(5);
/// How well what is kept is compressed, and what must be free beside it.
const LEVEL: i32 = 3;
const SPARE_ROOM: u64 = 16 << 20;
/// Each statement sees what was there when it began: after a lock, all that who had it before wrote.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// The columns that mem0 gives a table.
pub(super) const COLUMNS: &str = "id, vector, payload";
/// The table that a name without its schema means, its columns, and about how many bytes it has.
pub(super) const FIND: &str = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), \
      pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum), \
      pg_catalog.pg_table_size(c.oid)::int8 \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    WHERE c.relname = $1 AND c.relkind = 'r' AND pg_catalog.pg_table_is_visible(c.oid) GROUP BY 1, c.oid";
/// Whether the user may read and write a table, and make temporary ones.
const RIGHTS: &str = "SELECT pg_catalog.quote_ident(current_user), \
    (SELECT pg_catalog.bool_and(pg_catalog.has_table_privilege($1, p)) \
      FROM pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p), \
    pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')";
/// What a role is told that may not make temporary tables.
pub(super) const TEMPORARY: &str =
    "the role ROLE may not make temporary tables: GRANT TEMPORARY ON DATABASE ... TO ROLE";
/// Points that are not what the set has though their times are the same, or that have no time any more; not where a row has
/// another text by now than the set.
fn changed() -> String {
    format!(
        "v.id = s.id AND NOT EXISTS (SELECT FROM pg_temp.memorybank_live l WHERE l.id = s.id \
           AND l.md5 IS DISTINCT FROM pg_catalog.md5(s.payload->>'data')) \
         AND ({DIFFERS}) AND (v.payload->>'created_at' IS NULL AND v.payload->>'updated_at' IS NULL OR {SAME_TIMES})"
    )
}

/// Two points of one id are not the same, and have the same times.
const DIFFERS: &str =
    "v.vector::text IS DISTINCT FROM s.vector::text OR v.payload::text IS DISTINCT FROM s.payload::text";
const SAME_TIMES: &str = "v.payload->>'created_at' IS NOT DISTINCT FROM s.payload->>'created_at' \
    AND v.payload->>'updated_at' IS NOT DISTINCT FROM s.payload->>'updated_at'";
/// Points of the set that are gone though their memories live, with the text that these have by now.
const MISSING: &str = "pg_temp.memorybank_set s JOIN pg_temp.memorybank_live l ON l.id = s.id \
    AND l.md5 = pg_catalog.md5(s.payload->>'data') WHERE NOT EXISTS (SELECT FROM";

/// Where the points of a set are.
#[derive(Clone, Debug)]
pub struct SetTable {
    /// The folder of the set with the script.
    pub folder: PathBuf,
    /// The file of the rows in it.
    pub file: String,
    /// How many they are.
    pub rows: u64,
    /// The memories, as [`write_live`] wrote them.
    pub live: PathBuf,
    /// Those of which no point comes back without a row, as [`write_dead`](super::write_dead) wrote them; looked at only
    /// where the table is made anew.
    pub dead: Option<PathBuf>,
}

/// The table of a bank's points.
pub struct PointTable {
    pub(super) session: Session,
    /// Its name with its schema.
    pub(super) name: String,
    bytes: u64,
}

impl PointTable {
    /// Finds it; none where it is not there or not as mem0 makes it. Errors are words for people.
    pub async fn open(
        endpoint: &PgvectorEndpoint,
        (namespace, secrets): (&str, &impl Secrets),
    ) -> Result<Option<Self>, String> {
        let url = Held { namespace, secrets }.text(&endpoint.url).await.map_err(|lack| lack.message)?;
        let mut session = Session::open(&url).await?;
        let rows = session.ask_as_found(FIND, &endpoint.table).await?;
        let read = || -> Result<Option<(String, String, i64)>, sqlx::Error> {
            rows.first().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).transpose()
        };
        let found = read().map_err(|error| told(&error, &session.place))?;
        Ok(found.filter(|(_, columns, _)| columns == COLUMNS).map(|(name, _, size)| Self {
            session,
            name,
            bytes: size.unsigned_abs(),
        }))
    }

    /// One that the transaction of a session made.
    pub(super) const fn made_in(session: Session, name: String) -> Self {
        Self { session, name, bytes: 0 }
    }

    /// Makes it an error that the user may not change its points and put them back, which names what is missing.
    pub async fn may_write(&mut self) -> Result<(), String> {
        let rows = self.session.ask(RIGHTS, Some(&self.name)).await;
        let read = rows.and_then(|rows| {
            let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
            Ok::<(String, bool, bool), sqlx::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
        });
        let (role, table, temporary) = read.map_err(|error| told(&error, &self.session.place))?;
        let name = &self.name;
        if !table {
            let grant = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {role}");
            return Err(format!("the role {role} may not change the points of {name}: {grant}"));
        }
        if !temporary {
            return Err(TEMPORARY.replace("ROLE", &role));
        }
        Ok(())
    }

    /// Ends the session without a change.
    pub async fn close(self) {
        self.session.close().await;
    }

    /// What the set would put back; nothing stays of the question.
    pub async fn known(mut self, set: &SetTable, meter: &Meter) -> Result<TableKnown, ServerError> {
        self.run(BEGIN).await?;
        self.lay_out(set, meter).await?;
        let name = self.name.clone();
        let changed = self.count(&format!("FROM {name} v, pg_temp.memorybank_set s WHERE {}", changed())).await?;
        let missing = self.count(&format!("FROM {MISSING} {name} v WHERE v.id = s.id)")).await?;
        self.run("ROLLBACK").await?;
        self.session.close().await;
        Ok(TableKnown { changed, missing, gone: None })
    }

    /// Puts back what [`Self::known`] counted, all of it or nothing, and no more than `most` points: what is gone, and what
    /// changed where `changed`. Each point is noted before. Nobody writes to the table while that is done.
    pub async fn mend(
        mut self,
        set: &SetTable,
        (changed, most): (bool, u64),
        touched: &Touched,
        meter: &Meter,
    ) -> Result<(), ServerError> {
        let name = self.name.clone();
        self.run(BEGIN).await?;
        self.lay_out(set, meter).await?;
        self.run(&format!("LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")).await?;
        let missing = format!("FROM {MISSING} {name} v WHERE v.id = s.id)");
        let mut each = format!("SELECT s.id, s.payload {missing}");
        if changed {
            let changed = self::changed();
            let _ = write!(
                each,
                " UNION ALL SELECT s.id, s.payload FROM {name} v, pg_temp.memorybank_set s WHERE {changed}"
            );
        }
        let all = self.count(&format!("FROM ({each}) AS e")).await?;
        if all > most {
            return Err(ServerError::Away(format!(
                "{all} points of {name} differ by now, and {most} were planned for"
            )));
        }
        self.note(&each, touched, meter).await?;
        if changed {
            self.run(&format!(
                "UPDATE {name} v SET vector = s.vector, payload = s.payload \
                 FROM pg_temp.memorybank_set s WHERE {}",
                self::changed()
            ))
            .await?;
        }
        self.run(&format!("INSERT INTO {name} ({COLUMNS}) SELECT s.id, s.vector, s.payload {missing}")).await?;
        self.run("COMMIT").await?;
        self.session.close().await;
        Ok(())
    }

    /// Notes the points that a question gives, on the disk before this returns.
    async fn note(&mut self, each: &str, touched: &Touched, meter: &Meter) -> Result<(), ServerError> {
        let place = self.session.place.clone();
        let told = |error: sqlx::Error| ServerError::of(&error, "the points to be put back", &place);
        let away = |error: &dyn std::error::Error| ServerError::Away(error.to_string());
        let mut file = touched.append().map_err(|error| away(&error))?;
        let statement = format!("COPY ({each}) TO STDOUT");
        let begun = heard(SILENCE, self.session.connection.copy_out_raw(&statement)).await;
        let mut pieces = begun.map_err(told)?;
        while let Some(piece) = heard(SILENCE, pieces.try_next()).await.map_err(told)? {
            meter.check().map_err(|cancelled| away(&cancelled))?;
            file.write_all(&piece).map_err(|error| away(&error))?;
        }
        file.sync_all().map_err(|error| away(&error))
    }

    /// Keeps all of its rows in a file, on the disk before this returns; how many. Blocks where it writes.
    pub async fn keep(mut self, to: &Path, meter: &Meter) -> Result<u64, String> {
        let folder = to.parent().unwrap_or(to);
        let (free, needed) = (free(folder).map_err(at(to))?, self.bytes.saturating_mul(2).saturating_add(SPARE_ROOM));
        if free < needed {
            return Err(format!("{} has {free} bytes free, and {needed} are needed: make room", folder.display()));
        }
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(to).map_err(at(to))?;
        let mut into = Encoder::new(BufWriter::new(file), LEVEL).map_err(at(to))?;
        let place = self.session.place.clone();
        let statement = format!("COPY {} ({COLUMNS}) TO STDOUT", self.name);
        let mut rows = 0;
        {
            let begun = heard(SILENCE, self.session.connection.copy_out_raw(&statement)).await;
            let mut pieces = begun.map_err(|error| told(&error, &place))?;
            while let Some(piece) = heard(SILENCE, pieces.try_next()).await.map_err(|error| told(&error, &place))? {
                meter.check().map_err(|cancelled| cancelled.to_string())?;
                rows += memchr::memchr_iter(b'\n', &piece).count() as u64;
                into.write_all(&piece).map_err(at(to))?;
            }
        }
        let file = into.finish().and_then(|buffer| buffer.into_inner().map_err(io::IntoInnerError::into_error));
        file.and_then(|file| file.sync_all()).map_err(at(to))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))?;
        self.session.close().await;
        Ok(rows)
    }

    /// Undoes what was done to the points that are noted in `touched`, by the rows of a file that was kept before, all of it
    /// or nothing. What others wrote since stays, and so do noted points that somebody changed since.
    pub async fn put_back(
        mut self,
        from: &Path,
        rows: u64,
        touched: &Touched,
        meter: &Meter,
    ) -> Result<(), ServerError> {
        touched.cut().map_err(|error| ServerError::Away(error.to_string()))?;
        let name = self.name.clone();
        self.run(BEGIN).await?;
        self.pour(from, rows, meter).await?;
        self.run("CREATE TEMPORARY TABLE memorybank_touched (id uuid, keys jsonb) ON COMMIT DROP").await?;
        pour(&mut self.session, "pg_temp.memorybank_touched (id, keys)", touched.path(), meter).await?;
        self.run("CREATE INDEX ON pg_temp.memorybank_touched (id); ANALYZE pg_temp.memorybank_touched").await?;
        let same = "pg_temp.memorybank_set s WHERE s.id = v.id";
        let ours = "EXISTS (SELECT FROM pg_temp.memorybank_touched t WHERE t.id = v.id AND v.payload::jsonb @> t.keys)";
        let made = format!("FROM {name} v WHERE {ours} AND NOT EXISTS (SELECT FROM {same})");
        let removed = format!(
            "FROM pg_temp.memorybank_set s WHERE EXISTS (SELECT FROM pg_temp.memorybank_touched t \
             WHERE t.id = s.id AND t.keys IS NULL) AND NOT EXISTS (SELECT FROM {name} v WHERE v.id = s.id)"
        );
        if self.count("FROM pg_temp.memorybank_touched").await? == 0 {
            // Nothing was begun: whoever has the table is not waited for.
            self.run("ROLLBACK").await?;
            self.session.close().await;
            return Ok(());
        }
        // Whoever writes is waited for, were it this recovery's own transaction whose end was not heard of.
        self.run(&format!("LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")).await?;
        for statement in [
            format!("DELETE {made}"),
            format!(
                "UPDATE {name} v SET vector = s.vector, payload = s.payload FROM {same} AND {ours} AND ({DIFFERS})"
            ),
            format!("INSERT INTO {name} ({COLUMNS}) SELECT s.id, s.vector, s.payload {removed}"),
        ] {
            self.run(&statement).await?;
        }
        self.run("COMMIT").await?;
        self.session.close().await;
        Ok(())
    }

    /// Lays the points of a set and the live memories beside the table, in tables that end with the transaction.
    pub(super) async fn lay_out(&mut self, set: &SetTable, meter: &Meter) -> Result<(), ServerError> {
        let script = set.folder.join(DDL);
        let text = tokio::fs::read_to_string(&script).await;
        let text = text.map_err(|error| ServerError::Away(format!("{}: {error}", script.display())))?;
        let rows = Sections::parse(&text).map(|sections| sections.rows).unwrap_or_default();
        let target = rows.into_iter().find(|rows| rows.file == set.file).map(|rows| rows.target);
        if !target.is_some_and(|target| target.ends_with(&format!(" ({COLUMNS})"))) {
            return Err(ServerError::Away("the set has another table than mem0's".to_owned()));
        }
        self.pour(&set.folder.join(&set.file), set.rows, meter).await?;
        self.run("CREATE TEMPORARY TABLE memorybank_live (id uuid PRIMARY KEY, md5 text) ON COMMIT DROP").await?;
        pour(&mut self.session, "pg_temp.memorybank_live (id, md5)", &set.live, meter).await?;
        self.run("ANALYZE pg_temp.memorybank_live").await?;
        let Some(dead) = &set.dead else { return Ok(()) };
        self.run("CREATE TEMPORARY TABLE memorybank_dead (id uuid) ON COMMIT DROP").await?;
        pour(&mut self.session, "pg_temp.memorybank_dead (id)", dead, meter).await?;
        self.run("CREATE INDEX ON pg_temp.memorybank_dead (id); ANALYZE pg_temp.memorybank_dead").await
    }

    async fn pour(&mut self, from: &Path, rows: u64, meter: &Meter) -> Result<(), ServerError> {
        let name = self.name.clone();
        self.run(&format!("CREATE TEMPORARY TABLE memorybank_set (LIKE {name}, UNIQUE (id)) ON COMMIT DROP")).await?;
        let taken = pour(&mut self.session, &format!("pg_temp.memorybank_set ({COLUMNS})"), from, meter).await?;
        if taken != rows {
            let why = format!("{} has {taken} rows, and {rows} were put in", from.display());
            return Err(ServerError::Refused(why));
        }
        self.run("ANALYZE pg_temp.memorybank_set").await
    }

    pub(super) async fn count(&mut self, from: &str) -> Result<u64, ServerError> {
        let rows = self.session.ask(&format!("SELECT count(*)::int8 {from}"), None).await;
        let count = rows.and_then(|rows| rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get::<i64, _>(0));
        count.map(i64::unsigned_abs).map_err(|error| ServerError::of(&error, "the points", &self.session.place))
    }

    pub(super) async fn run(&mut self, statement: &str) -> Result<(), ServerError> {
        let ran = self.session.run(statement).await;
        ran.map_err(|error| ServerError::of(&error, "the table of the points", &self.session.place))
    }
}

/// Writes the live memories of a bank to a file, with the MD5 of their texts, or `all` memories, of which the deleted ones
/// have none: memory does not grow with them.
pub async fn write_live(side: Option<&SqlSide>, all: bool, to: &Path) -> Result<(), String> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(to).map_err(at(to))?;
    let mut into = Encoder::new(BufWriter::new(file), 1).map_err(at(to))?;
    if let Some(side) = side {
        let mut rows = side.all().await?;
        loop {
            let page = rows.next().await?;
            if page.is_empty() {
                break;
            }
            for row in page {
                let id = PointId::Uuid(row.id);
                let stays = row.state == State::Live || all && row.state != State::Deleted;
                match row.md5.filter(|_| stays) {
                    Some(md5) => writeln!(into, "{id}\t{:032x}", u128::from_be_bytes(md5)),
                    None if all => writeln!(into, "{id}\t\\N"),
                    None => Ok(()),
                }
                .map_err(at(to))?;
            }
        }
        rows.close().await;
    }
    into.finish().and_then(|mut buffer| buffer.flush()).map_err(at(to))
}

pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}
