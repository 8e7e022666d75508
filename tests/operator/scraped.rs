//! Prometheus, the real one, scrapes the operator.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::bed::{Bed, wait_for};
use crate::control_plane::free_port;
use crate::guardian::{skipped, text};
use crate::replica::Replica;
use crate::wholesome::{BANK, POLICY, requested};

/// A Prometheus; killed when it is dropped.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Prometheus {
    /// One that scrapes a replica every second, as a `ServiceMonitor` asks; none where it is not installed.
    fn scrape(bed: &Bed<'_>, replica: &Replica) -> Option<Self> {
        let config = format!(
            "scrape_configs:\n- {{job_name: memorybank, honor_labels: true, scrape_interval: 1s, scrape_timeout: 1s, \
             static_configs: [{{targets: ['{}']}}]}}\n",
            replica.http
        );
        let config = bed.file("prometheus.yml", &config);
        let port = free_port();
        let spawned = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", config.with_extension("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        if spawned.is_err() {
            skipped("no prometheus (Debian: prometheus) on PATH");
        }
        Some(Self { child: spawned.ok()?, port })
    }

    /// The samples of an expression as they are now: labels and value.
    async fn query(&self, expression: &str) -> Vec<(Value, String)> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut url = reqwest::Url::parse(&format!("http://127.0.0.1:{}/api/v1/query", self.port)).unwrap();
        url.query_pairs_mut().append_pair("query", expression);
        let Ok(answer) = client.get(url).send().await else { return Vec::new() };
        let Ok(answer) = answer.json::<Value>().await else { return Vec::new() };
        let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        result.into_iter().map(|one| (one["metric"].clone(), one["value"][1].as_str().unwrap().to_owned())).collect()
    }

    /// Waits until an expression has one sample of this value; its labels.
    async fn shows(&self, expression: &str, value: &str) -> Value {
        wait_for(&format!("{expression} to be {value}"), async || match self.query(expression).await.as_slice() {
            [(labels, found)] if found == value => Some(labels.clone()),
            _ => None,
        })
        .await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[tokio::test]
async fn prometheus_sees_a_bank_come_be_run_and_go() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    let Some(prometheus) = Prometheus::scrape(&bed, &operator) else { return };
    prometheus.shows("up", "1").await;
    prometheus.shows("memorybank_operator_leader", "1").await;
    bed.apply(BANK).await;
    bed.apply(POLICY).await;
    bed.play(&operator, &requested("first")).await;
    let condition = r#"memorybank_bank_condition{bank="assistant",condition="Intact",status="True"}"#;
    let labels = prometheus.shows(condition, "1").await;
    assert_eq!(labels["namespace"], bed.namespace);
    let of_schedule = r#"{bank="assistant",policy="standard",schedule="yearly"}"#;
    prometheus.shows(&format!("memorybank_schedule_last_run_success{of_schedule}"), "1").await;
    let age = format!("time() - memorybank_schedule_last_success_timestamp_seconds{of_schedule} < bool 600");
    prometheus.shows(&age, "1").await;
    let next = format!("memorybank_schedule_next_run_timestamp_seconds{of_schedule} > bool time()");
    prometheus.shows(&next, "1").await;
    let count = r#"memorybank_run_duration_seconds_count{task="IntegrityCheck",outcome="Succeeded"}"#;
    prometheus.shows(count, "1").await;
    prometheus.shows(r#"memorybank_ingest_reports_total{result="stored"}"#, "1").await;
    promtool_agrees(&operator.metrics());

    bed.delete("MemoryBank", "assistant").await;
    wait_for("the end of the bank's series", async || {
        let up = prometheus.query("up").await;
        let series = prometheus.query(r#"count({bank="assistant"})"#).await;
        (up.len() == 1 && series.is_empty()).then_some(())
    })
    .await;
    let before = prometheus.query("count_over_time(up[10m])").await;
    assert_eq!(before.len(), 1);
    assert_eq!(prometheus.query("min_over_time(up[10m])").await[0].1, "1", "a scrape failed");
}

/// `promtool check metrics` reads the page, and finds nothing against its names.
fn promtool_agrees(page: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool comes with prometheus");
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
