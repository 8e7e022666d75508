//! `memorybank eval leaks FILE.jsonl`: how well the leak scan does on labelled texts.

use crate::cli::output::{out, outln};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cli::{CliError, Exit, Format, Global};
use crate::engine::audit::leak::{Hit, Kind, Scanner};

/// One labelled text. With `leak` the whole text is a case; without, each span is one.
#[derive(Debug, Deserialize)]
struct Case {
    text: String,
    #[serde(default)]
    leak: Option<bool>,
    #[serde(default)]
    spans: Vec<Span>,
    #[serde(default)]
    source: String,
}

/// A labelled part of a text, in characters.
#[derive(Debug, Deserialize)]
struct Span {
    start: usize,
    end: usize,
    label: String,
}

/// Which of our rules answers a label of the data sets.
const LABELS: [(&str, &str); 7] = [
    ("CREDIT_CARD", "payment-card"),
    ("EMAIL_ADDRESS", "email-address"),
    ("IBAN_CODE", "iban"),
    ("PHONE_NUMBER", "phone-number"),
    ("PH_MOBILE_NUMBER", "phone-number"),
    ("TR_PHONE_NUMBER", "phone-number"),
    ("US_SSN", "us-ssn"),
];

/// What was counted in one group of cases.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    true_positives: u64,
    false_positives: u64,
    false_negatives: u64,
}

impl Count {
    fn add(&mut self, labelled: bool, found: bool) {
        match (labelled, found) {
            (true, true) => self.true_positives += 1,
            (true, false) => self.false_negatives += 1,
            (false, true) => self.false_positives += 1,
            (false, false) => {}
        }
    }

    /// Precision, recall and their harmonic mean; none where nothing was found or labelled.
    fn figures(&self) -> [Option<f64>; 3] {
        let ratio = |part: u64, whole: u64| (whole > 0).then(|| float(part) / float(whole));
        let Self { true_positives: tp, false_positives: fp, false_negatives: missed } = *self;
        [ratio(tp, tp + fp), ratio(tp, tp + missed), ratio(2 * tp, 2 * tp + fp + missed)]
    }
}

/// Counts of cases are far below the 53 bits of a mantissa.
fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// Reads the labelled texts of `path` and prints what the scan finds, misses and invents, by source and label.
#[allow(clippy::unused_async)] // Commands are async by convention.
pub async fn run(path: &Path, global: &Global) -> Result<Exit, CliError> {
    let counts = measure(path)?;
    match global.output {
        Format::Json | Format::Yaml => {
            let text = serde_json::to_string_pretty(&json(&counts)).map_err(|e| CliError::Internal(e.to_string()))?;
            outln!("{text}");
        }
        Format::Table | Format::Wide => out!("{}", table(&counts)),
    }
    Ok(Exit::Good)
}

/// The counts by label and source; the source of a total is `all`.
type Counts = BTreeMap<(String, String), Count>;

fn measure(path: &Path) -> Result<Counts, CliError> {
    let shown = path.display();
    let file = std::fs::File::open(path).map_err(|e| CliError::Config(format!("cannot read {shown}: {e}")))?;
    // Nothing is told by fingerprint here, so the key is of no account.
    let scanner = Scanner::new(&[0; 32]);
    let mut counts = Counts::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|e| CliError::Config(format!("cannot read {shown}: {e}")))?;
        if line.trim().is_empty() {
            continue;
        }
        let case: Case = serde_json::from_str(&line)
            .map_err(|e| CliError::Config(format!("{shown}:{}: not a labelled text: {e}", number + 1)))?;
        judge(&scanner, &case, &mut counts);
    }
    if counts.is_empty() {
        return Err(CliError::Unmeasured(format!("{shown} has no labelled text")));
    }
    Ok(counts)
}

fn judge(scanner: &Scanner, case: &Case, counts: &mut Counts) {
    let mut hits = Vec::new();
    scanner.scan(case.text.as_bytes(), |hit| hits.push(hit));
    let mut count = |label: &str, labelled, found| {
        for source in [case.source.as_str(), "all"] {
            counts.entry((label.to_owned(), source.to_owned())).or_default().add(labelled, found);
        }
    };
    if let Some(leak) = case.leak {
        count("secret", leak, hits.iter().any(|h| h.rule.kind != Kind::Personal));
        return;
    }
    let bytes: Vec<usize> = case.text.char_indices().map(|(at, _)| at).chain([case.text.len()]).collect();
    let place = |at: usize| bytes.get(at).copied().unwrap_or(case.text.len());
    let overlaps = |hit: &Hit, span: &Span| hit.span.start < place(span.end) && place(span.start) < hit.span.end;
    let rule_of = |label: &str| LABELS.iter().find(|(l, _)| *l == label).map(|(_, rule)| *rule);
    for span in &case.spans {
        if let Some(rule) = rule_of(&span.label) {
            count(rule, true, hits.iter().any(|h| h.rule.id == rule && overlaps(h, span)));
        }
    }
    for hit in hits.iter().filter(|h| h.rule.kind == Kind::Personal) {
        if !case.spans.iter().any(|s| rule_of(&s.label) == Some(hit.rule.id) && overlaps(hit, s)) {
            count(hit.rule.id, false, true);
        }
    }
}

fn table(counts: &Counts) -> String {
    let mut text = format!(
        "{:<16} {:<36} {:>6} {:>6} {:>6} {:>9} {:>7} {:>6}\n",
        "LABEL", "SOURCE", "TP", "FP", "FN", "PRECISION", "RECALL", "F1"
    );
    for ((label, source), count) in counts {
        let [precision, recall, f1] = count.figures().map(|f| f.map_or_else(|| "-".to_owned(), |f| format!("{f:.3}")));
        let Count { true_positives: tp, false_positives: fp, false_negatives: missed } = count;
        let _ =
            writeln!(text, "{label:<16} {source:<36} {tp:>6} {fp:>6} {missed:>6} {precision:>9} {recall:>7} {f1:>6}");
    }
    text
}

fn json(counts: &Counts) -> serde_json::Value {
    counts
        .iter()
        .map(|((label, source), count)| {
            let [precision, recall, f1] = count.figures();
            serde_json::json!({"label": label, "source": source, "count": count, "precision": precision, "recall": recall, "f1": f1})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(lines: &str) -> Result<Counts, CliError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines).unwrap();
        measure(file.path())
    }

    #[test]
    fn texts_are_counted_by_source_and_spans_by_label() {
        let counts = measured(concat!(
            r#"{"text": "my password is h4rb0rTig3r", "leak": true, "source": "a"}"#, "\n",
            r#"{"text": "my password is lost", "leak": true, "source": "a"}"#, "\n",
            r#"{"text": "POSTGRES_PASSWORD=h4rb0rTig3r", "leak": false, "source": "b"}"#, "\n\n",
            r#"{"text": "é: ada@mailbox.org", "spans": [{"start": 3, "end": 18, "label": "EMAIL_ADDRESS"}], "source": "c"}"#, "\n",
            r#"{"text": "bob@mailbox.org", "spans": [], "source": "c"}"#, "\n",
        ))
        .unwrap();
        let of = |label: &str, source: &str| {
            let Count { true_positives, false_positives, false_negatives } =
                counts[&(label.to_owned(), source.to_owned())];
            (true_positives, false_positives, false_negatives)
        };
        assert_eq!(of("secret", "a"), (1, 0, 1));
        assert_eq!(of("secret", "b"), (0, 1, 0));
        assert_eq!(of("secret", "all"), (1, 1, 1));
        assert_eq!(of("email-address", "all"), (1, 1, 0));
        assert!(table(&counts).contains("0.500"));
    }

    #[test]
    fn what_is_no_labelled_text_is_refused_with_its_line() {
        assert!(
            matches!(measured("{\"text\": \"a\", \"leak\": true}\nnonsense"), Err(CliError::Config(text)) if text.contains(":2:"))
        );
        assert!(matches!(measured(""), Err(CliError::Unmeasured(_))));
        assert!(matches!(measure(Path::new("/does/not/exist")), Err(CliError::Config(_))));
    }
}
