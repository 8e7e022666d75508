use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::case::Case;
use super::healthy::Variant;
use super::kind::Fault;

/// Which kind of check saw a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Layer {
    /// Header, sizes, side files and WAL frames, read without SQLite.
    Raw,
    /// SQLite's own checks.
    Pragmas,
    /// Cells, schema, full text.
    Cells,
    /// What rows must have in common with each other and with the history.
    Invariants,
}

impl Layer {
    /// Every layer, lowest first.
    pub const ALL: [Self; 4] = [Self::Raw, Self::Pragmas, Self::Cells, Self::Invariants];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw file",
            Self::Pragmas => "pragmas",
            Self::Cells => "self-checks",
            Self::Invariants => "invariants",
        }
    }

    /// The layer of a check.
    pub fn of(check: &str) -> Self {
        match check {
            "sqlite-copy" | "sqlite-file" | "sqlite-side-files" | "sqlite-wal" => Self::Raw,
            "sqlite-quick-check" | "sqlite-integrity-check" | "sqlite-foreign-keys" => Self::Pragmas,
            "sqlite-states" | "sqlite-history" | "sqlite-duplicates" => Self::Invariants,
            _ => Self::Cells,
        }
    }
}

/// What the checks said of one case or variant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The checks that told damage.
    pub told: Vec<String>,
    /// The checks that could not be made.
    pub unknown: Vec<String>,
}

/// A share with its 95 % interval after Wilson.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Hits.
    pub of: u64,
    /// Trials.
    pub total: u64,
}

/// How one kind of damage was detected.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The kind.
    pub fault: &'static str,
    /// Where it strikes.
    pub group: &'static str,
    /// Detected of those that matter.
    pub detected: Share,
    /// Detected by each layer, of the same.
    pub layers: BTreeMap<Layer, u64>,
    /// Not detected, but some check said that it could not measure.
    pub unknown: u64,
    /// Cases in which the damage hit what nothing uses, and of them told.
    pub harmless: Share,
}

/// The result of an evaluation.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Per kind of damage, in the order of [`Fault::ALL`].
    pub rows: Vec<Row>,
    /// Bases and kinds of the cases that were missed.
    pub missed: Vec<String>,
    /// Healthy variants that raised an alarm, of all.
    pub false_alarms: Share,
    /// The variants that did, and what told it.
    pub alarms: Vec<String>,
    /// Healthy variants in which a check could not be made.
    pub unmeasured: Vec<String>,
}

impl Report {
    /// Counts the answer to a case.
    pub fn case(&mut self, case: &Case, answer: &Answer) {
        let row = self.row(case.fault);
        let told = !answer.told.is_empty();
        if !case.differs {
            row.harmless.add(told);
            return;
        }
        row.detected.add(told);
        for layer in Layer::ALL {
            if answer.told.iter().any(|check| Layer::of(check) == layer) {
                *row.layers.entry(layer).or_default() += 1;
            }
        }
        if !told {
            row.unknown += u64::from(!answer.unknown.is_empty());
            self.missed.push(format!("{} ({})", case.fault.name, case.base));
        }
    }

    /// Counts the answer to a healthy variant.
    pub fn healthy(&mut self, variant: &Variant, answer: &Answer) {
        self.false_alarms.add(!answer.told.is_empty());
        if !answer.told.is_empty() {
            self.alarms.push(format!("{}: {}", variant.name, answer.told.join(", ")));
        }
        if !answer.unknown.is_empty() {
            self.unmeasured.push(format!("{}: {}", variant.name, answer.unknown.join(", ")));
        }
    }

    /// Detected of all cases that matter: the recall.
    pub fn recall(&self) -> Share {
        self.rows.iter().fold(Share::default(), |sum, row| sum.plus(row.detected))
    }

    /// Of all alarms on damaged and healthy banks, those on damaged ones: the precision.
    pub fn precision(&self) -> Share {
        let hits = self.recall().of;
        Share { of: hits, total: hits + self.false_alarms.of }
    }

    /// Detected by a layer of all cases that matter.
    pub fn layer(&self, layer: Layer) -> Share {
        let of = self.rows.iter().filter_map(|row| row.layers.get(&layer)).sum();
        Share { of, total: self.recall().total }
    }

    fn row(&mut self, fault: &Fault) -> &mut Row {
        let at = self.rows.iter().position(|row| row.fault == fault.name).unwrap_or_else(|| {
            self.rows.push(Row {
                fault: fault.name,
                group: fault.group.name(),
                detected: Share::default(),
                layers: BTreeMap::new(),
                unknown: 0,
                harmless: Share::default(),
            });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }
}

impl Share {
    fn add(&mut self, hit: bool) {
        self.of += u64::from(hit);
        self.total += 1;
    }

    const fn plus(self, other: Self) -> Self {
        Self { of: self.of + other.of, total: self.total + other.total }
    }

    /// The 95 % interval after Wilson (1927), as shares from 0 to 1; the whole range without a trial.
    #[allow(clippy::cast_precision_loss, reason = "counts of cases are far below 2^52")]
    pub fn interval(self) -> (f64, f64) {
        const Z: f64 = 1.959_964;
        if self.total == 0 {
            return (0.0, 1.0);
        }
        let (n, p) = (self.total as f64, self.of as f64 / self.total as f64);
        let middle = p + Z * Z / (2.0 * n);
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown {
            of: u64,
            total: u64,
            interval: (f64, f64),
        }
        Shown { of: self.of, total: self.total, interval: self.interval() }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        let near = |(low, high): (f64, f64), a: f64, b: f64| (low - a).abs() < 5e-4 && (high - b).abs() < 5e-4;
        assert!(near(Share { of: 96, total: 107 }.interval(), 0.825, 0.942));
        assert!(near(Share { of: 0, total: 300 }.interval(), 0.0, 0.0126));
        assert!(near(Share { of: 5, total: 5 }.interval(), 0.566, 1.0));
        assert_eq!(Share::default().interval(), (0.0, 1.0));
    }
}
