//! Tables of a set that are restored on the server that they are from: a bank again, or none; and nothing of it stays.

use memorybank::domain::{
    Digest, Encryption, IntegrityScope, Level, Outcome, PgvectorEndpoint, PostgresEndpoint, QdrantEndpoint, Reason,
    RestoreVerdict, SecretKey, SqlDatabase, Trust, VectorStore, Work,
};

use crate::bed::Bed;
use crate::guardian::wait_for;
use crate::postgres::Postgres;
use crate::postgres_bank::{NAME, SIZE, id, payload, points, tables, vector};
use crate::qdrant::{Config, Qdrant};

const BOTH: [Work; 2] = [Work::Backup, Work::RestoreTest];
const MEMORIES: u32 = 60;

fn key() -> SecretKey {
    SecretKey { name: "database".to_owned(), key: "url".to_owned() }
}

/// A bank with its rows and its points in one database.
fn bank() -> Option<(Postgres, Bed, String)> {
    let server = Postgres::with_pgvector()?;
    let url = server.database();
    let database = url.rsplit('/').next().unwrap().to_owned();
    tables(&server, &database, MEMORIES);
    points(&server, &database, MEMORIES);
    let bed = bed(&url, VectorStore::Pgvector(PgvectorEndpoint { url: key(), table: NAME.to_owned() }));
    Some((server, bed, database))
}

fn bed(url: &str, store: VectorStore) -> Bed {
    let mut bed = Bed::new(3);
    bed.secret("database", "url", url);
    bed.bank.database = Some(SqlDatabase::Postgres(PostgresEndpoint { url: key(), schema: "public".to_owned() }));
    bed.bank.vector_store = Some(store);
    bed
}

/// What is left on a server of tests.
fn left(server: &Postgres) -> String {
    server.value(
        "postgres",
        "SELECT coalesce(string_agg(datname, ' '), '') FROM pg_database WHERE datname LIKE 'memorybank%restore%'",
    )
}

fn refused(bed: &Bed) -> Option<String> {
    let verdict: RestoreVerdict = serde_json::from_slice(&bed.output(RestoreVerdict::OUTPUT).unwrap()).unwrap();
    verdict.refused
}

/// Why the set that is made now is none.
fn refused_now(bed: &Bed, uid: &str) -> String {
    let report = bed.run(uid, &BOTH);
    assert_eq!(report.tasks[1].outcome, Outcome::Succeeded, "{report:#?}");
    assert!(report.tasks[1].corruption.iter().any(|event| event.component == "repository"), "{report:#?}");
    refused(bed).unwrap_or_else(|| panic!("{report:#?}"))
}

fn short(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()[..8].to_owned()
}

#[test]
fn rows_and_points_of_one_server_are_a_bank_again_and_nothing_of_it_stays() {
    let Some((server, mut bed, database)) = bank() else { return };
    // Of a run that was killed; and one of a bank of the same name that another guardian has.
    let of = |database: &str| {
        format!("memorybank_restore_{}_deadbeef", short(&format!("stores/assistant/vectors/{database}")))
    };
    let (other, killed) = (&of("another"), of(&database));
    server.psql("postgres", &format!("CREATE DATABASE {killed}"));
    server.psql("postgres", &format!("CREATE DATABASE {other}"));
    let identity = age::x25519::Identity::generate();
    for sealed in [false, true] {
        if sealed {
            use age::secrecy::ExposeSecret as _;
            bed.secret("age", "key", identity.to_string().expose_secret());
            let recipients = vec![identity.to_public().to_string()];
            let key = SecretKey { name: "age".to_owned(), key: "key".to_owned() };
            bed.bank.repository.as_mut().unwrap().encryption = Some(Encryption { recipients, identity: Some(key) });
        }
        let report = bed.run(if sealed { "sealed" } else { "plain" }, &BOTH);
        assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
        let detail = &report.tasks[1].checks[0].detail;
        for part in ["database of 62 rows is sound", "vectors: 60 points, each read, as the rows say"] {
            assert!(detail.contains(part), "{detail}");
        }
        assert_eq!((refused(&bed), &left(&server)), (None, other));
    }

    // Without an index that is there in the living one the table is not found by chance: the search path goes along.
    server.psql(&database, &format!("CREATE SCHEMA hidden; ALTER TABLE {NAME} SET SCHEMA hidden"));
    server.psql(&database, &format!("ALTER DATABASE {database} SET search_path = hidden, public"));
    let report = bed.run("moved", &BOTH);
    assert_eq!((report.outcome().0, refused(&bed)), (Outcome::Succeeded, None), "{report:#?}");
    assert!(report.tasks[1].checks[0].detail.contains("vectors: 60 points"), "{report:#?}");
    assert_eq!(&left(&server), other);
}

#[test]
fn rows_of_a_server_are_held_against_a_snapshot_of_qdrant() {
    let Some(server) = Postgres::start() else { return };
    let url = server.database();
    tables(&server, url.rsplit('/').next().unwrap(), MEMORIES);
    let qdrant = Qdrant::start();
    qdrant.create(NAME, Config::cosine(SIZE));
    (1..=MEMORIES).for_each(|number| qdrant.put(NAME, id(number), payload(number), Some(vector(number))));
    let endpoint =
        QdrantEndpoint { url: qdrant.url(), api_key: None, collection: NAME.to_owned(), tls: Trust::default() };
    let bed = bed(&url, VectorStore::Qdrant(endpoint));
    let report = bed.run("good", &BOTH);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    assert!(report.tasks[1].checks[0].detail.contains("60 points, each read, as the rows say"), "{report:#?}");
    assert_eq!((left(&server).as_str(), qdrant.collections()), ("", vec![NAME.to_owned()]));
}

#[test]
fn what_no_server_makes_a_bank_of_is_refused() {
    let Some((server, bed, database)) = bank() else { return };
    let sql = |sql: &str| server.psql(&database, sql);
    // Rows that contradict a key, which the server itself let nobody write: as a lost page leaves them.
    sql("ALTER TABLE memories ADD CONSTRAINT of_user FOREIGN KEY (user_id) REFERENCES users (id)");
    sql(
        "SET session_replication_role = replica; UPDATE memories SET user_id = md5('nobody')::uuid WHERE id = md5('memory1')::uuid",
    );
    let why = refused_now(&bed, "orphan");
    assert!(why.starts_with("postgres/database/ddl.sql: restored, ") && why.contains("of_user"), "{why}");
    assert!(why.contains("SQLSTATE 23503"), "{why}");
    sql("UPDATE memories SET user_id = md5('ada')::uuid");

    sql(&format!("UPDATE {NAME} SET vector = '[0,0,0,0,0,0,0,0]' WHERE id = '{}'", id(4)));
    let why = refused_now(&bed, "zero");
    assert!(why.starts_with("postgres/vectors/openmemory.copy.zst: restored, vector/zero"), "{why}");
    let right = format!("{:?}", vector(4)).replace(' ', "");
    sql(&format!("UPDATE {NAME} SET vector = '{right}' WHERE id = '{}'", id(4)));

    // What changed silently since the baseline of the living bank.
    let scopes = vec![IntegrityScope::Consistency];
    bed.run("baseline", &[Work::IntegrityCheck { level: Level::Full, scopes, share_percent: 100 }]);
    let other = format!("{:?}", vector(5)).replace(' ', "");
    sql(&format!("UPDATE {NAME} SET vector = '{other}' WHERE id = '{}'", id(4)));
    let why = refused_now(&bed, "silent");
    assert!(why.contains("openmemory.copy.zst") && why.contains("changed since the baseline"), "{why}");
    sql(&format!("UPDATE {NAME} SET vector = '{right}' WHERE id = '{}'", id(4)));
    sql("UPDATE memories SET content = 'likes cocoa' WHERE id = md5('memory5')::uuid");
    assert!(refused_now(&bed, "silent-row").contains("changed since the baseline"));
    sql("UPDATE memories SET content = 'likes tea, cup 5' WHERE id = md5('memory5')::uuid");

    let report = bed.run("good", &BOTH);
    assert_eq!((refused(&bed), report.outcome().0), (None, Outcome::Succeeded), "{report:#?}");
    assert_eq!(left(&server), "");
}

#[test]
fn a_role_without_a_right_says_nothing_against_a_set() {
    let Some((server, bed, database)) = bank() else { return };
    server.psql(&database, "CREATE ROLE keeper LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO keeper");
    let url = server.url(&database).replace("memorybank@", "keeper@");
    bed.secret("database", "url", &url);
    let report = bed.run("no-right", &BOTH);
    assert_eq!(
        (report.tasks[0].outcome, report.tasks[1].outcome),
        (Outcome::Succeeded, Outcome::Unknown),
        "{report:#?}"
    );
    let message = &report.tasks[1].message;
    assert!(message.contains("the role keeper may not create a database: ALTER ROLE keeper CREATEDB"), "{message}");
    assert!(bed.output(RestoreVerdict::OUTPUT).is_none());
    server.psql("postgres", "ALTER ROLE keeper CREATEDB");
    let report = bed.run("right", &BOTH);
    // pgvector is an extension that a role may make in its own database, or is not: both are told as what they are.
    let told = &report.tasks[1];
    let lacks = told.outcome == Outcome::Unknown && told.message.contains("may not do this");
    assert!(lacks || told.outcome == Outcome::Succeeded, "{report:#?}");
    assert_eq!(left(&server), "");
}

#[test]
fn a_test_that_is_stopped_takes_its_database_along() {
    let Some((server, bed, database)) = bank() else { return };
    // To be restored takes longer than anybody waits.
    server.psql(
        &database,
        "ALTER TABLE users ADD CONSTRAINT slow CHECK (CASE WHEN current_database() LIKE 'memorybank_restore%' \
         THEN pg_sleep(600)::text IS NOT NULL ELSE true END)",
    );
    bed.back_up("one");
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    let report = std::thread::scope(|scope| {
        let slept = scope.spawn(|| wait_for("the sleep", || (server.value("postgres", sleeping) == "1").then_some(())));
        let report = bed.run_within("slow", &[Work::RestoreTest], Some(15));
        slept.join().unwrap();
        report
    });
    assert_eq!((report.tasks[0].outcome, report.tasks[0].reason), (Outcome::Failed, Reason::DeadlineExceeded));
    wait_for("the end of the database", || left(&server).is_empty().then_some(()));
}
