//! A real Prometheus, outside of the cluster, scrapes the Service and evaluates the rules of the chart.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command};

use serde_json::Value;

use crate::banks::NAMESPACE;
use crate::cluster::{Cluster, repository};
use crate::guardian::{page, skipped};
use crate::install;

struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

impl Prometheus {
    fn start(cluster: &Cluster, target: &str) -> Option<Self> {
        let folder = cluster.scratch.path().join("prometheus");
        fs::create_dir_all(&folder).unwrap();
        let rules = repository("charts/memorybank-operator/files/rules.yaml");
        let config = format!(
            "
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ['{}']
scrape_configs:
- {{job_name: memorybank, honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}
",
            rules.display()
        );
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = File::create(folder.join("log")).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        match command.stdout(log.try_clone().unwrap()).stderr(log).spawn() {
            Ok(child) => Some(Self { child, address }),
            Err(error) => {
                skipped(&format!("no prometheus: {error}"));
                None
            }
        }
    }

    /// What a page of its API says; none while it does not answer.
    fn ask(&self, path: &str) -> Option<Value> {
        let (status, body) = page(self.address, path)?;
        // Long answers come in pieces, each with its length in a line before it.
        let json: String = body.lines().filter(|line| line.len() > 8 || line.contains(['{', '}', ']', '['])).collect();
        (status == 200).then(|| serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {body}")))
    }
}

pub fn scraped(cluster: &Cluster) {
    let service = cluster.get(install::NAMESPACE, "service", install::RELEASE).unwrap();
    let target = format!("{}:8080", service["spec"]["clusterIP"].as_str().unwrap());
    let Some(prometheus) = Prometheus::start(cluster, &target) else { return };
    cluster.until("the target is up", 60, || {
        let told = prometheus.ask("/api/v1/targets")?;
        (told["data"]["activeTargets"][0]["health"] == "up").then_some(())
    });
    // The bank's own namespace, not the pod's.
    cluster.until("the bank's series", 30, || {
        let query = format!(
            "/api/v1/query?query=memorybank_bank_open_corruption%7Bnamespace=%22{NAMESPACE}%22,bank=%22openmemory%22%7D"
        );
        let told = prometheus.ask(&query)?;
        let value = told["data"]["result"][0]["value"][1].as_str()?.parse::<f64>().ok()?;
        (value > 5.0).then_some(())
    });
    // What was pending before the first scrape goes with the next evaluation.
    cluster.until("the alerts about the bank, and none about the operator", 60, || {
        let told = prometheus.ask("/api/v1/alerts")?;
        let alerts = told["data"]["alerts"].as_array()?.clone();
        let fires = |name: &str| {
            alerts.iter().any(|alert| {
                let labels = &alert["labels"];
                labels["alertname"] == name && labels["bank"] == "openmemory" && labels["namespace"] == NAMESPACE
            })
        };
        let of_bank = ["MemorybankNotIntact", "MemorybankNotSecure", "MemorybankCorruptionOpen"].into_iter().all(fires);
        let of_operator = alerts.iter().any(|alert| alert["labels"]["bank"].is_null());
        (of_bank && !of_operator).then_some(())
    });
    let rules = prometheus.ask("/api/v1/rules").unwrap();
    let groups = rules["data"]["groups"].as_array().unwrap();
    let rules: Vec<_> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() >= 15 && rules.iter().all(|rule| rule["health"] == "ok"), "{rules:#?}");
}
