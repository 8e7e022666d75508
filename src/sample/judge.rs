use super::planted::Planted;
use crate::domain::{Check, CorruptionEvent, Finding, Verdict};

/// How what was told compares with what was planted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Planted and told.
    pub found: Vec<Found>,
    /// Planted, and not all of it told.
    pub missed: Vec<Missed>,
    /// Told and not planted.
    pub invented: Vec<Told>,
    /// Checks that could not be made: what they would have told is not known.
    pub unknown: Vec<Check>,
}

/// A planted damage that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What was planted.
    pub planted: Planted,
    /// What was told of it; never empty.
    pub told: Vec<Told>,
}

/// A planted damage that was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// What was planted.
    pub planted: Planted,
    /// Which of its signs are missing, for people.
    pub missing: Vec<String>,
}

/// One thing that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The check that told it.
    pub check: String,
    /// Component and place.
    pub place: String,
    /// What to do.
    pub advice: String,
}

impl Judgement {
    /// Whether exactly the planted damage was found, and every check was made.
    pub const fn exact(&self) -> bool {
        self.missed.is_empty() && self.invented.is_empty() && self.unknown.is_empty()
    }
}

/// Compares what was planted with what is open, and names the checks that were not made.
pub fn judge(planted: &[Planted], corruption: &[CorruptionEvent], findings: &[Finding], checks: &[Check]) -> Judgement {
    let mut judgement = Judgement {
        unknown: checks.iter().filter(|check| check.verdict == Verdict::Unknown).cloned().collect(),
        ..Judgement::default()
    };
    for one in planted {
        let mut told = Vec::new();
        let mut missing = Vec::new();
        for sign in &one.expected {
            let before = told.len();
            told.extend(corruption.iter().filter(|event| sign.is_event(event)).map(Told::from));
            told.extend(findings.iter().filter(|finding| sign.is_finding(finding)).map(Told::from));
            if told.len() == before {
                missing.push(sign.to_string());
            }
        }
        if missing.is_empty() {
            judgement.found.push(Found { planted: one.clone(), told });
        } else {
            judgement.missed.push(Missed { planted: one.clone(), missing });
        }
    }
    let signs = || planted.iter().flat_map(|one| one.expected.iter().chain(&one.also));
    judgement.invented.extend(corruption.iter().filter(|e| !signs().any(|s| s.is_event(e))).map(Told::from));
    judgement.invented.extend(findings.iter().filter(|f| !signs().any(|s| s.is_finding(f))).map(Told::from));
    judgement
}

impl From<&CorruptionEvent> for Told {
    fn from(event: &CorruptionEvent) -> Self {
        Self {
            check: event.check.clone(),
            place: format!("{}: {}", event.component, event.object),
            advice: event.advice.clone(),
        }
    }
}

impl From<&Finding> for Told {
    fn from(finding: &Finding) -> Self {
        Self {
            check: format!("{}/{}", finding.check, finding.rule),
            place: format!("{}: {}", finding.component, finding.place),
            advice: finding.advice.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CorruptionType, SecurityEventType, Severity};
    use crate::sample::Expected;

    fn event(object: &str) -> CorruptionEvent {
        CorruptionEvent {
            check: "sqlite-json".to_owned(),
            component: "database".to_owned(),
            corruption_type: CorruptionType::DataInconsistency,
            invariant: None,
            severity: Severity::Medium,
            object: object.to_owned(),
            count: 1,
            evidence: String::new(),
            advice: "mend it".to_owned(),
        }
    }

    fn finding(place: &str) -> Finding {
        Finding {
            check: "leaks".to_owned(),
            component: "history".to_owned(),
            rule: "email".to_owned(),
            event_type: SecurityEventType::DataLeak,
            severity: Severity::Low,
            place: place.to_owned(),
            title: String::new(),
            excerpt: String::new(),
            fingerprint: String::new(),
            advice: String::new(),
        }
    }

    fn planted() -> Planted {
        Planted {
            damage: "malformed-metadata".to_owned(),
            what: String::new(),
            expected: vec![Expected::corruption("sqlite-json", "database", "memories.metadata", None)],
            also: vec![Expected::finding("leaks", "history", "email", "*")],
        }
    }

    #[test]
    fn exactly_what_was_planted_is_exact() {
        let seen = judge(&[planted()], &[event("memories.metadata")], &[finding("anywhere")], &[]);
        assert!(seen.exact());
        assert_eq!(seen.found[0].told[0].place, "database: memories.metadata");
        assert!(judge(&[], &[], &[], &[]).exact());
    }

    #[test]
    fn another_object_is_both_missed_and_invented() {
        let seen = judge(&[planted()], &[event("apps.metadata")], &[], &[]);
        assert_eq!((seen.found.len(), seen.missed.len(), seen.invented.len()), (0, 1, 1));
        assert!(!seen.exact());
    }

    #[test]
    fn a_side_effect_alone_is_no_detection() {
        let seen = judge(&[planted()], &[], &[finding("x")], &[]);
        assert_eq!((seen.missed.len(), seen.invented.len()), (1, 0));
    }

    #[test]
    fn a_check_that_was_not_made_is_never_exact() {
        let seen = judge(&[], &[], &[], &[Check::unknown("leaks", "database", "no key")]);
        assert!(!seen.exact());
    }
}
