//! A table of points that is gone, made anew from a set.

use std::path::Path;

use sqlx::Row as _;
use sqlx::error::DatabaseError;

use super::made::Made;
use super::session::told;
use super::table::{BEGIN, COLUMNS, FIND, PointTable, SetTable, TEMPORARY};
use super::{ServerError, Session};
use crate::bank::net::secret::Held;
use crate::bank::{Meter, Secrets};
use crate::domain::PgvectorEndpoint;
use crate::engine::backup::{DDL, OneTable, Sections};
use crate::engine::recovery::{Gone, TableKnown};

/// Whatever the bank's sessions find under a name. The catalogue hides nothing of itself from any role.
const SEEN: &str = "SELECT 1 FROM pg_catalog.pg_class c WHERE c.relname = $1 AND pg_catalog.pg_table_is_visible(c.oid)";
/// The role; the schema and whether it is there; whether that has the name already; whether the role may make tables in
/// it, and temporary ones.
const PLACE: &str = "SELECT pg_catalog.quote_ident(current_user), pg_catalog.quote_ident(p.i[1]), n.oid IS NOT NULL, \
      EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relname = p.i[2]), \
      coalesce(pg_catalog.has_schema_privilege(n.oid, 'CREATE'), false), \
      pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY') \
    FROM (SELECT pg_catalog.parse_ident($1) AS i) p LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = p.i[1]";
/// Tables of the same name that the bank's sessions do not find, a few of them.
const ELSEWHERE: &str = "SELECT pg_catalog.string_agg(e.name, ', ') FROM (\
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relname = $1 AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' ORDER BY 1 LIMIT 5) e";
const EXTENSIONS: &str = "SELECT count(*)::int8 FROM pg_catalog.pg_extension";
/// A table of the same columns that ends with the transaction, and keeps nobody from the name.
const FORM: &str = "memorybank_form";
/// The points of a set that come back: those whose memories live with the same text, and those that had no row in the set
/// either. Of what was deleted since there is a row that does not live, or none though the set has one.
const LIVING: &str = "pg_temp.memorybank_set s LEFT JOIN pg_temp.memorybank_live l ON l.id = s.id \
    WHERE l.md5 = pg_catalog.md5(s.payload->>'data') \
      OR l.id IS NULL AND NOT EXISTS (SELECT FROM pg_temp.memorybank_dead d WHERE d.id = s.id)";
/// Those of them that had no row in the set.
const ROWLESS: &str = "pg_temp.memorybank_set s WHERE \
    NOT EXISTS (SELECT FROM pg_temp.memorybank_live l WHERE l.id = s.id) \
    AND NOT EXISTS (SELECT FROM pg_temp.memorybank_dead d WHERE d.id = s.id)";

/// The place of a table of points that is gone.
pub struct NoTable {
    session: Session,
    table: String,
}

impl NoTable {
    /// Finds that there is none; none where anything has the name. Errors are words for people.
    pub async fn open(
        endpoint: &PgvectorEndpoint,
        (namespace, secrets): (&str, &impl Secrets),
    ) -> Result<Option<Self>, String> {
        let url = Held { namespace, secrets }.text(&endpoint.url).await.map_err(|lack| lack.message)?;
        let mut session = Session::open(&url).await?;
        let seen = session.ask_as_found(SEEN, &endpoint.table).await?;
        if !seen.is_empty() {
            session.close().await;
            return Ok(None);
        }
        Ok(Some(Self { session, table: endpoint.table.clone() }))
    }

    /// Whether there is none. Errors are words for people.
    pub async fn is_gone(endpoint: &PgvectorEndpoint, held: (&str, &impl Secrets)) -> Result<bool, String> {
        let Some(gone) = Self::open(endpoint, held).await? else { return Ok(false) };
        gone.session.close().await;
        Ok(true)
    }

    /// What would be in it, of a bank with `rows` or without. It is made without rows to see whether it can be, and nothing
    /// stays of that; what the set has is counted when its name is free again.
    pub async fn known(mut self, set: &SetTable, rows: bool, meter: &Meter) -> Result<TableKnown, ServerError> {
        let one = one_of(set).await?;
        let elsewhere = self.elsewhere().await.map_err(ServerError::Away)?;
        let (mut tried, extension) = self.begin(&one).await?;
        for statement in &one.after {
            tried.run(statement).await?;
        }
        tried.run("ROLLBACK").await?;
        let mut table = PointTable::made_in(tried.session, format!("pg_temp.{FORM}"));
        table.run(BEGIN).await?;
        for statement in &one.extensions {
            table.run(statement).await?;
        }
        table.run(&format!("CREATE TEMPORARY TABLE {FORM} {} ON COMMIT DROP", one.columns)).await?;
        table.lay_out(set, meter).await?;
        let missing = table.count(&format!("FROM {LIVING}")).await?;
        let rowless = table.count(&format!("FROM {ROWLESS}")).await?;
        table.run("ROLLBACK").await?;
        table.close().await;
        let gone = Gone { points: set.rows, rowless, rows, extension, elsewhere };
        Ok(TableKnown { changed: 0, missing, gone: Some(gone) })
    }

    /// Makes it with its rows, keys and indexes, all of it or nothing; noted in a file before that counts.
    pub async fn make(self, set: &SetTable, note: &Path, meter: &Meter) -> Result<(), ServerError> {
        let one = one_of(set).await?;
        let (mut table, _) = self.begin(&one).await?;
        table.lay_out(set, meter).await?;
        let name = &one.name;
        table.run(&format!("INSERT INTO {name} ({COLUMNS}) SELECT s.id, s.vector, s.payload FROM {LIVING}")).await?;
        for statement in &one.after {
            meter.check().map_err(|cancelled| ServerError::Away(cancelled.to_string()))?;
            table.run(statement).await?;
        }
        table.run(&format!("ANALYZE {name}")).await?;
        let made = table.made().await?;
        made.note(note).map_err(ServerError::Away)?;
        table.run("COMMIT").await?;
        table.close().await;
        Ok(())
    }

    /// Begins a transaction in which the table is, without rows and keys; and whether an extension had to be made for it.
    async fn begin(mut self, one: &OneTable) -> Result<(PointTable, bool), ServerError> {
        let role = self.may_make(&one.name).await.map_err(ServerError::Away)?;
        let Self { mut session, table } = self;
        let place = session.place.clone();
        session.run(BEGIN).await.map_err(|error| ServerError::of(&error, &table, &place))?;
        let before = extensions(&mut session).await?;
        for statement in &one.extensions {
            if let Err(error) = session.run(statement).await {
                let why = ServerError::of(&error, statement, &place);
                return Err(ServerError::Away(format!("{why}; a superuser has to do it: {statement}")));
            }
        }
        let extension = extensions(&mut session).await? != before;
        session.run(&one.make).await.map_err(|error| match code(&error).as_deref() {
            // Who has the name and has not said yet whether it stays is waited for, and not for long.
            Some("42P07" | "23505" | "55P03") => {
                ServerError::Away(format!("somebody made {} meanwhile: nothing was changed; recover again", one.name))
            }
            _ => ServerError::of(&error, &one.name, &place),
        })?;
        let found = session.ask_as_found(FIND, &table).await.map_err(ServerError::Away)?;
        let read = found.first().map(|row| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?))).transpose();
        let read: Option<(String, String)> = read.map_err(|error| ServerError::of(&error, &table, &place))?;
        match read {
            Some((name, columns)) if name == one.name && columns == COLUMNS => {
                Ok((PointTable::made_in(session, name), extension))
            }
            Some((name, _)) if name == one.name => {
                Err(ServerError::Away("the set has another table than mem0's".to_owned()))
            }
            _ => Err(ServerError::Away(format!("the role {role} does not find {} by its search path", one.name))),
        }
    }

    /// Tables of the same name in other schemas, as words.
    async fn elsewhere(&mut self) -> Result<Option<String>, String> {
        let rows = self.session.ask(ELSEWHERE, Some(&self.table)).await;
        let read = rows.and_then(|rows| rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0));
        read.map_err(|error| told(&error, &self.session.place))
    }

    /// The role, where it may make the table; for people what is in the way.
    async fn may_make(&mut self, name: &str) -> Result<String, String> {
        let rows = self.session.ask(PLACE, Some(name)).await;
        let read = rows.and_then(|rows| {
            let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
            let flag = |at: usize| row.try_get::<bool, _>(at);
            let names: (String, String) = (row.try_get(0)?, row.try_get(1)?);
            Ok::<_, sqlx::Error>((names, [flag(2)?, flag(3)?, flag(4)?, flag(5)?]))
        });
        let ((role, schema), [there, taken, may, temporary]) =
            read.map_err(|error| told(&error, &self.session.place))?;
        if !there {
            return Err(format!(
                "the schema {schema} is gone: make it, give the bank's roles their rights, and recover again"
            ));
        }
        if taken {
            return Err(format!(
                "the schema {schema} has something of the name {name} that the role {role} does not find: \
                 GRANT USAGE ON SCHEMA {schema} TO {role}, or correct its search path"
            ));
        }
        if !may {
            return Err(format!(
                "the role {role} may not make a table in the schema {schema}: GRANT CREATE ON SCHEMA {schema} TO {role}"
            ));
        }
        if temporary { Ok(role) } else { Err(TEMPORARY.replace("ROLE", &role)) }
    }
}

impl PointTable {
    /// What the transaction of its session made, which whoever takes it away waits for.
    async fn made(&mut self) -> Result<Made, ServerError> {
        let asked = format!(
            "SELECT pg_catalog.to_regclass($1)::oid::int8, pg_catalog.txid_current() % 4294967296, count(*)::int8 FROM {}",
            self.name
        );
        let name = self.name.clone();
        let read = async {
            let rows = self.session.ask(&asked, Some(&name)).await?;
            let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
            let [oid, transaction, rows] = [row.try_get::<i64, _>(0)?, row.try_get(1)?, row.try_get(2)?];
            let number = |number: i64| u32::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()));
            let made = Made { oid: number(oid)?, transaction: number(transaction)?, rows: rows.unsigned_abs() };
            Made::lock(made.oid, &mut self.session).await?;
            Ok::<_, sqlx::Error>(made)
        };
        let made = read.await;
        made.map_err(|error| ServerError::of(&error, &name, &self.session.place))
    }
}

/// The statements for the table alone.
async fn one_of(set: &SetTable) -> Result<OneTable, ServerError> {
    let script = set.folder.join(DDL);
    let text = tokio::fs::read_to_string(&script).await;
    let text = text.map_err(|error| ServerError::Away(format!("{}: {error}", script.display())))?;
    let one = Sections::parse(&text).and_then(|sections| sections.only(&set.file, COLUMNS));
    one.ok_or_else(|| ServerError::Away("the set has another table than mem0's".to_owned()))
}

/// How many extensions the database has.
async fn extensions(session: &mut Session) -> Result<i64, ServerError> {
    let rows = session.ask(EXTENSIONS, None).await;
    let count = rows.and_then(|rows| rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0));
    count.map_err(|error| ServerError::of(&error, "the extensions", &session.place))
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(DatabaseError::code).map(String::from)
}
