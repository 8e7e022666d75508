//! How `local --once` ends, and who may use a data folder.

use std::fs;

use nix::sys::signal::Signal;

use crate::guardian::{Bed, Guardian, condition, memorybank, text, wait_for};

const POSTURE: &str = "
---
apiVersion: memorybank.dev/v1alpha1
kind: SecurityAudit
metadata: {name: posture}
spec: {bankName: sample, scopes: [Posture]}
";

#[test]
fn a_healthy_bank_is_0_and_a_damaged_one_1() {
    let bed = Bed::new(60);
    let said = bed.once_ends(&["--now"], 0);
    assert!(!said.contains("damages are open") && !said.contains("findings are open"), "{said}");
    bed.sample(&["--damage", "all"]);
    let said = bed.once_ends(&["--now"], 1);
    assert!(said.contains("sqlite-foreign-keys (I7)") && said.contains("private-key"), "{said}");
    // What was found does not go away because nobody looked again.
    bed.once_ends(&[], 1);
    // Mended, all but one: the key that somebody had uploaded was taken down in the manifest, and is gone.
    bed.sample(&["--damage", "none"]);
    let said = bed.once_ends(&["--now"], 1);
    assert!(said.contains("1 damages are open") && said.contains("keys/deploy.pem"), "{said}");
    assert!(!said.contains("findings are open"), "{said}");
}

#[test]
fn a_broken_configuration_is_2_and_nothing_of_it_runs() {
    let bed = Bed::new(30);
    let good = fs::read_to_string(bed.path("config/memorybank.yaml")).unwrap();
    for (what, broken) in [
        ("unknown field", good.replace("flavor:", "flavour:")),
        ("dangling reference", good.replace("bankName: sample", "bankName: smaple")),
        ("no YAML", format!("{good}---\n}}{{: nonsense\n")),
        ("bad cron", good.replace("0 6 * * *", "0 25 * * *")),
    ] {
        bed.config("memorybank.yaml", &broken);
        let output = bed.once(&["--now"]);
        assert_eq!(output.status.code(), Some(2), "{what}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("memorybank.yaml:"), "{what}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "{what}");
        assert!(!bed.data().join("status").exists(), "{what}");
        assert_eq!(bed.query("SELECT name FROM runs").len(), 0, "{what}");
    }
    fs::remove_dir_all(bed.path("config")).unwrap();
    assert_eq!(bed.once(&[]).status.code(), Some(2), "a folder that is not there");
}

#[test]
fn what_cannot_be_measured_is_3_and_damage_wins_over_it() {
    let bed = Bed::new(30);
    bed.edit("folder: {path: ../bank}", "persistentVolumeClaim: {claimName: brain}");
    let said = bed.once_ends(&["--now"], 3);
    assert!(said.contains("not measured") && said.contains("volume data is not mounted here"), "{said}");
    for run in bed.objects("mrun") {
        assert_eq!(condition(&run, "Succeeded").0, "Unknown", "{run:#}");
        assert_eq!(run["status"]["phase"], "Unknown", "{run:#}");
    }
    let bank = bed.status("MemoryBank", "sample").unwrap();
    for name in ["Intact", "Consistent", "Secure", "Ready"] {
        assert_eq!(condition(&bank, name).0, "Unknown", "{name} of {bank:#}");
    }
    // With the claim named everything is measured.
    let claim = format!("brain={}", bed.path("bank").display());
    bed.once_ends(&["--now", "--claim", &claim], 0);
    // A scope of a later version is Unknown, never good.
    let config = fs::read_to_string(bed.path("config/memorybank.yaml")).unwrap();
    bed.config("memorybank.yaml", &(config + POSTURE));
    bed.once_ends(&["--claim", &claim], 3);
    assert_eq!(condition(&bed.status("SecurityAudit", "posture").unwrap(), "Passed").0, "Unknown");
    bed.sample(&["--damage", "all"]);
    bed.edit("folder: {path: ../bank}", "persistentVolumeClaim: {claimName: brain}");
    let config = fs::read_to_string(bed.path("config/memorybank.yaml")).unwrap();
    bed.config("memorybank.yaml", &(config + POSTURE));
    bed.once_ends(&["--now", "--claim", &claim], 1);
}

#[test]
fn a_signal_is_130_and_nothing_was_judged() {
    let bed = Bed::new(10_000);
    let guardian: Guardian = bed.spawn(&["--once", "--now"]);
    wait_for("a run in scratch", || (!bed.scratch().is_empty()).then_some(()));
    guardian.signal(Signal::SIGINT);
    assert_eq!(guardian.wait().code(), Some(130));
    assert_eq!(bed.query("SELECT uid FROM reports").len(), 0);
    assert_eq!(bed.scratch(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_data_folder_has_one_guardian_until_it_dies() {
    let bed = Bed::new(30);
    let first = bed.watch(&[]);
    let second = bed.once(&[]);
    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("process {}", first.guardian.id())), "{said}");
    first.guardian.kill();
    bed.once_ends(&[], 0);
}

#[test]
fn an_address_that_is_taken_is_2() {
    let bed = Bed::new(30);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let output = bed.once(&["--listen", &taken.local_addr().unwrap().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[test]
fn the_compose_example_is_lint_clean() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/compose");
    let output = memorybank().arg("lint").arg(folder).output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success() && !said.contains("warning"), "{said}{}", text(&output.stderr));
}
