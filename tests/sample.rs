//! Sample banks: the same from the same seed, healthy where they should be, and each planted damage in
//! the files, looked at with SQLite itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memorybank::sample::{self, Damage, Generation, Recipe, SampleError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, query_scalar};

fn files(folder: &Path, root: &Path, found: &mut BTreeMap<PathBuf, (Vec<u8>, SystemTime)>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, root, found);
        } else {
            let time = entry.metadata().unwrap().modified().unwrap();
            let name = path.strip_prefix(root).unwrap().to_owned();
            found.insert(name, (std::fs::read(&path).unwrap(), time));
        }
    }
}

fn tree(root: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    files(root, root, &mut found);
    found
}

async fn open(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).read_only(true).connect().await.unwrap()
}

async fn count(path: &Path, sql: &'static str) -> i64 {
    query_scalar(sql).fetch_one(&mut open(path).await).await.unwrap()
}

async fn make(folder: &Path, recipe: &Recipe, damages: &[Damage]) -> (PathBuf, PathBuf) {
    sample::write(folder, recipe, damages).await.unwrap();
    (folder.join("bank/openmemory.db"), folder.join("bank/.mem0/history.db"))
}

#[tokio::test]
async fn the_same_recipe_gives_the_same_bytes_and_times() {
    let scratch = tempfile::tempdir().unwrap();
    let (one, two) = (scratch.path().join("one"), scratch.path().join("two"));
    let recipe = Recipe { memories: 300, seed: 7, ..Recipe::default() };
    make(&one, &recipe, &Damage::together()).await;
    make(&two, &recipe, &Damage::together()).await;
    assert!(tree(&one) == tree(&two));
    make(&two, &Recipe { seed: 8, ..recipe }, &[]).await;
    assert!(tree(&one) != tree(&two));
}

#[tokio::test]
async fn planting_changes_only_what_is_planted() {
    let scratch = tempfile::tempdir().unwrap();
    let recipe = Recipe { memories: 200, ..Recipe::default() };
    make(scratch.path(), &recipe, &[]).await;
    let before = tree(scratch.path());
    assert_eq!(sample::recipe(scratch.path()).unwrap(), Some(recipe.clone()));
    make(scratch.path(), &recipe, &[Damage::FileChangedSilently, Damage::FileMissing]).await;
    let after = tree(scratch.path());
    let changed: BTreeSet<_> =
        before.iter().filter(|(name, file)| after.get(*name) != Some(file)).map(|(name, _)| name).collect();
    assert_eq!(changed.len(), 3, "{changed:?}");
    let name = Path::new("bank/uploads/audio/meeting.wav");
    let (old, new) = (&before[name], &after[name]);
    assert!(changed.contains(&name.to_owned()) && changed.contains(&PathBuf::from("planted.json")));
    assert_eq!((old.0.len(), old.1), (new.0.len(), new.1), "size and time stay");
    make(scratch.path(), &recipe, &[]).await;
    assert!(tree(scratch.path()) == before, "and back");
}

#[tokio::test]
async fn a_folder_of_something_else_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("thesis.txt"), "years of work").unwrap();
    let refused = sample::write(scratch.path(), &Recipe::default(), &[]).await;
    assert!(matches!(refused, Err(SampleError::NotASample(_))));
    assert_eq!(tree(scratch.path()).len(), 1);
}

#[tokio::test]
async fn a_healthy_sample_has_nothing_to_tell_in_any_generation() {
    for generation in Generation::ALL {
        for seed in 1..4 {
            let scratch = tempfile::tempdir().unwrap();
            let recipe = Recipe { memories: 400, seed, generation };
            let (main, history) = make(scratch.path(), &recipe, &[]).await;
            assert!(sample::planted(scratch.path()).unwrap().is_empty());
            for path in [&main, &history] {
                let answer: String =
                    query_scalar("PRAGMA integrity_check").fetch_one(&mut open(path).await).await.unwrap();
                assert_eq!(answer, "ok");
                let journal: String =
                    query_scalar("PRAGMA journal_mode").fetch_one(&mut open(path).await).await.unwrap();
                assert_eq!(journal, "delete");
            }
            for (path, zero) in [
                (&main, "SELECT count(*) FROM pragma_foreign_key_check"),
                (
                    &main,
                    "SELECT count(*) FROM memories WHERE state = 'deleted' AND (content <> '' OR deleted_at IS NULL)",
                ),
                (&main, "SELECT count(*) FROM memories WHERE state = 'archived' AND archived_at IS NULL"),
                (
                    &main,
                    "SELECT count(*) FROM (SELECT 1 FROM memories WHERE content <> '' GROUP BY user_id, content HAVING count(*) > 1)",
                ),
                (
                    &main,
                    "SELECT count(*) FROM memories WHERE typeof(id) <> 'text' OR length(id) <> 32 OR NOT json_valid(metadata)",
                ),
                (&main, "SELECT count(*) FROM memory_access_logs WHERE NOT json_valid(metadata)"),
                (&main, "SELECT count(*) FROM users WHERE email IS NOT NULL"),
                (
                    &history,
                    "SELECT count(*) FROM history h WHERE event = 'DELETE' AND EXISTS (SELECT 1 FROM history o WHERE o.memory_id = h.memory_id AND coalesce(o.old_memory, o.new_memory) IS NOT NULL)",
                ),
            ] {
                assert_eq!(count(path, zero).await, 0, "{generation:?} {zero}");
            }
            assert_eq!(count(&main, "SELECT count(*) FROM memories").await, 400);
            assert_eq!(count(&history, "SELECT count(DISTINCT memory_id) FROM history WHERE event = 'ADD'").await, 400);
            assert!(count(&main, "SELECT count(DISTINCT state) FROM memories").await == 4);
        }
    }
}

#[tokio::test]
async fn generations_differ_as_their_code_did() {
    let scratch = tempfile::tempdir().unwrap();
    for (generation, alembic, names, keys, messages) in
        [(Generation::Current, 0, 0, 1, 1), (Generation::Alembic, 1, 0, 0, 1), (Generation::Fork, 0, 1, 1, 0)]
    {
        let recipe = Recipe { memories: 300, generation, ..Recipe::default() };
        let (main, history) = make(scratch.path(), &recipe, &[]).await;
        let found = [
            count(&main, "SELECT count(*) FROM sqlite_schema WHERE name = 'alembic_version'").await,
            count(&main, "SELECT count(*) FROM sqlite_schema WHERE sql LIKE 'CREATE UNIQUE INDEX ix_apps_name%'").await,
            count(&main, "SELECT count(*) FROM sqlite_schema WHERE name = 'ix_configs_key'").await,
            count(&history, "SELECT count(*) FROM sqlite_schema WHERE name = 'messages'").await,
        ];
        assert_eq!(found, [alembic, names, keys, messages], "{generation:?}");
        let pacific = count(&history, "SELECT count(*) FROM history WHERE created_at LIKE '%-07:00'").await;
        assert_eq!(pacific > 0, generation == Generation::Fork);
    }
}

#[tokio::test]
async fn every_damage_of_rows_is_there() {
    let scratch = tempfile::tempdir().unwrap();
    let recipe = Recipe { memories: 120, ..Recipe::default() };
    let (main, history) = make(scratch.path(), &recipe, &Damage::together()).await;
    let planted = sample::planted(scratch.path()).unwrap();
    assert_eq!(planted.len(), Damage::together().len());
    assert!(planted.iter().all(|one| !one.expected.is_empty()));
    for (path, expected, sql) in [
        (&main, 1, "SELECT count(*) FROM pragma_foreign_key_check"),
        (&main, 1, "SELECT count(*) FROM memories WHERE NOT json_valid(metadata)"),
        (&main, 1, "SELECT count(*) FROM memories WHERE created_at LIKE '2025-02-30%'"),
        (&main, 1, "SELECT count(*) FROM memory_status_history WHERE typeof(id) = 'real'"),
        (
            &main,
            1,
            "SELECT count(*) FROM memories m WHERE state <> (SELECT new_state FROM memory_status_history h WHERE h.memory_id = m.id ORDER BY changed_at DESC LIMIT 1)",
        ),
        (&main, 1, "SELECT count(*) FROM memories WHERE state = 'deleted' AND deleted_at IS NULL"),
        (
            &main,
            2,
            "SELECT sum(n - 1) FROM (SELECT count(*) AS n FROM memories WHERE content <> '' GROUP BY user_id, content)",
        ),
        (&main, 1, "SELECT count(*) FROM apps WHERE hex(description) = '63616FC3'"),
        (
            &main,
            1,
            "SELECT count(*) FROM categories WHERE instr(hex(description), '00') > 0 AND instr(description, char(0)) > 0",
        ),
        (&main, 1, "SELECT count(*) FROM memories WHERE state = 'deleted' AND content <> ''"),
        (&main, 1, "SELECT count(*) FROM memories WHERE content LIKE '%sk-%T3BlbkFJ%'"),
        (&main, 1, "SELECT count(*) FROM memories WHERE metadata LIKE '%AKIA%'"),
        (&main, 1, "SELECT count(*) FROM configs WHERE value LIKE '%postgresql://mem0:%@%'"),
        (&main, 1, "SELECT count(*) FROM memories WHERE content LIKE '%@lindqvist%'"),
        (&main, 1, "SELECT count(*) FROM memories WHERE content LIKE '%+44 7700 900%'"),
        (&main, 1, "SELECT count(*) FROM memories WHERE content LIKE '%card 4%'"),
        (&main, 1, "SELECT count(*) FROM memories WHERE content LIKE '%goes to DE%'"),
        (&history, 119, "SELECT count(DISTINCT memory_id) FROM history WHERE event = 'ADD'"),
        (&history, 1, "SELECT count(*) FROM history WHERE event = 'DELETE' AND old_memory IS NOT NULL"),
    ] {
        assert_eq!(count(path, sql).await, expected, "{sql}");
    }
    let answer: String = query_scalar("PRAGMA integrity_check").fetch_one(&mut open(&main).await).await.unwrap();
    assert!(answer.ends_with("missing from index ix_memory_access_logs_accessed_at"), "{answer}");
    let length = std::fs::metadata(&history).unwrap().len();
    assert_ne!(length % 4096, 0, "bytes behind the last page");
}

#[tokio::test]
async fn every_damage_of_files_is_there_and_each_can_stand_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let recipe = Recipe { memories: 120, ..Recipe::default() };
    make(scratch.path(), &recipe, &[]).await;
    let healthy = tree(scratch.path());
    for damage in Damage::ALL {
        make(scratch.path(), &recipe, &[*damage]).await;
        let planted = sample::planted(scratch.path()).unwrap();
        assert_eq!((planted.len(), planted[0].damage.as_str()), (1, damage.name()));
        let damaged = tree(scratch.path());
        let changed = healthy.iter().filter(|(name, file)| damaged.get(*name) != Some(file)).count();
        assert!(changed > 1 || damaged.len() > healthy.len(), "{damage}: only planted.json differs");
    }
    let text = |name: &str| std::fs::read_to_string(scratch.path().join("bank").join(name)).unwrap();
    for (damage, file, needle) in [
        (Damage::PrivateKeyInUpload, "uploads/keys/deploy.pem", "PRIVATE KEY-----\n"),
        (Damage::JwtInLog, "logs/openmemory.log", "Bearer eyJ"),
        (Damage::GithubTokenInEnv, ".env", "GITHUB_TOKEN=gh"),
    ] {
        make(scratch.path(), &recipe, &[damage]).await;
        assert!(text(file).contains(needle), "{damage}");
    }
}

#[tokio::test]
async fn a_bank_without_room_for_a_damage_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let recipe = Recipe { memories: 3, ..Recipe::default() };
    let error = sample::write(scratch.path(), &recipe, &[Damage::ExactDuplicates]).await.unwrap_err();
    assert!(error.to_string().contains("exact-duplicates") && error.to_string().contains("--memories"), "{error}");
}
