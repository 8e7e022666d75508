use crate::cli::output::{out, outln};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::bank::Meter;
use crate::bank::sqlite;
use crate::cli::{CliError, Exit, Format, Global};
use crate::domain::{Check, CorruptionEvent, Level, Verdict};
use crate::engine::integrity::sqlite::schema::SchemaKind;
use crate::sample::fault::{Answer, Cases, Fault, Healthy, Layer, Report, Row, Set, Share};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Banks that are damaged, each in every way
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    bases: u16,
    /// Healthy variants that must raise no alarm
    #[arg(long, value_name = "N", default_value_t = 300)]
    healthy: u16,
    /// Where chance begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The share of the damage that must be detected: 96 of 107.
const GOAL: f64 = 96.0 / 107.0;

pub async fn run(args: &Args, global: &Global) -> Result<Exit, CliError> {
    let scratch = Scratch::new()?;
    let mut report = Report::default();
    let mut cases = Cases::new(&scratch.0.join("cases"), usize::from(args.bases), args.seed);
    while let Some(case) = cases.next().await? {
        let answer = ask(&case.set, &scratch.0.join("copy")).await?;
        report.case(&case, &answer);
        case.close().await;
    }
    let mut healthy = Healthy::new(&scratch.0, usize::from(args.healthy), args.seed);
    while let Some(variant) = healthy.next().await? {
        let answer = ask(&variant.set, &scratch.0.join("copy")).await?;
        report.healthy(&variant, &answer);
        variant.close().await?;
    }
    match global.output {
        Format::Json | Format::Yaml => {
            let text = serde_json::to_string_pretty(&json(&report));
            outln!("{}", text.map_err(|error| CliError::Internal(error.to_string()))?);
        }
        Format::Table => out!("{}", table(&report)),
        Format::Wide => {
            out!("{}", table(&report));
            report.missed.iter().for_each(|case| outln!("missed: {case}"));
        }
    }
    let reached =
        percent(report.recall()) >= 100.0 * GOAL && report.false_alarms.of == 0 && report.unmeasured.is_empty();
    Ok(if reached { Exit::Good } else { Exit::Findings })
}

/// Copies the set as a run does and makes every check of level Full on the copy, with the history beside it.
async fn ask(set: &Set, scratch: &Path) -> Result<Answer, CliError> {
    let internal = |error: &dyn std::fmt::Display| CliError::Internal(error.to_string());
    let meter = Meter::default();
    let mut answer = Answer::default();
    let mut copies = Vec::new();
    for (file, component, kind) in
        [("openmemory.db", "database", SchemaKind::OpenMemory), ("history.db", "history", SchemaKind::Mem0History)]
    {
        let folder = scratch.join(component);
        std::fs::create_dir_all(&folder).map_err(|error| internal(&error))?;
        let mut copy = match sqlite::copy(set.folder(), file, &folder, &meter) {
            Ok(copy) => copy,
            Err(error) => {
                take(&mut answer, &[Check::unknown("sqlite-copy", component, error.to_string())], &[]);
                continue;
            }
        };
        let raw = copy.raw.judge(component);
        take(&mut answer, &raw.checks, &raw.events);
        copy.prepare().map_err(|error| internal(&error))?;
        let report = sqlite::check(&copy.path(), component, kind, Level::Full, &meter).await;
        let report = report.map_err(|error| internal(&error))?;
        take(&mut answer, &report.checks, &report.corruption);
        copies.push(copy);
    }
    if let [database, history] = copies.as_slice() {
        let report = sqlite::check_history(&database.path(), &history.path(), "database", &meter).await;
        let report = report.map_err(|error| internal(&error))?;
        take(&mut answer, &report.checks, &report.corruption);
    }
    Ok(answer)
}

fn take(answer: &mut Answer, checks: &[Check], events: &[CorruptionEvent]) {
    let unknown = checks.iter().filter(|check| check.verdict == Verdict::Unknown);
    answer.unknown.extend(unknown.map(|check| format!("{} ({}): {}", check.id, check.component, check.detail)));
    answer.told.extend(events.iter().map(|event| event.check.clone()));
}

fn percent(share: Share) -> f64 {
    let (of, total) = (u32::try_from(share.of).unwrap_or(u32::MAX), u32::try_from(share.total).unwrap_or(u32::MAX));
    if total == 0 { 0.0 } else { 100.0 * f64::from(of) / f64::from(total) }
}

fn shown(share: Share) -> String {
    let (low, high) = share.interval();
    format!(
        "{} of {} = {:.1} % (95 %: {:.1} to {:.1})",
        share.of,
        share.total,
        percent(share),
        100.0 * low,
        100.0 * high
    )
}

fn table(report: &Report) -> String {
    let mut text = format!("{:<8} {:<20} {:>9}", "GROUP", "DAMAGE", "DETECTED");
    for layer in Layer::ALL {
        let _ = write!(text, " {:>11}", layer.name().to_uppercase());
    }
    let _ = writeln!(text, " {:>8} {:>9}", "UNKNOWN", "HARMLESS");
    for row in &report.rows {
        let Row { fault, group, detected, layers, unknown, harmless } = row;
        let _ = write!(text, "{group:<8} {fault:<20} {:>9}", format!("{}/{}", detected.of, detected.total));
        for layer in Layer::ALL {
            let _ = write!(text, " {:>11}", layers.get(&layer).copied().unwrap_or_default());
        }
        let _ = writeln!(text, " {unknown:>8} {:>9}", format!("{}/{}", harmless.of, harmless.total));
    }
    let _ = writeln!(text, "\nrecall     {}", shown(report.recall()));
    let _ = writeln!(text, "precision  {}", shown(report.precision()));
    for layer in Layer::ALL {
        let _ = writeln!(text, "  {:<12} {}", layer.name(), shown(report.layer(layer)));
    }
    let _ = writeln!(text, "false alarms on healthy variants  {}", shown(report.false_alarms));
    let missed = report.rows.iter().filter(|row| row.detected.of < row.detected.total);
    let missed: Vec<_> = missed
        .map(|row| format!("{} ({} of {})", row.fault, row.detected.total - row.detected.of, row.detected.total))
        .collect();
    let _ = writeln!(text, "missed  {}", if missed.is_empty() { "none".to_owned() } else { missed.join(", ") });
    for (title, list) in [("false alarm", &report.alarms), ("healthy, not measured", &report.unmeasured)] {
        for line in list {
            let _ = writeln!(text, "{title}: {line}");
        }
    }
    text
}

fn json(report: &Report) -> serde_json::Value {
    let layers: serde_json::Map<_, _> =
        Layer::ALL.iter().map(|l| (l.name().to_owned(), serde_json::json!(report.layer(*l)))).collect();
    serde_json::json!({
        "kinds": Fault::ALL.len(),
        "recall": report.recall(),
        "precision": report.precision(),
        "layers": layers,
        "report": report,
    })
}

/// A folder for the copies; removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, CliError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let folder = std::env::temp_dir().join(format!("memorybank-eval-{}-{now}", std::process::id()));
        std::fs::create_dir(&folder).map_err(|error| CliError::Internal(format!("{}: {error}", folder.display())))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
