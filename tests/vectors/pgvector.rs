//! A table of pgvector, on a real server that has the extension.

use std::fmt::Write as _;
use std::path::Path;

use memorybank::bank::FolderSecrets;
use memorybank::bank::vectors::{Reading, VectorSource};
use memorybank::domain::{Level, Outcome, PointId, Severity, TaskReport, Verdict};

use crate::postgres_server::Postgres;
use crate::qdrant::{memory, unit};
use crate::source::walk;
use crate::{SIZE, assert_healthy, check_with, detail, id, key, of_pgvector, only, put_secret, verdict};

struct Table {
    server: Postgres,
    database: String,
    secrets: tempfile::TempDir,
}

impl Table {
    /// A table as mem0 makes it, with so many memories.
    fn of(memories: u64) -> Option<Self> {
        let server = Postgres::with_pgvector()?;
        let url = server.database();
        let database = url.rsplit_once('/').unwrap().1.to_owned();
        let secrets = tempfile::tempdir().unwrap();
        put_secret(secrets.path(), &key("db", "url"), &url);
        let table = Self { server, database, secrets };
        table.run("CREATE EXTENSION vector");
        table.run(&format!("CREATE TABLE openmemory (id UUID PRIMARY KEY, vector vector({SIZE}), payload JSONB)"));
        for chunk in (0..memories).collect::<Vec<_>>().chunks(200) {
            let mut sql = "INSERT INTO openmemory VALUES ".to_owned();
            for number in chunk {
                let payload = memory(&format!("memory {number}"), "alice");
                let comma = if *number == chunk[0] { "" } else { ", " };
                let vector = text(&unit(*number, SIZE));
                write!(sql, "{comma}('{}', '{vector}', '{payload}')", id(*number)).unwrap();
            }
            table.run(&sql);
        }
        table.run("CREATE INDEX openmemory_hnsw_idx ON openmemory USING hnsw (vector vector_cosine_ops)");
        Some(table)
    }

    fn run(&self, sql: &str) {
        self.server.psql(&self.database, sql);
    }

    async fn check(&self, level: Level) -> TaskReport {
        check_with(&of_pgvector("openmemory"), level, self.secrets.path()).await
    }

    async fn source(&self) -> VectorSource {
        let bank = of_pgvector("openmemory");
        let secrets = FolderSecrets::new(self.secrets.path());
        VectorSource::open("default", bank.vector_store.as_ref().unwrap(), &secrets).await.unwrap()
    }
}

fn text(vector: &[f32]) -> String {
    format!("{vector:?}").replace(' ', "")
}

#[tokio::test]
async fn rows_are_points_bit_for_bit_and_in_order() {
    let Some(table) = Table::of(5_000) else { return };
    let source = table.source().await;
    let points = walk(&source, Reading::ALL).await.unwrap();
    assert_eq!((points.len(), source.count().await.unwrap()), (5_000, 5_000));
    for (number, point) in (0_u64..).zip(&points) {
        assert_eq!(point.id, id(number));
        assert_eq!(point.vector.as_deref(), Some(&unit(number, SIZE)[..]));
        assert_eq!(point.payload.data, Some(format!("memory {number}")));
    }
    let from = Reading { from: Some(id(4_990)), ..Reading::IDS };
    assert_eq!(walk(&source, from).await.unwrap().len(), 10);
    let numbers = Reading { from: Some(PointId::Number(7)), ..Reading::IDS };
    assert_eq!(walk(&source, numbers).await.unwrap().len(), 5_000, "numbers come before all UUIDs");
    assert!(!format!("{source:?}").contains("postgres://"), "{source:?}");
    for level in Level::ALL {
        assert_healthy(&table.check(level).await);
    }
    // The walk is of one moment.
    let collection = source.collection().await.unwrap();
    let mut rows = source.walk(&collection, Reading::ALL).await.unwrap();
    let mut met = rows.next().await.unwrap().unwrap().len();
    table.run("DELETE FROM openmemory");
    while let Some(page) = rows.next().await.unwrap() {
        met += page.len();
    }
    assert_eq!(met, 5_000);
    // So it is from any id on, and another walk is of now.
    let again = rows.go_to(id(10), 4).next().await.unwrap().unwrap();
    assert_eq!(again.iter().map(|point| point.id).collect::<Vec<_>>(), [10, 11, 12, 13].map(id));
    assert_eq!(walk(&source, Reading::IDS).await.unwrap(), []);
    assert_healthy(&table.check(Level::Full).await);
}

#[tokio::test]
async fn what_breaks_an_invariant_is_told_and_a_length_is_not_asked_for() {
    let Some(table) = Table::of(20) else { return };
    let zeros = text(&[0.0; SIZE]);
    table.run(&format!("UPDATE openmemory SET vector = '{zeros}' WHERE id = '{}'", id(3)));
    let event = only(&table.check(Level::Full).await);
    assert_eq!((event.object.as_str(), event.severity), ("vector/zero", Severity::Critical));
    // pgvector keeps what it is given.
    let long = text(&[3.0; SIZE]);
    table.run(&format!("UPDATE openmemory SET vector = '{long}' WHERE id = '{}'", id(3)));
    assert_healthy(&table.check(Level::Full).await);
    table.run(&format!("UPDATE openmemory SET vector = NULL WHERE id = '{}'", id(3)));
    assert_eq!(only(&table.check(Level::Full).await).object, "vector/missing");
    table.run(&format!("DELETE FROM openmemory WHERE id = '{}'", id(3)));
    table.run(&format!("UPDATE openmemory SET payload = payload || '{{\"data\": \"x\"}}' WHERE id = '{}'", id(4)));
    assert_eq!(only(&table.check(Level::Full).await).invariant.as_deref(), Some("I5"));
    table.run(&format!("UPDATE openmemory SET payload = NULL WHERE id = '{}'", id(4)));
    assert_eq!(table.check(Level::Full).await.corruption.len(), 3);
}

#[tokio::test]
async fn a_row_that_the_index_lost_breaks_i17() {
    let Some(table) = Table::of(50) else { return };
    // The table is walked by its key and counted without it. Nothing but damage makes the two differ: here, an index
    // that is told to be for all rows and is for some.
    table.run(&format!(
        "ALTER TABLE openmemory DROP CONSTRAINT openmemory_pkey; \
         CREATE UNIQUE INDEX openmemory_pkey ON openmemory (id) WHERE id <> '{}'; \
         SET enable_seqscan = off; SELECT 1",
        id(7)
    ));
    table.run(
        "UPDATE pg_index SET indpred = NULL WHERE indexrelid = 'openmemory_pkey'::regclass; \
         ALTER DATABASE postgres SET enable_seqscan = on",
    );
    table.run(&format!("ALTER DATABASE {} SET enable_seqscan = off", table.database));
    let task = table.check(Level::Full).await;
    let event = only(&task);
    assert_eq!((event.invariant.as_deref(), event.count), (Some("I17"), 1), "{:?}", task.checks);
    assert_eq!(verdict(&task, "vectors-count"), Some(Verdict::Failed));
}

#[tokio::test]
async fn a_table_that_is_gone_or_none_of_mem0s_and_a_server_that_is_away_are_told_apart() {
    let Some(table) = Table::of(3) else { return };
    table.run("ALTER TABLE openmemory RENAME TO elsewhere");
    let task = table.check(Level::Quick).await;
    let event = only(&task);
    assert_eq!((event.check.as_str(), event.severity), ("vectors-collection", Severity::Critical));
    assert!(event.evidence.starts_with("the table openmemory is not there"), "{}", event.evidence);
    table.run("CREATE TABLE openmemory (id text PRIMARY KEY, vector vector(3), payload jsonb)");
    let task = table.check(Level::Quick).await;
    assert_eq!((task.corruption.len(), task.outcome), (0, Outcome::Unknown));
    assert!(detail(&task, "vectors-collection").contains("id is of type text, not uuid"), "{:?}", task.checks);
    table.run("DROP TABLE openmemory; CREATE TABLE openmemory (id uuid PRIMARY KEY, payload jsonb)");
    let task = table.check(Level::Quick).await;
    assert!(detail(&task, "vectors-collection").contains("it has no column vector"), "{:?}", task.checks);
    table.run("DROP TABLE openmemory; ALTER TABLE elsewhere RENAME TO openmemory");

    table.run("CREATE ROLE reader LOGIN PASSWORD 'r1ght'");
    let url = table.server.url(&table.database).replace("memorybank@", "reader:r1ght@");
    put_secret(table.secrets.path(), &key("db", "url"), &url);
    let task = table.check(Level::Full).await;
    assert_eq!((task.corruption.len(), task.outcome), (0, Outcome::Unknown));
    let told = task.checks.iter().map(|check| check.detail.as_str()).collect::<Vec<_>>().join("; ");
    assert!(told.contains("does not let this user read the table") && !told.contains("r1ght"), "{told}");

    table.server.crash();
    let task = table.check(Level::Full).await;
    assert_eq!((task.corruption.len(), verdict(&task, "vectors-collection")), (0, Some(Verdict::Unknown)));
    assert!(detail(&task, "vectors-collection").contains("refuses connections"), "{:?}", task.checks);
    let task = check_with(&of_pgvector("openmemory"), Level::Full, Path::new("/nonexistent")).await;
    assert!(detail(&task, "vectors-collection").starts_with("secret db, key url: "), "{:?}", task.checks);
}
