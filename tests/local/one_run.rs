//! `memorybank run`: one RunSpec, one report, what a Job will do.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use memorybank::domain::{Outcome, RunReport, RunSpec};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::guardian::{Bed, files, memorybank, text, wait_for};

/// The work order that local mode made of the sample's check and audit, as one.
fn spec(bed: &Bed) -> RunSpec {
    bed.once(&[]);
    let rows = bed.query("SELECT spec FROM runs ORDER BY name");
    let mut specs: Vec<RunSpec> = rows.iter().map(|row| serde_json::from_str(&row[0]).unwrap()).collect();
    let more = specs.pop().unwrap();
    let mut spec = specs.pop().unwrap();
    spec.tasks.extend(more.tasks);
    spec
}

fn run(bed: &Bed, spec: &str, report: &PathBuf) -> Command {
    let mut command = memorybank();
    command.arg("run").arg("--spec").arg(spec).arg("--report").arg(report);
    command.arg("--volume").arg(format!("data={}", bed.path("bank").display()));
    command.arg("--exchange").arg(bed.path("exchange"));
    command
}

#[test]
fn a_spec_is_run_from_json_and_yaml_and_the_report_tells() {
    let bed = Bed::new(60);
    let spec = spec(&bed);
    let (json, yaml, report) = (bed.path("spec.json"), bed.path("spec.yaml"), bed.path("report.json"));
    fs::write(&json, serde_json::to_string(&spec).unwrap()).unwrap();
    fs::write(&yaml, serde_saphyr::to_string(&spec).unwrap()).unwrap();
    let execute = |path: &PathBuf| {
        let output = run(&bed, path.to_str().unwrap(), &report).output().unwrap();
        let read: RunReport = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
        (output.status.code(), read, text(&output.stdout) + &text(&output.stderr))
    };
    for path in [&json, &yaml] {
        let (code, report, said) = execute(path);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(report.outcome().0, Outcome::Succeeded);
        assert_eq!((report.run, report.tasks.len()), (spec.run.clone(), 2));
    }
    bed.sample(&["--damage", "all"]);
    let (code, report, _) = execute(&json);
    assert_eq!(code, Some(1));
    assert!(report.tasks.iter().any(|task| !task.corruption.is_empty()));
    assert!(report.tasks.iter().any(|task| !task.findings.is_empty()));
    assert_eq!(files(&bed.path("exchange/scratch")), Vec::<PathBuf>::new());
}

#[test]
fn what_is_not_mounted_is_3_and_what_is_no_spec_2() {
    let bed = Bed::new(30);
    let path = bed.path("spec.json");
    fs::write(&path, serde_json::to_string(&spec(&bed)).unwrap()).unwrap();
    let exchange = bed.path("exchange");
    let run = |path: &PathBuf| {
        memorybank().arg("run").arg("--spec").arg(path).arg("--exchange").arg(&exchange).output().unwrap()
    };
    let output = run(&path);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("volume data is not mounted here"), "{}", text(&output.stdout));
    for nonsense in ["", "[]", "{\"run\": 1}", "\u{0}"] {
        fs::write(&path, nonsense).unwrap();
        let output = run(&path);
        assert_eq!(output.status.code(), Some(2), "{nonsense:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("spec.json is no RunSpec"), "{}", text(&output.stderr));
    }
    assert_eq!(run(&bed.path("absent.json")).status.code(), Some(2));
}

#[test]
fn sigint_is_130_and_leaves_no_copy() {
    let bed = Bed::new(10_000);
    let output = bed.path("spec.json");
    // A spec without waiting for a run of this bank.
    let small = Bed::new(30);
    fs::write(&output, serde_json::to_string(&spec(&small)).unwrap()).unwrap();
    let scratch = bed.path("exchange/scratch");
    let report = bed.path("report.json");
    let mut child =
        run(&bed, output.to_str().unwrap(), &report).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("a copy in scratch", || (!files(&scratch).is_empty()).then_some(()));
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let status = wait_for("its end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    assert_eq!(files(&scratch), Vec::<PathBuf>::new());
    let read: RunReport = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_ne!(read.outcome().0, Outcome::Succeeded, "a run that was cut short is no success");
}
