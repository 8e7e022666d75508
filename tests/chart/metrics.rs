//! Metrics that rules and dashboard speak of: the program has them, and docs/monitoring.md lists them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use regex::Regex;
use serde_json::{Value, json};

use crate::guardian::{skipped, text};
use crate::text_of;

/// What a histogram is stored as.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *text += fs::read_to_string(path).unwrap().split("#[cfg(test)]").next().unwrap();
        }
    }
}

/// Families that the program can write: the names stand in its source, whole or as the exposition prefixes them.
fn written() -> BTreeSet<String> {
    let mut source = String::new();
    for folder in ["board", "server", "operator"].map(|module| crate::repository("src").join(module)) {
        if folder.is_dir() {
            sources(&folder, &mut source);
        }
    }
    let name = Regex::new(r#""(?:memorybank_)?((?:bank|schedule|runs?|operator|store|ingest)_[a-z_]+[a-z])""#).unwrap();
    let mut families: BTreeSet<_> =
        name.captures_iter(&source).map(|found| format!("memorybank_{}", &found[1])).collect();
    // Those of the operator are named by their ends.
    let end = Regex::new(r#"\bnamed\("([a-z_]+)"\)"#).unwrap();
    families.extend(end.captures_iter(&source).map(|found| format!("memorybank_operator_{}", &found[1])));
    families
}

/// Families that docs/monitoring.md lists, one a row.
fn listed() -> BTreeSet<String> {
    let row = Regex::new(r"(?m)^\| `(memorybank_[a-z_]+)` \|").unwrap();
    let text = text_of("docs/monitoring.md");
    row.captures_iter(&text).map(|found| found[1].to_owned()).collect()
}

/// Families that an expression, or any text with expressions, speaks of.
fn used(text: &str, families: &BTreeSet<String>) -> BTreeSet<String> {
    let name = Regex::new(r"\bmemorybank_[a-z_]+[a-z]\b").unwrap();
    let family = |name: &str| {
        let base = PARTS.iter().find_map(|part| name.strip_suffix(part)).filter(|base| families.contains(*base));
        base.unwrap_or(name).to_owned()
    };
    name.find_iter(text).map(|found| family(found.as_str())).collect()
}

#[test]
fn the_page_lists_the_families_that_the_program_writes() {
    let (written, listed) = (written(), listed());
    assert!(written.len() > 15, "{written:?}");
    let unlisted: Vec<_> = written.difference(&listed).collect();
    assert!(unlisted.is_empty(), "docs/monitoring.md does not list {unlisted:?}");
    let never: Vec<_> = listed.difference(&written).collect();
    assert!(never.is_empty(), "docs/monitoring.md lists what nothing writes: {never:?}");
}

#[test]
fn rules_and_dashboard_speak_of_families_that_exist() {
    let listed = listed();
    for file in ["rules.yaml", "dashboard.json"] {
        let text = text_of(&format!("charts/memorybank-operator/files/{file}"));
        let used = used(&text, &listed);
        assert!(used.len() > 10, "{file}: {used:?}");
        let unknown: Vec<_> = used.difference(&listed).collect();
        assert!(unknown.is_empty(), "{file} speaks of {unknown:?}, which does not exist");
    }
}

#[test]
fn every_panel_has_its_place_a_description_and_a_question() {
    let dashboard: Value = serde_json::from_str(&text_of("charts/memorybank-operator/files/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let place = |field: &str| panel["gridPos"][field].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(x < 24 && taken.insert((x, y)), "{title} covers another panel");
            }
        }
        if panel["type"] != "row" {
            assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title}");
            let targets = panel["targets"].as_array().unwrap();
            assert!(targets.iter().all(|target| target["expr"].as_str().unwrap().contains("memorybank_")), "{title}");
        }
    }
}

/// Grafana's own words are replaced by what they come to.
#[test]
fn promtool_reads_the_questions_of_the_dashboard() {
    let dashboard: Value = serde_json::from_str(&text_of("charts/memorybank-operator/files/dashboard.json")).unwrap();
    let mut rules = Vec::new();
    for target in
        dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array()).flatten()
    {
        let expression = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
        let expression = expression.replace("$namespace", ".*").replace("$bank", ".*");
        assert!(!expression.contains('$'), "{expression}");
        rules.push(json!({"record": format!("panel:question:{}", rules.len()), "expr": expression}));
    }
    assert!(rules.len() > 20);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.json");
    fs::write(&file, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string()).unwrap();
    let Ok(output) = Command::new("promtool").args(["check", "rules"]).arg(&file).output() else {
        return skipped("no promtool (Debian: prometheus) on PATH");
    };
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
