//! `memorybank run --ingest`: the real binary, as a Job runs it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use memorybank::delivery::Summary;
use memorybank::domain::{Outcome, Phase, Reason};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::bed::{BANK, NAMESPACE, Operator, RUN, TOKEN, UID};
use crate::guardian::{Bed, files, memorybank, text, wait_for};

/// A bank on disk, and what the pod of a Job has beside it.
struct Pod {
    bed: Bed,
}

impl Pod {
    fn new(memories: u32, operator: &Operator, deadline: u32) -> Self {
        let pod = Self { bed: Bed::new(memories) };
        pod.write("spec.json", &spec(deadline).to_string());
        pod.write("ca.crt", operator.authority.ca());
        pod.write("token", TOKEN);
        pod
    }

    fn path(&self, name: &str) -> PathBuf {
        self.bed.path(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn command(&self, operator: &Operator, more: &[&str]) -> Command {
        let mut command = memorybank();
        command.args(["run", "--uid", UID, "--ingest", &operator.url()]);
        for (option, name) in [
            ("--spec", "spec.json"),
            ("--ingest-ca", "ca.crt"),
            ("--token", "token"),
            ("--scratch", "scratch"),
            ("--termination-log", "log"),
            ("--secrets", "secrets"),
        ] {
            command.arg(option).arg(self.path(name));
        }
        command.arg("--volume").arg(format!("data={}", self.path("bank").display())).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    async fn run(&self, operator: &Operator, more: &[&str]) -> Output {
        let mut command = self.command(operator, more);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    fn summary(&self) -> Summary {
        let log = fs::read_to_string(self.path("log")).unwrap();
        assert!(log.len() <= Summary::MAX);
        Summary::parse(&log).unwrap_or_else(|| panic!("no summary: {log}"))
    }
}

fn spec(deadline: u32) -> Value {
    json!({
        "namespace": NAMESPACE,
        "run": RUN,
        "bank": {
            "name": BANK,
            "flavor": "OpenMemory",
            "database": {"sqlite": {"volume": "data", "path": "openmemory.db"}},
            "history": {"volume": "data", "path": ".mem0/history.db"},
            "volumes": ["data"],
            "files": [{"name": "uploads", "volume": "data", "path": "uploads", "mutable": "Append"}],
        },
        "tasks": [
            {"name": "check", "task": "IntegrityCheck", "level": "Full", "scopes": ["Database", "Files"], "sharePercent": 100},
            {"name": "audit", "task": "SecurityAudit", "scopes": ["Leaks"]},
        ],
        "activeDeadlineSeconds": deadline,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_delivered_with_what_it_leaves_and_ends_with_0() {
    let operator = Operator::start().await;
    let pod = Pod::new(60, &operator, 3_600);
    let output = pod.run(&operator, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    let run = operator.run().await;
    assert_eq!((run.phase, run.uid.as_str()), (Phase::Succeeded, UID));
    let summary = pod.summary();
    assert_eq!((summary.uid.as_str(), summary.outcome, summary.delivered), (UID, Outcome::Succeeded, true));
    assert_eq!(summary.tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["check", "audit"]);
    assert!(!text(&output.stderr).contains(TOKEN));

    // The manifest went through the operator, so a file that changes silently is seen by another pod.
    let outputs = operator.store.outputs(NAMESPACE, BANK).await.unwrap();
    assert!(outputs.contains_key("manifest/uploads"), "{outputs:?}");
    pod.bed.sample(&["--damage", "all"]);
    let output = pod.run(&operator, &[]).await;
    assert_eq!(output.status.code(), Some(0), "what it says does not matter: {}", text(&output.stderr));
    let summary = pod.summary();
    let damages: u64 = summary.tasks[0].corruption.values().sum();
    let found: u64 = summary.tasks[1].findings.values().sum();
    assert!(damages > 0 && found > 0, "{summary:?}");
    assert_eq!(operator.counted("duplicate"), 1, "the uid had reported");
    assert_eq!(files(&pod.path("scratch")), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_nobody_takes_until_the_deadline_is_3_and_the_summary_tells() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let operator = Operator::without_server(address).await;
    let pod = Pod::new(30, &operator, 8);
    let mut spec = spec(8);
    spec["tasks"] = json!([
        {"name": "check", "task": "IntegrityCheck", "level": "Quick", "scopes": ["Database"], "sharePercent": 1},
        {"name": "far", "task": "IntegrityCheck", "level": "Quick", "scopes": ["VectorStore"], "sharePercent": 1},
    ]);
    pod.write("spec.json", &spec.to_string());
    let output = pod.run(&operator, &["--delivery-grace", "0"]).await;
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(said.contains("the report was not delivered") && said.contains("given up after"), "{said}");
    let summary = pod.summary();
    assert_eq!((summary.outcome, summary.reason, summary.delivered), (Outcome::Unknown, Reason::NotMeasured, false));
    assert!(summary.message.starts_with("not delivered: "), "{}", summary.message);
    assert_eq!(summary.tasks[0].outcome, Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_refused_is_3_at_once() {
    let operator = Operator::start().await;
    let pod = Pod::new(30, &operator, 3_600);
    let mut command = pod.command(&operator, &[]);
    command.args(["--volume", "more=/"]);
    let mut other = spec(3_600);
    other["bank"]["name"] = json!("other");
    other["tasks"] = json!([{"name": "probe", "task": "Learn"}]);
    pod.write("spec.json", &other.to_string());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("409"), "{}", text(&output.stderr));
    assert!(!pod.summary().delivered);
    assert_eq!(operator.run().await.report, None);
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

async fn end(mut child: Child) -> ExitStatus {
    tokio::task::spawn_blocking(move || wait_for("its end", || child.try_wait().unwrap())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_in_the_middle_reports_nothing_and_says_interrupted() {
    let operator = Operator::start().await;
    let pod = Pod::new(10_000, &operator, 3_600);
    let child = pod.command(&operator, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let scratch = pod.path("scratch");
    tokio::task::block_in_place(|| wait_for("a copy in scratch", || (!files(&scratch).is_empty()).then_some(())));
    signal(&child, Signal::SIGTERM);
    let status = end(child).await;
    assert_eq!((status.code(), status.signal()), (Some(130), None));
    assert_eq!(operator.run().await.report, None);
    assert_eq!(operator.counted("stored"), 0);
    let summary = pod.summary();
    assert!(summary.interrupted && !summary.delivered && summary.message.contains("Interrupted"), "{summary:?}");
    assert_eq!(files(&pod.path("scratch")), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_it_waits_for_the_operator_reports_nothing_either() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut operator = Operator::without_server(address).await;
    let pod = Pod::new(30, &operator, 3_600);
    let mut spec = spec(3_600);
    spec["tasks"] = json!([{"name": "learn", "task": "Learn"}]);
    pod.write("spec.json", &spec.to_string());
    let log = fs::File::create(pod.path("stderr")).unwrap();
    let child = pod.command(&operator, &[]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let said = || fs::read_to_string(pod.path("stderr")).unwrap();
    tokio::task::block_in_place(|| wait_for("a failed attempt", || said().contains("again: ").then_some(())));
    signal(&child, Signal::SIGTERM);
    assert_eq!(end(child).await.code(), Some(130));
    operator.serve(TcpListener::bind(address).await.unwrap(), |ingest| ingest);
    assert!(pod.summary().interrupted);
    assert_eq!(operator.run().await.report, None);

    // The next pod does it again.
    let output = pod.run(&operator, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(operator.counted("stored"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_spec_or_no_certificate_is_2_and_the_summary_says_so() {
    let operator = Operator::start().await;
    let pod = Pod::new(30, &operator, 3_600);
    for (file, content, said) in [("ca.crt", "nothing", "no certificate"), ("spec.json", "{\"run\": 1}", "no RunSpec")]
    {
        pod.write(file, content);
        let output = pod.run(&operator, &[]).await;
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        let summary = pod.summary();
        assert_eq!((summary.outcome, summary.reason), (Outcome::Failed, Reason::TaskFailed));
        assert!(summary.message.contains(said), "{}", summary.message);
        assert_eq!(summary.uid, UID);
    }
    assert_eq!(operator.counted("refused"), 0);
}

#[test]
fn options_of_a_job_belong_together() {
    let run = |arguments: &[&str]| memorybank().args(["run", "--spec", "spec.json"]).args(arguments).output().unwrap();
    let job = ["--ingest", "https://x", "--uid", "u", "--ingest-ca", "ca", "--token", "t", "--scratch", "s"];
    for left in [2, 4, 6, 8] {
        let mut some = job.to_vec();
        some.drain(left..left + 2);
        assert_eq!(run(&some).status.code(), Some(2), "{some:?}");
        assert!(text(&run(&some).stderr).contains("required"), "{some:?}");
    }
    let both = [job.as_slice(), &["--exchange", "e"]].concat();
    assert!(text(&run(&both).stderr).contains("cannot be used with"));
    for alone in [["--uid", "u"], ["--token", "t"], ["--ingest-ca", "c"], ["--termination-log", "l"]] {
        let with = [["--exchange", "e"].as_slice(), &alone].concat();
        assert!(text(&run(&with).stderr).contains("required"), "{alone:?}");
    }
    assert_eq!(run(&[]).status.code(), Some(2));
}
