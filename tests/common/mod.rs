//! Small banks as OpenMemory leaves them on disk, one per generation of its schema.

use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, SqliteConnection};

/// Who made the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// `create_all` of the last version.
    Application,
    /// The migrations of the last version.
    Migrations,
    /// The fork and others of before June 2025: apps are unique by name.
    Fork,
    /// Before configs were stored, and before foreign keys were declared.
    Oldest,
}

pub const GENERATIONS: [Generation; 4] =
    [Generation::Application, Generation::Migrations, Generation::Fork, Generation::Oldest];

/// A bank on disk.
pub struct Bank {
    pub database: PathBuf,
    pub history: PathBuf,
}

impl Bank {
    /// A healthy bank of so many memories.
    pub async fn build(folder: &Path, generation: Generation, seed: u64, memories: u64) -> Self {
        let bank = Self { database: folder.join("openmemory.db"), history: folder.join("history.db") };
        let mut database = create(&bank.database).await;
        let mut history = create(&bank.history).await;
        for statement in schema(generation) {
            run(&mut database, &statement).await;
        }
        run(&mut history, HISTORY).await;
        run(&mut history, MESSAGES).await;
        let mut database = database.begin().await.unwrap();
        let mut history = history.begin().await.unwrap();
        let mut writer = Writer { random: ChaCha8Rng::seed_from_u64(seed), generation, number: 0 };
        let mut statements = writer.people();
        for _ in 0..memories {
            let (ours, theirs) = writer.memory();
            statements.extend(ours);
            for statement in theirs {
                run(&mut history, &statement).await;
            }
        }
        for statement in statements {
            run(&mut database, &statement).await;
        }
        database.commit().await.unwrap();
        history.commit().await.unwrap();
        bank
    }

    /// Changes the database by SQL, as any other program could.
    pub async fn change(&self, sql: &str) {
        change(&self.database, sql).await;
    }
}

/// Changes a file by SQL.
pub async fn change(path: &Path, sql: &str) {
    let mut connection = SqliteConnectOptions::new().filename(path).foreign_keys(false).connect().await.unwrap();
    run(&mut connection, sql).await;
    connection.close().await.unwrap();
}

async fn create(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(false);
    options.connect().await.unwrap()
}

async fn run(connection: &mut SqliteConnection, sql: &str) {
    connection.execute(AssertSqlSafe(sql)).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

struct Writer {
    random: ChaCha8Rng,
    generation: Generation,
    number: u64,
}

impl Writer {
    /// Never only digits, or digits and an e: SQLite would take it for a number.
    fn id(&mut self) -> String {
        format!("ab{:030x}", (u128::from(self.random.next_u64()) << 56) | u128::from(self.random.next_u64() >> 8))
    }

    fn date(&mut self) -> String {
        let (day, second) = (self.random.next_u32() % 28 + 1, self.random.next_u32() % 60);
        format!(
            "2025-{:02}-{day:02} 10:20:{second:02}.{:06}",
            self.random.next_u32() % 9 + 1,
            self.random.next_u32() % 999_999
        )
    }

    fn words(&mut self) -> String {
        const WORDS: [&str; 12] =
            ["likes", "tea", "Zürich", "every", "morning", "works", "on", "日本語", "bicycle", "don''t", "😀", "map"];
        let count = self.random.next_u32() % 40 + 3;
        self.number += 1;
        let words: Vec<_> = (0..count).map(|_| WORDS[self.random.next_u32() as usize % WORDS.len()]).collect();
        format!("{} {}", self.number, words.join(" "))
    }

    fn people(&mut self) -> Vec<String> {
        let mut statements = vec![
            format!(
                "INSERT INTO users VALUES ('{USER}', 'ada', 'Ada', NULL, '{{}}', '2025-01-01 00:00:00.000000', NULL)"
            ),
            format!(
                "INSERT INTO apps VALUES ('{APP}', '{USER}', 'claude', NULL, 'null', 1, '2025-01-01 00:00:00', NULL)"
            ),
            format!("INSERT INTO categories VALUES ('{CATEGORY}', 'home', NULL, '2025-01-01 00:00:00.5', NULL)"),
            format!(
                "INSERT INTO access_controls VALUES ('{}', 'app', '{APP}', 'memory', NULL, 'allow', NULL)",
                self.id()
            ),
            format!("INSERT INTO archive_policies VALUES ('{}', 'global', NULL, 30, '2025-01-01 00:00:00')", self.id()),
        ];
        if self.generation != Generation::Oldest {
            let value = r#"{"mem0": {"llm": {"provider": "ollama"}}}"#;
            statements.push(format!("INSERT INTO configs VALUES ('{}', 'main', '{value}', NULL, NULL)", self.id()));
        }
        if self.generation == Generation::Migrations {
            statements.push("INSERT INTO alembic_version VALUES ('afd00efbd06b')".to_owned());
        }
        statements
    }

    /// One memory with its life so far: statements for the database and for the history.
    fn memory(&mut self) -> (Vec<String>, Vec<String>) {
        let (id, text, born, end) = (self.id(), self.words(), self.date(), "2025-11-01 08:00:00.000001");
        let state =
            ["active", "active", "active", "paused", "archived", "deleted"][self.random.next_u32() as usize % 6];
        let time = |name: &str| if state == name { format!("'{end}'") } else { "NULL".to_owned() };
        let metadata = ["NULL", "'null'", "'{\"score\": NaN}'", "'{\"a\": [1, \"\\u00e9\"]}'", "3"];
        let metadata = metadata[self.random.next_u32() as usize % metadata.len()];
        let dashed = format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]);
        let row = |old: &str, new: &str, at: &str, change: &str| {
            format!("INSERT INTO memory_status_history VALUES ('{change}', '{id}', '{USER}', '{old}', '{new}', '{at}')")
        };
        let mut ours = vec![
            format!(
                "INSERT INTO memories VALUES ('{id}', '{USER}', '{APP}', '{text}', NULL, {metadata}, '{state}', \
                 '{born}', '{end}', {}, {})",
                time("archived"),
                time("deleted")
            ),
            row("deleted", "active", &born, &self.id()),
            format!("INSERT INTO memory_categories VALUES ('{id}', '{CATEGORY}')"),
            format!(
                "INSERT INTO memory_access_logs VALUES ('{}', '{id}', '{APP}', '{end}', 'search', '{{\"query\": \"x\"}}')",
                self.id()
            ),
        ];
        let event = |event: &str, old: &str, new: &str, gone: u8, id: &str| {
            let at = born.replace(' ', "T");
            format!(
                "INSERT INTO history VALUES ('{id}', '{dashed}', {old}, {new}, '{event}', '{at}-07:00', NULL, {gone}, NULL, NULL)"
            )
        };
        let text = format!("'{text}'");
        let mut theirs = vec![event("ADD", "NULL", &text, 0, &self.dashed())];
        if state != "active" {
            ours.push(row("active", state, end, &self.id()));
        }
        if state == "deleted" {
            theirs.push(event("DELETE", &text, "NULL", 1, &self.dashed()));
        }
        (ours, theirs)
    }

    fn dashed(&mut self) -> String {
        let id = self.id();
        format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..])
    }
}

pub const USER: &str = "aa0000000000400080000000000000a1";
pub const APP: &str = "aa0000000000400080000000000000a2";
pub const CATEGORY: &str = "aa0000000000400080000000000000a3";

pub const HISTORY: &str = "CREATE TABLE history (id TEXT PRIMARY KEY, memory_id TEXT, old_memory TEXT, new_memory TEXT, \
    event TEXT, created_at DATETIME, updated_at DATETIME, is_deleted INTEGER, actor_id TEXT, role TEXT)";
pub const MESSAGES: &str = "CREATE TABLE messages (id TEXT PRIMARY KEY, session_scope TEXT, role TEXT, content TEXT, \
    name TEXT, created_at DATETIME)";

/// The statements that make an empty database.
pub fn schema(generation: Generation) -> Vec<String> {
    let keys = generation != Generation::Oldest;
    let to = |column: &str, parent: &str| {
        if keys { format!(", FOREIGN KEY({column}) REFERENCES {parent} (id)") } else { String::new() }
    };
    let unique_app = if generation == Generation::Fork { "UNIQUE (name)" } else { "UNIQUE (owner_id, name)" };
    let mut statements = vec![
        "CREATE TABLE users (id UUID NOT NULL, user_id VARCHAR NOT NULL, name VARCHAR, email VARCHAR, metadata JSON, \
         created_at DATETIME, updated_at DATETIME, PRIMARY KEY (id))"
            .to_owned(),
        format!(
            "CREATE TABLE apps (id UUID NOT NULL, owner_id UUID NOT NULL, name VARCHAR NOT NULL, description VARCHAR, \
             metadata JSON, is_active BOOLEAN, created_at DATETIME, updated_at DATETIME, PRIMARY KEY (id), {unique_app}{})",
            to("owner_id", "users")
        ),
        format!(
            "CREATE TABLE memories (id UUID NOT NULL, user_id UUID NOT NULL, app_id UUID NOT NULL, content VARCHAR NOT NULL, \
             vector VARCHAR, metadata JSON, state VARCHAR(8), created_at DATETIME, updated_at DATETIME, \
             archived_at DATETIME, deleted_at DATETIME, PRIMARY KEY (id){}{})",
            to("user_id", "users"),
            to("app_id", "apps")
        ),
        "CREATE TABLE categories (id UUID NOT NULL, name VARCHAR NOT NULL, description VARCHAR, created_at DATETIME, \
         updated_at DATETIME, PRIMARY KEY (id))"
            .to_owned(),
        format!(
            "CREATE TABLE memory_categories (memory_id UUID NOT NULL, category_id UUID NOT NULL, \
             PRIMARY KEY (memory_id, category_id){}{})",
            to("memory_id", "memories"),
            to("category_id", "categories")
        ),
        "CREATE TABLE access_controls (id UUID NOT NULL, subject_type VARCHAR NOT NULL, subject_id UUID, \
         object_type VARCHAR NOT NULL, object_id UUID, effect VARCHAR NOT NULL, created_at DATETIME, PRIMARY KEY (id))"
            .to_owned(),
        "CREATE TABLE archive_policies (id UUID NOT NULL, criteria_type VARCHAR NOT NULL, criteria_id UUID, \
         days_to_archive INTEGER NOT NULL, created_at DATETIME, PRIMARY KEY (id))"
            .to_owned(),
        format!(
            "CREATE TABLE memory_status_history (id UUID NOT NULL, memory_id UUID NOT NULL, changed_by UUID NOT NULL, \
             old_state VARCHAR(8) NOT NULL, new_state VARCHAR(8) NOT NULL, changed_at DATETIME, PRIMARY KEY (id){}{})",
            to("memory_id", "memories"),
            to("changed_by", "users")
        ),
        format!(
            "CREATE TABLE memory_access_logs (id UUID NOT NULL, memory_id UUID NOT NULL, app_id UUID NOT NULL, \
             accessed_at DATETIME, access_type VARCHAR NOT NULL, metadata JSON, PRIMARY KEY (id){}{})",
            to("memory_id", "memories"),
            to("app_id", "apps")
        ),
    ];
    if keys {
        let unique = if generation == Generation::Migrations { ", UNIQUE (key)" } else { "" };
        statements.push(format!(
            "CREATE TABLE configs (id UUID NOT NULL, key VARCHAR NOT NULL, value JSON NOT NULL, created_at DATETIME, \
             updated_at DATETIME, PRIMARY KEY (id){unique})"
        ));
        let index = if unique.is_empty() { "UNIQUE INDEX ix_configs_key" } else { "INDEX idx_configs_key" };
        statements.push(format!("CREATE {index} ON configs (key)"));
    }
    if generation == Generation::Migrations {
        statements.push("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)".to_owned());
    }
    for (table, columns) in [
        (
            "memories",
            "user_id|app_id|state|created_at|archived_at|deleted_at|user_id, state|app_id, state|user_id, app_id",
        ),
        ("memory_categories", "memory_id|category_id"),
        (
            "memory_status_history",
            "memory_id|changed_by|old_state|new_state|changed_at|memory_id, new_state|changed_by, changed_at",
        ),
        ("memory_access_logs", "memory_id|app_id|accessed_at|access_type|memory_id, accessed_at|app_id, accessed_at"),
    ] {
        for columns in columns.split('|') {
            let name = columns.replace(", ", "_");
            statements.push(format!("CREATE INDEX ix_{table}_{name} ON {table} ({columns})"));
        }
    }
    statements.push("CREATE UNIQUE INDEX ix_users_user_id ON users (user_id)".to_owned());
    statements
}
