//! A configuration that changes under a running `local`.

use std::fs;
use std::io::Write as _;

use crate::SECOND;
use crate::guardian::{Bed, condition, field, wait_for};

#[test]
fn banks_come_and_go_with_their_files_and_series() {
    let bed = Bed::new(30);
    let served = bed.watch(&[]);
    assert!(!served.metrics().contains("bank=\"second\""));
    bed.config("second.yaml", SECOND);
    wait_for("the new bank's status", || bed.status("MemoryBank", "second"));
    wait_for("its series", || served.metrics().contains("bank=\"second\"").then_some(()));
    wait_for("its first run", || run_of(&bed, "second-quick"));
    // The policy counts it.
    let banks = || field(&bed.status("MaintenancePolicy", "standard").unwrap(), "/status/banks");
    wait_for("the policy's count", || (banks() == "2").then_some(()));

    fs::remove_file(bed.path("config/second.yaml")).unwrap();
    wait_for("the end of its status", || bed.status("MemoryBank", "second").is_none().then_some(()));
    wait_for("the end of its series", || (!served.metrics().contains("\"second\"")).then_some(()));
    assert_eq!(run_of(&bed, "second-"), None);
    assert_eq!(banks(), "1");
    assert!(bed.objects("mbank").iter().all(|bank| bank["metadata"]["name"] != "second"));
    // The other bank never noticed.
    assert!(served.metrics().contains("bank=\"sample\""));
    assert!(served.stop().success());
}

#[test]
fn what_went_while_nobody_looked_is_forgotten_at_the_next_start() {
    let bed = Bed::new(30);
    bed.config("second.yaml", SECOND);
    bed.once_ends(&["--now"], 0);
    assert!(run_of(&bed, "second-").is_some());
    fs::remove_file(bed.path("config/second.yaml")).unwrap();
    // A file that a crash left behind, and one that says something else than the records.
    let left = bed.data().join("status/IntegrityCheck/nobody.yaml");
    fs::write(&left, "kind: IntegrityCheck\n").unwrap();
    let stale = bed.data().join("status/MemoryBank/sample.yaml");
    fs::write(&stale, "kind: MemoryBank\n").unwrap();
    bed.once_ends(&[], 0);
    assert_eq!((bed.status("MemoryBank", "second"), run_of(&bed, "second-")), (None, None));
    assert!(bed.objects("mrun").iter().all(|run| run["spec"]["bankName"] != "second"));
    assert!(!left.exists());
    assert_eq!(condition(&bed.status("MemoryBank", "sample").unwrap(), "Intact").0, "True");
}

/// The name of a run whose status has a file.
fn run_of(bed: &Bed, start: &str) -> Option<String> {
    let entries = fs::read_dir(bed.data().join("status/MaintenanceRun")).ok()?;
    let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.find(|name| name.starts_with(start))
}

#[test]
fn nonsense_keeps_the_last_good_configuration() {
    let bed = Bed::new(30);
    let served = bed.watch(&[]);
    let good = fs::read_to_string(bed.path("config/memorybank.yaml")).unwrap();
    let noted = || served.ready().unwrap().contains("the last good one is in force");

    bed.config("memorybank.yaml", "kind: [nonsense");
    wait_for("the refusal in /readyz", || noted().then_some(()));
    assert!(served.ready().unwrap().contains("memorybank.yaml"), "{:?}", served.ready());
    assert!(served.metrics().contains("bank=\"sample\""), "the bank is still looked after");
    assert!(bed.status("MemoryBank", "sample").is_some());

    bed.config("memorybank.yaml", &good);
    wait_for("the good configuration", || (!noted()).then_some(()));

    // Half a file: an editor that writes in place. The rest of it comes later.
    let path = bed.path("config/second.yaml");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(&SECOND.as_bytes()[..60]).unwrap();
    wait_for("the refusal of half a file", || noted().then_some(()));
    assert_eq!(bed.status("MemoryBank", "second"), None);
    file.write_all(&SECOND.as_bytes()[60..]).unwrap();
    wait_for("the whole file", || bed.status("MemoryBank", "second"));
    wait_for("no note", || (!noted()).then_some(()));

    // The folder itself goes, and comes back as it was.
    fs::rename(bed.path("config"), bed.path("away")).unwrap();
    wait_for("the refusal of no folder", || noted().then_some(()));
    assert!(bed.status("MemoryBank", "second").is_some());
    fs::rename(bed.path("away"), bed.path("config")).unwrap();
    wait_for("the folder again", || (!noted()).then_some(()));
    assert!(served.stop().success());
}

#[test]
fn a_suspended_bank_runs_nothing() {
    let bed = Bed::new(30);
    bed.edit("spec:\n  flavor: OpenMemory", "spec:\n  suspend: true\n  flavor: OpenMemory");
    bed.once_ends(&["--now"], 0);
    assert_eq!(bed.query("SELECT name FROM runs").len(), 0);
    let bank = bed.status("MemoryBank", "sample").unwrap();
    for name in ["Intact", "Secure", "Ready"] {
        assert_eq!(condition(&bank, name), ("Unknown".to_owned(), "Suspended".to_owned()), "{name}");
    }
}
