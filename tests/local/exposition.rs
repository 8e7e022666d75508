//! `/metrics` of a running `local`, as Prometheus' own tool and a few rules see it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::guardian::{Bed, skipped, text, wait_for};

/// The series of a bank that a scrape shows: name with labels, in order.
fn series(page: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let samples = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    samples
        .map(|line| {
            let (name, rest) = line.split_once('{').unwrap_or_else(|| (line.split(' ').next().unwrap(), ""));
            let labels = rest.rsplit_once('}').map_or("", |(labels, _)| labels);
            let pairs = labels.split("\",").filter(|pair| !pair.is_empty()).map(|pair| {
                let (label, value) = pair.split_once("=\"").unwrap();
                (label.to_owned(), value.trim_end_matches('"').to_owned())
            });
            (name.to_owned(), pairs.collect())
        })
        .collect()
}

/// Type and help of each family.
fn heads(page: &str, word: &str) -> BTreeMap<String, String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix(&format!("# {word} ")));
    lines.map(|line| line.split_once(' ').map(|(name, told)| (name.to_owned(), told.to_owned())).unwrap()).collect()
}

/// The family of a series: a histogram's parts are of one.
fn family(name: &str, types: &BTreeMap<String, String>) -> String {
    let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    of_histogram.filter(|base| types.contains_key(*base)).unwrap_or(name).to_owned()
}

#[test]
fn metrics_of_a_damaged_bank_keep_the_rules() {
    let bed = Bed::new(60);
    bed.once_ends(&["--now"], 0);
    bed.sample(&["--damage", "all"]);
    let served = bed.watch(&["--now"]);
    let page = wait_for("what the runs found", || {
        let page = served.metrics();
        let all = ["memorybank_bank_corruption_events_total{", "memorybank_bank_findings{", "task=\"SecurityAudit\""];
        (all.iter().all(|part| page.contains(part)) && page.contains("memorybank_runs_active 0")).then_some(page)
    });

    let (types, helps) = (heads(&page, "TYPE"), heads(&page, "HELP"));
    let series = series(&page);
    for (name, labels) in &series {
        let family = family(name, &types);
        assert!(family.starts_with("memorybank_"), "{family}");
        assert!(helps.get(&family).is_some_and(|help| !help.is_empty()), "{family} has no HELP");
        let kind = types.get(&family).unwrap_or_else(|| panic!("{family} has no TYPE"));
        assert_eq!(family.ends_with("_total"), kind == "counter", "{family} is a {kind}");
        assert!(labels.len() <= 6, "{name} {labels:?}");
    }
    assert_eq!(types.keys().collect::<Vec<_>>(), helps.keys().collect::<Vec<_>>());
    for name in [
        "bank_condition",
        "bank_condition_since_timestamp_seconds",
        "bank_health_score",
        "bank_findings",
        "bank_corruption_events_total",
        "bank_open_corruption",
        "bank_memories",
        "bank_database_size_bytes",
        "schedule_since_timestamp_seconds",
        "schedule_last_run_timestamp_seconds",
        "schedule_last_success_timestamp_seconds",
        "schedule_last_run_success",
        "schedule_next_run_timestamp_seconds",
        "schedule_expected_interval_seconds",
        "schedule_suspended",
        "schedule_missed_runs_total",
        "run_duration_seconds",
        "runs_active",
        "operator_build_info",
        "operator_ready",
        "store_size_bytes",
        "store_oldest_event_timestamp_seconds",
    ] {
        assert!(types.contains_key(&format!("memorybank_{name}")), "{name} is missing");
    }

    // Labels come from closed sets or are names of declared things: no text of a bank, and no growth with it.
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (label, value) in series.iter().flat_map(|(_, labels)| labels) {
        values.entry(label).or_default().insert(value);
    }
    let is = |label: &str, allowed: &[&str]| {
        let unknown: Vec<_> = values[label].iter().filter(|value| !allowed.contains(value)).collect();
        assert!(unknown.is_empty(), "{label} has {unknown:?}");
    };
    is("bank", &["sample"]);
    is("namespace", &["default"]);
    is("policy", &["standard"]);
    is("schedule", &["daily"]);
    is("status", &["True", "False", "Unknown"]);
    is("severity", &["Critical", "High", "Medium", "Low"]);
    is("state", &["new", "persisting", "fixed", "waived", "New", "Persisting", "Fixed", "Waived"]);
    is("task", &["IntegrityCheck", "SecurityAudit"]);
    is("part", &["config", "store", "reports"]);
    let of_bank = series.iter().filter(|(_, labels)| labels.contains_key("bank")).count();
    assert!(of_bank < 80, "{of_bank} series of one bank");
    let holds = |name: &str, status: &str| {
        page.contains(&format!("bank=\"sample\",condition=\"{name}\",status=\"{status}\"}} 1"))
    };
    assert!(holds("Intact", "False") && holds("Reachable", "Unknown") && holds("OnSchedule", "True"), "{page}");

    promtool_agrees(&page);
    assert!(served.stop().success());
}

/// `promtool check metrics` reads the page, and finds nothing against its names.
fn promtool_agrees(page: &str) {
    let child =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        return skipped("no promtool (Debian: prometheus) on PATH");
    };
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn only_known_pages_are_served_and_probes_answer() {
    let bed = Bed::new(30);
    let served = bed.watch(&[]);
    let (status, body) = served.page("/livez").unwrap();
    assert_eq!((status, body.as_str()), (200, "ok\n"));
    let ready = served.ready().unwrap();
    assert!(ready.contains("config ok\n") && ready.contains("store ok\n"), "{ready}");
    for path in ["/", "/debug", "/metrics/..", "/readyz?x=1/../../etc/passwd"] {
        let (status, body) = served.page(path).unwrap();
        assert!(status == 404 || path.starts_with("/readyz"), "{path}: {status}");
        assert!(!body.contains("root:"), "{path}");
    }
    assert!(served.stop().success());
}
