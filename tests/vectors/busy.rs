//! A healthy store that is written to while it is looked at raises no alarm.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use memorybank::domain::{Level, Verdict};

use crate::qdrant::{Config, Qdrant, memory, unit};
use crate::{NAME, SIZE, check, id, verdict};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_that_come_and_go_meanwhile_are_no_damage() {
    let server = Arc::new(Qdrant::start());
    server.generate(NAME, Config::cosine(SIZE), 3, 4_000);
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = thread::spawn({
        let (server, stop, written) = (Arc::clone(&server), Arc::clone(&stop), Arc::clone(&written));
        move || {
            let ids = server.ids(NAME);
            let mut number = 0_u64;
            while !stop.load(Ordering::SeqCst) {
                // Before and behind whoever walks, as many as go.
                let at = usize::try_from(number.wrapping_mul(7_919) % 4_000).unwrap();
                server.put(NAME, id(number.wrapping_mul(1 << 50)), memory("new", "bob"), Some(unit(number, SIZE)));
                server.remove(NAME, ids[at]);
                number += 1;
                written.store(number, Ordering::SeqCst);
                thread::sleep(std::time::Duration::from_micros(200));
            }
        }
    });
    let before = loop {
        let written = written.load(Ordering::SeqCst);
        if written > 0 {
            break written;
        }
        tokio::task::yield_now().await;
    };
    for _ in 0..3 {
        let task = check(&server, Level::Full).await;
        assert_eq!(task.corruption, [], "{:?}", task.corruption);
        for check in &task.checks {
            // Of a store that is written to all the time the number of points may stay unknown.
            let moving = check.id == "vectors-count" && check.verdict == Verdict::Unknown;
            assert!(moving || check.verdict == Verdict::Passed, "{check:?}");
        }
    }
    assert!(written.load(Ordering::SeqCst) > before, "nothing was written meanwhile");
    stop.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    let task = check(&server, Level::Full).await;
    assert_eq!(task.corruption, []);
    assert_eq!(verdict(&task, "vectors-count"), Some(Verdict::Passed), "it holds still now");
}
