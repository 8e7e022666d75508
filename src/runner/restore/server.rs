//! Tables of a set, in databases of their own on the server that they are from.

use super::trial::{Stop, Trial, fault, is};
use crate::bank::consistency::SqlSide;
use crate::bank::postgres::{PostgresMemories, check_postgres, count_rows};
use crate::bank::recovery::{ServerError, TemporaryDatabase};
use crate::bank::vectors::VectorSource;
use crate::bank::{FolderSecrets, Secrets};
use crate::domain::{
    Check, CorruptionType, Flavor, Level, PgvectorEndpoint, PostgresEndpoint, SecretKey, SqlDatabase, VectorStore,
    Verdict,
};
use crate::engine::backup::{DDL, Part, PartKind, postgres_folder};
use crate::engine::integrity::vectors::VECTORS;
use crate::runner::Exchange;
use crate::runner::copies::DATABASE;

/// Of a database that was just made the checks that its rows can fail, and not those of its server.
const OF_ROWS: [&str; 4] = ["postgres-indexes", "postgres-foreign-keys", "postgres-states", "postgres-duplicates"];

/// The databases that were made for a trial.
#[derive(Default)]
pub(super) struct Servers(Vec<TemporaryDatabase>);

impl Servers {
    /// Removes them; for people, what could not be removed.
    pub async fn remove(self) -> Vec<String> {
        let mut left = Vec::new();
        for database in self.0 {
            left.extend(database.left.iter().cloned());
            left.extend(database.remove().await);
        }
        left
    }
}

impl<E: Exchange> Trial<'_, E> {
    /// Tries the tables of the bank; what was looked at, for people, and the restored memories, where it has any.
    pub async fn tables(&self, run: &str, servers: &mut Servers) -> Result<(Vec<String>, Option<SqlSide>), Stop> {
        if !self.has_tables(DATABASE) {
            return Ok((Vec::new(), None));
        }
        let Some(SqlDatabase::Postgres(endpoint)) = &self.spec.bank.database else {
            return Err(Stop::Unknown("the set has tables of PostgreSQL, and the bank declares none".to_owned()));
        };
        let secrets = FolderSecrets::new(&self.runner.places.secrets);
        self.make(DATABASE, &endpoint.url, run, servers).await?;
        let Some(made) = servers.0.last() else { return Ok((Vec::new(), None)) };
        let there = made.instead(&endpoint.url, &secrets).map_err(|error| stopped(DATABASE, &error))?;
        let held = (self.spec.namespace.as_str(), &there);
        let counted = count_rows(endpoint, held, self.meter).await.map_err(|error| Stop::Broken(error.to_string()))?;
        let Some(counted) = counted else {
            return Err(Stop::Unknown(format!("the rows of the restored {DATABASE} cannot be counted")));
        };
        let mut total = 0;
        for part in self.rows_of(DATABASE) {
            for (table, rows) in &part.rows {
                total += rows;
                let found = counted.get(table).copied().unwrap_or_default();
                if found != *rows {
                    let evidence = format!("restored, {table} has {found} rows, and {rows} were put in");
                    return Err(fault(&part.path, CorruptionType::FileCorruption, evidence));
                }
            }
        }
        let own = self.rows_checked(endpoint, held).await?;
        let told = format!("{DATABASE} of {total} rows is sound{own}");
        if self.spec.bank.flavor == Flavor::Mem0Server {
            return Ok((vec![told], None));
        }
        // What changed while the set was made may be on one side alone.
        let memories =
            PostgresMemories::of(endpoint, held, Some(self.manifest.started)).await.map_err(Stop::Unknown)?;
        Ok((vec![told], Some(SqlSide::Postgres(memories))))
    }

    /// Looks at the rows as at those of the living bank; what is not right with them, for people, is its own state.
    async fn rows_checked(&self, endpoint: &PostgresEndpoint, held: (&str, &impl Secrets)) -> Result<String, Stop> {
        let report = check_postgres(endpoint, DATABASE, Level::Full, held, self.meter).await;
        let report = report.map_err(|cancelled| Stop::Broken(cancelled.to_string()))?;
        let of_rows = |id: &str| OF_ROWS.contains(&id) || id == "postgres-connection";
        let unknown = |check: &&Check| of_rows(&check.id) && check.verdict == Verdict::Unknown;
        if let Some(check) = report.checks.iter().find(unknown) {
            return Err(Stop::Unknown(format!("{} of {}: {}", check.id, check.component, check.detail)));
        }
        Ok(match report.corruption.iter().filter(|event| of_rows(&event.check)).count() {
            0 => String::new(),
            kinds => format!(", with {kinds} kinds of inconsistency as the bank had them"),
        })
    }

    /// Tries the vectors that are in a table; what was looked at, for people.
    pub async fn points(
        &self,
        endpoint: &PgvectorEndpoint,
        rows: Option<&SqlSide>,
        run: &str,
        servers: &mut Servers,
    ) -> Result<Vec<String>, Stop> {
        let part = self.rows_of(VECTORS).find(|part| part.points.is_some());
        let Some(part) = part.filter(|_| self.has_tables(VECTORS)) else { return Ok(Vec::new()) };
        let secrets = FolderSecrets::new(&self.runner.places.secrets);
        self.make(VECTORS, &endpoint.url, run, servers).await?;
        let Some(made) = servers.0.last() else { return Ok(Vec::new()) };
        let there = made.instead(&endpoint.url, &secrets).map_err(|error| stopped(VECTORS, &error))?;
        let store = VectorStore::Pgvector(endpoint.clone());
        let source = VectorSource::open(&self.spec.namespace, &store, &there).await;
        let counted = match source {
            Ok(source) => source.count().await,
            Err(error) => Err(error),
        };
        let (found, put) =
            (counted.map_err(|error| Stop::Unknown(error.to_string()))?, part.points.unwrap_or_default());
        if found != put {
            let evidence = format!("restored, it holds {found} points, and {put} were put in");
            return Err(fault(&part.path, CorruptionType::FileCorruption, evidence));
        }
        let judged = Box::pin(self.judged(part, &store, &there)).await?;
        let compared = self.compared(rows, part, &store, &there).await?;
        Ok(vec![format!("{VECTORS}: {found} points{judged}{compared}")])
    }

    /// Makes a database of what the set has of a part of the bank, and holds the rows that it took against the manifest.
    async fn make(&self, component: &str, key: &SecretKey, run: &str, servers: &mut Servers) -> Result<(), Stop> {
        let secrets = FolderSecrets::new(&self.runner.places.secrets);
        let held = (self.spec.namespace.as_str(), &secrets);
        let of = format!("{}/{component}", self.spec.bank.name);
        let made = self.unless_cancelled(Box::pin(TemporaryDatabase::make(key, held, &of, run))).await?;
        let made = made.map_err(|error| stopped(component, &error))?;
        let folder = self.folder.join(postgres_folder(component));
        let poured = self.unless_cancelled(Box::pin(made.fill(&folder, self.meter))).await;
        servers.0.push(made);
        let poured = poured?.map_err(|error| stopped(component, &error))?;
        for part in self.rows_of(component) {
            let file = part.path.rsplit('/').next().unwrap_or_default();
            let (rows, taken) = (part.rows.values().sum::<u64>(), poured.get(file).copied().unwrap_or_default());
            if taken != rows {
                let evidence = format!("restored, the server took {taken} rows, and {rows} were put in");
                return Err(fault(&part.path, CorruptionType::FileCorruption, evidence));
            }
        }
        Ok(())
    }

    fn has_tables(&self, component: &str) -> bool {
        self.manifest.parts.iter().any(|part| part.kind == PartKind::Ddl && is(part, component))
    }

    fn rows_of(&self, component: &str) -> impl Iterator<Item = &Part> {
        self.manifest.parts.iter().filter(move |part| part.kind == PartKind::Rows && is(part, component))
    }
}

fn stopped(component: &str, error: &ServerError) -> Stop {
    match error {
        ServerError::Refused(why) => {
            let script = format!("{}/{DDL}", postgres_folder(component));
            fault(&script, CorruptionType::FileCorruption, format!("restored, {why}"))
        }
        ServerError::Away(why) => Stop::Unknown(format!("{component} of the set: {why}")),
    }
}
