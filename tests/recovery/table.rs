//! A table of points that is gone: made anew from the set, or as little there as before.

use std::fs;
use std::path::PathBuf;

use memorybank::bank::recovery::{Kept, Phase};
use memorybank::domain::{Consent, IntegrityScope, Level, Outcome, RecoveryState, RepairAction, Work};
use rusqlite::Connection;

use crate::damaged::{rot, upload};
use crate::deaths::{journal, leave_outputs, spawn};
use crate::guardian::wait_for;
use crate::postgres::Postgres;
use crate::postgres_bank::{NAME, id, payload, row, vector};
use crate::server::{OnServer, edit, planned, unhash};

/// Has an event trigger of the server do something once the index over the vectors of the bank's table is made.
fn at_the_index(does: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'public.{NAME}_hnsw_idx') THEN \
             IF EXISTS (SELECT FROM public.{NAME}) THEN {does}; END IF; END IF; END $$"
    )
}

const TRIGGER: &str = "CREATE EVENT TRIGGER meddle ON ddl_command_end EXECUTE FUNCTION meddle()";

/// Kills who makes the table of a healthy bank anew, in the middle and once it is there.
pub fn killed_while_the_table_is_made(bank: &OnServer) {
    let sleeping = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    let backup = bank.bed.run("again", &[Work::Backup, Work::VerifyBackup]);
    assert_eq!(backup.tasks[1].outcome, Outcome::Succeeded, "{backup:#?}");
    leave_outputs(&bank.bed);
    let good = bank.rows(NAME);
    let count = format!("SELECT count(*) FROM pg_class WHERE relname = '{NAME}'");
    let tables = || bank.server.value(&bank.database, &count);
    let making = || bank.server.value("postgres", &format!("SELECT count(*) {sleeping}")) == "1";
    let made = || tables() == "1";
    // Who has made it may be done with all of it before it is killed: that is tried again.
    let moments: [(&str, &dyn Fn() -> bool); 4] =
        [("making", &making), ("made", &made), ("made-again", &made), ("made-at-last", &made)];
    let mut met = false;
    for (moment, reached) in moments {
        if met {
            break;
        }
        bank.sql(&format!("DROP TABLE {NAME}"));
        if moment == "making" {
            bank.sql(&at_the_index("PERFORM pg_sleep(600)"));
            bank.sql(TRIGGER);
        }
        let mut child = spawn(&bank.bed, moment, Consent::Lossless);
        wait_for(moment, || (reached() || child.try_wait().unwrap().is_some()).then_some(()));
        child.kill().unwrap();
        child.wait().unwrap();
        if moment == "making" {
            bank.sql(&format!("SELECT pg_terminate_backend(pid, 10000) {sleeping}; DROP EVENT TRIGGER meddle"));
        }
        assert_eq!(tables(), if moment == "making" { "0" } else { "1" });
        if journal(&bank.bed).unwrap().phase == Phase::Working {
            met = moment != "making";
            let (_, shown) = bank.recover(moment, Consent::None);
            assert!(shown.verified_before.contains("was rolled back first"), "{moment}: {shown:#?}");
            assert_eq!((shown.state, tables().as_str()), (RecoveryState::Planned, "0"), "{moment}");
            let (task, done) = bank.recover(moment, Consent::Plan(shown.plan_digest));
            assert_eq!(done.state, RecoveryState::Succeeded, "{moment}: {task:#?}");
        }
        assert_eq!(bank.rows(NAME), good, "{moment}");
    }
    assert!(met, "one was killed between the table and the end");
}

/// Makes a set with points that have no row, and changes rows since. The history.
fn drift(bank: &OnServer) -> PathBuf {
    // Of the set: two points without a row, one of which history knows to be deleted, one without a hash, and the table of
    // entities.
    let [first, second] = [200, 201].map(|number| row(id(number), &payload(number), &vector(number)));
    bank.sql(&format!("INSERT INTO {NAME} VALUES {first}, {second}; {}", unhash([5])));
    let history = bank.bed.live().join(".mem0/history.db");
    let change = "INSERT INTO history (id, memory_id, event, created_at, is_deleted) VALUES (?1, ?2, ?3, ?4, ?5)";
    for (event, time, deleted) in [("ADD", "2025-10-01", 0), ("DELETE", "2025-10-02", 1)] {
        let time = format!("{time}T00:00:00+00:00");
        let values = (format!("change-{event}"), id(201).to_string(), event, time, deleted);
        Connection::open(&history).unwrap().execute(change, values).unwrap();
    }
    bank.sql(&format!("CREATE TABLE {NAME}_entities (LIKE {NAME} INCLUDING ALL)"));
    bank.sql(&format!("INSERT INTO {NAME}_entities VALUES {}", row(id(300), &payload(300), &vector(300))));
    let check = Work::IntegrityCheck { level: Level::Full, scopes: vec![IntegrityScope::Files], share_percent: 100 };
    let report = bank.bed.run("drifted", &[check, Work::Backup, Work::VerifyBackup]);
    assert_eq!(report.tasks[2].outcome, Outcome::Succeeded, "{report:#?}");
    // Since then: one deleted, one deleted for good, one edited, one added, and one has no state any more.
    bank.sql("UPDATE memories SET state = NULL WHERE id = md5('memory23')::uuid");
    bank.sql("UPDATE memories SET state = 'deleted', deleted_at = '2025-11-01' WHERE id = md5('memory20')::uuid");
    bank.sql("DELETE FROM memories WHERE id = md5('memory22')::uuid");
    bank.sql(&edit(21, "likes milk"));
    bank.sql(
        "INSERT INTO memories (id, user_id, app_id, content, metadata, state, created_at) VALUES \
         (md5('memory98')::uuid, md5('ada')::uuid, md5('app')::uuid, 'likes tea, cup 98', '{}', 'active', '2025-11-01')",
    );
    history
}

#[test]
fn a_table_that_is_gone_is_made_anew_and_no_deleted_memory_comes_back() {
    let Some(server) = Postgres::with_pgvector() else { return };
    let mut bank = OnServer::new(server, true);
    let value = |sql: &str| bank.server.value(&bank.database, sql);
    let digest = |of: &str| value(&format!("SELECT count(*) || md5(string_agg(t::text, '~' ORDER BY id)) FROM {of}"));
    let there = || value(&format!("SELECT relkind FROM pg_class WHERE relname = '{NAME}'"));
    let indexes =
        || value(&format!("SELECT string_agg(indexdef, '~' ORDER BY 1) FROM pg_indexes WHERE tablename = '{NAME}'"));
    let history = drift(&bank);
    let expected = [20, 21, 22, 201].map(|number| format!("'{}'", id(number))).join(", ");
    let expected = digest(&format!("{NAME} t WHERE id NOT IN ({expected})"));
    let (entities, made) = (digest(&format!("{NAME}_entities t")), indexes());
    assert!(made.contains("USING hnsw"), "{made}");
    bank.sql(&format!("DROP TABLE {NAME}"));

    // Who may not make it is told what is missing.
    let url = bank.server.url(&bank.database);
    bank.sql("CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader");
    bank.bed.secret("database", "url", &url.replace("memorybank@", "reader@"));
    let (_, told) = bank.recover("reader", Consent::Lossless);
    assert_eq!((told.state, told.plan.steps.len()), (RecoveryState::Nothing, 0), "{told:#?}");
    let words = "the role reader may not make a table in the schema public: GRANT CREATE ON SCHEMA public TO reader";
    assert_eq!(told.plan.unmended.iter().filter(|line| line.contains(words)).count(), 2, "{told:#?}");
    bank.bed.secret("database", "url", &url);

    // What else has the name is left alone.
    bank.sql(&format!("CREATE VIEW {NAME} AS SELECT id, vector, payload FROM {NAME}_entities WHERE false"));
    let (_, told) = bank.recover("viewer", Consent::Lossless);
    assert_eq!((told.plan.steps.len(), there().as_str()), (0, "v"), "{told:#?}");
    let words = format!("there is no table {NAME} as mem0 makes it");
    assert!(told.plan.unmended.iter().any(|line| line.contains(&words)), "{told:#?}");
    bank.sql(&format!("DROP VIEW {NAME}"));

    // A history that is declared tells what was deleted: without it nothing is made.
    let aside = history.with_extension("aside");
    fs::rename(&history, &aside).unwrap();
    let (_, told) = bank.recover("unread", Consent::None);
    assert!(told.plan.steps.iter().all(|step| step.action != RepairAction::RestoreCollection), "{told:#?}");
    let words = "mem0's history, which tells what was deleted, cannot be read";
    assert!(told.plan.unmended.iter().any(|line| line.contains(words)), "{told:#?}");
    fs::rename(&aside, &history).unwrap();

    // Of a bank without rows history alone tells it, which may have been made anew since.
    let (rows, known) = (bank.bed.bank.database.take(), bank.bed.bank.history.clone());
    for (history, items) in [(known.clone(), 61), (None, 62)] {
        bank.bed.bank.history = history;
        let (task, shown) = bank.recover("rowless", Consent::None);
        assert_eq!(planned(&shown), [(RepairAction::RestoreCollection, items, false)], "{task:#?}");
        assert!(shown.plan.steps[0].detail.contains("without rows what was deleted"), "{:#?}", shown.plan);
    }
    (bank.bed.bank.database, bank.bed.bank.history) = (rows, known);

    // A point without a row may be of a memory that was removed since, and a table elsewhere may be this one. Beside it a file
    // is put back.
    let file = upload(&bank.bed);
    let right = fs::read(&file).unwrap();
    rot(&file);
    let rotten = fs::read(&file).unwrap();
    bank.sql(&format!("CREATE SCHEMA attic; CREATE TABLE attic.{NAME} (id uuid)"));
    let (_, shown) = bank.recover("planner", Consent::None);
    let steps = [(RepairAction::RestoreFiles, 1, true), (RepairAction::RestoreCollection, 58, false)];
    assert_eq!(planned(&shown), steps, "{shown:#?}");
    for words in ["58 of the 62 points", "1 of them had no row in the set either", "the database has attic.openmemory"]
    {
        assert!(shown.plan.steps[1].detail.contains(words), "{:#?}", shown.plan);
    }
    bank.sql("DROP SCHEMA attic CASCADE");
    let approved = Consent::Plan(shown.plan_digest);

    // What leaves the bank no better goes again; but not where somebody wrote to it. The file is as it was all the same.
    let renamed = format!("ALTER TABLE public.{NAME} RENAME payload TO content");
    // Of another transaction, as far as a row tells.
    let theirs = format!(
        "BEGIN UPDATE public.{NAME} SET payload = '{{}}' WHERE id = '{}'; EXCEPTION WHEN division_by_zero THEN END",
        id(2)
    );
    for (does, state, words) in [
        (renamed.clone(), RecoveryState::RolledBack, "can no longer be measured"),
        (format!("{theirs}; {renamed}"), RecoveryState::Failed, "DROP TABLE public.openmemory. /"),
    ] {
        bank.sql(&at_the_index(&does));
        bank.sql(TRIGGER);
        let (task, done) = bank.recover("unlucky", approved);
        assert_eq!((task.outcome, done.state), (Outcome::Failed, state), "{does}: {task:#?}");
        assert!(task.message.contains(words), "{does}: {}", task.message);
        assert_eq!(planned(&done), steps, "{task:#?}");
        let kept = journal(&bank.bed).unwrap().kept;
        let left = if state == RecoveryState::Failed { 1 } else { 2 };
        assert_eq!((kept.len(), kept.last()), (left, Some(&Kept::NoTable)), "{kept:?}");
        assert_eq!(fs::read(&file).unwrap(), rotten, "{does}");
        assert_eq!(there().is_empty(), state == RecoveryState::RolledBack, "{does}");
        bank.sql("DROP EVENT TRIGGER meddle");
        if state == RecoveryState::Failed {
            bank.sql(&format!("DROP TABLE {NAME}"));
            fs::remove_dir_all(done.quarantine.unwrap()).unwrap();
        }
    }

    let (task, done) = bank.recover("mender", approved);
    assert_eq!((task.outcome, done.state), (Outcome::Succeeded, RecoveryState::Succeeded), "{task:#?}");
    assert_eq!((done.lost_memories, done.mended.iter().filter(|one| one.success).count()), (Some(0), 3));
    assert_eq!(fs::read(&file).unwrap(), right);
    assert_eq!((digest(&format!("{NAME} t")), indexes()), (expected, made));
    assert_eq!(digest(&format!("{NAME}_entities t")), entities);

    // What has another text by now, or came since, is told: the next one embeds it.
    let left = task.corruption.iter().find(|event| event.invariant.as_deref() == Some("I1")).unwrap();
    assert_eq!(left.count, 2, "{left:?}");
}
