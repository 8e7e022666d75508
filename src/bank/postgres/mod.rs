//! A bank's database on a PostgreSQL server: what is asked of it, all in read-only sessions but for a purge.

mod activity;
mod amcheck;
mod catalogue;
mod count;
mod memories;
mod optimize;
mod purge;
mod rows;
mod session;

use super::net::secret::Held;
use super::{Cancelled, Meter, Secrets};
use crate::domain::{Check, CorruptionEvent, Level, PostgresEndpoint, Sample};
use crate::engine::integrity::postgres::{Observed, judge};
use session::Session;

pub use activity::{Activity, activity};
pub use count::count_rows;
pub use memories::{PostgresMemories, PostgresReader};
pub use optimize::{Optimized, optimize_pgvector, optimize_postgres};
pub use purge::PurgedServer;

/// The check that is the connection itself.
const CONNECTION: &str = "postgres-connection";

/// What the checks of a database found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PostgresReport {
    /// One row per check of the level.
    pub checks: Vec<Check>,
    /// Damage.
    pub corruption: Vec<CorruptionEvent>,
    /// `memories` (those not deleted) and `database_size_bytes`, where they could be measured.
    pub samples: Vec<Sample>,
}

/// Checks a database. At level Quick the catalogue and the statistics are asked; else every b-tree and every table is
/// read as well, by amcheck, and the rows are held against the invariants. What cannot be asked is a verdict and no
/// error.
///
/// # Errors
/// The meter is cancelled.
pub async fn check_postgres<S: Secrets>(
    endpoint: &PostgresEndpoint,
    component: &str,
    level: Level,
    (namespace, secrets): (&str, &S),
    meter: &Meter,
) -> Result<PostgresReport, Cancelled> {
    let held = Held { namespace, secrets };
    let work = async {
        let url = held.text(&endpoint.url).await.map_err(|lack| lack.message)?;
        let mut session = Session::open(&url, &endpoint.schema).await?;
        let observed = observe(&mut session, level).await;
        let samples = catalogue::samples(&mut session).await;
        session.close().await;
        Ok::<_, String>((observed, samples))
    };
    Ok(match meter.unless_cancelled(work).await? {
        Ok((observed, samples)) => {
            let judged = judge(component, &observed);
            PostgresReport { checks: judged.checks, corruption: judged.events, samples }
        }
        Err(why) => {
            PostgresReport { checks: vec![Check::unknown(CONNECTION, component, why)], ..PostgresReport::default() }
        }
    })
}

async fn observe(session: &mut Session, level: Level) -> Observed {
    let tables = catalogue::tables(session).await;
    let deep = level != Level::Quick;
    let known: Vec<String> = tables.iter().flatten().map(|table| table.name.clone()).collect();
    let amcheck = if deep { Some(amcheck::look(session, &known, level == Level::Full).await) } else { None };
    let rows = match (&tables, deep) {
        (Ok(tables), true) => Some(rows::look(session, tables).await),
        _ => None,
    };
    let invalid = catalogue::invalid_indexes(session).await;
    Observed {
        invalid_indexes: invalid.map(|invalid| invalid.into_iter().map(|(index, _)| index).collect()),
        age: catalogue::age(session).await,
        // Last: whatever was read before is counted.
        checksums: catalogue::checksums(session).await,
        tables,
        amcheck,
        rows,
    }
}
