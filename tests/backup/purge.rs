//! Deleted memories and old logs go for good from every store, and nothing else; never without a fresh verified set.

use std::collections::BTreeMap;
use std::fs;

use jiff::Timestamp;
use memorybank::domain::{
    IntegrityScope, Level, Outcome, PgvectorEndpoint, PointId, PostgresEndpoint, Pruning, Purge, QdrantEndpoint,
    Reason, SecretKey, SqlDatabase, TaskReport, Trust, VectorStore, Verdict, Work,
};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::bed::Bed;
use crate::fill::fill;
use crate::guardian::{query, wait_for};
use crate::postgres::{self, Postgres};
use crate::postgres_bank;
use crate::qdrant::{Answer, Config, Qdrant, memory, unit};
use crate::small_disk::SmallDisk;

const NAME: &str = "openmemory";
const ENTITIES: &str = "openmemory_entities";
const SIZE: usize = 8;
const BOTH: [Work; 2] = [Work::Backup, Work::VerifyBackup];
const DAY: u32 = 86_400;

/// Deleted memories a day after they were deleted.
const DELETED: Purge = Purge {
    deleted_after_seconds: Some(DAY),
    access_log_after_seconds: None,
    history_after_seconds: None,
    backup_max_age_seconds: 3_600,
};

fn bed() -> (Bed, Qdrant) {
    let (mut bed, server) = (Bed::new(60), Qdrant::start());
    fill(&bed, &server, NAME, SIZE);
    bed.bank.vector_store = Some(VectorStore::Qdrant(QdrantEndpoint {
        url: server.url(),
        api_key: None,
        collection: NAME.to_owned(),
        tls: Trust::default(),
    }));
    (bed, server)
}

fn purge(bed: &Bed, purge: Purge) -> TaskReport {
    let report = bed.run("purger", &[Work::Prune(Pruning { retention: Vec::new(), purge: Some(purge) })]);
    report.tasks.into_iter().next().unwrap()
}

fn database(bed: &Bed, sql: &str) -> Vec<Vec<String>> {
    query(&bed.live().join("openmemory.db"), sql)
}

fn history(bed: &Bed, sql: &str) -> Vec<Vec<String>> {
    query(&bed.live().join(".mem0/history.db"), sql)
}

fn point(row: &str) -> PointId {
    PointId::Uuid(u128::from_str_radix(row, 16).unwrap())
}

/// Ids and texts of memories.
fn memories(bed: &Bed, states: &str) -> Vec<(String, String)> {
    let rows = database(bed, &format!("SELECT id, content FROM memories WHERE state {states} ORDER BY id"));
    rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
}

/// Whether bytes are in a file of the bank.
fn in_files(bed: &Bed, text: &str) -> bool {
    let files = crate::guardian::files(&bed.live());
    files.iter().any(|file| memchr::memmem::find(&fs::read(file).unwrap(), text.as_bytes()).is_some())
}

/// All rows of a table, by what they are of.
fn rows(bed: &Bed, of: &str) -> BTreeMap<&'static str, Vec<Vec<String>>> {
    let chosen = format!("(SELECT id FROM memories WHERE state {of})");
    let tables = ["memory_access_logs", "memory_status_history", "memory_categories"];
    let mut rows: BTreeMap<_, _> = tables
        .into_iter()
        .map(|table| {
            let sql = format!("SELECT memory_id, rowid FROM {table} WHERE memory_id IN {chosen} ORDER BY rowid");
            (table, database(bed, &sql))
        })
        .collect();
    rows.insert("memories", database(bed, &format!("SELECT * FROM memories WHERE state {of} ORDER BY id")));
    rows
}

/// Somebody looked a memory up.
fn access(bed: &Bed, number: u32, memory: &str, day: &str, asked: &str) {
    let asked = json!({"query": asked}).to_string().replace('\'', "''");
    let sql = format!(
        "INSERT INTO memory_access_logs (id, memory_id, app_id, accessed_at, access_type, metadata) \
         SELECT 'a{number:031}', id, app_id, '{day} 00:00:00.000000', 'search', '{asked}' FROM memories WHERE id = '{memory}'"
    );
    database(bed, &sql);
}

#[test]
fn deleted_memories_go_from_every_store_and_nothing_else_does() {
    let (bed, server) = bed();
    let (deleted, live) = (memories(&bed, "= 'deleted'"), memories(&bed, "<> 'deleted'"));
    assert!(deleted.len() >= 2 && live.len() > 20);
    // One of them can still be recalled, and an entity of it; another entity is of a living one too.
    let (gone, text) = &deleted[0];
    server.put(NAME, point(gone), memory(text, "ada"), Some(unit(900, SIZE)));
    server.create(ENTITIES, Config::cosine(SIZE));
    let entity = |links: &[&str]| json!({"data": "tea", "entity_type": "drink", "linked_memory_ids": links});
    let dashed = |row: &str| point(row).to_string();
    let (lone, shared) = (PointId::Uuid(1), PointId::Uuid(2));
    server.put(ENTITIES, lone, entity(&[&dashed(gone)]), Some(unit(1, SIZE)));
    server.put(ENTITIES, shared, entity(&[&dashed(gone), &dashed(&live[0].0)]), Some(unit(2, SIZE)));
    assert!(deleted.iter().all(|(_, text)| in_files(&bed, text)));
    access(&bed, 1, gone, "2025-09-01", text);
    access(&bed, 2, &live[0].0, "2025-09-01", "what does she drink?");
    bed.run("set", &BOTH);
    let (kept, kept_history) = (rows(&bed, "<> 'deleted'"), history(&bed, "SELECT memory_id, id FROM history"));

    let task = purge(&bed, DELETED);
    assert_eq!(task.outcome, Outcome::Succeeded, "{task:#?}");
    let told = |id: &str| task.checks.iter().find(|check| check.id == id).unwrap().detail.clone();
    assert_eq!(told("deleted-points-pruned"), "1 points of deleted memories removed, none is left");
    let expected = format!("{} deleted memories removed, no row of them is left, and none of", deleted.len());
    assert!(told("deleted-memories-pruned").starts_with(&expected), "{task:#?}");
    assert_eq!(rows(&bed, "<> 'deleted'"), kept);
    assert!(rows(&bed, "= 'deleted'").values().all(Vec::is_empty));
    let left = |table: &str| database(&bed, &format!("SELECT 1 FROM {table} WHERE memory_id = '{gone}'")).len();
    assert_eq!(left("memory_access_logs") + left("memory_status_history") + left("memory_categories"), 0);
    let of_live: Vec<_> =
        kept_history.into_iter().filter(|row| !deleted.iter().any(|(id, _)| dashed(id) == row[0])).collect();
    assert_eq!(history(&bed, "SELECT memory_id, id FROM history"), of_live);
    assert_eq!(server.ids(NAME), live.iter().map(|(id, _)| point(id)).collect::<Vec<_>>());
    assert_eq!(server.ids(ENTITIES), [shared]);
    assert_eq!(server.point(ENTITIES, shared).unwrap().payload["linked_memory_ids"], json!([dashed(&live[0].0)]));
    for (_, text) in &deleted {
        let said = live.iter().any(|(_, other)| other.contains(text.as_str()));
        assert!(said || !in_files(&bed, text), "{text}");
    }
    // The set has them, until it goes; the bank agrees with itself.
    let scopes = vec![IntegrityScope::Database, IntegrityScope::VectorStore, IntegrityScope::Consistency];
    let check = bed.run("check", &[Work::IntegrityCheck { level: Level::Full, scopes, share_percent: 100 }]);
    assert_eq!((check.outcome().0, &check.tasks[0].corruption[..]), (Outcome::Succeeded, &[][..]), "{check:#?}");
}

#[test]
fn the_points_of_deleted_memories_go_from_pgvector_too() {
    let Some(server) = Postgres::with_pgvector() else { return };
    let mut bed = Bed::new(60);
    let url = server.database();
    let name = url.rsplit('/').next().unwrap().to_owned();
    let point = |row: &str| format!("('{}', '[1,0]', '{{}}')", point(row));
    let (deleted, live) = (memories(&bed, "= 'deleted'"), memories(&bed, "<> 'deleted'"));
    let all: Vec<_> = deleted.iter().chain(&live).map(|(row, _)| point(row)).collect();
    server.psql(
        &name,
        "CREATE EXTENSION vector; CREATE TABLE openmemory (id uuid PRIMARY KEY, vector vector(2), payload jsonb)",
    );
    server.psql(&name, &format!("INSERT INTO openmemory VALUES {}", all.join(", ")));
    bed.secret("db", "url", &url);
    let as_owner = url;
    let url = SecretKey { name: "db".to_owned(), key: "url".to_owned() };
    bed.bank.vector_store = Some(VectorStore::Pgvector(PgvectorEndpoint { url, table: NAME.to_owned() }));
    bed.run("set", &BOTH);
    // One whom a policy does not let see a point does not prove that it is gone.
    server.psql(
        &name,
        "CREATE ROLE partial LOGIN; GRANT SELECT, DELETE ON openmemory TO partial; \
         ALTER TABLE openmemory ENABLE ROW LEVEL SECURITY",
    );
    bed.secret("db", "url", &as_owner.replace("memorybank@", "partial@"));
    let task = purge(&bed, DELETED);
    assert_eq!(task.outcome, Outcome::Unknown, "{task:#?}");
    assert!(task.message.contains("by a policy (row level security)"), "{}", task.message);
    assert_eq!(memories(&bed, "= 'deleted'"), deleted);
    bed.secret("db", "url", &as_owner);
    let task = purge(&bed, DELETED);
    assert_eq!(task.outcome, Outcome::Succeeded, "{task:#?}");
    let told = format!("{} points of deleted memories removed", deleted.len());
    assert!(task.checks.iter().any(|check| check.detail.starts_with(&told)), "{task:#?}");
    assert_eq!(server.value(&name, "SELECT count(*) FROM openmemory"), live.len().to_string());
    assert!(memories(&bed, "= 'deleted'").is_empty());
}

#[test]
fn without_a_fresh_verified_set_nothing_goes() {
    let (bed, server) = bed();
    let before = (rows(&bed, "= 'deleted'"), history(&bed, "SELECT * FROM history"), server.ids(NAME));
    let untouched = |bed: &Bed| {
        assert_eq!((rows(bed, "= 'deleted'"), history(bed, "SELECT * FROM history"), server.ids(NAME)), before);
    };
    let refused = |task: &TaskReport| {
        assert_eq!(task.outcome, Outcome::Unknown, "{task:#?}");
        assert!(task.message.contains("nothing is purged: no verified set is younger than"), "{}", task.message);
    };
    refused(&purge(&bed, DELETED));
    bed.back_up("unverified");
    refused(&purge(&bed, DELETED));
    bed.run("set", &BOTH);
    // It may be named a second ahead of the clock, after the one before it.
    let begun = bed.verified().sets[0].started;
    wait_for("the second of the set", || (Timestamp::now() > begun).then_some(()));
    refused(&purge(&bed, Purge { backup_max_age_seconds: 0, ..DELETED }));
    // One whose manifest is not the one that was verified proves nothing.
    let manifest = bed.set().join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replacen("assistant", "assistent", 1)).unwrap();
    refused(&purge(&bed, DELETED));
    fs::write(&manifest, text).unwrap();
    // Nor does one of which a part is gone, or is not as long as it was.
    let part = bed.set().join("sqlite/history.db.zst");
    let bytes = fs::read(&part).unwrap();
    fs::remove_file(&part).unwrap();
    for left in [None, Some(&bytes[1..])] {
        if let Some(left) = left {
            fs::write(&part, left).unwrap();
        }
        let task = purge(&bed, DELETED);
        refused(&task);
        let told = format!("has sqlite/history.db.zst with {} bytes no more", bytes.len());
        assert!(task.checks.iter().all(|check| check.verdict != Verdict::Passed || check.id == "snapshots-pruned"));
        let sets = task.checks.iter().find(|check| check.id == "backup-sets-pruned").unwrap();
        assert!(sets.detail.contains(&told), "{sets:#?}");
    }
    untouched(&bed);
    fs::write(&part, bytes).unwrap();
    assert_eq!(purge(&bed, DELETED).outcome, Outcome::Succeeded);
    assert!(rows(&bed, "= 'deleted'")["memories"].is_empty());
}

#[test]
fn what_was_deleted_lately_stays_but_for_its_point() {
    let (bed, server) = bed();
    let (id, text) = memories(&bed, "= 'active'").swap_remove(0);
    bed.run("set", &BOTH);
    let hour = Timestamp::now().checked_sub(jiff::SignedDuration::from_hours(1)).unwrap();
    let hour = hour.strftime("%Y-%m-%d %H:%M:%S%.6f");
    database(&bed, &format!("UPDATE memories SET state = 'deleted', deleted_at = '{hour}' WHERE id = '{id}'"));
    let task = purge(&bed, DELETED);
    assert_eq!(task.outcome, Outcome::Succeeded, "{task:#?}");
    assert_eq!(memories(&bed, "= 'deleted'"), [(id.clone(), text)]);
    assert!(server.point(NAME, point(&id)).is_none(), "it was meant not to be recalled any more");
    assert!(!history(&bed, &format!("SELECT 1 FROM history WHERE memory_id = '{}'", point(&id))).is_empty());
}

#[test]
fn a_vector_store_that_is_away_keeps_the_rows_by_which_its_points_are_found() {
    let (bed, server) = bed();
    bed.run("set", &BOTH);
    let before = rows(&bed, "= 'deleted'");
    let (gone, text) = memories(&bed, "= 'deleted'").swap_remove(0);
    server.put(NAME, point(&gone), memory(&text, "ada"), Some(unit(900, SIZE)));
    for on in ["points/delete", "collections/openmemory"] {
        server.trouble(on, None, Answer::Status(503, "unavailable"));
        let task = purge(&bed, DELETED);
        assert_eq!(task.outcome, Outcome::Unknown, "{task:#?}");
        let check = task.checks.iter().find(|check| check.id == "deleted-points-pruned").unwrap();
        assert_eq!(check.verdict, Verdict::Unknown, "{check:?}");
        assert_eq!(rows(&bed, "= 'deleted'"), before);
        server.heal();
    }
    assert_eq!(purge(&bed, DELETED).outcome, Outcome::Succeeded);
    assert!(server.point(NAME, point(&gone)).is_none());
}

#[test]
fn a_file_whose_free_pages_have_a_text_is_written_anew() {
    let (bed, _server) = bed();
    let (gone, _) = memories(&bed, "= 'deleted'").swap_remove(0);
    let text = "a text that nobody has, about a garden behind an old radio house";
    database(&bed, &format!("UPDATE memories SET content = '{text}' WHERE id = '{gone}'"));
    // An older version of the text, as an edit leaves it where the file is not overwritten.
    database(&bed, &format!("CREATE TABLE old AS SELECT '{text}' AS text"));
    database(&bed, "DROP TABLE old");
    bed.run("set", &BOTH);
    assert_ne!(database(&bed, "PRAGMA freelist_count"), [["0"]]);
    let task = purge(&bed, DELETED);
    assert_eq!(task.outcome, Outcome::Succeeded, "{task:#?}");
    assert_eq!(database(&bed, "PRAGMA freelist_count"), [["0"]]);
    assert!(!in_files(&bed, text));
}

#[test]
fn only_a_time_that_is_one_makes_a_row_old() {
    let (bed, server) = bed();
    let deleted = memories(&bed, "= 'deleted'");
    let (undated, numbered) = (&deleted[0].0, &deleted[1].0);
    database(&bed, &format!("UPDATE memories SET deleted_at = NULL WHERE id = '{undated}'"));
    database(&bed, &format!("UPDATE memories SET deleted_at = 1700000000 WHERE id = '{numbered}'"));
    server.put(NAME, point(undated), memory("x", "ada"), Some(unit(900, SIZE)));
    bed.run("set", &BOTH);
    let task = purge(&bed, DELETED);
    assert_eq!(task.outcome, Outcome::Succeeded, "{task:#?}");
    let left: Vec<_> = memories(&bed, "= 'deleted'").into_iter().map(|(id, _)| id).collect();
    assert_eq!(left, [undated.clone(), numbered.clone()]);
    assert!(server.point(NAME, point(undated)).is_none());
    // By an id that is none no point can be found: no row goes then.
    let lost = format!("PRAGMA foreign_keys = OFF; UPDATE memories SET id = 1.5e30 WHERE id = '{numbered}'");
    database(&bed, &lost);
    let task = purge(&bed, DELETED);
    assert_eq!(task.outcome, Outcome::Unknown, "{task:#?}");
    assert!(task.message.contains("(I14)"), "{}", task.message);
}

#[test]
fn what_a_reader_keeps_in_its_log_is_told_and_looked_after_by_the_next_run() {
    let (bed, _server) = bed();
    let (gone, _) = memories(&bed, "= 'deleted'").swap_remove(0);
    let text = "a text that nobody has, about a garden behind an old radio house";
    database(&bed, "PRAGMA journal_mode = WAL");
    database(&bed, &format!("UPDATE memories SET content = '{text}' WHERE id = '{gone}'"));
    bed.run("set", &BOTH);
    let file = bed.live().join("openmemory.db");
    let reader = rusqlite::Connection::open(&file).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM memories").unwrap();
    let count = |sql: &str| reader.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(count("SELECT count(*) FROM memories WHERE state = 'deleted'") > 0);
    let task = purge(&bed, DELETED);
    assert_eq!(task.outcome, Outcome::Unknown, "{task:#?}");
    assert!(task.message.contains("another connection keeps its log"), "{}", task.message);
    assert!(memories(&bed, "= 'deleted'").is_empty() && in_files(&bed, text));
    assert!(bed.repository().join("purge-open").exists());
    drop(reader);
    let task = purge(&bed, DELETED);
    assert_eq!(task.outcome, Outcome::Succeeded, "{task:#?}");
    assert!(!in_files(&bed, text) && !bed.repository().join("purge-open").exists());
}

#[test]
fn logs_go_by_their_age_and_the_first_and_last_change_of_a_memory_stay() {
    let (bed, _server) = bed();
    let (id, _) = memories(&bed, "= 'active'").swap_remove(0);
    let dashed = point(&id).to_string();
    let changes = || -> Vec<Vec<String>> {
        history(&bed, &format!("SELECT new_memory FROM history WHERE memory_id = '{dashed}' ORDER BY rowid"))
    };
    let last = changes().pop().unwrap()[0].replace('\'', "''");
    for (number, text, time) in
        [(1, "once", "2025-09-01"), (2, "twice", "2099-01-01"), (3, last.as_str(), "2025-09-03")]
    {
        history(
            &bed,
            &format!(
                "INSERT INTO history (id, memory_id, old_memory, new_memory, event, created_at, updated_at, is_deleted) \
                 VALUES ('11111111-2222-4333-8444-55555555555{number}', '{dashed}', 'x', '{text}', 'UPDATE', \
                 '2025-07-01T00:00:00-07:00', '{time}T00:00:00-07:00', 0)"
            ),
        );
    }
    let before = changes();
    let accesses =
        |of: &str| database(&bed, &format!("SELECT count(*) FROM memory_access_logs WHERE {of}"))[0][0].clone();
    access(&bed, 1, &id, "2025-09-01", "tea?");
    access(&bed, 2, &id, "2099-01-01", "tea?");
    bed.run("set", &BOTH);
    let rule = Purge {
        deleted_after_seconds: None,
        access_log_after_seconds: Some(DAY),
        history_after_seconds: Some(DAY),
        backup_max_age_seconds: 3_600,
    };
    let kept = rows(&bed, "= 'deleted'")["memories"].clone();
    let task = purge(&bed, rule);
    assert_eq!(task.outcome, Outcome::Succeeded, "{task:#?}");
    assert_eq!((accesses("accessed_at < '2099'"), accesses("accessed_at >= '2099'")), ("0".to_owned(), "1".to_owned()));
    let after = changes();
    assert_eq!(after.first(), before.first());
    assert_eq!(after.last(), before.last());
    let texts: Vec<_> = after.iter().map(|row| row[0].as_str()).collect();
    assert!(texts.contains(&"twice") && !texts.contains(&"once"), "{texts:?}");
    assert_eq!(rows(&bed, "= 'deleted'")["memories"], kept, "nobody asked for it");
}

/// All that refers to memories, and how many rows of it there are of one.
const OF_A_MEMORY: [(&str, &str); 5] = [
    ("memories", "id"),
    ("memory_access_logs", "memory_id"),
    ("memory_status_history", "memory_id"),
    ("memory_categories", "memory_id"),
    ("access_controls", "object_id"),
];

/// The id of a memory on a server, in a statement.
fn on_server(number: u32) -> String {
    format!("md5('memory{number}')::uuid")
}

/// Puts the rows of a bank on a server, with points and entities: of its memories 1 to 20 are accesses, changes of state,
/// categories and rights; 1 to 4 are deleted, the last of them lately.
fn put_on(server: &Postgres, name: &str, bed: &mut Bed) {
    postgres_bank::tables(server, name, 60);
    postgres_bank::points(server, name, 60);
    let memory = on_server;
    let sql = format!(
        "ALTER TABLE memory_access_logs ADD FOREIGN KEY (memory_id) REFERENCES memories (id);
         ALTER TABLE memory_status_history ADD FOREIGN KEY (memory_id) REFERENCES memories (id);
         ALTER TABLE memory_categories ADD FOREIGN KEY (memory_id) REFERENCES memories (id);
         INSERT INTO memory_access_logs SELECT md5('log' || n)::uuid, md5('memory' || n)::uuid, md5('app')::uuid,
           '2025-10-02', 'search', '{{}}' FROM generate_series(1, 20) n;
         INSERT INTO memory_status_history SELECT md5('status' || n)::uuid, md5('memory' || n)::uuid, md5('ada')::uuid,
           'active', 'deleted', '2025-10-02' FROM generate_series(1, 20) n;
         INSERT INTO memory_categories SELECT md5('memory' || n)::uuid, md5('food')::uuid FROM generate_series(1, 20) n;
         INSERT INTO access_controls SELECT md5('access' || n)::uuid, 'app', md5('app')::uuid, 'memory',
           md5('memory' || n)::uuid, 'allow', '2025-10-02' FROM generate_series(1, 20) n;
         UPDATE memories SET state = 'deleted', deleted_at = '2025-11-01' WHERE id IN ({}, {}, {});
         UPDATE memories SET state = 'deleted', deleted_at = now() AT TIME ZONE 'UTC' - interval '1 hour' WHERE id = {};
         UPDATE memory_access_logs SET accessed_at = now() AT TIME ZONE 'UTC' WHERE memory_id = {};
         UPDATE memories SET content = 'likes tea, cup 1' WHERE id = {};
         CREATE TABLE {ENTITIES} (id uuid PRIMARY KEY, vector vector(8), payload jsonb);",
        memory(1),
        memory(2),
        memory(3),
        memory(4),
        memory(10),
        memory(50)
    );
    server.psql(name, &sql);
    let entity = |links: &[u32]| {
        let links: Vec<_> = links.iter().map(|number| postgres_bank::id(*number).to_string()).collect();
        json!({"data": "tea", "linked_memory_ids": links})
    };
    let entities = [(301, entity(&[1, 2])), (302, entity(&[1, 10]))].map(|(number, payload)| {
        postgres_bank::row(postgres_bank::id(number), &payload, &postgres_bank::vector(number))
    });
    server.psql(name, &format!("INSERT INTO {ENTITIES} VALUES {}", entities.join(", ")));
    for number in [1, 10] {
        let sql = format!(
            "INSERT INTO history (id, memory_id, new_memory, event, created_at, is_deleted) \
             VALUES ('h{number}', '{}', 'x', 'ADD', '2025-10-01T00:00:00+00:00', 0)",
            postgres_bank::id(number)
        );
        history(bed, &sql);
    }
    let key = || SecretKey { name: "db".to_owned(), key: "url".to_owned() };
    bed.secret("db", "url", &server.url(name));
    bed.bank.database = Some(SqlDatabase::Postgres(PostgresEndpoint { url: key(), schema: "public".to_owned() }));
    bed.bank.vector_store = Some(VectorStore::Pgvector(PgvectorEndpoint { url: key(), table: NAME.to_owned() }));
}

fn counted(server: &Postgres, name: &str, table: &str, of: &str) -> String {
    server.value(name, &format!("SELECT count(*) FROM {table} WHERE {of}"))
}

fn delete(server: &Postgres, name: &str, number: u32) {
    let of = on_server(number);
    server.psql(name, &format!("UPDATE memories SET state = 'deleted', deleted_at = '2025-11-01' WHERE id = {of}"));
}

/// Of a bank with 54 memories, of which the role `keeper` may remove some.
fn ends_what_others_left_open(server: &Postgres, name: &str, bed: &Bed, disk: Option<&SmallDisk>) {
    let count = |table: &str, of: &str| counted(server, name, table, of);
    let point = |number| count(NAME, &format!("id = '{}'", postgres_bank::id(number)));
    let (url, runtime) = (server.url(name), tokio::runtime::Runtime::new().unwrap());
    // Rows that are hidden from who asks are not taken for gone.
    delete(server, name, 33);
    bed.secret("db", "url", &url.replace("memorybank@", "keeper@"));
    for table in [NAME, "memory_categories"] {
        server.psql(name, &format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"));
        let task = purge(bed, DELETED);
        let told = format!("is left in {table} could not be proven, of which a policy may hide rows from keeper");
        assert!(task.outcome == Outcome::Unknown && task.message.contains(&told), "{task:#?}");
        assert_eq!(
            (count("memories", &format!("id = {}", on_server(33))), point(33)),
            ("1".to_owned(), "1".to_owned())
        );
        server.psql(name, &format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"));
    }
    bed.secret("db", "url", &url);

    // One that is stopped while the server vacuums ends that, and is gone on with.
    let mut holder = runtime.block_on(PgConnection::connect(&url)).unwrap();
    let open = "BEGIN; LOCK TABLE memory_categories IN SHARE UPDATE EXCLUSIVE MODE";
    runtime.block_on(sqlx::raw_sql(open).execute(&mut holder)).unwrap();
    let cancel = CancellationToken::new();
    let work = [Work::Prune(Pruning { retention: Vec::new(), purge: Some(DELETED) })];
    let vacuums = "query LIKE 'VACUUM %' AND wait_event_type = 'Lock'";
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_for("a vacuum that waits", || (count("pg_stat_activity", vacuums) == "1").then_some(()));
            cancel.cancel();
        });
        bed.run_until("stopped", &work, &cancel)
    });
    let task = &report.tasks[0];
    assert_eq!((task.outcome, task.reason), (Outcome::Unknown, Reason::Cancelled), "{task:#?}");
    wait_for("its end on the server", || {
        server.log().contains("canceling statement due to user request").then_some(())
    });
    assert!(bed.repository().join("purge-open").exists());
    runtime.block_on(holder.close()).unwrap();
    assert_eq!((purge(bed, DELETED).outcome, count("memories", "true")), (Outcome::Succeeded, "53".to_owned()));
    assert!(!bed.repository().join("purge-open").exists());

    // The server has no room for the map of a table's pages, which is made by its first vacuum.
    let Some(disk) = disk else { return };
    server.move_to(name, disk.path());
    server.psql(name, "VACUUM FULL memories");
    delete(server, name, 34);
    let ballast = disk.fill();
    let task = purge(bed, DELETED);
    assert_eq!(task.outcome, Outcome::Unknown, "{task:#?}");
    assert!(task.message.contains("1 deleted memories removed, but"), "{}", task.message);
    assert!(task.message.contains("has no room left on its disk"), "{}", task.message);
    assert!(bed.repository().join("purge-open").exists());
    fs::remove_file(ballast).unwrap();
    assert_eq!((purge(bed, DELETED).outcome, count("memories", "true")), (Outcome::Succeeded, "52".to_owned()));
    assert_eq!(point(34), "0");
    assert!(!bed.repository().join("purge-open").exists());
}

#[test]
fn deleted_memories_go_from_a_server_with_all_that_refers_to_them() {
    let folder = postgres::folder();
    let disk = SmallDisk::over(folder.path(), "16m");
    let Some(server) = Postgres::with_pgvector() else { return };
    let mut bed = Bed::new(20);
    let url = server.database();
    let name = url.rsplit('/').next().unwrap().to_owned();
    put_on(&server, &name, &mut bed);
    let memory = on_server;
    let all = || server.value(&name, "SELECT md5(string_agg(m::text, '~' ORDER BY id)) FROM memories m");
    let count = |table: &str, of: &str| counted(&server, &name, table, of);
    let (before, rule) = (all(), Purge { access_log_after_seconds: Some(DAY), ..DELETED });
    let task = purge(&bed, rule);
    assert!(task.message.contains("nothing is purged: no verified set"), "{task:#?}");
    bed.run("set", &BOTH);

    // Who may only read is told what is missing; who owns no table removes, and proves nothing.
    server.psql(&name, "CREATE ROLE keeper LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO keeper");
    bed.secret("db", "url", &url.replace("memorybank@", "keeper@"));
    let task = purge(&bed, rule);
    assert_eq!(task.outcome, Outcome::Unknown, "{task:#?}");
    assert!(
        task.message.contains("GRANT SELECT, DELETE ON memory_categories, memory_status_history"),
        "{}",
        task.message
    );
    assert_eq!((all(), count(NAME, "true")), (before.clone(), "60".to_owned()));
    server.psql(
        &name,
        "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO keeper; CREATE TABLE hidden (content text)",
    );
    let task = purge(&bed, rule);
    assert!(task.message.contains("GRANT SELECT ON hidden TO keeper"), "{task:#?}");
    assert_eq!((all(), count(NAME, "true")), (before, "60".to_owned()));
    server.psql(&name, "GRANT SELECT ON hidden TO keeper");
    let task = purge(&bed, rule);
    assert_eq!(task.outcome, Outcome::Unknown, "{task:#?}");
    for id in ["deleted-points-pruned", "deleted-memories-pruned", "access-log-pruned"] {
        let check = task.checks.iter().find(|check| check.id == id).unwrap();
        let told = check.detail.contains("the role keeper may not VACUUM");
        assert!(check.verdict == Verdict::Unknown && told, "{check:?}");
    }

    bed.secret("db", "url", &url);
    let task = purge(&bed, rule);
    assert_eq!(task.outcome, Outcome::Succeeded, "{task:#?}");
    for (table, column) in OF_A_MEMORY {
        let gone = format!("{column} IN ({}, {}, {})", memory(1), memory(2), memory(3));
        assert_eq!(count(table, &gone), "0", "{table}");
        assert_eq!(count(table, &format!("{column} = {}", memory(10))), "1", "{table}");
        assert_eq!(
            count("pg_stat_user_tables", &format!("relname = '{table}' AND last_vacuum IS NOT NULL")),
            "1",
            "{table}"
        );
    }
    assert_eq!((count("memories", "true"), count(NAME, "true")), ("57".to_owned(), "56".to_owned()));
    assert_eq!(
        (count("memory_access_logs", "true"), count("memory_status_history", "true")),
        ("1".to_owned(), "17".to_owned())
    );
    let links = format!("SELECT string_agg(payload->>'linked_memory_ids', ';') FROM {ENTITIES}");
    assert_eq!(server.value(&name, &links), format!("[\"{}\"]", postgres_bank::id(10)));
    let of = |number| {
        history(&bed, &format!("SELECT 1 FROM history WHERE memory_id = '{}'", postgres_bank::id(number))).len()
    };
    assert_eq!((of(1), of(10)), (0, 1));

    // A copy of a text elsewhere, and a transaction that still sees the rows, are told.
    delete(&server, &name, 30);
    server.psql(&name, "CREATE TABLE copied AS SELECT content FROM memories");
    let task = purge(&bed, DELETED);
    let left = "rows of them are left in copied, column \"content\"";
    assert!(task.message.contains(&format!("1 deleted memories removed, but 1 {left}")), "{task:#?}");
    // Nothing is due any more, and nothing is proven yet.
    let task = purge(&bed, DELETED);
    assert!(task.outcome == Outcome::Unknown && task.message.contains(left), "{task:#?}");
    server.psql(&name, "DROP TABLE copied");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Who reads, and who wrote something and sees nothing any more.
    for (number, open, runs) in [
        (31, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM memories", 2),
        (32, "BEGIN; INSERT INTO hidden VALUES ('x')", 1),
    ] {
        let mut other = runtime.block_on(PgConnection::connect(&url)).unwrap();
        runtime.block_on(sqlx::raw_sql(open).execute(&mut other)).unwrap();
        delete(&server, &name, number);
        for _ in 0..runs {
            let task = purge(&bed, DELETED);
            assert_eq!(task.outcome, Outcome::Unknown, "{task:#?}");
            let told = task.message.contains("1 transactions or replicas of");
            assert!(told && task.message.contains("keep the removed rows"), "{}", task.message);
        }
        runtime.block_on(other.close()).unwrap();
    }
    assert_eq!((purge(&bed, DELETED).outcome, count("memories", "true")), (Outcome::Succeeded, "54".to_owned()));
    ends_what_others_left_open(&server, &name, &bed, disk.as_ref());
}
