use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _, query, query_scalar};
use uuid::Uuid;

use super::Site;
use crate::sample::damage::Damage;
use crate::sample::error::SampleError;
use crate::sample::planted::{Expected, Planted};
use crate::sample::{secrets, timeline, tree};

const DATABASE: &str = "database";
const HISTORY: &str = "history";

/// Why a damage was not planted in a database.
enum Failed {
    Sqlite(sqlx::Error),
    /// There is no row to damage.
    NoPlace,
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The two databases of a bank, open for damage.
struct Bank {
    main: SqliteConnection,
    history: SqliteConnection,
}

/// Plants the damages of the list that lie in rows, and sets the files' times.
pub async fn plant(site: &Site, damages: &[Damage]) -> Result<Vec<Planted>, SampleError> {
    let (database, history) = (site.database(), site.history());
    let open = |path: &std::path::Path| {
        let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
        options.journal_mode(SqliteJournalMode::Delete)
    };
    let main = open(&database).connect().await.map_err(SampleError::sqlite(&database))?;
    let mem0 = open(&history).connect().await.map_err(SampleError::sqlite(&history))?;
    let mut bank = Bank { main, history: mem0 };

    let mut planted = Vec::new();
    for damage in damages {
        let made = match bank.rows(*damage).await {
            Ok(None) => bank.leak(site, *damage).await,
            other => other,
        };
        match made {
            Ok(one) => planted.extend(one),
            Err(Failed::NoPlace) => return Err(site.too_small(*damage)),
            Err(Failed::Sqlite(error)) => return Err(SampleError::sqlite(&database)(error)),
        }
    }
    bank.main.close().await.map_err(SampleError::sqlite(&database))?;
    bank.history.close().await.map_err(SampleError::sqlite(&history))?;
    tree::touch(&database, timeline::end())?;
    tree::touch(&history, timeline::end())?;
    Ok(planted)
}

impl Bank {
    /// Damage of rows; none where this damage is of another kind.
    async fn rows(&mut self, damage: Damage) -> Result<Option<Planted>, Failed> {
        let expected = match damage {
            Damage::BrokenForeignKey => {
                self.change("UPDATE memory_access_logs SET memory_id = 'dead' || substr(memory_id, 5) WHERE rowid = (SELECT max(rowid) FROM memory_access_logs)").await?;
                Expected::corruption("sqlite-foreign-keys", DATABASE, "memory_access_logs.memory_id", Some("I7"))
            }
            Damage::MalformedMetadata => {
                self.change_memory(damage, "UPDATE memories SET metadata = substr(metadata, 1, 20) WHERE id = ?")
                    .await?;
                Expected::corruption("sqlite-json", DATABASE, "memories.metadata", None)
            }
            Damage::ImpossibleDate => {
                self.change_memory(
                    damage,
                    "UPDATE memories SET created_at = '2025-02-30 12:00:00.000000' WHERE id = ?",
                )
                .await?;
                Expected::corruption("sqlite-dates", DATABASE, "memories.created_at", None)
            }
            Damage::NumericUuid => {
                self.change("UPDATE memory_status_history SET id = '12345678901244568890123456789012' WHERE rowid = (SELECT min(rowid) + 7 FROM memory_status_history)").await?;
                Expected::corruption("sqlite-uuids", DATABASE, "memory_status_history.id", Some("I14"))
            }
            Damage::StateContradiction => {
                self.change_memory(
                    damage,
                    "UPDATE memories SET state = 'archived', archived_at = updated_at WHERE id = ?",
                )
                .await?;
                Expected::corruption("sqlite-states", DATABASE, "memories.state", Some("I12"))
            }
            Damage::DeletedWithoutTime => {
                self.change("UPDATE memories SET deleted_at = NULL WHERE rowid = (SELECT max(rowid) FROM memories WHERE state = 'deleted')").await?;
                Expected::corruption("sqlite-states", DATABASE, "memories.deleted_at", Some("I12"))
            }
            Damage::ExactDuplicates => {
                self.duplicate(damage).await?;
                Expected::corruption("sqlite-duplicates", DATABASE, "memories.content", Some("I15"))
            }
            Damage::MissingAdd => {
                let id = self.memory(damage).await?;
                let gone = query("DELETE FROM history WHERE memory_id = ? AND event = 'ADD'");
                some(gone.bind(dashed(&id)).execute(&mut self.history).await?.rows_affected())?;
                Expected::corruption("sqlite-history", DATABASE, "memories.id", Some("I11"))
            }
            Damage::InvalidUtf8 => {
                self.change("UPDATE apps SET description = CAST(x'63616FC3' AS TEXT) WHERE rowid = (SELECT max(rowid) FROM apps)").await?;
                Expected::corruption("sqlite-text", DATABASE, "apps.description", None)
            }
            Damage::NulInText => {
                self.change("UPDATE categories SET description = description || char(0) || 'rest' WHERE rowid = 2")
                    .await?;
                Expected::corruption("sqlite-text", DATABASE, "categories.description", None)
            }
            Damage::DeletedReadable => {
                self.change("UPDATE memories SET content = 'Moved the spare key to the blue box in the cellar.' WHERE rowid = (SELECT min(rowid) FROM memories WHERE state = 'deleted')").await?;
                Expected::finding("erasure", DATABASE, "deleted-memory-readable", "*")
            }
            Damage::DeletedInHistory => {
                let sql = "UPDATE history SET old_memory = 'Keeps the diary behind the second row of books.' WHERE rowid = (SELECT rowid FROM history WHERE event = 'DELETE' ORDER BY rowid LIMIT 1 OFFSET 1)";
                some(query(sql).execute(&mut self.history).await?.rows_affected())?;
                Expected::finding("erasure", HISTORY, "deleted-memory-in-history", "*")
            }
            _ => return Ok(None),
        };
        Ok(Some(Planted::of(damage, vec![expected])))
    }

    /// A secret or personal data in a row; none where this damage is of another kind.
    async fn leak(&mut self, site: &Site, damage: Damage) -> Result<Option<Planted>, Failed> {
        let random = &mut site.random(damage);
        let (rule, text) = match damage {
            Damage::AwsKeyInMetadata => {
                let id = self.memory(damage).await?;
                let metadata =
                    format!(r#"{{"source_app": "openmemory", "uploaded_with": "{}"}}"#, secrets::aws_key(random));
                let sql = query("UPDATE memories SET metadata = ? WHERE id = ?").bind(metadata).bind(&id);
                some(sql.execute(&mut self.main).await?.rows_affected())?;
                let place = format!("memories/{id}/metadata");
                return Ok(Some(Planted::of(
                    damage,
                    vec![Expected::finding("leaks", DATABASE, "aws-access-key-id", place)],
                )));
            }
            Damage::DatabaseUrlInConfigs => {
                let url = secrets::database_url(random);
                let sql = "UPDATE configs SET value = json_set(value, '$.mem0.vector_store', json_object('provider', 'pgvector', 'config', json_object('connection_string', ?)))";
                some(query(sql).bind(url).execute(&mut self.main).await?.rows_affected())?;
                return Ok(Some(Planted::of(
                    damage,
                    vec![Expected::finding("leaks", DATABASE, "address-password", "configs/main/value")],
                )));
            }
            Damage::OpenaiKeyInMemory => (
                "openai-api-key",
                format!("For the demo the assistant may use {} until Friday.", secrets::openai_key(random)),
            ),
            Damage::EmailInMemory => {
                ("email-address", format!("Mira can be reached at {} about the garden.", secrets::email(random)))
            }
            Damage::PhoneInMemory => {
                ("phone-number", format!("The plumber answers at {} in the morning.", secrets::phone(random)))
            }
            Damage::CardInMemory => {
                ("payment-card", format!("Pays for the train with card {} only.", secrets::card(random)))
            }
            Damage::IbanInMemory => ("iban", format!("Rent goes to {} on the first.", secrets::iban(random))),
            _ => return Ok(None),
        };
        let id = self.memory(damage).await?;
        self.say(&id, &text).await?;
        // mem0 writes the same text to its history.
        let planted =
            Planted::of(damage, vec![Expected::finding("leaks", DATABASE, rule, format!("memories/{id}/content"))]);
        Ok(Some(planted.also(vec![Expected::finding("leaks", HISTORY, rule, "*")])))
    }

    /// An active memory that no other damage takes: its number among them is that of the damage.
    async fn memory(&mut self, damage: Damage) -> Result<String, Failed> {
        let sql = "SELECT id FROM memories WHERE state = 'active' ORDER BY rowid LIMIT 1 OFFSET ?";
        let id = query_scalar(sql).bind(damage as i64).fetch_optional(&mut self.main).await?;
        id.ok_or(Failed::NoPlace)
    }

    async fn change(&mut self, sql: &'static str) -> Result<(), Failed> {
        some(query(sql).execute(&mut self.main).await?.rows_affected())
    }

    async fn change_memory(&mut self, damage: Damage, sql: &'static str) -> Result<(), Failed> {
        let id = self.memory(damage).await?;
        some(query(sql).bind(id).execute(&mut self.main).await?.rows_affected())
    }

    /// Makes a memory say something else, in both databases.
    async fn say(&mut self, id: &str, text: &str) -> Result<(), Failed> {
        let sql = query("UPDATE memories SET content = ? WHERE id = ?").bind(text).bind(id);
        some(sql.execute(&mut self.main).await?.rows_affected())?;
        let sql =
            "UPDATE history SET new_memory = ?1 WHERE rowid = (SELECT max(rowid) FROM history WHERE memory_id = ?2)";
        some(query(sql).bind(text).bind(dashed(id)).execute(&mut self.history).await?.rows_affected())
    }

    /// Makes two more memories of the same user say what one says; the last ones, which no other damage takes.
    async fn duplicate(&mut self, damage: Damage) -> Result<(), Failed> {
        let id = self.memory(damage).await?;
        let sql = "SELECT content FROM memories WHERE id = ?";
        let text: String = query_scalar(sql).bind(&id).fetch_one(&mut self.main).await?;
        let sql = "SELECT id FROM memories WHERE state = 'active' AND user_id = (SELECT user_id FROM memories WHERE id = ?1) AND id <> ?1 ORDER BY rowid DESC LIMIT 2";
        let others: Vec<String> = query_scalar(sql).bind(&id).fetch_all(&mut self.main).await?;
        if others.len() < 2 {
            return Err(Failed::NoPlace);
        }
        for other in others {
            self.say(&other, &text).await?;
        }
        Ok(())
    }
}

const fn some(rows: u64) -> Result<(), Failed> {
    if rows == 0 { Err(Failed::NoPlace) } else { Ok(()) }
}

/// An id as mem0 writes it.
fn dashed(id: &str) -> String {
    Uuid::try_parse(id).map_or_else(|_| id.to_owned(), |id| id.to_string())
}
