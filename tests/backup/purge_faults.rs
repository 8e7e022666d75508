//! A purge that is killed, or has no room: the next one ends it, and nothing else is lost.

use std::collections::BTreeSet;
use std::fs;

use memorybank::domain::{Outcome, PointId, Pruning, Purge, TaskReport, Work};

use crate::bed::{self, noise};
use crate::guardian::{Bed, files, query, wait_for};
use crate::qdrant::{Config, Qdrant, memory, unit};
use crate::small_disk::SmallDisk;

/// Deleted memories besides those of the sample: some transactions of them.
const DELETED: u32 = 4_500;
const NAME: &str = "openmemory";
const SIZE: usize = 4;

const CONFIG: &str = "
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: sample}
spec:
  database:
    sqlite: {volume: data, path: openmemory.db}
  history: {volume: data, path: .mem0/history.db}
  vectorStore:
    qdrant: {url: 'URL', collection: openmemory}
  volumes:
  - {name: data, folder: {path: ../bank}}
  - {name: sets, folder: {path: ../sets}}
  repository:
    folder: {volume: sets, path: .}
---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {name: standard}
spec:
  bankSelector: {}
  purge: {deletedAfterSeconds: 86400}
  schedules:
  - {name: daily, cron: '0 6 * * *', tasks: [{task: Backup}, {task: VerifyBackup}, {task: Prune}]}
";

/// What the stores have of memories: rows, those that history tells of, points.
#[derive(Debug, PartialEq, Eq)]
struct Stores {
    rows: BTreeSet<u128>,
    history: BTreeSet<u128>,
    points: BTreeSet<u128>,
}

impl Stores {
    fn of(bed: &Bed, server: &Qdrant) -> Self {
        let ids = |file: &str, sql: &str| {
            let rows = query(&bed.path(file), sql).into_iter();
            rows.map(|row| u128::from_str_radix(&row[0].replace('-', ""), 16).unwrap()).collect()
        };
        let points = server.ids(NAME).into_iter().map(|id| match id {
            PointId::Uuid(id) => id,
            PointId::Number(number) => panic!("{number}"),
        });
        Self {
            rows: ids("bank/openmemory.db", "SELECT id FROM memories"),
            history: ids("bank/.mem0/history.db", "SELECT DISTINCT memory_id FROM history"),
            points: points.collect(),
        }
    }
}

fn bed(server: &Qdrant) -> Bed {
    let bed = Bed::new(60);
    bed.config("memorybank.yaml", &CONFIG.replace("URL", &server.url()));
    fs::create_dir(bed.path("sets")).unwrap();
    let number = format!(
        "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {DELETED}) SELECT n FROM c)"
    );
    query(
        &bed.path("bank/openmemory.db"),
        &format!(
            "INSERT INTO memories (id, user_id, app_id, content, metadata, state, created_at, updated_at, deleted_at) \
             SELECT printf('d%031d', n), user_id, app_id, 'a memory that was deleted, the number ' || n, '{{}}', 'deleted', \
             created_at, updated_at, '2025-10-01 00:00:00.000000' \
             FROM (SELECT * FROM memories WHERE state = 'active' LIMIT 1), {number}"
        ),
    );
    query(
        &bed.path("bank/.mem0/history.db"),
        &format!(
            "INSERT INTO history (id, memory_id, new_memory, event, created_at, updated_at, is_deleted) \
             SELECT printf('e0000000-0000-4000-8000-%012d', n), printf('d0000000-0000-0000-0000-%012d', n), \
             'a memory that was deleted, the number ' || n, 'ADD', '2025-10-01T00:00:00-07:00', \
             '2025-10-01T00:00:00-07:00', 0 FROM {number}"
        ),
    );
    server.create(NAME, Config::cosine(SIZE));
    for (seed, row) in (0..).zip(query(&bed.path("bank/openmemory.db"), "SELECT id, content FROM memories")) {
        let id = PointId::Uuid(u128::from_str_radix(&row[0], 16).unwrap());
        server.put(NAME, id, memory(&row[1], "ada"), Some(unit(seed, SIZE)));
    }
    bed
}

#[test]
fn a_purge_that_is_killed_is_ended_by_the_next_one() {
    let server = Qdrant::start();
    let bed = bed(&server);
    let whole = Stores::of(&bed, &server);
    let deleted = query(&bed.path("bank/openmemory.db"), "SELECT id FROM memories WHERE state = 'deleted'");
    let deleted: BTreeSet<_> = deleted.iter().map(|row| u128::from_str_radix(&row[0], 16).unwrap()).collect();
    assert!(deleted.len() > DELETED as usize);
    let left = |file: &str, sql: &str| query(&bed.path(file), sql)[0][0].parse::<usize>().unwrap();
    let rows = || left("bank/openmemory.db", "SELECT CAST(count(*) AS TEXT) FROM memories");
    let told = || left("bank/.mem0/history.db", "SELECT CAST(count(DISTINCT memory_id) AS TEXT) FROM history");
    let moments: [(&str, &dyn Fn() -> bool); 4] = [
        ("a point is gone", &|| server.count(NAME) < whole.points.len() as u64),
        ("the mark", &|| bed.path("sets/default/sample/purge-open").exists()),
        ("a row of the history is gone", &|| told() < whole.history.len()),
        ("a row is gone", &|| rows() < whole.rows.len()),
    ];
    let mut midway = 0;
    for (moment, come) in moments {
        let guardian = bed.spawn(&["--now", "--listen", "127.0.0.1:0"]);
        wait_for(moment, || come().then_some(()));
        guardian.kill();
        let stores = Stores::of(&bed, &server);
        midway += usize::from(!stores.rows.is_disjoint(&deleted));
        // The row goes last: by it the rest is found.
        let gone: BTreeSet<_> = whole.rows.difference(&stores.rows).copied().collect();
        assert!(gone.is_subset(&deleted), "{moment}");
        assert!(gone.is_disjoint(&stores.points) && gone.is_disjoint(&stores.history), "{moment}");
        let living = |ids: &BTreeSet<u128>| ids.difference(&deleted).copied().collect::<BTreeSet<_>>();
        assert_eq!(living(&stores.points), living(&whole.points), "{moment}");
        assert_eq!(living(&stores.history), living(&whole.history), "{moment}");
    }
    assert!(midway >= 2, "{midway} were killed in the middle");
    let ended = bed.once(&["--now"]);
    let stores = Stores::of(&bed, &server);
    assert!(stores.rows.is_disjoint(&deleted), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(stores.history.is_disjoint(&deleted) && stores.points.is_disjoint(&deleted));
    assert!(!bed.path("sets/default/sample/purge-open").exists());
    for file in files(&bed.path("bank")) {
        let bytes = fs::read(&file).unwrap();
        assert!(memchr::memmem::find(&bytes, b"a memory that was deleted").is_none(), "{}", file.display());
    }
}

fn purge(bed: &bed::Bed) -> TaskReport {
    let purge = Purge {
        deleted_after_seconds: Some(86_400),
        access_log_after_seconds: None,
        history_after_seconds: None,
        backup_max_age_seconds: 3_600,
    };
    let report = bed.run("purger", &[Work::Prune(Pruning { retention: Vec::new(), purge: Some(purge) })]);
    report.tasks.into_iter().next().unwrap()
}

#[test]
fn a_full_disk_keeps_what_cannot_be_removed_whole() {
    let bed = bed::Bed::new(60);
    let file = bed.live().join("openmemory.db");
    let text = "a text that nobody has, about a garden behind an old radio house";
    let first = "id = (SELECT min(id) FROM memories WHERE state = 'deleted')";
    query(&file, &format!("UPDATE memories SET content = '{text}' WHERE {first}"));
    // An older version of it in a free page: the file has to be written anew.
    query(&file, &format!("CREATE TABLE old AS SELECT '{text}' AS text"));
    query(&file, "DROP TABLE old");
    bed.run("set", &[Work::Backup, Work::VerifyBackup]);
    let rows =
        |states: &str| query(&file, &format!("SELECT id, content FROM memories WHERE state {states} ORDER BY id"));
    let (deleted, live) = (rows("= 'deleted'"), rows("<> 'deleted'"));
    let Some(disk) = SmallDisk::over(&bed.live(), "16m") else { return };

    let ballast = disk.fill();
    let task = purge(&bed);
    assert_eq!(task.outcome, Outcome::Unknown, "{task:#?}");
    assert!(task.message.contains("full"), "{}", task.message);
    assert_eq!((rows("= 'deleted'"), rows("<> 'deleted'")), (deleted, live.clone()));

    // Room for a journal, and none for a second file.
    fs::write(&ballast, b"").unwrap();
    let size = fs::metadata(&file).unwrap().len();
    let room = nix::sys::statvfs::statvfs(&bed.live()).map(|disk| disk.blocks_available() * disk.block_size()).unwrap();
    fs::write(&ballast, noise(usize::try_from(room - size * 3 / 2).unwrap())).unwrap();
    let task = purge(&bed);
    assert_eq!(task.outcome, Outcome::Unknown, "{task:#?}");
    assert!(task.message.contains("make room"), "{}", task.message);
    assert_eq!((rows("= 'deleted'").len(), rows("<> 'deleted'")), (0, live.clone()));
    assert!(bed.repository().join("purge-open").exists());

    fs::remove_file(ballast).unwrap();
    let task = purge(&bed);
    assert_eq!((task.outcome, rows("<> 'deleted'")), (Outcome::Succeeded, live), "{task:#?}");
    assert!(memchr::memmem::find(&fs::read(&file).unwrap(), text.as_bytes()).is_none());
}
