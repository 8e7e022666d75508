//! A bank on a PostgreSQL server that is damaged there: mended and verified, or as it was.

use std::fs;
use std::sync::Arc;

use memorybank::bank::recovery::{Kept, Phase};
use memorybank::domain::{
    Consent, IntegrityScope, Level, Outcome, PgvectorEndpoint, PostgresEndpoint, QdrantEndpoint, RecoveryReport,
    RecoveryState, RepairAction, SecretKey, SqlDatabase, TaskReport, Trust, VectorStore, Verdict, Work,
};
use sqlx::{Connection as _, PgConnection};

use crate::bed::Bed;
use crate::deaths::{journal, leave_outputs, spawn};
use crate::embedder::{self, Embedder, Mood};
use crate::guardian::wait_for;
use crate::postgres::{self, Postgres};
use crate::postgres_bank::{NAME, SIZE, id, payload, points, row, tables, text, vector};
use crate::qdrant::{Config, Qdrant};
use crate::small_disk::SmallDisk;
use crate::table::killed_while_the_table_is_made;

const MEMORIES: u32 = 60;
const ZEROS: &str = "[0,0,0,0,0,0,0,0]";

fn key() -> SecretKey {
    SecretKey { name: "database".to_owned(), key: "url".to_owned() }
}

pub struct OnServer {
    pub server: Postgres,
    pub database: String,
    pub bed: Bed,
}

impl OnServer {
    /// Healthy as yet, with baselines and a set that was verified.
    pub fn new(server: Postgres, vectors: bool) -> Self {
        let table = PgvectorEndpoint { url: key(), table: NAME.to_owned() };
        Self::with(server, vectors.then_some(VectorStore::Pgvector(table)), None)
    }

    fn with(server: Postgres, store: Option<VectorStore>, model: Option<&Embedder>) -> Self {
        let url = server.database();
        let database = url.rsplit('/').next().unwrap().to_owned();
        tables(&server, &database, MEMORIES);
        let mut bed = Bed::new(3);
        bed.secret("database", "url", &url);
        bed.bank.database = Some(SqlDatabase::Postgres(PostgresEndpoint { url: key(), schema: "public".to_owned() }));
        let mut scopes = vec![IntegrityScope::Database];
        match &store {
            Some(VectorStore::Pgvector(_)) => {
                points(&server, &database, MEMORIES);
                let embedded = |number| set_vector(number, &format!("{:?}", embedded(&text(number))));
                let all = (1..=MEMORIES).filter(|_| model.is_some()).map(embedded);
                server.psql(&database, &format!("SELECT 1; {}", all.collect::<Vec<_>>().join("; ")));
            }
            _ => server.psql(&database, "CREATE EXTENSION amcheck"),
        }
        if store.is_some() {
            scopes.push(IntegrityScope::Consistency);
        }
        bed.bank.vector_store = store;
        bed.bank.embedding = model.map(Embedder::endpoint);
        bed.secret("model", "key", Embedder::key());
        let check = Work::IntegrityCheck { level: Level::Full, scopes, share_percent: 100 };
        let report = bed.run("baseline", &[check, Work::Backup, Work::VerifyBackup]);
        let told = report.tasks[0].corruption.iter().find(|event| event.check != "postgres-checksums");
        assert_eq!(told, None);
        assert_eq!(report.tasks[2].outcome, Outcome::Succeeded, "{report:#?}");
        Self { server, database, bed }
    }

    pub fn sql(&self, sql: &str) {
        self.server.psql(&self.database, sql);
    }

    pub fn rows(&self, table: &str) -> String {
        let sql = format!("SELECT count(*) || md5(string_agg(t::text, '~' ORDER BY id)) FROM {table} t");
        self.server.value(&self.database, &sql)
    }

    pub fn recover(&self, uid: &str, consent: Consent) -> (TaskReport, RecoveryReport) {
        let report = self.bed.run(uid, &[Work::Recover { events: Vec::new(), set: None, consent }]);
        let task = report.tasks.into_iter().next().unwrap();
        let recovery = task.recovery.clone().unwrap_or_else(|| panic!("{task:#?}"));
        (task, recovery)
    }

    fn set_vector(&self, number: u32, vector: &str) {
        self.sql(&set_vector(number, vector));
    }

    /// A vector that is none, one that changed without a time, and some that are gone.
    fn harm(&self) {
        self.set_vector(4, ZEROS);
        self.set_vector(5, &format!("{:?}", vector(6)));
        let gone: Vec<_> = (10..18).map(|number| format!("'{}'", id(number))).collect();
        self.sql(&format!("DELETE FROM {NAME} WHERE id IN ({})", gone.join(", ")));
    }
}

fn set_vector(number: u32, vector: &str) -> String {
    format!("UPDATE {NAME} SET vector = '{vector}' WHERE id = '{}'", id(number))
}

fn embedded(text: &str) -> Vec<f32> {
    embedder::vector(embedder::MODEL, text, SIZE)
}

/// Takes the hashes of these points away, and their times from the baseline.
pub fn unhash(numbers: impl IntoIterator<Item = u32>) -> String {
    let ids: Vec<_> = numbers.into_iter().map(|number| format!("'{}'", id(number))).collect();
    format!(
        "UPDATE {NAME} SET payload = payload - 'hash' || '{{\"updated_at\": \"2025-11-01T00:00:00+00:00\"}}' \
         WHERE id IN ({})",
        ids.join(", ")
    )
}

/// Edits a row past mem0.
pub fn edit(number: u32, text: &str) -> String {
    format!("UPDATE memories SET content = '{text}', updated_at = '2025-11-01' WHERE id = md5('memory{number}')::uuid")
}

pub fn planned(report: &RecoveryReport) -> Vec<(RepairAction, u64, bool)> {
    report.plan.steps.iter().map(|step| (step.action, step.items, step.lossless)).collect()
}

#[test]
fn points_that_are_damaged_or_gone_are_put_back_and_no_other_is_touched() {
    let Some(server) = Postgres::with_pgvector() else { return };
    let bank = OnServer::new(server, true);
    // Since the set was made: a memory that was deleted, one that was edited, one that was added.
    let deleted = "UPDATE memories SET state = 'deleted', deleted_at = '2025-11-01' WHERE id = md5('memory20')::uuid";
    bank.sql(&format!("DELETE FROM {NAME} WHERE id = '{}'; {deleted}", id(20)));
    bank.sql(
        "UPDATE memories SET content = 'likes tea, cup 99', updated_at = '2025-11-01' WHERE id = md5('memory21')::uuid",
    );
    let mut edited = payload(99);
    edited["updated_at"] = "2025-11-01T00:00:00+00:00".into();
    bank.sql(&format!("UPDATE {NAME} SET payload = '{edited}' WHERE id = '{}'", id(21)));
    bank.sql(
        "INSERT INTO memories (id, user_id, app_id, content, metadata, state, created_at) VALUES \
         (md5('memory98')::uuid, md5('ada')::uuid, md5('app')::uuid, 'likes tea, cup 98', '{}', 'active', '2025-11-01')",
    );
    bank.sql(&format!("INSERT INTO {NAME} VALUES {}", row(id(98), &payload(98), &vector(98))));
    let good = (bank.rows(NAME), bank.rows("memories"));

    bank.harm();
    let damaged = bank.rows(NAME);
    let (task, shown) = bank.recover("planner", Consent::None);
    assert_eq!((task.outcome, shown.state), (Outcome::Succeeded, RecoveryState::Planned), "{task:#?}");
    assert_eq!(planned(&shown), [(RepairAction::RestoreCollection, 10, true)], "{:#?}", shown.plan);
    assert_eq!(bank.rows(NAME), damaged, "a plan changes nothing");
    for consent in [Consent::Plan(shown.plan_digest), Consent::Lossless] {
        let (task, done) = bank.recover("mender", consent);
        assert_eq!((task.outcome, done.state), (Outcome::Succeeded, RecoveryState::Succeeded), "{task:#?}");
        assert_eq!(done.lost_memories, Some(0));
        assert!(done.mended.len() >= 3 && done.mended.iter().all(|one| one.success), "{done:#?}");
        assert!(fs::metadata(done.quarantine.unwrap() + "/table.copy.zst").unwrap().len() > 0);
        assert_eq!((bank.rows(NAME), bank.rows("memories")), good);
        bank.harm();
    }
}

#[test]
fn a_table_in_which_damage_is_left_is_put_back_as_it_was() {
    let Some(server) = Postgres::with_pgvector() else { return };
    let bank = OnServer::new(server, true);
    bank.harm();
    // What changed since the set was made has its own time: the set has nothing that could take its place.
    let mut edited = payload(7);
    edited["updated_at"] = "2025-11-01T00:00:00+00:00".into();
    bank.sql(&format!("UPDATE {NAME} SET payload = '{edited}', vector = '{ZEROS}' WHERE id = '{}'", id(7)));
    let damaged = bank.rows(NAME);
    let (task, done) = bank.recover("mender", Consent::Lossless);
    assert_eq!((task.outcome, done.state), (Outcome::Failed, RecoveryState::RolledBack), "{task:#?}");
    assert!(task.message.contains("vector/zero of vectors is still damaged"), "{}", task.message);
    assert_eq!(bank.rows(NAME), damaged);
    edited["updated_at"] = "2025-11-02T00:00:00+00:00".into();
    let right = format!("{:?}", vector(7));
    bank.sql(&format!("UPDATE {NAME} SET payload = '{edited}', vector = '{right}' WHERE id = '{}'", id(7)));

    // Somebody has the table: it is left alone, and that is told.
    let damaged = bank.rows(NAME);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut holder = runtime.block_on(PgConnection::connect(&bank.server.url(&bank.database))).unwrap();
    runtime.block_on(sqlx::raw_sql("BEGIN; LOCK TABLE openmemory IN SHARE MODE").execute(&mut holder)).unwrap();
    let (task, done) = bank.recover("waiter", Consent::Lossless);
    assert_eq!((task.outcome, done.state), (Outcome::Failed, RecoveryState::RolledBack), "{task:#?}");
    assert!(task.message.contains("locked for more than 10 s"), "{}", task.message);
    assert_eq!(bank.rows(NAME), damaged);
    runtime.block_on(holder.close()).unwrap();
    let (task, done) = bank.recover("later", Consent::Lossless);
    assert_eq!((task.outcome, done.state), (Outcome::Succeeded, RecoveryState::Succeeded), "{task:#?}");
}

#[test]
fn a_collection_whose_rows_are_on_a_server_is_put_back_without_what_was_deleted() {
    let Some(server) = Postgres::start() else { return };
    let qdrant = Qdrant::start();
    qdrant.create(NAME, Config::cosine(SIZE));
    (1..=MEMORIES).for_each(|number| qdrant.put(NAME, id(number), payload(number), Some(vector(number))));
    let store = VectorStore::Qdrant(QdrantEndpoint {
        url: qdrant.url(),
        api_key: None,
        collection: NAME.to_owned(),
        tls: Trust::default(),
    });
    let bank = OnServer::with(server, Some(store), None);
    bank.sql("UPDATE memories SET state = 'deleted', deleted_at = '2025-11-01' WHERE id = md5('memory20')::uuid");
    qdrant.remove(NAME, id(20));
    qdrant.put(NAME, id(4), payload(4), Some(vec![0.0; SIZE]));
    let (task, done) = bank.recover("mender", Consent::Lossless);
    assert_eq!((task.outcome, done.state), (Outcome::Succeeded, RecoveryState::Succeeded), "{task:#?}");
    assert_eq!(planned(&done), [(RepairAction::RestoreCollection, 60, true)]);
    assert_eq!(qdrant.point(NAME, id(4)).unwrap().vector, Some(vector(4)));
    assert!(qdrant.point(NAME, id(20)).is_none(), "it stays deleted");
    assert_eq!((qdrant.count(NAME), qdrant.collections()), (59, vec![NAME.to_owned()]));
}

#[test]
fn single_points_are_mended_from_rows_on_a_server() {
    let Some(server) = Postgres::start() else { return };
    let (qdrant, model) = (Qdrant::start(), Embedder::start(SIZE));
    qdrant.create(NAME, Config::cosine(SIZE));
    (1..=MEMORIES).for_each(|number| qdrant.put(NAME, id(number), payload(number), Some(embedded(&text(number)))));
    let store = VectorStore::Qdrant(QdrantEndpoint {
        url: qdrant.url(),
        api_key: None,
        collection: NAME.to_owned(),
        tls: Trust::default(),
    });
    let bank = OnServer::with(server, Some(store), Some(&model));
    // One without a point, one without a row, one without a hash, and one whose row was edited past mem0.
    qdrant.remove(NAME, id(3));
    qdrant.put(NAME, id(200), payload(200), Some(embedded(&text(200))));
    let mut unhashed = payload(5);
    unhashed.as_object_mut().unwrap().remove("hash");
    unhashed["updated_at"] = "2025-11-01T00:00:00+00:00".into();
    qdrant.put(NAME, id(5), unhashed, Some(embedded(&text(5))));
    bank.sql(&edit(7, "likes milk"));
    let (task, shown) = bank.recover("planner", Consent::None);
    let steps = [
        (RepairAction::ReEmbed, 1, true),
        (RepairAction::DeleteOrphans, 1, false),
        (RepairAction::SyncText, 1, false),
        (RepairAction::WriteHash, 1, true),
    ];
    assert_eq!(planned(&shown), steps, "{task:#?}");
    let (task, done) = bank.recover("mender", Consent::Plan(shown.plan_digest));
    assert_eq!((task.outcome, done.state), (Outcome::Succeeded, RecoveryState::Succeeded), "{task:#?}");
    let made = qdrant.point(NAME, id(3)).unwrap();
    for (key, value) in [("data", text(3)), ("user_id", "ada".to_owned()), ("mcp_client", "openmemory".to_owned())] {
        assert_eq!(made.payload[key], value, "{}", made.payload);
    }
    assert_eq!(made.payload["created_at"], "2025-10-01T00:00:00.000000+00:00", "{}", made.payload);
    assert_eq!(qdrant.point(NAME, id(7)).unwrap().payload["data"], "likes milk");
    assert_eq!(qdrant.point(NAME, id(5)).unwrap().payload["hash"], payload(5)["hash"]);
    assert_eq!((qdrant.point(NAME, id(200)), qdrant.count(NAME)), (None, u64::from(MEMORIES)));
}

#[test]
fn single_points_of_a_table_are_mended_or_as_they_were() {
    let Some(server) = Postgres::with_pgvector() else { return };
    let model = Embedder::start(SIZE);
    let table = VectorStore::Pgvector(PgvectorEndpoint { url: key(), table: NAME.to_owned() });
    let bank = OnServer::with(server, Some(table), Some(&model));
    let value = |sql: &str| bank.server.value(&bank.database, sql);
    let of = |number: u32, what: &str| value(&format!("SELECT {what} FROM {NAME} WHERE id = '{}'", id(number)));
    // Gone: one that the set has, one that came since. One has no row, one no hash, and of one the row was edited.
    bank.sql(&format!("DELETE FROM {NAME} WHERE id = '{}'", id(3)));
    bank.sql(
        "INSERT INTO memories (id, user_id, app_id, content, metadata, state, created_at) VALUES \
         (md5('memory98')::uuid, md5('ada')::uuid, md5('app')::uuid, 'likes tea, cup 98', '{}', 'active', '2025-11-01')",
    );
    bank.sql(&format!("INSERT INTO {NAME} VALUES {}", row(id(200), &payload(200), &embedded(&text(200)))));
    let exact = "0.12345678901234567890123";
    bank.sql(&unhash([5]));
    bank.sql(&format!("UPDATE {NAME} SET payload = payload || '{{\"score\": {exact}}}' WHERE id = '{}'", id(5)));
    bank.sql(&edit(7, "likes milk"));
    let damaged = bank.rows(NAME);
    let (task, shown) = bank.recover("planner", Consent::None);
    let steps = [
        (RepairAction::RestoreCollection, 1, true),
        (RepairAction::ReEmbed, 1, true),
        (RepairAction::DeleteOrphans, 1, false),
        (RepairAction::SyncText, 1, false),
        (RepairAction::WriteHash, 1, true),
    ];
    assert_eq!(planned(&shown), steps, "{task:#?}");

    // Two samples and the text that is new; not the one that was edited.
    model.set(Mood::WellFor(3));
    let (task, done) = bank.recover("unlucky", Consent::Plan(shown.plan_digest));
    assert_eq!((task.outcome, done.state), (Outcome::Failed, RecoveryState::RolledBack), "{task:#?}");
    assert!(task.message.contains("SyncText of vectors"), "{}", task.message);
    assert_eq!(bank.rows(NAME), damaged);

    model.set(Mood::Well);
    let (task, done) = bank.recover("mender", Consent::Plan(shown.plan_digest));
    assert_eq!((task.outcome, done.state), (Outcome::Succeeded, RecoveryState::Succeeded), "{task:#?}");
    assert_eq!(done.lost_memories, Some(2));
    assert_eq!(journal(&bank.bed).unwrap().kept, [Kept::Table { rows: u64::from(MEMORIES) }], "one quarantine");
    assert_eq!(value(&format!("SELECT count(*) FROM {NAME}")), "61");
    assert_eq!(
        (of(200, "id"), of(3, "payload->>'data'"), of(98, "payload->>'data'")),
        (String::new(), text(3), text(98))
    );
    assert_eq!(
        (of(98, "payload->>'mcp_client'"), of(7, "payload->>'data'")),
        ("openmemory".to_owned(), "likes milk".to_owned())
    );
    assert_eq!(of(5, "payload->>'hash'"), payload(5)["hash"].as_str().unwrap());
    assert_eq!(
        (of(5, "payload->>'score'"), of(5, "payload->>'updated_at'")),
        (exact.to_owned(), "2025-11-01T00:00:00.000001+00:00".to_owned())
    );
    for (number, text) in [(3, text(3)), (98, text(98)), (7, "likes milk".to_owned())] {
        let near = format!("vector <=> '{:?}' < 0.0001", embedded(&text));
        assert_eq!(of(number, &near), "t", "{number}");
    }

    // Somebody writes to a point after it was read: it is theirs.
    bank.sql(&format!("{}; {}", edit(11, "likes cocoa"), edit(12, "likes water")));
    let (_, shown) = bank.recover("planner", Consent::None);
    assert_eq!(planned(&shown), [(RepairAction::SyncText, 2, false)], "{shown:#?}");
    let keys = r#"{"role": "user", "updated_at": "2025-11-03T00:00:00+00:00"}"#;
    let theirs = format!("UPDATE {NAME} SET payload = payload || '{keys}' WHERE id = '{}'", id(11));
    let (url, runtime) = (bank.server.url(&bank.database), tokio::runtime::Runtime::new().unwrap());
    let mut writer = runtime.block_on(PgConnection::connect(&url)).unwrap();
    model.when_asked("likes cocoa", move || {
        std::thread::spawn(move || {
            runtime.block_on(sqlx::raw_sql(sqlx::AssertSqlSafe(theirs)).execute(&mut writer)).unwrap();
        })
        .join()
        .unwrap();
    });
    let (task, done) = bank.recover("mender", Consent::Plan(shown.plan_digest));
    assert_eq!((task.outcome, done.state), (Outcome::Succeeded, RecoveryState::Succeeded), "{task:#?}");
    assert_eq!((of(11, "payload->>'data'"), of(11, "payload->>'role'")), (text(11), "user".to_owned()));
    assert_eq!(of(12, "payload->>'data'"), "likes water");

    // Who may only read is told what is missing.
    let left = bank.rows(NAME);
    bank.sql("CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader");
    bank.bed.secret("database", "url", &url.replace("memorybank@", "reader@"));
    let (_, told) = bank.recover("reader", Consent::Lossless);
    assert_eq!((told.state, told.plan.steps.len()), (RecoveryState::Nothing, 0), "{told:#?}");
    let words =
        format!("the role reader may not change the points of public.{NAME}: GRANT SELECT, INSERT, UPDATE, DELETE");
    assert!(told.plan.unmended.iter().any(|line| line.contains(&words)), "{told:#?}");
    assert_eq!(bank.rows(NAME), left);
}

/// Notes that came since the set was made, each of some thousand letters that do not compress.
const NOTES: &str = "INSERT INTO memories (id, user_id, app_id, content, metadata, state, created_at) \
    SELECT md5('memory' || n)::uuid, md5('ada')::uuid, md5('app')::uuid, 'note ' || n || ' ' || \
      (SELECT string_agg(md5(n || '.' || k), '') FROM generate_series(1, 200) k), '{}', 'active', '2025-10-15' \
    FROM generate_series(101, 140) n";
/// All are edited past mem0, and the last of them becomes long.
const EDITS: &str = "UPDATE memories SET updated_at = '2025-11-01', content = 'likes milk, ' || id || \
      CASE WHEN id = (SELECT max(id::text)::uuid FROM memories WHERE content LIKE 'likes tea%') \
      THEN (SELECT string_agg(md5(k::text), '') FROM generate_series(1, 2000) k) ELSE '' END \
    WHERE content LIKE 'likes tea%'";

#[test]
fn a_full_disk_of_the_server_leaves_no_point_half_written() {
    let folder = postgres::folder();
    let Some(disk) = SmallDisk::over(folder.path(), "16m").map(Arc::new) else { return };
    let Some(server) = Postgres::with_pgvector() else { return };
    let model = Embedder::start(SIZE);
    let table = VectorStore::Pgvector(PgvectorEndpoint { url: key(), table: NAME.to_owned() });
    let bank = OnServer::with(server, Some(table), Some(&model));
    bank.server.move_to(&bank.database, disk.path());
    let value = |sql: &str| bank.server.value(&bank.database, sql);
    let full_at_last = |of: &str| {
        let sql = format!("SELECT content FROM memories WHERE content LIKE '{of}%' ORDER BY id DESC LIMIT 1");
        let (last, disk) = (value(&sql), Arc::clone(&disk));
        model.asked();
        model.when_asked(&last, move || drop(disk.fill()));
    };
    let told = "has no room left on its disk";
    let ballast = disk.path().join("ballast");

    // Some are there by then: to take them away needs no room.
    bank.sql(NOTES);
    let damaged = bank.rows(NAME);
    full_at_last("note");
    let (task, done) = bank.recover("embedder", Consent::Lossless);
    assert_eq!(planned(&done), [(RepairAction::ReEmbed, 40, true)]);
    assert_eq!((task.outcome, done.state), (Outcome::Failed, RecoveryState::RolledBack), "{task:#?}");
    assert!(task.message.contains(told) && task.message.contains("ReEmbed of vectors"), "{}", task.message);
    assert_eq!(model.asked().concat().iter().filter(|text| text.starts_with("note")).count(), 40, "in two parts");
    assert_eq!(bank.rows(NAME), damaged);
    fs::remove_file(&ballast).unwrap();
    let (task, done) = bank.recover("roomy", Consent::Lossless);
    assert_eq!((task.outcome, done.state), (Outcome::Succeeded, RecoveryState::Succeeded), "{task:#?}");
    assert_eq!(value(&format!("SELECT count(*) FROM {NAME}")), "100");

    // To write what they were needs room: it is told, and done by the same run once there is some.
    bank.sql(EDITS);
    let (_, shown) = bank.recover("planner", Consent::None);
    assert_eq!(planned(&shown), [(RepairAction::SyncText, 60, false)], "{shown:#?}");
    full_at_last("likes");
    let (task, done) = bank.recover("editor", Consent::Plan(shown.plan_digest));
    assert_eq!((task.outcome, done.state), (Outcome::Failed, RecoveryState::Failed), "{task:#?}");
    assert!(task.message.contains(told) && task.message.contains("could not be put back"), "{}", task.message);
    assert!(task.message.contains(&format!("{} has what it was", done.quarantine.unwrap())), "{}", task.message);
    let half = "payload->>'hash' IS DISTINCT FROM md5(payload->>'data')";
    assert_eq!(value(&format!("SELECT count(*) FROM {NAME} WHERE {half}")), "0");
    fs::remove_file(&ballast).unwrap();
    let (task, done) = bank.recover("editor", Consent::Plan(shown.plan_digest));
    assert_eq!((task.outcome, done.state), (Outcome::Succeeded, RecoveryState::Succeeded), "{task:#?}");
    assert!(done.verified_before.contains("was rolled back first"), "{done:#?}");
    assert_eq!(planned(&done), [(RepairAction::SyncText, 60, false)], "all of them were what they had been");
    assert_eq!(value(&format!("SELECT count(*) FROM {NAME} WHERE payload->>'data' LIKE 'likes milk%'")), "60");

    // Whom a policy does not let see a point: none is missing, none has no row, and no set is without it.
    let hidden = format!(
        "CREATE ROLE partial LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO partial; \
         ALTER TABLE {NAME} ENABLE ROW LEVEL SECURITY; CREATE POLICY most ON {NAME} USING (id <> '{}'); \
         DELETE FROM {NAME} WHERE id = '{}'; INSERT INTO {NAME} VALUES {}",
        id(9),
        id(10),
        row(id(200), &payload(200), &embedded(&text(200)))
    );
    bank.sql(&hidden);
    bank.bed.secret("database", "url", &bank.server.url(&bank.database).replace("memorybank@", "partial@"));
    let (points, policy) = (bank.rows(NAME), "by a policy (row level security)");
    model.asked();
    let (task, done) = bank.recover("partial", Consent::Lossless);
    assert_eq!((done.state, done.plan.steps.len()), (RecoveryState::Nothing, 0), "{task:#?}");
    for id in ["consistency-missing", "consistency-orphans", "vectors-unchanged"] {
        let check = task.checks.iter().find(|check| check.id == id).unwrap();
        assert!(check.verdict == Verdict::Unknown && check.detail.contains(policy), "{check:?}");
    }
    assert_eq!((bank.rows(NAME), model.asked()), (points, vec![]));
    let report = bank.bed.run("partial", &[Work::Backup, Work::VerifyBackup]);
    assert!(report.tasks.iter().all(|task| task.outcome != Outcome::Succeeded), "{report:#?}");
}

#[test]
fn a_bank_that_is_written_to_is_not_recovered() {
    let Some(server) = Postgres::with_pgvector() else { return };
    let bank = OnServer::new(server, true);
    bank.harm();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut writer = runtime.block_on(PgConnection::connect(&bank.server.url(&bank.database))).unwrap();
    let open = "BEGIN; UPDATE memories SET updated_at = now() WHERE id = md5('memory30')::uuid";
    runtime.block_on(sqlx::raw_sql(open).execute(&mut writer)).unwrap();
    let report = bank.bed.run("busy", &[Work::Recover { events: Vec::new(), set: None, consent: Consent::Lossless }]);
    assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{report:#?}");
    assert!(report.tasks[0].message.contains("something writes to the bank"), "{report:#?}");
    runtime.block_on(writer.close()).unwrap();
}

#[test]
fn who_is_killed_leaves_a_table_that_the_same_run_puts_back_and_mends() {
    let Some(server) = Postgres::with_pgvector() else { return };
    let bank = OnServer::new(server, true);
    leave_outputs(&bank.bed);
    let good = bank.rows(NAME);
    let sleeping = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    let moments: [(&str, &dyn Fn() -> bool); 2] = [
        ("transaction", &|| bank.server.value("postgres", &format!("SELECT count(*) {sleeping}")) == "1"),
        ("verification", &|| bank.rows(NAME) == good),
    ];
    let mut working = 0;
    for (moment, reached) in moments {
        bank.harm();
        let damaged = bank.rows(NAME);
        if moment == "transaction" {
            bank.sql(&format!(
                "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); RETURN NEW; END'; \
                 CREATE TRIGGER slow BEFORE UPDATE ON {NAME} FOR EACH ROW EXECUTE FUNCTION slow()"
            ));
        }
        let mut child = spawn(&bank.bed, moment, Consent::Lossless);
        wait_for(moment, || (reached() || child.try_wait().unwrap().is_some()).then_some(()));
        child.kill().unwrap();
        child.wait().unwrap();
        if moment == "transaction" {
            bank.sql(&format!("SELECT pg_terminate_backend(pid, 10000) {sleeping}; DROP TRIGGER slow ON {NAME}"));
        }
        let left = journal(&bank.bed).unwrap().phase;
        if left == Phase::Working {
            working += 1;
            let half = bank.rows(NAME);
            let recover = Work::Recover { events: Vec::new(), set: None, consent: Consent::Lossless };
            let report = bank.bed.run("stranger", &[recover]);
            assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{moment}: {report:#?}");
            assert_eq!(bank.rows(NAME), half, "{moment}");
            let (_, shown) = bank.recover(moment, Consent::None);
            assert!(shown.verified_before.contains("was rolled back first"), "{moment}: {shown:#?}");
            assert_eq!((shown.state, bank.rows(NAME)), (RecoveryState::Planned, damaged), "{moment}");
            let (task, done) = bank.recover(moment, Consent::Plan(shown.plan_digest));
            assert_eq!(done.state, RecoveryState::Succeeded, "{moment}: {task:#?}");
        }
        assert_eq!(bank.rows(NAME), good, "{moment}");
    }
    assert!(working >= 1, "one was killed while it changed the bank");

    // In the middle of single points, the first of which are written.
    bank.sql(&unhash(1..=40));
    let damaged = bank.rows(NAME);
    let last = (1..=40).map(id).max().unwrap();
    bank.sql(&format!(
        "CREATE TRIGGER slow BEFORE UPDATE ON {NAME} FOR EACH ROW WHEN (NEW.id = '{last}') EXECUTE FUNCTION slow()"
    ));
    let mut child = spawn(&bank.bed, "points", Consent::Lossless);
    let reached = || bank.server.value("postgres", &format!("SELECT count(*) {sleeping}")) == "1";
    wait_for("the last point", || (reached() || child.try_wait().unwrap().is_some()).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    bank.sql(&format!("SELECT pg_terminate_backend(pid, 10000) {sleeping}; DROP TRIGGER slow ON {NAME}"));
    let unhashed =
        || bank.server.value(&bank.database, &format!("SELECT count(*) FROM {NAME} WHERE NOT payload ? 'hash'"));
    assert_eq!((journal(&bank.bed).unwrap().phase, unhashed()), (Phase::Working, "8".to_owned()));
    // Somebody's own change of a point that was written stays.
    let theirs = (1..=40).map(id).min().unwrap();
    bank.sql(&format!(
        "UPDATE {NAME} SET payload = payload || '{{\"updated_at\": \"2025-11-02\"}}' WHERE id = '{theirs}'"
    ));
    let (_, shown) = bank.recover("points", Consent::None);
    assert!(shown.verified_before.contains("was rolled back first"), "{shown:#?}");
    assert_eq!(unhashed(), "39");
    let again = r#"{"updated_at": "2025-11-01T00:00:00+00:00"}"#;
    bank.sql(&format!("UPDATE {NAME} SET payload = payload - 'hash' || '{again}' WHERE id = '{theirs}'"));
    assert_eq!(bank.rows(NAME), damaged);
    let (task, done) = bank.recover("points", Consent::Lossless);
    assert_eq!((task.outcome, done.state), (Outcome::Succeeded, RecoveryState::Succeeded), "{task:#?}");
    assert_eq!(unhashed(), "0");

    killed_while_the_table_is_made(&bank);
}

#[test]
fn indexes_that_are_damaged_or_not_valid_are_made_anew() {
    let Some(server) = Postgres::start() else { return };
    let bank = OnServer::new(server, false);
    bank.sql("CREATE INDEX by_content ON memories (content)");
    bank.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_memory_user_state'::regclass; CHECKPOINT");
    let file = bank.server.value(&bank.database, "SELECT pg_relation_filepath('by_content')");
    bank.server.stop();
    let file = bank.server.file(&file);
    let mut bytes = fs::read(&file).unwrap();
    let key = b"likes tea, cup 25";
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap();
    bytes[at] = b'z';
    fs::write(&file, bytes).unwrap();
    bank.server.restart();
    let (task, shown) = bank.recover("planner", Consent::None);
    assert_eq!(planned(&shown), [(RepairAction::Reindex, 2, true)], "{task:#?}");
    let (task, done) = bank.recover("mender", Consent::Plan(shown.plan_digest));
    assert_eq!((task.outcome, done.state), (Outcome::Succeeded, RecoveryState::Succeeded), "{task:#?}");
    assert_eq!(done.mended.len(), 2);
    let told: Vec<_> = task.corruption.iter().map(|event| event.check.as_str()).collect();
    assert_eq!(told, ["postgres-checksums"], "that pages have none");
}

#[test]
fn a_damaged_table_is_restored_beside_the_living_database() {
    let Some(server) = Postgres::start() else { return };
    let bank = OnServer::new(server, false);
    let good = bank.rows("memories");
    bank.sql("CHECKPOINT");
    let file = bank.server.value(&bank.database, "SELECT pg_relation_filepath('memories')");
    bank.server.stop();
    let file = bank.server.file(&file);
    let mut bytes = fs::read(&file).unwrap();
    // The last row of the first page is of a transaction that never was.
    let row = usize::from(u16::from_le_bytes([bytes[14], bytes[15]]));
    bytes[row..row + 4].copy_from_slice(&5_000_000_u32.to_le_bytes());
    fs::write(&file, &bytes).unwrap();
    bank.server.restart();
    let (task, shown) = bank.recover("planner", Consent::None);
    assert_eq!(planned(&shown), [(RepairAction::RestoreDatabase, 1, true)], "{task:#?}");
    assert!(shown.plan.unmended.iter().any(|line| line.contains("switch the bank to it")), "{:#?}", shown.plan);
    let (task, done) = bank.recover("mender", Consent::Lossless);
    assert_eq!((task.outcome, done.state), (Outcome::Succeeded, RecoveryState::Succeeded), "{task:#?}");
    let beside = "SELECT datname FROM pg_database WHERE datname LIKE '%memorybank_restore%'";
    let beside = bank.server.value("postgres", beside);
    assert!(beside.starts_with(&format!("{}_memorybank_restore_", bank.database)), "{beside}");
    assert!(done.plan.steps[0].detail.contains(&beside), "{:#?}", done.plan);
    let sql = "SELECT count(*) || md5(string_agg(t::text, '~' ORDER BY id)) FROM memories t";
    assert_eq!(bank.server.value(&beside, sql), good);
    assert!(task.corruption.iter().any(|event| event.check == "postgres-heaps"), "the living one is as it was");
}
