//! The SQL side on a PostgreSQL server, the vectors in Qdrant or beside the rows in pgvector.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use memorybank::bank::consistency::{Compared, Settings, SqlSide, StoredPoints, check_links, compare};
use memorybank::bank::postgres::PostgresMemories;
use memorybank::bank::{FolderSecrets, Meter};
use memorybank::domain::{
    Bank, Flavor, PgvectorEndpoint, PointId, PostgresEndpoint, QdrantEndpoint, SecretKey, Severity, SqlDatabase, Trust,
    VectorStore, Verdict, Work,
};
use memorybank::engine::consistency::baseline::Share;
use memorybank::runner::Places;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::bed::{Kept, assert_sound, only};
use crate::postgres::Postgres;
use crate::postgres_bank::{NAME, SIZE, id, payload, points, row, tables, vector};
use crate::qdrant::{Config, Qdrant};
use crate::run;

/// A bank on a server.
struct Pair {
    server: Postgres,
    database: String,
    /// None where the vectors are beside the rows.
    qdrant: Option<Qdrant>,
    kept: Kept,
    secrets: tempfile::TempDir,
}

fn key() -> SecretKey {
    SecretKey { name: "pg".to_owned(), key: "url".to_owned() }
}

fn sides(server: Postgres, qdrant: Option<Qdrant>, memories: u32) -> Pair {
    let url = server.database();
    let database = url.rsplit_once('/').unwrap().1.to_owned();
    tables(&server, &database, memories);
    let secrets = tempfile::tempdir().unwrap();
    std::fs::create_dir(secrets.path().join("pg")).unwrap();
    std::fs::write(secrets.path().join("pg/url"), url).unwrap();
    Pair { server, database, qdrant, kept: Kept::default(), secrets }
}

impl Pair {
    fn with_qdrant(memories: u32) -> Option<Self> {
        let qdrant = Qdrant::start();
        qdrant.create(NAME, Config::cosine(SIZE));
        let pair = sides(Postgres::start()?, Some(qdrant), memories);
        (1..=memories).for_each(|number| pair.put(number, payload(number)));
        Some(pair)
    }

    fn with_pgvector(memories: u32) -> Option<Self> {
        let pair = sides(Postgres::with_pgvector()?, None, memories);
        points(&pair.server, &pair.database, memories);
        Some(pair)
    }

    fn sql(&self, sql: &str) {
        self.server.psql(&self.database, sql);
    }

    /// Puts the point of a memory, whatever was there.
    fn put(&self, number: u32, payload: Value) {
        self.put_vector(number, payload, vector(number));
    }

    fn put_vector(&self, number: u32, payload: Value, vector: Vec<f32>) {
        match &self.qdrant {
            Some(qdrant) => qdrant.put(NAME, id(number), payload, Some(vector)),
            None => self.sql(&format!(
                "INSERT INTO {NAME} VALUES {} ON CONFLICT (id) DO UPDATE SET payload = excluded.payload, vector = excluded.vector",
                row(id(number), &payload, &vector)
            )),
        }
    }

    fn remove(&self, number: u32) {
        match &self.qdrant {
            Some(qdrant) => qdrant.remove(NAME, id(number)),
            None => self.sql(&format!("DELETE FROM {NAME} WHERE id = '{}'", id(number))),
        }
    }

    fn store(&self) -> VectorStore {
        match &self.qdrant {
            Some(qdrant) => VectorStore::Qdrant(QdrantEndpoint {
                url: qdrant.url(),
                api_key: None,
                collection: NAME.to_owned(),
                tls: Trust::default(),
            }),
            None => VectorStore::Pgvector(PgvectorEndpoint { url: key(), table: NAME.to_owned() }),
        }
    }

    async fn side(&self) -> SqlSide {
        let endpoint = PostgresEndpoint { url: key(), schema: "public".to_owned() };
        let secrets = FolderSecrets::new(self.secrets.path());
        SqlSide::Postgres(PostgresMemories::of(&endpoint, ("default", &secrets), None).await.unwrap())
    }

    async fn compare(&self, share: Share) -> Compared {
        self.compare_within(share, Duration::ZERO).await
    }

    async fn compare_within(&self, share: Share, grace: Duration) -> Compared {
        let (side, store) = (self.side().await, self.store());
        let secrets = FolderSecrets::new(self.secrets.path());
        let points = StoredPoints::memories("default", &store, &secrets).await.unwrap();
        let settings = Settings { share, grace, patience: Duration::ZERO };
        compare(&side, points, &self.kept, settings, &Arc::new(Meter::default())).await.unwrap()
    }

    fn forget(&self) {
        self.kept.0.lock().unwrap().clear();
    }

    fn bank(&self, flavor: Flavor) -> Bank {
        Bank {
            name: "assistant".to_owned(),
            flavor,
            database: Some(SqlDatabase::Postgres(PostgresEndpoint { url: key(), schema: "public".to_owned() })),
            history: None,
            vector_store: Some(self.store()),
            embedding: None,
            api: None,
            volumes: Vec::new(),
            files: Vec::new(),
            backups: Vec::new(),
            repository: None,
            compose: None,
        }
    }

    async fn run(&self, flavor: Flavor, kept: &run::Kept) -> memorybank::domain::TaskReport {
        let scratch = self.secrets.path().join("scratch");
        let places = Places { volumes: BTreeMap::new(), scratch, secrets: self.secrets.path().to_owned() };
        run::execute(self.bank(flavor), places, kept, Work::ConsistencyCheck).await
    }
}

fn changed(number: u32, key: &str, value: Value) -> Value {
    let mut payload = payload(number);
    payload[key] = value;
    payload
}

/// What is broken, and mended again.
type Change = fn(&Pair);

async fn each_fault_is_told_as_what_it_is(pair: &Pair) {
    let cases: [(Change, Change, &str, &str, u32); 7] = [
        (|p| p.remove(3), |p| p.put(3, payload(3)), "consistency-missing", "I1", 3),
        (
            |p| {
                p.sql(
                    "UPDATE memories SET state = 'deleted', deleted_at = '2025-10-02' WHERE id = md5('memory4')::uuid",
                );
            },
            |p| p.sql("UPDATE memories SET state = 'active', deleted_at = NULL WHERE id = md5('memory4')::uuid"),
            "consistency-deleted",
            "I2",
            4,
        ),
        (|p| p.put(9_999, payload(9_999)), |p| p.remove(9_999), "consistency-orphans", "I3", 9_999),
        (
            |p| p.sql("UPDATE memories SET content = 'likes cocoa' WHERE id = md5('memory5')::uuid"),
            |p| p.sql("UPDATE memories SET content = 'likes tea, cup 5' WHERE id = md5('memory5')::uuid"),
            "consistency-text",
            "I4",
            5,
        ),
        (|p| p.put(6, changed(6, "hash", json!(null))), |p| p.put(6, payload(6)), "consistency-hash", "I5", 6),
        (|p| p.put(7, changed(7, "hash", json!("0"))), |p| p.put(7, payload(7)), "consistency-hash", "I5", 7),
        (|p| p.put(8, changed(8, "user_id", json!("eve"))), |p| p.put(8, payload(8)), "consistency-owner", "I6", 8),
    ];
    for (break_it, mend, check, invariant, number) in cases {
        break_it(pair);
        let compared = pair.compare(Share::All).await;
        let told = only(&compared);
        assert_eq!((told.0, told.1, told.2), (check, Some(invariant), 1));
        assert!(told.3.ends_with(&id(number).to_string()), "{told:?}");
        pair.forget();
        mend(pair);
    }
    assert_sound(&pair.compare(Share::All).await);

    // What changed although no time did, and was undone.
    pair.sql("UPDATE memories SET content = 'likes cocoa' WHERE id = md5('memory5')::uuid");
    let compared = pair.compare(Share::Percent(0)).await;
    let told: Vec<_> = compared.corruption.iter().map(|event| event.check.as_str()).collect();
    assert_eq!(told, ["consistency-text", "rows-unchanged"]);
    pair.sql("UPDATE memories SET content = 'likes tea, cup 5' WHERE id = md5('memory5')::uuid");
    assert_sound(&pair.compare(Share::Percent(0)).await);
    pair.put_vector(9, payload(9), vector(10));
    assert_sound(&pair.compare(Share::Percent(0)).await);
    for share in [Share::All, Share::Percent(0)] {
        assert_eq!(only(&pair.compare(share).await).0, "vectors-unchanged");
    }
    pair.put(9, payload(9));
    assert_sound(&pair.compare(Share::Percent(0)).await);

    // Only what changed is read in the vector store.
    pair.sql("UPDATE memories SET updated_at = '2025-11-01' WHERE id IN (md5('memory1')::uuid, md5('memory2')::uuid)");
    let detail = pair.compare(Share::Percent(0)).await.checks[0].detail.clone();
    assert!(detail.starts_with("2 rows and 2 points compared, 2 of "), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_beside_qdrant_is_told_as_what_it_is() {
    let Some(pair) = Pair::with_qdrant(300) else { return };
    each_fault_is_told_as_what_it_is(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_beside_pgvector_is_told_as_what_it_is() {
    let Some(pair) = Pair::with_pgvector(300) else { return };
    each_fault_is_told_as_what_it_is(&pair).await;
}

/// How OpenMemory writes a time, and mem0.
fn now() -> (String, String) {
    let now = Timestamp::now();
    (now.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string(), now.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string())
}

/// Adds, edits and deletes without an end, as several clients of a bank do: what is new reaches the vectors first.
async fn write(pair: &Pair, end: &AtomicBool, written: &AtomicU32) {
    let mut connection = PgConnection::connect(&pair.server.url(&pair.database)).await.unwrap();
    let mut next = 10_000;
    while !end.load(Ordering::Relaxed) {
        let (sql_time, point_time) = now();
        let mut added = payload(next);
        added["created_at"] = json!(point_time);
        pair.put(next, added.clone());
        let delete = next - 10_000 + 20;
        let edit = delete + 1;
        for sql in [
            format!(
                "INSERT INTO memories (id, user_id, app_id, content, state, created_at) VALUES \
                 ('{}', md5('ada')::uuid, md5('app')::uuid, '{}', 'active', '{sql_time}')",
                id(next),
                crate::postgres_bank::text(next)
            ),
            format!("UPDATE memories SET state = 'deleted', deleted_at = '{sql_time}' WHERE id = '{}'", id(delete)),
            format!("UPDATE memories SET content = 'likes milk', updated_at = '{sql_time}' WHERE id = '{}'", id(edit)),
        ] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        }
        pair.remove(delete);
        let mut edited = added;
        edited["data"] = json!("likes milk");
        edited["hash"] = json!("c7cb1dd9a4e7b7b9f9d5b5f1fd0b6d31");
        edited["updated_at"] = json!(point_time);
        pair.put(edit, edited);
        next += 2;
        written.fetch_add(1, Ordering::Relaxed);
    }
}

async fn a_healthy_bank_that_is_written_to_is_never_accused(pair: &Pair) {
    let (end, written) = (AtomicBool::new(false), AtomicU32::new(0));
    let comparing = async {
        for round in 1..=4 {
            let before = written.load(Ordering::Relaxed);
            let share = if round % 2 == 1 { Share::All } else { Share::Percent(0) };
            let compared = pair.compare_within(share, Duration::from_mins(1)).await;
            assert_sound(&compared);
            while written.load(Ordering::Relaxed) < before + 5 {
                tokio::task::yield_now().await;
            }
        }
        end.store(true, Ordering::Relaxed);
    };
    tokio::join!(comparing, write(pair, &end, &written));
    assert!(written.load(Ordering::Relaxed) >= 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_bank_beside_qdrant_that_is_written_to_is_never_accused() {
    let Some(pair) = Pair::with_qdrant(4_000) else { return };
    a_healthy_bank_that_is_written_to_is_never_accused(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_bank_beside_pgvector_that_is_written_to_is_never_accused() {
    let Some(pair) = Pair::with_pgvector(4_000) else { return };
    a_healthy_bank_that_is_written_to_is_never_accused(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_made_anew_takes_a_second_pass_of_the_server() {
    let Some(pair) = Pair::with_qdrant(0) else { return };
    pair.sql(
        "INSERT INTO memories (id, user_id, content, state, created_at) SELECT md5('memory' || n)::uuid, \
         md5('ada')::uuid, repeat('likes tea ', 50), 'active', '2025-10-01' FROM generate_series(1, 6000) n",
    );
    let compared = pair.compare(Share::All).await;
    assert_eq!((only(&compared).0, only(&compared).2), ("consistency-missing", 6_000));
    assert_eq!(compared.corruption[0].severity, Severity::Critical);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_with_a_zone_and_entities_are_read_too() {
    let Some(pair) = Pair::with_qdrant(40) else { return };
    pair.sql("ALTER TABLE memories ALTER created_at TYPE timestamptz USING created_at AT TIME ZONE 'UTC'");
    pair.sql("ALTER TABLE memories ALTER content TYPE varchar(200)");
    pair.sql(&format!("ALTER DATABASE {} SET timezone = 'Asia/Kolkata'", pair.database));
    pair.sql("INSERT INTO memories (id, user_id, content, state, created_at) VALUES (md5('young')::uuid, md5('ada')::uuid, 'x', 'active', now())");
    let compared = pair.compare_within(Share::All, Duration::from_mins(1)).await;
    assert_sound(&compared);
    assert!(compared.checks[0].detail.contains("; 1 changed too lately"), "{:?}", compared.checks[0]);
    pair.sql("DELETE FROM memories WHERE id = md5('young')::uuid");

    let entities = format!("{NAME}_entities");
    let qdrant = pair.qdrant.as_ref().unwrap();
    qdrant.create(&entities, Config::cosine(SIZE));
    let linked = json!([id(1).to_string(), PointId::Uuid(7).to_string()]);
    let payload = changed(1, "linked_memory_ids", linked);
    qdrant.put(&entities, PointId::Uuid(1), payload, Some(vector(1)));
    let (secrets, store) = (FolderSecrets::new(pair.secrets.path()), pair.store());
    let entities = StoredPoints::entities("default", &store, &secrets).await.unwrap();
    let settings = Settings { share: Share::All, grace: Duration::ZERO, patience: Duration::ZERO };
    let links = check_links(&pair.side().await, entities, settings, &Meter::default()).await.unwrap();
    assert_eq!(links.check.detail, "2 links looked at");
    assert_eq!(links.corruption.unwrap().count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_is_unknown() {
    let Some(pair) = Pair::with_qdrant(20) else { return };
    let cases = [
        ("ALTER TABLE memories ENABLE ROW LEVEL SECURITY", "row level security"),
        ("ALTER TABLE memories DISABLE ROW LEVEL SECURITY; REVOKE ALL ON memories FROM reader", "may not do this"),
        ("GRANT SELECT ON memories TO reader; ALTER TABLE memories ALTER id TYPE text", "of type text and not uuid"),
        ("ALTER TABLE memories RENAME TO elsewhere", "is missing"),
    ];
    pair.sql("CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader");
    let url = pair.server.url(&pair.database).replace("memorybank@", "reader@");
    std::fs::write(pair.secrets.path().join("pg/url"), url).unwrap();
    assert_sound(&pair.compare(Share::All).await);
    for (change, why) in cases {
        pair.sql(change);
        let compared = pair.compare(Share::All).await;
        assert!(compared.checks.iter().all(|check| check.verdict == Verdict::Unknown), "{:#?}", compared.checks);
        assert!(compared.checks[0].detail.contains(why), "{change}: {}", compared.checks[0].detail);
        assert_eq!((compared.outputs, compared.corruption), (vec![], vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_task_compares_what_is_on_a_server() {
    let Some(pair) = Pair::with_qdrant(100) else { return };
    let kept = run::Kept::default();
    run::assert_sound(&pair.run(Flavor::OpenMemory, &kept).await);
    pair.put(8, changed(8, "user_id", json!("eve")));
    let task = pair.run(Flavor::OpenMemory, &run::Kept::default()).await;
    assert_eq!(run::told(&task), [("consistency-owner", Some("I6"), 1)]);
    let task = pair.run(Flavor::Mem0Server, &kept).await;
    assert!(task.corruption.is_empty() && task.message.contains("has no memories"), "{}", task.message);
}
