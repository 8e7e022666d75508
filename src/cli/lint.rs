use crate::cli::output::outln;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{CliError, Exit, Format, Global};
use crate::resources::{MAX_FILE_BYTES, Place, Problem, Review};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file, or a folder whose *.yaml and *.yml are read together (not those of its subfolders)
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

#[allow(clippy::unused_async)] // One signature for every command.
pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let files = Files::read(&args.path)?;
    let mut review = Review::of(&files.texts);
    review.problems.extend(files.unreadable);
    review.problems.sort();
    match global.output {
        Format::Json | Format::Yaml => print_list(&review, global.output)?,
        Format::Table | Format::Wide => print_lines(&review, files.texts.len()),
    }
    match review.problems.len() {
        0 => Ok(Exit::Good),
        1 => Err(CliError::Config("1 problem".to_owned())),
        count => Err(CliError::Config(format!("{count} problems"))),
    }
}

/// What there is to judge.
struct Files {
    /// Name and text of each file.
    texts: Vec<(String, String)>,
    /// A problem for each file that cannot be read.
    unreadable: Vec<Problem>,
}

impl Files {
    fn read(path: &Path) -> Result<Self, CliError> {
        let mut files = Self { texts: Vec::new(), unreadable: Vec::new() };
        for path in names(path)? {
            let file = path.display().to_string();
            match read_text(&path) {
                Ok(text) => files.texts.push((file, text)),
                Err(message) => {
                    let place = Place { file, line: 1, document: 0 };
                    files.unreadable.push(Problem { place, field: String::new(), message });
                }
            }
        }
        Ok(files)
    }
}

/// A file itself, or the resource files of a folder, in order of names.
fn names(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    let refused = |error| CliError::Config(format!("cannot read {}: {error}", path.display()));
    if !fs::metadata(path).map_err(refused)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(path).map_err(refused)? {
        let entry = entry.map_err(refused)?.path();
        if entry.extension().is_some_and(|e| e == "yaml" || e == "yml") && entry.is_file() {
            paths.push(entry);
        }
    }
    if paths.is_empty() {
        return Err(CliError::Config(format!("there is no *.yaml or *.yml in {}", path.display())));
    }
    paths.sort();
    Ok(paths)
}

/// No more of a file is read than the reader of resources takes.
fn read_text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let limit = MAX_FILE_BYTES as u64 + 1;
    let file = fs::File::open(path).map_err(|e| format!("cannot be opened: {e}"))?;
    file.take(limit).read_to_end(&mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
    String::from_utf8(bytes).map_err(|e| format!("is not UTF-8 (byte {})", e.utf8_error().valid_up_to()))
}

fn print_lines(review: &Review, files: usize) {
    for problem in &review.problems {
        outln!("error: {problem}");
    }
    for warning in &review.warnings {
        outln!("warning: {warning}");
    }
    for (place, passed) in &review.passed {
        let group = if passed.group.is_empty() { "core" } else { &passed.group };
        outln!("passed over: {}:{}: {} {} ({group})", place.file, place.line, passed.kind, passed.name);
    }
    if review.problems.is_empty() {
        let config = &review.config;
        outln!(
            "good: {files} files, {} MemoryBank, {} MaintenancePolicy, {} MaintenanceRun, {} IntegrityCheck, \
             {} SecurityAudit",
            config.banks.len(),
            config.policies.len(),
            config.runs.len(),
            config.checks.len(),
            config.audits.len()
        );
    }
}

fn print_list(review: &Review, format: Format) -> Result<(), CliError> {
    let entry = |severity: &str, problem: &Problem| {
        let Problem { place: Place { file, line, document }, field, message } = problem;
        json!({"severity": severity, "file": file, "line": line, "document": document, "field": field,
               "message": message})
    };
    let problems = review.problems.iter().map(|p| entry("Error", p));
    let list: Vec<_> = problems.chain(review.warnings.iter().map(|w| entry("Warning", w))).collect();
    let text = if format == Format::Json {
        serde_json::to_string_pretty(&list).map_err(|e| CliError::Internal(e.to_string()))?
    } else {
        serde_saphyr::to_string(&list).map_err(|e| CliError::Internal(e.to_string()))?
    };
    outln!("{}", text.trim_end());
    Ok(())
}
