//! Alert rules: right by promtool, each with its unit test and its page.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::guardian::{skipped, text};
use crate::{names_in, repository, text_of};

const RULES: &str = "charts/memorybank-operator/files/rules.yaml";

fn rules() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&text_of(RULES)).unwrap();
    let groups = file["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn alert(rule: &Value) -> &str {
    rule["alert"].as_str().unwrap()
}

fn promtool(arguments: &[&str]) {
    let Ok(output) = Command::new("promtool").args(arguments).current_dir(repository("")).output() else {
        return skipped("no promtool (Debian: prometheus) on PATH");
    };
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn promtool_reads_the_rules() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", RULES]);
}

#[test]
fn schedules_raise_alerts_on_their_cases_alone() {
    promtool(&["test", "rules", "tests/rules/schedules.yaml"]);
}

#[test]
fn banks_raise_alerts_on_their_cases_alone() {
    promtool(&["test", "rules", "tests/rules/banks.yaml"]);
}

#[test]
fn the_operator_raises_alerts_on_its_cases_alone() {
    promtool(&["test", "rules", "tests/rules/operator.yaml"]);
}

#[test]
fn growth_raises_its_alert_on_its_case_alone() {
    promtool(&["test", "rules", "tests/rules/growth.yaml"]);
}

/// Of each alert: how often a unit test expects it, and how often that it is quiet, before and after.
#[test]
fn every_alert_is_tested_before_while_and_after_it_fires() {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for file in names_in("tests/rules") {
        let suite: Value = serde_saphyr::from_str(&text_of(&format!("tests/rules/{file}"))).unwrap();
        for test in suite["tests"].as_array().unwrap() {
            for check in test["alert_rule_test"].as_array().unwrap() {
                let fires = !check["exp_alerts"].as_array().unwrap().is_empty();
                let word = if fires { "fires " } else { "quiet " };
                *seen.entry(check["alertname"].as_str().unwrap().to_owned()).or_default() += word;
            }
        }
    }
    for rule in rules() {
        let order = seen.remove(alert(&rule)).unwrap_or_default();
        assert!(order.contains("quiet fires") && order.contains("fires quiet"), "{}: {order}", alert(&rule));
    }
    assert!(seen.is_empty(), "tests of alerts that do not exist: {seen:?}");
}

#[test]
fn every_alert_says_how_bad_it_is_and_leads_to_its_page() {
    for rule in rules() {
        let alert = alert(&rule);
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{alert}: {severity}");
        for annotation in ["summary", "description"] {
            assert!(rule["annotations"][annotation].as_str().is_some_and(|text| text.len() > 20), "{alert}");
        }
        let page = format!("docs/runbooks/{alert}.md");
        assert_eq!(rule["annotations"]["runbook_url"], page);
        let text = text_of(&page);
        assert!(text.starts_with(&format!("# {alert}\n\nSeverity: {severity}.\n")), "{page}");
        let headings: Vec<_> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, ["## Meaning", "## Impact", "## Diagnose", "## Fix"], "{page}");
    }
}

#[test]
fn every_page_has_its_alert_and_no_dead_end() {
    let alerts: Vec<_> = rules().iter().map(|rule| format!("{}.md", alert(rule))).collect();
    for page in names_in("docs/runbooks") {
        assert!(alerts.contains(&page), "{page} is of no alert");
        let text = text_of(&format!("docs/runbooks/{page}"));
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            assert!(repository("docs/runbooks").join(link).is_file(), "{page} leads to {link}");
        }
        for named in text.split_whitespace().filter(|word| word.starts_with("docs/")) {
            let named = named.trim_end_matches(['.', ',', ';', ':']);
            assert!(repository(named).is_file(), "{page} names {named}");
        }
    }
}
