use crate::cli::output::{out, outln};
use std::fmt::Write as _;
use std::path::Path;

use crate::cli::objects::open;
use crate::cli::{CliError, Exit, Format, Global};
use crate::domain::{Check, CorruptionEvent, Finding, RunReport};
use crate::sample::{self, Judgement, Told};

/// The bank of a sample, as its configuration names it.
const BANK: &str = "sample";
const NAMESPACE: &str = "default";
/// More than a sample can be planted with.
const MAX_EVENTS: u32 = 1_000;

/// Compares what the store in `data` holds as open with what was planted in `bank`.
pub async fn run(bank: &Path, data: &Path, global: &Global) -> Result<Exit, CliError> {
    let store = open(data).await?;
    let corruption = store.open_corruption(NAMESPACE, BANK, MAX_EVENTS).await?;
    let findings = store.open_findings(NAMESPACE, BANK, MAX_EVENTS).await?;
    let findings: Vec<Finding> = findings.into_iter().map(|(_, finding)| finding).collect();
    let mut checks = Vec::new();
    // The history keeps the newest runs; a sample has no others.
    for run in store.runs(NAMESPACE, BANK).await? {
        let Some(digest) = run.report else { continue };
        let bytes = store.get_blob(&digest).await?;
        let report = bytes.and_then(|bytes| serde_json::from_slice::<RunReport>(&bytes).ok());
        checks.extend(report.into_iter().flat_map(|report| report.tasks).flat_map(|task| task.checks));
    }
    if checks.is_empty() {
        return Err(CliError::Unmeasured(format!("no run of bank {BANK} has ended in {}", data.display())));
    }
    tell(bank, &corruption, &findings, &checks, global)
}

/// Judges and prints. Good where exactly the planted damage was found and every check was made.
fn tell(
    bank: &Path,
    corruption: &[CorruptionEvent],
    findings: &[Finding],
    checks: &[Check],
    global: &Global,
) -> Result<Exit, CliError> {
    let judgement = sample::judge(&sample::planted(bank)?, corruption, findings, checks);
    match global.output {
        Format::Json | Format::Yaml => {
            let text = serde_json::to_string_pretty(&json(&judgement));
            outln!("{}", text.map_err(|error| CliError::Internal(error.to_string()))?);
        }
        Format::Table | Format::Wide => out!("{}", table(&judgement)),
    }
    Ok(if judgement.exact() { Exit::Good } else { Exit::Findings })
}

fn table(judgement: &Judgement) -> String {
    let mut text = String::new();
    let mut line = |parts: std::fmt::Arguments| {
        let _ = writeln!(text, "{parts}");
    };
    if !judgement.found.is_empty() {
        line(format_args!("{:<24} {:<34} {}", "PLANTED", "FOUND BY", "WHERE"));
    }
    for found in &judgement.found {
        for (index, told) in found.told.iter().enumerate() {
            let name = if index == 0 { found.planted.damage.as_str() } else { "" };
            line(format_args!("{name:<24} {:<34} {}", told.check, told.place));
            line(format_args!("{:<24} -> {}", "", told.advice));
        }
    }
    for missed in &judgement.missed {
        line(format_args!(
            "{:<24} MISSED: {}; expected {}",
            missed.planted.damage,
            missed.planted.what,
            missed.missing.join(", ")
        ));
    }
    for told in &judgement.invented {
        line(format_args!("{:<24} {:<34} {}", "INVENTED", told.check, told.place));
    }
    for check in &judgement.unknown {
        line(format_args!("{:<24} {:<34} {}: {}", "NOT MEASURED", check.id, check.component, check.detail));
    }
    let Judgement { found, missed, invented, unknown } = judgement;
    line(format_args!(
        "planted {}, found {}, missed {}, invented {}, not measured {}",
        found.len() + missed.len(),
        found.len(),
        missed.len(),
        invented.len(),
        unknown.len()
    ));
    text
}

fn json(judgement: &Judgement) -> serde_json::Value {
    let told = |told: &Told| serde_json::json!({"check": told.check, "place": told.place, "advice": told.advice});
    let list = |all: &[Told]| all.iter().map(told).collect::<Vec<_>>();
    let found =
        judgement.found.iter().map(|one| serde_json::json!({"damage": one.planted.damage, "told": list(&one.told)}));
    let missed =
        judgement.missed.iter().map(|one| serde_json::json!({"damage": one.planted.damage, "missing": one.missing}));
    serde_json::json!({
        "exact": judgement.exact(),
        "found": found.collect::<Vec<_>>(),
        "missed": missed.collect::<Vec<_>>(),
        "invented": list(&judgement.invented),
        "unknown": judgement.unknown,
    })
}
