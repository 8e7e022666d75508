//! The task Probe, within a run.

use std::path::Path;

use memorybank::domain::{Bank, Digest, Outcome, Reason, RunSpec, Task, TaskReport, Verdict, Work};
use memorybank::runner::{Exchange, ExchangeError, Places, Progress, Runner};
use tokio_util::sync::CancellationToken;

use crate::standin::{Mode, StandIn};
use crate::{bank, key, with_api, with_qdrant};

struct NoExchange;

impl Exchange for NoExchange {
    async fn input(&self, _: &str) -> Result<Option<Vec<u8>>, ExchangeError> {
        Ok(None)
    }
    async fn output(&self, _: &str, bytes: Vec<u8>) -> Result<Digest, ExchangeError> {
        Ok(Digest::of(&bytes))
    }
    async fn fingerprint_key(&self) -> Result<[u8; 32], ExchangeError> {
        Ok([7; 32])
    }
}

async fn probe(bank: &Bank, secrets: &Path) -> TaskReport {
    let folder = tempfile::tempdir().unwrap();
    let places = Places { scratch: folder.path().join("scratch"), secrets: secrets.to_owned(), ..Places::default() };
    let runner = Runner { exchange: NoExchange, places, threads: 1 };
    let spec = RunSpec {
        namespace: "default".to_owned(),
        run: "run".to_owned(),
        bank: bank.clone(),
        tasks: vec![Task { name: "probe".to_owned(), work: Work::Probe, active_deadline_seconds: None }],
        active_deadline_seconds: 60,
    };
    let report = runner.execute(&spec, "uid", &CancellationToken::new(), &Progress::new().0).await;
    report.tasks.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_part_that_does_not_answer_is_measured_and_a_missing_secret_is_not() {
    let server = StandIn::start();
    let folder = tempfile::tempdir().unwrap();
    let both = Bank { vector_store: with_qdrant(&server.url()).vector_store, ..with_api(&server.url()) };
    let task = probe(&both, folder.path()).await;
    assert_eq!((task.outcome, task.reason), (Outcome::Succeeded, Reason::Completed), "{}", task.message);
    let rows = |task: &TaskReport| -> Vec<_> {
        task.checks.iter().map(|check| (check.id.clone(), check.component.clone(), check.verdict)).collect()
    };
    let row = |component: &str, verdict| ("reach".to_owned(), component.to_owned(), verdict);
    assert_eq!(rows(&task), [row("api", Verdict::Passed), row("vectors", Verdict::Passed)]);

    server.set(Mode::Status(500));
    let task = probe(&both, folder.path()).await;
    assert_eq!(task.outcome, Outcome::Succeeded, "it did its work: {}", task.message);
    assert_eq!(rows(&task), [row("api", Verdict::Failed), row("vectors", Verdict::Failed)]);
    assert!(task.checks[0].detail.starts_with("ApiError: "), "{}", task.checks[0].detail);

    let mut without = both.clone();
    without.api.as_mut().unwrap().token = Some(key("api", "token"));
    let task = probe(&without, folder.path()).await;
    assert_eq!((task.outcome, task.reason), (Outcome::Unknown, Reason::SecretNotFound));
    assert!(task.message.starts_with("secret api, key token: "), "{}", task.message);
    assert_eq!(rows(&task), [row("api", Verdict::Unknown), row("vectors", Verdict::Failed)]);

    let task = probe(&with_api("http://169.254.169.254"), folder.path()).await;
    assert_eq!((task.outcome, task.reason), (Outcome::Unknown, Reason::NotMeasured));

    let task = probe(&bank(), folder.path()).await;
    assert_eq!(task.outcome, Outcome::Succeeded, "nothing is there that could be asked");
}
