//! A database that stays beside the living one, for a person to switch to.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::Row as _;

use super::fill::fill;
use super::session::told;
use super::{DIGITS, ServerError, Session};
use crate::bank::net::postgres::elsewhere;
use crate::bank::net::secret::Held;
use crate::bank::{Meter, Secrets};
use crate::domain::{Digest, SecretKey};

/// Between the name of the bank's database and what is of the run.
const MARK: &str = "_memorybank_restore_";
/// The longest name that a server has for a database, in bytes.
const LONGEST: usize = 63;

/// What the database beside the one of a url is called that a run makes; for people why nothing can be made. Nothing is
/// made yet.
pub async fn name_beside(key: &SecretKey, held: (&str, &impl Secrets), run: &str) -> Result<String, ServerError> {
    let mut session = Session::open(&url(key, held).await?).await.map_err(ServerError::Away)?;
    session.may_make_databases().await?;
    let rows = session.ask("SELECT pg_catalog.current_database()::text", None).await;
    let living = rows.and_then(|rows| rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get::<String, _>(0));
    let living = living.map_err(|error| ServerError::Away(told(&error, &session.place)))?;
    let run = &Digest::of(run.as_bytes()).to_string()[..DIGITS];
    let room = LONGEST - MARK.len() - DIGITS;
    let end = (0..=living.len().min(room)).rev().find(|at| living.is_char_boundary(*at)).unwrap_or_default();
    let name = format!("{}{MARK}{run}", &living[..end]);
    let there = session.ask("SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1", Some(&name)).await;
    let there = !there.map_err(|error| ServerError::Away(told(&error, &session.place)))?.is_empty();
    session.close().await;
    if there {
        // It may be whole, and in use by now.
        return Err(ServerError::Away(format!("the database {name} is there already: switch to it, or remove it")));
    }
    Ok(name)
}

/// Makes it of what a folder of a set has; how many rows each file had.
pub async fn make_beside(
    key: &SecretKey,
    held: (&str, &impl Secrets),
    name: &str,
    folder: &Path,
    meter: &Meter,
) -> Result<BTreeMap<String, u64>, ServerError> {
    let url = url(key, held).await?;
    let mut session = Session::open(&url).await.map_err(ServerError::Away)?;
    session.make_database(name).await?;
    session.close().await;
    let there = elsewhere(&url, name).ok_or_else(|| ServerError::Away("the bank's url is none".to_owned()))?;
    fill(&there, folder, meter).await
}

/// Removes it again; that it is not there is no error.
pub async fn remove_beside(key: &SecretKey, held: (&str, &impl Secrets), name: &str) -> Result<(), String> {
    if !name.contains(MARK) {
        return Err(format!("{name} is no database that a recovery made"));
    }
    let url = url(key, held).await.map_err(|error| error.to_string())?;
    Session::open(&url).await?.remove_database(name).await
}

async fn url(key: &SecretKey, (namespace, secrets): (&str, &impl Secrets)) -> Result<String, ServerError> {
    Held { namespace, secrets }.text(key).await.map_err(|lack| ServerError::Away(lack.message))
}
