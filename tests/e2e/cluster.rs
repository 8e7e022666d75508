//! The cluster of `tests/cluster`, from nothing, with the image of our binary; ended when the test ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::control_plane::cluster_home;
use crate::guardian::{field, skipped, text};

/// The image of the binary under test, as the node knows it.
pub const REPOSITORY: &str = "localhost/memorybank";
pub const TAG: &str = "e2e";
/// What a node is made of, among others.
const BINARIES: [&str; 6] = ["kubelet", "containerd", "runc", "kube-apiserver", "helm", "kubectl"];
/// How long a command may take.
const COMMAND: &str = "60s";
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(200);
/// The other end of the node's link: this machine, as pods see it.
pub const HOST: &str = "10.250.0.2";

pub struct Cluster {
    home: PathBuf,
    pub scratch: tempfile::TempDir,
    _lock: File,
}

impl Cluster {
    /// None where it cannot run: then the reason is told.
    pub fn start() -> Option<Self> {
        let home = cluster_home();
        if let Err(why) = able(&home) {
            skipped(&format!("no node: {why}"));
            return None;
        }
        // There is one per machine.
        let lock = File::create(home.join("e2e.lock")).unwrap();
        lock.lock().unwrap();
        let cluster = Self { home, scratch: tempfile::tempdir().unwrap(), _lock: lock };
        let begun = Instant::now();
        cluster.script("images", &[]);
        cluster.script("down", &["--wipe"]);
        cluster.script("up", &[]);
        let image = cluster.scratch.path().join("memorybank.tar");
        cluster.script(
            "program",
            &[env!("CARGO_BIN_EXE_memorybank"), &format!("{REPOSITORY}:{TAG}"), image.to_str().unwrap()],
        );
        cluster.script("load", &[image.to_str().unwrap()]);
        println!("cluster, image loaded: {:.1} s", begun.elapsed().as_secs_f32());
        Some(cluster)
    }

    fn script(&self, name: &str, arguments: &[&str]) {
        // To files: what `up` leaves running would keep a pipe open.
        let said = self.scratch.path().join("script.log");
        let log = File::create(&said).unwrap();
        let mut command = Command::new(repository("tests/cluster").join(name));
        command.args(arguments).env("CLUSTER_HOME", &self.home).stdout(log.try_clone().unwrap()).stderr(log);
        assert!(command.status().unwrap().success(), "{name}: {}", fs::read_to_string(said).unwrap());
    }

    /// Starts what is not alive, and waits until the node is ready.
    pub fn mend(&self) {
        self.script("up", &[]);
    }

    /// Kills a part: etcd, containerd, apiserver, kcm, scheduler, kubelet or proxy.
    pub fn kill(&self, part: &str) {
        let keeper = fs::read_to_string(self.home.join(format!("run/{part}.pid"))).unwrap();
        let keeper = keeper.trim();
        // What is noted is `nsenter`, which ends with its child.
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
        for child in children.split_whitespace() {
            kill(Pid::from_raw(child.parse().unwrap()), Signal::SIGKILL).unwrap();
        }
        self.until(&format!("the end of {part}"), 20, || {
            (!Path::new(&format!("/proc/{keeper}")).exists()).then_some(())
        });
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.home.join("bin").join(program));
        command.current_dir(repository("")).env("KUBECONFIG", self.home.join("run/admin.kubeconfig"));
        command.env("HOME", self.scratch.path());
        command
    }

    /// kubectl, not yet begun.
    pub fn kubectl_command(&self) -> Command {
        self.command("kubectl")
    }

    pub fn try_kubectl(&self, arguments: &[&str]) -> Output {
        self.command("kubectl").arg("--request-timeout").arg(COMMAND).args(arguments).output().unwrap()
    }

    /// What kubectl prints; it must succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.try_kubectl(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "kubectl {}: {out}{err}{}", arguments.join(" "), self.told());
        out
    }

    /// Applies documents.
    pub fn apply(&self, namespace: &str, documents: &str) {
        let file = self.scratch.path().join("apply.yaml");
        fs::write(&file, documents).unwrap();
        let said = self.kubectl(&["-n", namespace, "apply", "-f", file.to_str().unwrap()]);
        assert!(!said.contains("Warning"), "{said}");
    }

    pub fn helm(&self, arguments: &[&str]) -> String {
        let output = self.command("helm").args(arguments).output().unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "helm {}: {out}{err}{}", arguments.join(" "), self.told());
        out
    }

    /// An object, if it is there.
    pub fn get(&self, namespace: &str, kind: &str, name: &str) -> Option<Value> {
        let output = self.try_kubectl(&["-n", namespace, "get", kind, name, "--output", "json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Objects of a kind, by labels.
    pub fn list(&self, namespace: &str, kind: &str, labels: &str) -> Vec<Value> {
        let said = self.kubectl(&["-n", namespace, "get", kind, "--selector", labels, "--output", "json"]);
        let list: Value = serde_json::from_str(&said).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// Waits until there is something.
    pub fn until<T>(&self, what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(seconds), "waited in vain for {what}{}", self.told());
            std::thread::sleep(POLL);
        }
    }

    /// Waits until a new pod serves for a Deployment whose template was changed.
    pub fn rolled_out(&self, namespace: &str, deployment: &str) {
        self.kubectl(&[
            "-n",
            namespace,
            "rollout",
            "status",
            &format!("deployment/{deployment}"),
            "--timeout",
            COMMAND,
        ]);
    }

    /// What a failure is looked into with.
    fn told(&self) -> String {
        let ask = |arguments: &[&str]| text(&self.try_kubectl(arguments).stdout);
        let pods = ask(&["get", "pods,mbank,mrun,icheck,saudit", "--all-namespaces"]);
        let events = ask(&["get", "events", "--all-namespaces", "--sort-by=.metadata.creationTimestamp"]);
        let lines: Vec<_> = events.lines().collect();
        let events = lines[lines.len().saturating_sub(25)..].join("\n");
        let selector = "app.kubernetes.io/name=memorybank-operator";
        let namespace = field(&self.operator_pod().unwrap_or_default(), "/metadata/namespace");
        let log = ask(&["-n", &namespace, "logs", "--selector", selector, "--tail=25"]);
        let (banks, runners) = (crate::banks::NAMESPACE, "app.kubernetes.io/component=runner");
        let runs = ask(&["-n", banks, "logs", "--selector", runners, "--tail=8", "--prefix"]);
        let slices = ask(&["get", "endpointslices", "--all-namespaces"]);
        format!("\n{pods}\n{events}\n{log}\n{runs}\n{slices}")
    }

    fn operator_pod(&self) -> Option<Value> {
        let selector = "app.kubernetes.io/name=memorybank-operator";
        let output = self.try_kubectl(&["get", "pods", "--all-namespaces", "--selector", selector, "--output", "json"]);
        let list: Value = serde_json::from_slice(&output.stdout).ok()?;
        list["items"].as_array()?.first().cloned()
    }

    /// The folder that stands for a volume.
    pub fn volume_folder(&self, name: &str) -> PathBuf {
        self.home.join("var/e2e").join(name)
    }

    /// The log of the API server of what service accounts did.
    pub fn audit_log(&self) -> String {
        fs::read_to_string(self.home.join("log/audit.log")).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::env::var_os("E2E_KEEP").is_some() {
            return;
        }
        let down =
            Command::new(repository("tests/cluster/down")).arg("--wipe").env("CLUSTER_HOME", &self.home).status();
        if !down.is_ok_and(|status| status.success()) {
            eprintln!("the cluster was not ended: tests/cluster/down");
        }
    }
}

/// Whether a node can run here, or why not.
fn able(home: &Path) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("it needs root".to_owned());
    }
    let binaries = home.join("bin");
    if let Some(name) = BINARIES.into_iter().find(|name| !binaries.join(name).is_file()) {
        return Err(format!("{name} is not in {}; `make cluster` builds it", binaries.display()));
    }
    let own = Command::new("unshare").args(["-m", "-p", "-n", "-u", "-i", "-f", "true"]).output();
    match own {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("this root may not make namespaces: {}", text(&output.stderr).trim())),
        Err(error) => Err(format!("unshare: {error}")),
    }
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of the repository.
pub fn text_of(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
