//! Sets that other tools made.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use memorybank::domain::Verdict;

use crate::bed::Bed;

/// An archive with the folder `./` and these files.
fn tar_gz(path: &Path, files: &[(&str, &[u8])]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut archive = tar::Builder::new(GzEncoder::new(File::create(path).unwrap(), Compression::default()));
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    archive.append_data(&mut header, "./", std::io::empty()).unwrap();
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, *content).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap().flush().unwrap();
}

#[test]
fn the_empty_archive_of_the_old_scripts_is_a_failed_backup() {
    let mut bed = Bed::new(30);
    let old = bed.path("old");
    fs::create_dir(&old).unwrap();
    let report = bed.judge();
    assert_eq!(report.tasks[0].checks[0].verdict, Verdict::Failed, "an empty tree: {report:#?}");

    for set in ["20250625_010000", "20250701_010000"] {
        tar_gz(&old.join(set).join("mem0_storage.tar.gz"), &[]);
        fs::write(old.join(set).join("docker-compose.yml"), "services: {}").unwrap();
    }
    assert!(fs::metadata(old.join("20250701_010000/mem0_storage.tar.gz")).unwrap().len() < 130);
    let report = bed.judge();
    let task = &report.tasks[0];
    assert_eq!(task.checks[0].verdict, Verdict::Failed, "{report:#?}");
    let objects: Vec<_> = task.corruption.iter().map(|event| event.object.as_str()).collect();
    assert_eq!(objects, ["20250625_010000/mem0_storage.tar.gz", "20250701_010000/mem0_storage.tar.gz"]);
    assert!(task.corruption.iter().all(|event| event.component == "backups/old"));

    // One that holds something passes, and no longer when its end is cut off or a byte is flipped.
    fs::remove_dir_all(old.join("20250625_010000")).unwrap();
    let archive = old.join("20250701_010000/mem0_storage.tar.gz");
    tar_gz(&archive, &[("./collections/openmemory/0/segment.json", b"{\"segment\": 1}")]);
    assert_eq!(bed.judge().tasks[0].checks[0].verdict, Verdict::Passed);
    let good = fs::read(&archive).unwrap();
    let mut flipped = good.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    for bad in [good[..good.len() - 9].to_vec(), flipped] {
        fs::write(&archive, bad).unwrap();
        let report = bed.judge();
        assert_eq!(report.tasks[0].checks[0].verdict, Verdict::Failed, "{report:#?}");
    }
}

#[test]
fn sets_of_our_own_in_a_declared_tree_are_judged_by_their_manifests() {
    let mut bed = Bed::new(30);
    bed.back_up("one");
    fs::rename(bed.repository(), bed.path("old")).unwrap();
    assert_eq!(bed.judge().tasks[0].checks[0].verdict, Verdict::Passed);
    let set = fs::read_dir(bed.path("old")).unwrap().next().unwrap().unwrap().path();
    fs::write(set.join("sqlite/history.db.zst"), "another").unwrap();
    let report = bed.judge();
    assert_eq!(report.tasks[0].checks[0].verdict, Verdict::Failed);
    assert!(report.tasks[0].corruption[0].evidence.contains("sqlite/history.db.zst"), "{report:#?}");
}
