//! What a run's status said, from one moment on: kubectl watches, so that what was told for a second is seen too.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::cluster::Cluster;

const COLUMNS: &str =
    r#"jsonpath={.status.phase} {.status.conditions[0].reason} {.status.conditions[0].message}{"\n"}"#;

pub struct Watch {
    child: Child,
    file: PathBuf,
}

impl Watch {
    pub fn run(cluster: &Cluster, namespace: &str, name: &str) -> Self {
        let file = cluster.scratch.path().join(format!("watch-{name}"));
        let mut command = cluster.kubectl_command();
        command.args(["-n", namespace, "get", "maintenancerun", name, "--watch", "--output", COLUMNS]);
        let child = command.stdout(File::create(&file).unwrap()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, file }
    }

    /// Every line so far: phase, reason, message.
    pub fn seen(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    /// Waits for a line that begins so, and has these words.
    pub fn until(&self, cluster: &Cluster, begins: &str, words: &str, seconds: u64) {
        let what = format!("`{begins} ...{words}` in {}", self.file.display());
        let found = || self.seen().lines().any(|line| line.starts_with(begins) && line.contains(words));
        cluster.until(&what, seconds, || found().then_some(()));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}
