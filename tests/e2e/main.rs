//! The operator on a real node: helm, the image of our binary, pods of Jobs, and what breaks them. One test, whose
//! steps follow each other on one cluster (docs/testing.md).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

#[path = "../common/control_plane.rs"]
mod control_plane;
#[path = "../common/guardian.rs"]
mod guardian;
#[path = "../common/standin.rs"]
mod standin;

mod banks;
mod cluster;
mod faults;
mod golden;
mod host_path;
mod install;
mod outage;
mod plain;
mod prometheus;
mod quickstart;
mod recovery;
mod rights;
mod upgrade;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use cluster::Cluster;

/// What is done, and by what name it is told.
type Step = (&'static str, fn(&Cluster));

#[test]
fn the_operator_on_a_real_node() {
    let Some(cluster) = Cluster::start() else { return };
    let begun = Instant::now();
    let steps: [Step; 16] = [
        ("helm install", install::installed),
        ("quickstart", quickstart::applied),
        ("golden", golden::same_as_local),
        ("Prometheus", prometheus::scraped),
        ("recovery", recovery::looked_at),
        ("Job deleted, pod evicted", faults::disrupted),
        ("out of memory", faults::out_of_memory),
        ("volume missing", faults::volume_missing),
        ("Secret missing and changed", faults::secrets),
        ("image wrong", faults::image_wrong),
        ("parts killed", outage::parts_killed),
        ("node lost", outage::node_lost),
        ("host path", host_path::forbidden_and_allowed),
        ("rights", rights::none_missing_none_superfluous),
        ("upgrade and uninstall", upgrade::upgraded_and_uninstalled),
        ("kubectl apply -k", plain::installed),
    ];
    let mut failures = Vec::new();
    let only = std::env::var("E2E_STEPS").unwrap_or_default();
    for (name, step) in steps {
        // While one step is worked on: the names of the steps to take, beside the first.
        if name != "helm install" && !only.is_empty() && !only.split(',').any(|wanted| name.contains(wanted)) {
            continue;
        }
        let start = Instant::now();
        // A step that fails does not hide what the others show.
        let failed = catch_unwind(AssertUnwindSafe(|| step(&cluster))).is_err();
        println!("{name}: {:.1} s{}", start.elapsed().as_secs_f32(), if failed { ", FAILED" } else { "" });
        failures.extend(failed.then_some(name));
    }
    println!("all steps: {:.0} s", begun.elapsed().as_secs_f32());
    assert!(failures.is_empty(), "failed: {}", failures.join(", "));
}
