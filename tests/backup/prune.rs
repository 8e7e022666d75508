//! What no retention keeps goes, and nothing else.

use std::fs;

use memorybank::domain::{Digest, Outcome, Pruning, Retention, Work};
use memorybank::engine::backup::SetManifest;

use crate::bed::{Bed, files};
use crate::guardian;
use crate::whole::CONFIG;

const BOTH: [Work; 2] = [Work::Backup, Work::VerifyBackup];

fn last(last: u32) -> Work {
    Work::Prune(Pruning { retention: vec![Retention { last, ..Retention::default() }], purge: None })
}

/// Prunes, and gives what the task says.
fn prune(bed: &Bed, work: Work) -> String {
    let report = bed.run("pruner", &[work]);
    assert_eq!(report.tasks[0].outcome, Outcome::Succeeded, "{report:#?}");
    report.tasks[0].message.clone()
}

/// The runs of the sets that are there.
fn runs(bed: &Bed) -> Vec<String> {
    bed.names().iter().map(|name| name.split_once('-').unwrap().1.to_owned()).collect()
}

#[test]
fn what_no_retention_keeps_goes_and_the_newest_verified_set_stays() {
    let bed = Bed::new(30);
    assert!(prune(&bed, last(1)).contains("all 0 stay"));
    bed.back_up("a");
    bed.back_up("b");
    assert!(prune(&bed, last(1)).contains("no set is verified: all 2 stay"));
    bed.run("c", &BOTH);
    let verified = bed.verdict().unwrap().verified.unwrap();
    bed.back_up("d");
    bed.back_up("e");
    let none = prune(&bed, Work::Prune(Pruning::default()));
    assert!(none.contains("no policy of this bank has a retention: all 5 sets stay"), "{none}");
    assert_eq!(runs(&bed), ["a", "b", "c", "d", "e"]);
    // Of two retentions either keeps.
    let keep = [Retention { last: 4, ..Retention::default() }, Retention { daily: 1, ..Retention::default() }];
    assert!(
        prune(&bed, Work::Prune(Pruning { retention: keep.to_vec(), purge: None }))
            .contains("1 sets removed, 4 stay, 1 of them")
    );
    assert_eq!(runs(&bed), ["b", "c", "d", "e"]);
    let told = prune(&bed, last(1));
    assert!(told.contains("2 sets removed, 2 stay, 1 of them verified"), "{told}");
    assert_eq!(runs(&bed), ["c", "e"]);

    // In one run: what was verified just now counts.
    let report = bed.run("f", &[Work::Backup, Work::VerifyBackup, last(1)]);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    assert_eq!(runs(&bed), ["f"]);
    let known = bed.verified();
    assert_eq!(known.sets.len(), 1, "{known:?}");
    let (_, digest) = SetManifest::from_json(&fs::read(bed.set().join("manifest.json")).unwrap()).unwrap();
    assert_eq!((known.sets[0].set.as_str(), known.sets[0].manifest), (bed.names()[0].as_str(), Some(digest)));
    assert_ne!(known.sets[0].set, verified.set);
    assert_eq!(bed.refused(), None);
}

#[test]
fn a_set_that_was_refused_or_rewritten_protects_nothing_and_is_not_protected() {
    let bed = Bed::new(30);
    for uid in ["a", "b", "c"] {
        bed.run(uid, &BOTH);
    }
    let path = bed.set().join("sqlite/database.db.zst");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(path, bytes).unwrap();
    assert!(bed.refused().is_some());
    assert_eq!(bed.verdict().unwrap().verified.unwrap().set, bed.names()[1], "the one before is the newest good one");
    prune(&bed, last(1));
    assert_eq!(runs(&bed), ["b", "c"], "the newest, and the newest good one");

    // Whoever rewrites a manifest makes a set that was never verified.
    let manifest = bed.repository().join(&bed.names()[0]).join("manifest.json");
    let (mut altered, _) = SetManifest::from_json(&fs::read(&manifest).unwrap()).unwrap();
    altered.parts[0].sha256 = Digest::of(b"other");
    fs::write(&manifest, altered.to_json().unwrap().0).unwrap();
    assert!(prune(&bed, last(1)).contains("no set is verified: all 2 stay"));
    bed.run("d", &BOTH);
    prune(&bed, last(1));
    assert_eq!(runs(&bed), ["d"]);
}

/// All that a kill can leave: a set goes by one rename, and what has lost its name is no set.
#[test]
fn a_prune_that_was_killed_leaves_no_half_set_and_is_finished_by_the_next() {
    for cut in 0..4 {
        let bed = Bed::new(30);
        for uid in ["a", "b", "c"] {
            bed.run(uid, &BOTH);
        }
        let set = bed.repository().join(&bed.names()[0]);
        let partial = set.with_file_name(format!("{}.partial", bed.names()[0]));
        if cut > 0 {
            fs::rename(&set, &partial).unwrap();
            for file in files(&partial).iter().take(cut * 2 - 2) {
                fs::remove_file(partial.join(file)).unwrap();
            }
        }
        // As the machine leaves it that dies: a lock of a kernel that is no more.
        let lock = r#"{"run": "pruner", "until": "2999-01-01T00:00:00Z", "boot": "before"}"#;
        fs::write(bed.repository().join("lock.json"), lock).unwrap();
        assert_eq!(bed.run("other", &[last(1)]).tasks[0].outcome, Outcome::Failed, "another run waits");
        assert_eq!(bed.refused(), None);
        prune(&bed, last(1));
        assert_eq!(runs(&bed), ["c"], "{cut}");
        assert_eq!(bed.refused(), None);
    }
}

#[test]
fn the_retention_of_a_policy_reaches_the_sets_of_its_banks() {
    let bed = guardian::Bed::new(30);
    fs::create_dir(bed.path("sets")).unwrap();
    let tasks = "{task: VerifyBackup}, {task: Prune}";
    let config = CONFIG.replace("{task: VerifyBackup}", tasks);
    bed.config("memorybank.yaml", &config);
    let sets = || fs::read_dir(bed.path("sets/memorybank/default/sample")).unwrap().count();
    for _ in 0..3 {
        bed.once_ends(&["--now"], 0);
    }
    assert_eq!(sets(), 3, "without a retention every set stays");
    bed.edit("  bankSelector: {}\n", "  bankSelector: {}\n  retention: {last: 1, daily: 1}\n");
    bed.once_ends(&["--now"], 0);
    assert_eq!(sets(), 1);
    let bank = bed.objects("mbank").remove(0);
    assert_eq!(guardian::condition(&bank, "BackedUp").0, "True", "{bank:#}");
    let run = bed.objects("mrun").into_iter().find(|run| run.to_string().contains("3 sets removed"));
    assert!(run.is_some(), "the run says what went");
}
