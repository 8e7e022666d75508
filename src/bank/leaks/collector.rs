use std::collections::HashSet;

use super::name::in_settings;
use super::{CHECK, LeakScan};
use crate::domain::{Check, Finding, RunReport, SecurityEventType};
use crate::engine::audit::leak::{Hit, Kind, Scanner};

/// Fingerprints that are remembered so that a value told once is not told again; beyond, duplicates only
/// make `omitted` too high.
const REMEMBERED: usize = 100_000;

/// Gathers the findings of one component.
pub struct Collector<'s> {
    scanner: &'s Scanner,
    component: String,
    findings: Vec<Finding>,
    seen: HashSet<String>,
    omitted: u64,
}

/// Where a hit is, and how it is told there.
pub struct Place<'p> {
    /// What stays the same from run to run: `memories/ID/content`, a file's path. Part of the fingerprint.
    pub object: &'p str,
    /// The line within a file; told, but no part of the fingerprint: lines move.
    pub line: Option<u64>,
    /// In a file of settings, where secrets are expected: whether others than its owner may read it.
    pub settings: Option<bool>,
}

impl<'s> Collector<'s> {
    pub fn new(scanner: &'s Scanner, component: &str) -> Self {
        Self { scanner, component: component.to_owned(), findings: Vec::new(), seen: HashSet::new(), omitted: 0 }
    }

    /// Scans one whole text.
    pub fn scan(&mut self, text: &[u8], place: &Place) {
        let scanner = self.scanner;
        scanner.scan(text, |hit| self.add(text, &hit, place));
    }

    pub fn scanner(&self) -> &'s Scanner {
        self.scanner
    }

    /// Adds a hit in `text`.
    pub fn add(&mut self, text: &[u8], hit: &Hit, place: &Place) {
        let value = text.get(hit.span.clone()).unwrap_or_default();
        let fingerprint = self.scanner.fingerprint(hit.rule, &self.component, place.object, value);
        if self.seen.contains(&fingerprint) {
            return;
        }
        if self.seen.len() < REMEMBERED {
            self.seen.insert(fingerprint.clone());
        }
        let (severity, advice) = match place.settings {
            Some(others_read) if hit.rule.kind != Kind::Personal => in_settings(hit.rule.severity, others_read),
            _ => (hit.rule.severity, hit.rule.advice),
        };
        let finding = Finding {
            check: CHECK.to_owned(),
            component: self.component.clone(),
            rule: hit.rule.id.to_owned(),
            event_type: SecurityEventType::DataLeak,
            severity,
            place: place.line.map_or_else(|| place.object.to_owned(), |line| format!("{}:{line}", place.object)),
            title: hit.rule.title.to_owned(),
            excerpt: hit.excerpt(text),
            fingerprint,
            advice: advice.to_owned(),
        };
        if self.findings.len() < RunReport::MAX_EVENTS {
            self.findings.push(finding);
            return;
        }
        self.omitted += 1;
        // Many mild findings are not to hide a grave one.
        let mildest =
            self.findings.iter().enumerate().rev().min_by_key(|(_, f)| f.severity).map(|(at, f)| (at, f.severity));
        if let Some((at, _)) = mildest.filter(|(_, mild)| *mild < finding.severity) {
            self.findings.remove(at);
            self.findings.push(finding);
        }
    }

    /// The result: `read` says what was read, `unread` what was not and why.
    pub fn finish(self, read: &str, unread: &[String]) -> LeakScan {
        let found = self.findings.len() as u64 + self.omitted;
        let left_out = match self.omitted {
            0 => String::new(),
            omitted => format!(", of which {omitted} are left out of the report"),
        };
        let detail = format!("{read}; {found} findings{left_out}");
        let check = if !unread.is_empty() {
            Check::unknown(CHECK, &self.component, format!("{detail}; not read: {}", unread.join("; ")))
        } else if found > 0 {
            Check::failed(CHECK, &self.component, detail)
        } else {
            Check::passed(CHECK, &self.component, detail)
        };
        LeakScan { checks: vec![check], findings: self.findings, omitted: self.omitted }
    }
}
