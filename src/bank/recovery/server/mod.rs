//! Databases that are made on a bank's own server for what a set has of it.

mod beside;
mod dead;
mod fill;
mod index;
mod made;
mod make;
mod session;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use sqlx::error::DatabaseError;
use thiserror::Error;

pub use beside::{make_beside, name_beside, remove_beside};
pub use dead::{SetRows, write_dead};
pub use index::{make_anew, own_indexes};
pub use made::Made;
pub use make::NoTable;
pub use table::{PointTable, SetTable, write_live};

use fill::pour;
use session::{Session, told};

use crate::bank::net::postgres::elsewhere;
use crate::bank::net::secret::Held;
use crate::bank::{Meter, SecretError, Secrets};
use crate::domain::{Digest, SecretKey};

/// How often the removal is tried, how long that may take, and the wait before the second attempt.
const ATTEMPTS: u32 = 3;
const REMOVAL: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(200);
/// What the name of every database begins with that is made for a test.
const MARK: &str = "memorybank_restore_";
/// How many hex digits of a SHA-256 a name has: of what it is for, and of the uid of its run.
const DIGITS: usize = 8;

/// Why something was not restored on a server.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ServerError {
    /// What the set has cannot be made on the server that it is from.
    #[error("{0}")]
    Refused(String),
    /// The server, its room or its rights do not allow it: that says nothing of the set.
    #[error("{0}")]
    Away(String),
}

impl ServerError {
    /// What an error of the server at HOST:PORT says of what was to be made there.
    pub(super) fn of(error: &sqlx::Error, what: &str, place: &str) -> Self {
        let answer = error.as_database_error();
        let code = answer.and_then(DatabaseError::code);
        match code.as_deref() {
            // What is in it contradicts itself, or no server can read it.
            Some(code) if code.starts_with("23") || UNREADABLE.contains(&code) => {
                let answer = answer.and_then(|answer| answer.constraint().or_else(|| answer.table()));
                let named = answer.map_or_else(String::new, |name| format!(", {name}"));
                Self::Refused(format!("{what}{named}: the server refuses it (SQLSTATE {code})"))
            }
            Some("53100") => Self::Away(format!("the server at {place} has no room left on its disk")),
            // An extension that is not installed there, by the codes of older and newer servers.
            Some("58P01" | "0A000") => {
                Self::Away(format!("{what}: the server at {place} lacks an extension that it needs"))
            }
            // A type, a function or a setting that this server does not have: that says nothing of the set.
            Some(code) if code != "42501" && (code.starts_with("42") || code.starts_with("22")) => {
                Self::Away(format!("{what}: the server at {place} does not take it (SQLSTATE {code}): look at its log"))
            }
            _ => Self::Away(told(error, place)),
        }
    }
}

/// Values that no server reads: of a text, a number, an encoding, a line of COPY.
const UNREADABLE: [&str; 5] = ["22P02", "22P04", "22P05", "22021", "22003"];

/// A database of a name of this run, for a set to be looked at before it counts. It is removed whatever happens; what a
/// killed run leaves, the next one removes by its name.
#[derive(Debug)]
pub struct TemporaryDatabase {
    /// The url of the bank's own database, from which others are made and removed.
    url: String,
    name: String,
    /// For people, what earlier runs left and could not be removed.
    pub left: Vec<String>,
    removed: bool,
}

impl TemporaryDatabase {
    /// Makes an empty one on the server of a bank's url; `bank` and `run` name it.
    pub async fn make(
        key: &SecretKey,
        (namespace, secrets): (&str, &impl Secrets),
        bank: &str,
        run: &str,
    ) -> Result<Self, ServerError> {
        let url = Held { namespace, secrets }.text(key).await.map_err(|lack| ServerError::Away(lack.message))?;
        let short = |text: &str| Digest::of(text.as_bytes()).to_string()[..DIGITS].to_owned();
        let mut session = Session::open(&url).await.map_err(ServerError::Away)?;
        session.may_make_databases().await?;
        // Banks of other guardians on this server may have the same name; they are in other databases.
        let own = session.database().await.map_err(ServerError::Away)?;
        let family = format!("{MARK}{}_", short(&format!("{namespace}/{bank}/{own}")));
        let mut left = Vec::new();
        for name in session.databases(&family, DIGITS).await.map_err(ServerError::Away)? {
            left.extend(remove(&url, &name).await);
        }
        let name = format!("{family}{}", short(run));
        // From here on it may be there.
        let temporary = Self { url, name, left, removed: false };
        match session.make_database(&temporary.name).await {
            Ok(()) => {
                session.close().await;
                Ok(temporary)
            }
            Err(error) => {
                if let Some(why) = temporary.remove().await {
                    tracing::warn!("{why}");
                }
                Err(error)
            }
        }
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Executes the script of a set's folder in it and pours in the rows; how many each file had.
    pub async fn fill(&self, folder: &Path, meter: &Meter) -> Result<BTreeMap<String, u64>, ServerError> {
        fill::fill(&self.there()?, folder, meter).await
    }

    /// The secrets of the bank, but that its url leads here.
    pub fn instead<'a, S: Secrets>(&self, key: &SecretKey, secrets: &'a S) -> Result<Instead<'a, S>, ServerError> {
        Ok(Instead { secrets, key: key.clone(), url: self.there()? })
    }

    fn there(&self) -> Result<String, ServerError> {
        elsewhere(&self.url, &self.name).ok_or_else(|| ServerError::Away("the bank's url is none".to_owned()))
    }

    /// Removes it; for people, why it could not be.
    pub async fn remove(mut self) -> Option<String> {
        self.removed = true;
        remove(&self.url, &self.name).await
    }
}

impl Drop for TemporaryDatabase {
    fn drop(&mut self) {
        if self.removed {
            return;
        }
        let (url, name) = (self.url.clone(), self.name.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { remove(&url, &name).await });
        }
    }
}

/// The secrets of a bank with the url of one key in place of its own.
pub struct Instead<'a, S> {
    secrets: &'a S,
    key: SecretKey,
    url: String,
}

impl<S: Secrets> Secrets for Instead<'_, S> {
    async fn get(&self, namespace: &str, key: &SecretKey) -> Result<Vec<u8>, SecretError> {
        if *key == self.key { Ok(self.url.clone().into_bytes()) } else { self.secrets.get(namespace, key).await }
    }
}

async fn remove(url: &str, name: &str) -> Option<String> {
    let mut tries = 1;
    loop {
        let removing = async { Session::open(url).await?.remove_database(name).await };
        let why = match tokio::time::timeout(REMOVAL, removing).await {
            Ok(Ok(())) => return None,
            Ok(Err(why)) => why,
            Err(_) => format!("no answer within {} s", REMOVAL.as_secs()),
        };
        if tries == ATTEMPTS {
            return Some(format!("the temporary database {name} could not be removed, remove it: {why}"));
        }
        tokio::time::sleep(PAUSE * tries).await;
        tries += 1;
    }
}
