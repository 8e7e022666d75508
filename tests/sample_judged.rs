//! The SQLite checks over sample banks: nothing on healthy ones, exactly what was planted on damaged ones.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use memorybank::bank::{Meter, sqlite};
use memorybank::domain::{Check, CorruptionEvent, Finding, Level};
use memorybank::sample::{self, Damage, Expected, Generation, Planted, Recipe, judge};

struct Seen {
    checks: Vec<Check>,
    corruption: Vec<CorruptionEvent>,
    findings: Vec<Finding>,
}

/// What a run of level Full with the audit's scope Erasure tells of the two databases.
async fn look(folder: &Path) -> Seen {
    let scratch = tempfile::tempdir().unwrap();
    let meter = Meter::default();
    let mut seen = Seen { checks: Vec::new(), corruption: Vec::new(), findings: Vec::new() };
    let mut copies = Vec::new();
    for (path, component, kind) in [
        ("openmemory.db", "database", sqlite::SchemaKind::OpenMemory),
        (".mem0/history.db", "history", sqlite::SchemaKind::Mem0History),
    ] {
        let mut copy = sqlite::copy(&folder.join("bank"), path, scratch.path(), &meter).unwrap();
        let raw = copy.raw.judge(component);
        seen.checks.extend(raw.checks);
        seen.corruption.extend(raw.events);
        copy.prepare().unwrap();
        let report = sqlite::check(&copy.path(), component, kind, Level::Full, &meter).await.unwrap();
        seen.checks.extend(report.checks);
        seen.corruption.extend(report.corruption);
        copies.push(copy);
    }
    let (main, history) = (copies[0].path(), copies[1].path());
    let report = sqlite::check_history(&main, &history, "database", &meter).await.unwrap();
    seen.checks.extend(report.checks);
    seen.corruption.extend(report.corruption);
    let (checks, findings) = sqlite::erasure(&main, Some(&history), &[7; 32], &meter).await.unwrap();
    seen.checks.extend(checks);
    seen.findings.extend(findings);
    seen
}

/// What these checks are to find of all that was planted.
fn of_databases(planted: Vec<Planted>) -> Vec<Planted> {
    let seen = |sign: &Expected| match sign {
        Expected::Corruption { check, .. } => check.starts_with("sqlite-"),
        Expected::Finding { check, .. } => check == "erasure",
    };
    planted.into_iter().filter(|one| one.expected.iter().all(seen)).collect()
}

#[tokio::test]
async fn a_healthy_sample_is_told_healthy() {
    for (seed, generation) in (1..13).zip(Generation::ALL.into_iter().cycle()) {
        let folder = tempfile::tempdir().unwrap();
        let recipe = Recipe { memories: 40 * usize::try_from(seed).unwrap(), seed, generation };
        sample::write(folder.path(), &recipe, &[]).await.unwrap();
        let seen = look(folder.path()).await;
        let judgement = judge(&[], &seen.corruption, &seen.findings, &seen.checks);
        assert!(judgement.exact(), "{recipe:?}: {judgement:#?}");
    }
}

#[tokio::test]
async fn all_planted_damage_of_the_databases_is_found_and_nothing_else() {
    for (seed, generation) in (21..27).zip(Generation::ALL.into_iter().cycle()) {
        let folder = tempfile::tempdir().unwrap();
        let recipe = Recipe { memories: 200, seed, generation };
        let planted = sample::write(folder.path(), &recipe, &Damage::together()).await.unwrap();
        let seen = look(folder.path()).await;
        let judgement = judge(&of_databases(planted), &seen.corruption, &seen.findings, &seen.checks);
        assert!(judgement.exact(), "{recipe:?}: {judgement:#?}");
        assert_eq!(judgement.found.len(), 14);
    }
}

#[tokio::test]
async fn each_damage_of_the_databases_alone_is_found() {
    for damage in Damage::ALL {
        let folder = tempfile::tempdir().unwrap();
        let recipe = Recipe { memories: 150, ..Recipe::default() };
        let planted = sample::write(folder.path(), &recipe, &[*damage]).await.unwrap();
        let seen = look(folder.path()).await;
        // What cannot be compared any more is Unknown, which is honest where the history is cut.
        let checks = if *damage == Damage::HistoryTruncated { &[][..] } else { &seen.checks };
        let judgement = judge(&of_databases(planted), &seen.corruption, &seen.findings, checks);
        assert!(judgement.exact(), "{damage}: {judgement:#?}");
    }
}
