//! A data folder on a disk that is full.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::guardian::{Bed, field, wait_for};
use crate::small_disk::SmallDisk;

/// Takes every block that becomes free, until it is told to stop.
fn keep_full(path: &Path, stop: &AtomicBool) {
    let mut file = File::create(path).unwrap();
    while !stop.load(Ordering::Relaxed) {
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        thread::yield_now();
    }
    drop(file);
    fs::remove_file(path).unwrap();
}

#[test]
fn a_full_disk_is_told_and_the_report_is_stored_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::over(folder.path(), "96m") else { return };
    let bed = Bed::with_data(10_000, &disk.path().join("data"));
    let served = bed.watch(&[]);
    wait_for("a run in scratch", || (!bed.scratch().is_empty()).then_some(()));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| keep_full(&disk.path().join("ballast"), &stop));
        let said = wait_for("the trouble in /readyz", || served.ready().err().filter(|said| said.contains("no space")));
        assert!(said.contains("pending"), "{said}");
        // A report waits for room: the runs ended long ago.
        wait_for("a report that waits", || served.ready().err().filter(|said| said.contains("reports pending")));
        assert!(served.guardian.log().contains("report not stored yet"), "{}", served.guardian.log());
        assert!(served.metrics().contains("memorybank_store_errors_total{reason=\"Full\"}"), "{}", served.metrics());
        assert_eq!(served.page("/livez").unwrap().0, 200);
        stop.store(true, Ordering::Relaxed);
    });
    wait_for("readiness", || served.ready().ok());
    wait_for("the end of all runs", || {
        let open = bed.query("SELECT name FROM runs WHERE finished IS NULL");
        (open.is_empty() && bed.query("SELECT run FROM reports").len() == 2).then_some(())
    });
    assert_eq!(bed.query("SELECT run FROM reports GROUP BY run HAVING COUNT(*) > 1").len(), 0);
    // What is shown follows, in the files too.
    wait_for("the status of the runs", || {
        let runs = bed.objects("mrun");
        runs.iter().all(|run| !["", "Running", "Pending"].contains(&field(run, "/status/phase").as_str())).then_some(())
    });
    for run in bed.objects("mrun") {
        assert_eq!(bed.status("MaintenanceRun", &field(&run, "/metadata/name")).unwrap(), run);
    }
    assert!(served.stop().success());
}
