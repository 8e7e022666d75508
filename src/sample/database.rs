use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;
use md5::{Digest as _, Md5};
use uuid::Uuid;

use super::error::SampleError;
use super::insert::{Filling, Format, Rows, Value};
use super::memory::{Memories, Memory, State};
use super::people::People;
use super::random::Random;
use super::schema::{Generation, INDEXES};
use super::templates::CATEGORIES;
use super::text::query;
use super::timeline::{self, iso, sql};

/// What the configs row holds: every key is a reference to the environment.
pub const CONFIG: &str = r#"{"openmemory": {"custom_instructions": null}, "mem0": {"llm": {"provider": "openai", "config": {"model": "gpt-4o-mini", "temperature": 0.1, "max_tokens": 2000, "api_key": "env:OPENAI_API_KEY"}}, "embedder": {"provider": "openai", "config": {"model": "text-embedding-3-small", "api_key": "env:OPENAI_API_KEY"}}, "vector_store": null}}"#;

/// What a pair of databases is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many memories.
    pub memories: usize,
    /// Where chance begins.
    pub seed: u64,
    /// Which tables.
    pub generation: Generation,
    /// How both files are laid out.
    pub format: Format,
}

/// Writes `database` (OpenMemory's) and `history` (mem0's); neither exists yet.
pub async fn write(database: &Path, history: &Path, shape: Shape) -> Result<(), SampleError> {
    let people = People::new(shape.memories, shape.generation, &mut Random::new(shape.seed, 1));
    let filling = Filling::begin(database, shape.format, shape.generation.tables()).await?;
    let mut main = Main::new(filling, &people, Random::new(shape.seed, 4));
    let filling = Filling::begin(history, shape.format, shape.generation.history_tables()).await?;
    let mut mem0 = History::new(filling, &people, shape.generation, Random::new(shape.seed, 5));

    main.setting().await.map_err(SampleError::sqlite(database))?;
    for memory in Memories::new(shape.memories, shape.seed, &people) {
        main.store(&memory).await.map_err(SampleError::sqlite(database))?;
        mem0.store(&memory).await.map_err(SampleError::sqlite(history))?;
    }
    main.finish().await.map_err(SampleError::sqlite(database))?;
    mem0.finish().await.map_err(SampleError::sqlite(history))
}

/// OpenMemory's database.
struct Main<'a> {
    filling: Filling,
    people: &'a People,
    random: Random,
    memories: Rows,
    categories: Rows,
    states: Rows,
    accesses: Rows,
}

impl<'a> Main<'a> {
    fn new(filling: Filling, people: &'a People, random: Random) -> Self {
        Self {
            filling,
            people,
            random,
            memories: Rows::of("memories", 11),
            categories: Rows::of("memory_categories", 2),
            states: Rows::of("memory_status_history", 6),
            accesses: Rows::of("memory_access_logs", 6),
        }
    }

    /// Users, apps, configuration and categories.
    async fn setting(&mut self) -> Result<(), sqlx::Error> {
        let start = sql(timeline::start());
        let (mut users, mut apps) = (Rows::of("users", 7), Rows::of("apps", 8));
        for user in &self.people.users {
            let row = [
                key(user.id),
                user.handle.clone().into(),
                user.name.clone().into(),
                Value::Null,
                "{}".into(),
                start.clone().into(),
                start.clone().into(),
            ];
            self.filling.add(&mut users, row).await?;
            for (id, name) in &user.apps {
                let row = [
                    key(*id),
                    key(user.id),
                    name.clone().into(),
                    Value::Null,
                    "{}".into(),
                    Value::Number(1),
                    start.clone().into(),
                    start.clone().into(),
                ];
                self.filling.add(&mut apps, row).await?;
            }
        }
        self.filling.flush(&mut users).await?;
        self.filling.flush(&mut apps).await?;

        let mut configs = Rows::of("configs", 5);
        let id = key(self.random.uuid());
        self.filling
            .add(&mut configs, [id, "main".into(), CONFIG.into(), start.clone().into(), start.clone().into()])
            .await?;
        self.filling.flush(&mut configs).await?;

        let mut categories = Rows::of("categories", 5);
        for (id, name) in self.people.categories.iter().zip(CATEGORIES) {
            let about = format!("Automatically created category for {name}");
            let row = [key(*id), name.into(), about.into(), start.clone().into(), start.clone().into()];
            self.filling.add(&mut categories, row).await?;
        }
        self.filling.flush(&mut categories).await?;

        let mut policies = Rows::of("archive_policies", 5);
        let row = [key(self.random.uuid()), "global".into(), Value::Null, Value::Number(180), start.into()];
        self.filling.add(&mut policies, row).await?;
        self.filling.flush(&mut policies).await
    }

    async fn store(&mut self, memory: &Memory) -> Result<(), sqlx::Error> {
        let Some(user) = self.people.users.get(memory.user) else { return Ok(()) };
        let Some((app, app_name)) = user.apps.get(memory.app) else { return Ok(()) };
        let updated = memory.changed.unwrap_or(memory.created);
        let at = |state| Value::from((memory.state == state).then(|| sql(updated)));
        let metadata = match memory.state {
            State::Deleted => "{}".to_owned(),
            _ => format!(r#"{{"source_app": "openmemory", "mcp_client": "{app_name}"}}"#),
        };
        let row = [
            key(memory.id),
            key(user.id),
            key(*app),
            memory.content.clone().into(),
            Value::Null,
            metadata.into(),
            memory.state.name().into(),
            sql(memory.created).into(),
            sql(updated).into(),
            at(State::Archived),
            at(State::Deleted),
        ];
        self.filling.add(&mut self.memories, row).await?;
        for category in memory.categories.iter().filter_map(|c| self.people.categories.get(*c)) {
            self.filling.add(&mut self.categories, [key(memory.id), key(*category)]).await?;
        }
        self.change(memory.id, user.id, (State::Deleted, State::Active), memory.created).await?;
        if memory.state != State::Active {
            self.change(memory.id, user.id, (State::Active, memory.state), updated).await?;
        }
        for (time, kind, query) in &memory.accesses {
            let hash = hex(&Md5::digest(memory.content.as_bytes()));
            let metadata =
                format!(r#"{{"query": "{query}", "score": 0.{}, "hash": "{hash}"}}"#, 60 + self.random.below(40));
            let row = [
                key(self.random.uuid()),
                key(memory.id),
                key(*app),
                sql(*time).into(),
                (*kind).into(),
                metadata.into(),
            ];
            self.filling.add(&mut self.accesses, row).await?;
        }
        Ok(())
    }

    async fn change(
        &mut self,
        memory: Uuid,
        by: Uuid,
        (old, new): (State, State),
        at: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let id = key(self.random.uuid());
        let row = [id, key(memory), key(by), old.name().into(), new.name().into(), sql(at).into()];
        self.filling.add(&mut self.states, row).await
    }

    async fn finish(mut self) -> Result<(), sqlx::Error> {
        for rows in [&mut self.memories, &mut self.categories, &mut self.states, &mut self.accesses] {
            self.filling.flush(rows).await?;
        }
        self.filling.finish(INDEXES).await
    }
}

/// mem0's history.
struct History<'a> {
    filling: Filling,
    people: &'a People,
    generation: Generation,
    random: Random,
    rows: Rows,
}

impl<'a> History<'a> {
    fn new(filling: Filling, people: &'a People, generation: Generation, random: Random) -> Self {
        Self { filling, people, generation, random, rows: Rows::of("history", 10) }
    }

    async fn store(&mut self, memory: &Memory) -> Result<(), sqlx::Error> {
        let created = iso(memory.created, !self.generation.has_messages());
        let changed = memory.changed.map(|time| iso(time, !self.generation.has_messages()));
        let text = (memory.state != State::Deleted).then(|| memory.content.clone());
        let first = memory.earlier.clone().or_else(|| text.clone());
        self.event(memory.id, "ADD", (None, first), &created, None).await?;
        if memory.earlier.is_some() {
            self.event(memory.id, "UPDATE", (memory.earlier.clone(), text), &created, changed).await?;
        } else if memory.state == State::Deleted {
            self.event(memory.id, "DELETE", (None, None), &created, changed).await?;
        }
        Ok(())
    }

    async fn event(
        &mut self,
        memory: Uuid,
        event: &'static str,
        (old, new): (Option<String>, Option<String>),
        created: &str,
        updated: Option<String>,
    ) -> Result<(), sqlx::Error> {
        let row = [
            self.random.uuid().to_string().into(),
            memory.to_string().into(),
            old.into(),
            new.into(),
            event.into(),
            created.into(),
            updated.into(),
            Value::Number(i64::from(event == "DELETE")),
            Value::Null,
            Value::Null,
        ];
        self.filling.add(&mut self.rows, row).await
    }

    async fn finish(mut self) -> Result<(), sqlx::Error> {
        self.filling.flush(&mut self.rows).await?;
        if self.generation.has_messages() {
            self.messages().await?;
        }
        self.filling.finish("").await
    }

    /// mem0 keeps the last ten messages of each scope.
    async fn messages(&mut self) -> Result<(), sqlx::Error> {
        let mut rows = Rows::of("messages", 6);
        for user in &self.people.users {
            for index in 0..10 {
                let time = timeline::plus(timeline::end(), index * 45_000_000);
                let row = [
                    self.random.uuid().to_string().into(),
                    format!("user_id={}", user.handle).into(),
                    if index % 2 == 0 { "user" } else { "assistant" }.into(),
                    query(&mut self.random).into(),
                    Value::Null,
                    iso(time, false).into(),
                ];
                self.filling.add(&mut rows, row).await?;
            }
        }
        self.filling.flush(&mut rows).await
    }
}

/// A UUID as `SQLAlchemy` stores it on SQLite: 32 hex digits.
fn key(id: Uuid) -> Value {
    Value::Text(id.simple().to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
