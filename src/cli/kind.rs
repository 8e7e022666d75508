use serde_json::Value;

use super::CliError;

/// A kind of resource as the command line knows it.
pub(super) struct Kind {
    /// As documents write it.
    pub name: &'static str,
    short: &'static str,
    plural: &'static str,
    /// What is printed of it, in order.
    pub columns: &'static [Column],
}

/// A printed column: the same names, paths and order as the printcolumns of the kind's definition.
pub(super) struct Column {
    pub header: &'static str,
    /// Where the value stands in the object.
    pub source: Source,
    /// Only with `-o wide`.
    pub wide: bool,
}

pub(super) enum Source {
    /// A JSON pointer.
    Path(&'static str),
    /// The status of a condition.
    Condition(&'static str),
    /// The reason of the condition Ready, or else of Succeeded, where it is not True.
    Reason,
    /// A JSON pointer to a time that is past, told as an age.
    Age(&'static str),
}

const fn column(header: &'static str, source: Source) -> Column {
    Column { header, source, wide: false }
}

const fn wide(header: &'static str, source: Source) -> Column {
    Column { header, source, wide: true }
}

use Source::{Age, Condition, Path, Reason};

/// Every kind that has a controller, in the order in which `get` prints them.
pub(super) const KINDS: [Kind; 6] = [
    Kind {
        name: "MemoryBank",
        short: "mbank",
        plural: "memorybanks",
        columns: &[
            column("READY", Condition("Ready")),
            column("HEALTH", Path("/status/health/score")),
            column("INTACT", Condition("Intact")),
            column("CONSISTENT", Condition("Consistent")),
            column("SECURE", Condition("Secure")),
            column("BACKEDUP", Condition("BackedUp")),
            column("LAST RUN", Age("/status/lastRunTime")),
            wide("CRITICAL", Path("/status/findings/critical")),
            wide("HIGH", Path("/status/findings/high")),
            wide("MEDIUM", Path("/status/findings/medium")),
            wide("LOW", Path("/status/findings/low")),
            wide("ALERTS", Path("/status/activeAlerts")),
            wide("REASON", Reason),
        ],
    },
    Kind {
        name: "MaintenancePolicy",
        short: "mpol",
        plural: "maintenancepolicies",
        columns: &[
            column("BANKS", Path("/status/banks")),
            column("ONTIME", Path("/status/onTime")),
            column("NEXT", Path("/status/nextSlotTime")),
            column("SUSPENDED", Path("/spec/suspend")),
            column("READY", Condition("Ready")),
        ],
    },
    Kind {
        name: "MaintenanceRun",
        short: "mrun",
        plural: "maintenanceruns",
        columns: &[
            column("BANK", Path("/spec/bankName")),
            column("SCHEDULE", Path("/spec/scheduleName")),
            column("PHASE", Path("/status/phase")),
            column("REASON", Reason),
            column("STARTED", Age("/status/startTime")),
        ],
    },
    Kind {
        name: "IntegrityCheck",
        short: "icheck",
        plural: "integritychecks",
        columns: &[
            column("BANK", Path("/spec/bankName")),
            column("LEVEL", Path("/spec/level")),
            column("VERDICT", Path("/status/verdict")),
            column("COVERAGE", Path("/status/coveragePercent")),
            column("LAST", Age("/status/lastCheckTime")),
            column("NEXT", Path("/status/nextSlotTime")),
        ],
    },
    Kind {
        name: "SecurityAudit",
        short: "saudit",
        plural: "securityaudits",
        columns: &[
            column("BANK", Path("/spec/bankName")),
            column("PASSED", Condition("Passed")),
            column("CRITICAL", Path("/status/findings/critical")),
            column("HIGH", Path("/status/findings/high")),
            column("NEW", Path("/status/findings/new")),
            column("LAST", Age("/status/lastAuditTime")),
            column("NEXT", Path("/status/nextSlotTime")),
        ],
    },
    Kind {
        name: "Recovery",
        short: "mrec",
        plural: "recoveries",
        columns: &[
            column("BANK", Path("/spec/bankName")),
            column("MODE", Path("/spec/mode")),
            column("PHASE", Path("/status/phase")),
            column("LOST", Path("/status/lost/memories")),
        ],
    },
];

impl Kind {
    /// The kind that a person means: by its name, plural or short name, in any case.
    pub fn find(text: &str) -> Result<&'static Self, CliError> {
        let text = text.to_ascii_lowercase();
        KINDS
            .iter()
            .find(|kind| text == kind.name.to_ascii_lowercase() || text == kind.plural || text == kind.short)
            .ok_or_else(|| {
                let known: Vec<_> = KINDS.iter().map(|kind| kind.short).collect();
                CliError::Config(format!("no kind {text}: expected one of {} or their long names", known.join(", ")))
            })
    }
}

impl Source {
    /// The printed value of an object; `<none>` for what is not there, as kubectl has it.
    pub fn of(&self, object: &Value, now: jiff::Timestamp) -> String {
        let none = || "<none>".to_owned();
        match self {
            Self::Path(pointer) => object.pointer(pointer).map_or_else(none, text),
            Self::Condition(name) => condition(object, name).and_then(|c| c.get("status")).map_or_else(none, text),
            Self::Reason => {
                let summary = condition(object, "Ready").or_else(|| condition(object, "Succeeded"));
                summary.and_then(|c| c.get("reason")).map_or_else(none, text)
            }
            Self::Age(pointer) => object
                .pointer(pointer)
                .and_then(Value::as_str)
                .and_then(|time| time.parse::<jiff::Timestamp>().ok())
                .map_or_else(none, |time| age(now.as_second() - time.as_second())),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|c| c.get("type").is_some_and(|t| t == name))
}

/// A duration as kubectl prints an age: two units while small, one when large.
pub(super) fn age(seconds: i64) -> String {
    let s = seconds.max(0);
    let (m, h, d) = (s / 60, s / 3600, s / 86_400);
    match s {
        0..120 => format!("{s}s"),
        120..600 if s % 60 != 0 => format!("{m}m{}s", s % 60),
        120..10_800 => format!("{m}m"),
        10_800..28_800 if m % 60 != 0 => format!("{h}h{}m", m % 60),
        10_800..172_800 => format!("{h}h"),
        172_800..691_200 if h % 24 != 0 => format!("{d}d{}h", h % 24),
        _ => format!("{d}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_prints_them() {
        for (seconds, expected) in [
            (-5, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (3_600, "60m"),
            (11_000, "3h3m"),
            (90_000, "25h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
        ] {
            assert_eq!(age(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn a_kind_is_found_by_each_of_its_names() {
        for name in ["mbank", "MemoryBank", "memorybanks"] {
            assert_eq!(Kind::find(name).unwrap().name, "MemoryBank");
        }
        assert!(Kind::find("pod").is_err());
    }
}
