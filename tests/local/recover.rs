//! A bank that is mended on request, as a person would ask for it: the plan, its approval, and what came of it.

use std::fs;
use std::path::Path;
use std::process::Output;

use memorybank::domain::Digest;
use serde_json::Value;

use crate::guardian::{Bed, memorybank, query, text, wait_for};

/// The sample's files with a repository, and nobody who asks for anything but the runs below.
const BANK: &str = "\
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: mine}
spec:
  database:
    sqlite: {volume: data, path: openmemory.db}
  volumes:
  - {name: data, folder: {path: ../bank}}
  - {name: sets, folder: {path: ../sets}}
  repository: {folder: {volume: sets, path: memorybank}}
";

fn run(name: &str, tasks: &str) -> String {
    format!(
        "apiVersion: memorybank.dev/v1alpha1\nkind: MaintenanceRun\nmetadata: {{name: {name}}}\n\
         spec: {{bankName: mine, tasks: [{tasks}]}}\n"
    )
}

fn bed() -> Bed {
    let bed = Bed::new(200);
    fs::create_dir(bed.path("sets")).unwrap();
    bed.config("memorybank.yaml", BANK);
    bed
}

fn recover(bed: &Bed, arguments: &[&str]) -> Output {
    let mut command = memorybank();
    command.arg("recover").args(arguments).arg("--data").arg(bed.data());
    if arguments[0] != "status" {
        command.arg("--config").arg(bed.path("config"));
    }
    command.output().unwrap()
}

fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Waits until a recovery is in a phase; its status.
fn phase(bed: &Bed, name: &str, phase: &str) -> Value {
    wait_for(&format!("{name} {phase}"), || {
        let output = recover(bed, &["status", name, "-o", "json"]);
        let status: Value = serde_json::from_slice(&output.stdout).ok()?;
        let found = status["phase"].as_str().unwrap_or_default().to_owned();
        let ended = ["Succeeded", "RolledBack", "Failed", "Unknown"].contains(&found.as_str());
        assert!(found == phase || !ended, "{status:#}");
        (found == phase).then_some(status)
    })
}

fn succeeded(bed: &Bed, run: &str) {
    wait_for(&format!("the end of {run}"), || {
        let status = bed.status("MaintenanceRun", run)?["status"].clone();
        let phase = status["phase"].as_str()?.to_owned();
        assert!(!["Failed", "Unknown"].contains(&phase.as_str()), "{status:#}");
        (phase == "Succeeded").then_some(())
    });
}

fn rows(database: &Path) -> Vec<Vec<String>> {
    query(database, "SELECT id, content, state FROM memories ORDER BY id")
}

#[test]
fn a_damaged_database_is_restored_once_its_plan_is_approved() {
    let bed = bed();
    let database = bed.path("bank/openmemory.db");
    let whole = rows(&database);
    bed.config("backup.yaml", &run("backup", "{task: Backup}, {task: VerifyBackup}"));
    let local = bed.watch(&[]);
    succeeded(&bed, "backup");

    let mut bytes = fs::read(&database).unwrap();
    let page = bytes.len() / 2 / 4096 * 4096;
    bytes[page..page + 4096].fill(0xA5);
    fs::write(&database, &bytes).unwrap();
    let damaged = Digest::of(&bytes);
    bed.config("check.yaml", &run("check", "{task: IntegrityCheck, level: Full, scopes: [Database]}"));
    succeeded(&bed, "check");
    let intact = || bed.query("SELECT count(*) FROM corruption_events WHERE resolved_timestamp IS NULL");
    assert_ne!(intact(), [["0"]]);

    let said = good(&recover(&bed, &["plan", "mine", "--name", "mend"]));
    assert!(said.contains("memorybank recover status mend"), "{said}");
    let status = phase(&bed, "mend", "AwaitingApproval");
    let digest = status["planDigest"].as_str().unwrap();
    assert_eq!(status["plan"][0]["action"], "RestoreDatabase", "{status:#}");
    assert_eq!(Digest::of(&fs::read(&database).unwrap()), damaged, "a plan changes nothing");

    let wrong = recover(&bed, &["approve", "mend", &format!("sha256:{}", "0".repeat(64))]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains(digest), "{}", text(&wrong.stderr));
    good(&recover(&bed, &["approve", "mend", digest, "--by", "alice"]));
    let status = phase(&bed, "mend", "Succeeded");
    assert_eq!(rows(&database), whole);
    assert!(status["quarantine"].is_string() && status["verifiedAfter"].is_string(), "{status:#}");
    let shown = good(&recover(&bed, &["status", "mend"]));
    assert!(shown.contains("mend: Succeeded") && shown.contains("RestoreDatabase"), "{shown}");
    // The records say what was done about the damage.
    let done = bed.query("SELECT DISTINCT recovery_action, CAST(recovery_success AS TEXT) FROM corruption_events");
    assert_eq!(done, [["RestoreDatabase", "1"]]);
    assert_eq!(bed.get(&["get", "mrec"])["items"][0]["spec"]["approval"]["approvedBy"], "alice");

    let again = recover(&bed, &["approve", "mend", digest]);
    assert_eq!(again.status.code(), Some(2), "it awaits nothing any more");
    let taken = recover(&bed, &["plan", "mine", "--name", "mend"]);
    assert!(!taken.status.success() && text(&taken.stderr).contains("--name"), "{}", text(&taken.stderr));
    drop(local);
}

#[test]
fn a_policy_makes_a_recovery_that_a_person_approves() {
    let bed = bed();
    let database = bed.path("bank/openmemory.db");
    let policy = "apiVersion: memorybank.dev/v1alpha1\nkind: MaintenancePolicy\nmetadata: {name: standard}\nspec:\n  \
                  bankSelector: {}\n  recovery: {mode: OnApproval}\n  schedules:\n  - name: yearly\n    \
                  cron: '30 3 1 1 *'\n    tasks: [{task: IntegrityCheck, level: Full, scopes: [Database]}]\n";
    bed.config("policy.yaml", policy);
    let mut bytes = fs::read(&database).unwrap();
    let page = bytes.len() / 2 / 4096 * 4096;
    bytes[page..page + 4096].fill(0xA5);
    fs::write(&database, &bytes).unwrap();
    bed.config("check.yaml", &run("check", "{task: IntegrityCheck, level: Full, scopes: [Database]}"));
    let local = bed.watch(&[]);
    let made = || {
        let listed = bed.get(&["get", "mrec"])["items"].as_array()?.clone();
        let awaits = |it: &&Value| it["status"]["phase"] == "AwaitingApproval";
        listed.iter().find(awaits).map(|it| it["metadata"]["name"].as_str().unwrap().to_owned())
    };
    let name = wait_for("a recovery that awaits its approval", made);
    assert!(name.starts_with("mine-damage-"), "{name}");
    // It stands in no file, and is there after a restart.
    drop(local);
    let file = bed.path("config").join(format!("recovery-{name}.yaml"));
    assert!(!file.exists());
    let local = bed.watch(&[]);
    phase(&bed, &name, "AwaitingApproval");
    // A document of another file declares it by now: no second one is written beside that.
    let mut document = bed.status("Recovery", &name).unwrap();
    document.as_object_mut().unwrap().remove("status");
    bed.config("renamed.yaml", &document.to_string());
    wait_for("its document", || {
        let annotations = &bed.status("Recovery", &name)?["metadata"]["annotations"];
        annotations.get("memorybank.dev/spec-digest").map(drop)
    });
    let status = phase(&bed, &name, "AwaitingApproval");
    let digest = status["planDigest"].as_str().unwrap();
    let refused = recover(&bed, &["approve", &name, digest]);
    assert!(refused.status.code() == Some(2) && !file.exists(), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("is declared in another file than recovery-"), "{}", text(&refused.stderr));
    fs::rename(bed.path("config/renamed.yaml"), &file).unwrap();
    good(&recover(&bed, &["approve", &name, digest]));
    assert!(fs::read_to_string(&file).unwrap().contains("memorybank.dev/made-for"));
    phase(&bed, &name, "Succeeded");
    let listed = bed.get(&["get", "mrec"]);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed:#}");
    drop(local);
}
