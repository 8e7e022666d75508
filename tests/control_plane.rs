//! The control plane that tests of the operator speak to is the real one, obeys them, and ends with them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A helper of a test fails the test.

#[path = "common/control_plane.rs"]
mod control_plane;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use control_plane::ControlPlane;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Client;
use kube::api::{Api, ListParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// Tells the child of `nothing_is_left_of_a_killed_test` its part.
const CHILD: &str = "CONTROL_PLANE_CHILD";

async fn create<T>(client: &Client, namespace: &str, object: Value) -> T
where
    T: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + DeserializeOwned,
{
    let api: Api<T> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
}

fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "b"}})
}

fn job(name: &str) -> Value {
    let container = json!({"name": "c", "image": "localhost/none:1"});
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [container]}});
    json!({"metadata": {"name": name}, "spec": {"template": template}})
}

#[tokio::test]
async fn a_job_gets_a_pod_which_no_node_runs() {
    let Some(plane) = ControlPlane::shared() else { return };
    let (client, namespace) = (plane.client().await, plane.namespace().await);
    create::<Job>(&client, &namespace, job("j")).await;
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let begun = Instant::now();
    let pod = loop {
        let found = pods.list(&ListParams::default().labels("job-name=j")).await.unwrap().items.pop();
        if let Some(pod) = found {
            break pod;
        }
        assert!(begun.elapsed() < PATIENCE, "the Job got no pod: {}", plane.log("manager"));
        tokio::time::sleep(POLL).await;
    };
    assert_eq!(pod.status.unwrap().phase.as_deref(), Some("Pending"));
    assert_eq!(pod.metadata.owner_references.unwrap()[0].kind, "Job");
}

#[tokio::test]
async fn a_service_account_may_do_what_rbac_allows_it() {
    let Some(plane) = ControlPlane::shared() else { return };
    let (admin, namespace) = (plane.client().await, plane.namespace().await);
    let client = plane.client_for(&namespace, "reader").await;
    let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let refused = maps.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");

    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    create::<Role>(&admin, &namespace, json!({"metadata": {"name": "reader"}, "rules": rules})).await;
    let subject = json!({"kind": "ServiceAccount", "name": "reader", "namespace": namespace});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"});
    let binding = json!({"metadata": {"name": "reader"}, "subjects": [subject], "roleRef": role});
    create::<RoleBinding>(&admin, &namespace, binding).await;
    let begun = Instant::now();
    while let Err(error) = maps.list(&ListParams::default()).await {
        assert!(begun.elapsed() < PATIENCE, "{error}");
        tokio::time::sleep(POLL).await;
    }
    let map = serde_json::from_value(config_map("a")).unwrap();
    let refused = maps.create(&PostParams::default(), &map).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
}

#[tokio::test]
async fn a_job_completes_on_a_node_that_is_played() {
    let Some(plane) = ControlPlane::start() else { return };
    let Some(()) = plane.play_pods(2, (Duration::ZERO, Duration::ZERO)).await else { return };
    let (client, namespace) = (plane.client().await, plane.namespace().await);
    create::<Job>(&client, &namespace, job("j")).await;
    let jobs: Api<Job> = Api::namespaced(client, &namespace);
    let begun = Instant::now();
    while jobs.get("j").await.unwrap().status.and_then(|status| status.succeeded) != Some(1) {
        assert!(begun.elapsed() < PATIENCE, "{}\n{}", plane.log("scheduler"), plane.log("kwok"));
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn the_api_server_stops_and_comes_back_with_its_data() {
    let Some(plane) = ControlPlane::start() else { return };
    let client = plane.client().await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &plane.namespace().await);
    maps.create(&PostParams::default(), &serde_json::from_value(config_map("kept")).unwrap()).await.unwrap();

    plane.pause_api_server();
    let silent = tokio::time::timeout(Duration::from_secs(2), maps.get("kept")).await;
    assert!(silent.is_err(), "a stopped process answered: {silent:?}");
    plane.resume_api_server();
    maps.get("kept").await.unwrap();

    plane.kill_api_server();
    let dead = maps.get("kept").await.unwrap_err();
    assert!(!matches!(dead, kube::Error::Api(_)), "a dead process answered: {dead}");
    plane.restart_api_server();
    maps.get("kept").await.unwrap();

    let (folder, processes) = (plane.folder().to_owned(), plane.processes());
    assert_eq!(processes.len(), 3);
    drop(plane);
    assert_eq!(left(&folder, &processes), Vec::<String>::new());
}

#[test]
fn nothing_is_left_of_a_killed_test() {
    if std::env::var_os(CHILD).is_some() {
        let plane = ControlPlane::start().expect("the parent had one");
        println!("\n{CHILD} {} {:?}", plane.folder().display(), plane.processes());
        // Until it is killed.
        loop {
            std::thread::park();
        }
    }
    // Says why it is skipped, where it is.
    if ControlPlane::shared().is_none() {
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nothing_is_left_of_a_killed_test", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.find_map(|line| line.strip_prefix(CHILD).map(str::to_owned)).expect("the child started");
    let (folder, processes) = said.trim().split_once(' ').unwrap();
    let processes: Vec<u32> = serde_json::from_str(processes).unwrap();
    assert_eq!(left(Path::new(folder), &processes).len(), 4, "the child has a folder and three processes");
    child.kill().unwrap();
    child.wait().unwrap();
    let begun = Instant::now();
    loop {
        let left = left(Path::new(folder), &processes);
        if left.is_empty() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{left:?}");
        std::thread::sleep(POLL);
    }
}

/// What is there of a folder and of processes.
fn left(folder: &Path, processes: &[u32]) -> Vec<String> {
    let processes = processes.iter().map(|id| format!("/proc/{id}/exe"));
    // A process that ended has no program, even while nobody asked how.
    let alive = processes.filter(|path| std::fs::read_link(path).is_ok());
    let folder = folder.exists().then(|| folder.display().to_string());
    alive.chain(folder).collect()
}
