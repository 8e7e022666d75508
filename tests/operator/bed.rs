//! A namespace with the chart's rights in it, and what is done with objects there.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::guardian::{condition, text};
use crate::helm::{CHART, Helm, Objects, RELEASE};
use crate::replica::Replica;

/// How long anything may take that is waited for, on a machine that does other work too.
const PATIENCE: Duration = Duration::from_mins(3);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);
/// What of the chart is made: all that the process needs but the pod around it.
const MADE: [&str; 7] =
    ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Secret", "Lease"];

/// Waits until there is something; what it is waited for stands in the failure.
pub async fn wait_for<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// A namespace of its own for the operator and for what it looks after.
pub struct Bed<'p> {
    pub plane: &'p ControlPlane,
    pub client: Client,
    pub namespace: String,
    /// Empty where the operator looks after every namespace.
    watched: Vec<String>,
    rights: PathBuf,
    folder: tempfile::TempDir,
}

impl Bed<'static> {
    /// On the control plane of all; none where that, or Helm, is not there.
    pub async fn new() -> Option<Self> {
        let plane = ControlPlane::shared()?;
        plane.definitions().await;
        Bed::on(plane).await
    }
}

impl<'p> Bed<'p> {
    /// On a control plane of its own.
    pub async fn on(plane: &'p ControlPlane) -> Option<Self> {
        let namespace = plane.namespace().await;
        let watched = vec![namespace.clone()];
        Self::install(plane, namespace, watched).await
    }

    /// On a control plane of its own, where the operator looks after every namespace.
    pub async fn wide(plane: &'p ControlPlane) -> Option<Self> {
        let namespace = plane.namespace().await;
        Self::install(plane, namespace, Vec::new()).await
    }

    /// Makes what the chart makes.
    async fn install(plane: &'p ControlPlane, namespace: String, watched: Vec<String>) -> Option<Self> {
        Helm::find()?;
        make_rights(plane, &namespace, &watched, "crds.enabled=false");
        let rights = plane.kubeconfig_for(&namespace, RELEASE).await;
        let folder = tempfile::tempdir().unwrap();
        Some(Self { plane, client: plane.client().await, namespace, watched, rights, folder })
    }

    /// Gives the operator what the chart gives with a value.
    pub fn give(&self, value: &str) {
        make_rights(self.plane, &self.namespace, &self.watched, value);
    }

    /// What is done with objects of another namespace.
    pub async fn elsewhere(&self) -> Self {
        let (rights, folder) = (self.rights.clone(), tempfile::tempdir().unwrap());
        let (namespace, client) = (self.plane.namespace().await, self.client.clone());
        Self { plane: self.plane, client, namespace, watched: self.watched.clone(), rights, folder }
    }

    /// Gives the namespace a label.
    pub async fn label(&self, label: &str, value: &str) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let patch = json!({"metadata": {"labels": {label: value}}});
        namespaces.patch(&self.namespace, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Starts an operator with a store of its own, which the next one finds again.
    pub fn spawn(&self, arguments: &[&str]) -> Replica {
        let data = format!("--data={}", self.folder.path().join("data").display());
        self.replica("operator-0", &[&[data.as_str()], arguments].concat())
    }

    /// Starts a replica of this name with a store that is told.
    pub fn replica(&self, name: &str, arguments: &[&str]) -> Replica {
        let watched = self.watched.iter().map(|namespace| format!("--watch-namespace={namespace}"));
        let all: Vec<_> = watched.chain(arguments.iter().map(|argument| (*argument).to_owned())).collect();
        Replica::start(name, &self.rights, self.folder.path(), &self.namespace, &all)
    }

    /// A file for replicas.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The same, once it leads.
    pub async fn start(&self, arguments: &[&str]) -> Replica {
        let mut replica = self.spawn(arguments);
        replica.leads().await;
        replica
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let (group, version) = match kind {
            "Job" => ("batch", "v1"),
            "Event" => ("events.k8s.io", "v1"),
            "Lease" => ("coordination.k8s.io", "v1"),
            "Deployment" => ("apps", "v1"),
            "Pod" | "PersistentVolumeClaim" | "ResourceQuota" | "ConfigMap" | "Secret" | "LimitRange" => ("", "v1"),
            _ => ("memorybank.dev", "v1alpha1"),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Applies documents of YAML.
    pub async fn apply(&self, yaml: &str) {
        self.try_apply(yaml).await.unwrap();
    }

    /// The same, or what the API server has against it.
    pub async fn try_apply(&self, yaml: &str) -> Result<(), kube::Error> {
        for object in Objects::parse(yaml).0 {
            let (kind, name) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
            let params = PatchParams::apply("tests").force();
            self.api(kind).patch(name, &params, &Patch::Apply(&object)).await?;
        }
        Ok(())
    }

    /// Changes some of an object.
    pub async fn change(&self, kind: &str, name: &str, patch: Value) {
        self.api(kind).patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Says what became of an object.
    pub async fn set_status(&self, kind: &str, name: &str, status: Value) {
        let patch = json!({"status": status});
        self.api(kind).patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    pub async fn delete(&self, kind: &str, name: &str) {
        self.api(kind).delete(name, &DeleteParams::background()).await.unwrap();
    }

    pub async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.api(kind).get_opt(name).await.unwrap().map(|object| serde_json::to_value(object).unwrap())
    }

    /// All objects of a kind in the namespace, in order of names.
    pub async fn list(&self, kind: &str) -> Vec<Value> {
        let items = self.api(kind).list(&ListParams::default()).await.unwrap().items;
        let mut all: Vec<_> = items.into_iter().map(|object| serde_json::to_value(object).unwrap()).collect();
        all.sort_by_key(|object| object["metadata"]["name"].to_string());
        all
    }

    pub async fn names(&self, kind: &str) -> Vec<String> {
        let all = self.list(kind).await;
        all.iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until an object is as wanted.
    pub async fn until(&self, kind: &str, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let object = self.get(kind, name).await;
            if let Some(object) = object.as_ref().filter(|object| wanted(object)) {
                return object.clone();
            }
            let shown = object.map_or_else(|| "nothing".to_owned(), |object| object["status"].to_string());
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {kind} {name}: {what}: {shown}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until a condition has this status and reason.
    pub async fn condition(&self, kind: &str, name: &str, type_: &str, wanted: (&str, &str)) -> Value {
        let what = format!("{type_} {}/{}", wanted.0, wanted.1);
        let holds = |object: &Value| {
            let (status, reason) = condition(object, type_);
            (status.as_str(), reason.as_str()) == wanted
        };
        self.until(kind, name, &what, holds).await
    }

    /// Waits until a run has this phase, for this reason.
    pub async fn run(&self, name: &str, phase: &str, reason: &str) -> Value {
        let holds = |run: &Value| run["status"]["phase"] == phase && condition(run, "Succeeded").1 == reason;
        self.until("MaintenanceRun", name, &format!("{phase}/{reason}"), holds).await
    }

    /// Waits until an object is gone.
    pub async fn gone(&self, kind: &str, name: &str) {
        wait_for(&format!("the end of {kind} {name}"), async || self.get(kind, name).await.is_none().then_some(()))
            .await;
    }

    /// Waits for an Event about an object.
    pub async fn event(&self, about: &str, reason: &str) -> Value {
        wait_for(&format!("an Event {reason} about {about}"), async || {
            let all = self.list("Event").await;
            all.into_iter().find(|event| event["regarding"]["name"] == about && event["reason"] == reason)
        })
        .await
    }
}

/// Makes what the chart makes with a value.
fn make_rights(plane: &ControlPlane, namespace: &str, watched: &[String], value: &str) {
    let helm = Helm::find().unwrap();
    let values = match watched {
        [] => value.to_owned(),
        some => format!("{value},watch.namespaces={{{}}}", some.join(",")),
    };
    let template = ["template", RELEASE, CHART, "--namespace", namespace, "--set", &values];
    let rendered = helm.command().args(template).output().unwrap();
    assert!(rendered.status.success(), "{}", text(&rendered.stderr));
    let objects = Objects::parse(&text(&rendered.stdout)).0;
    let made: Vec<_> = objects.into_iter().filter(|object| MADE.iter().any(|kind| object["kind"] == *kind)).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": made});
    let applied = plane.kubectl_with(&["apply", "-f", "-"], &list.to_string());
    assert!(applied.status.success(), "{}", text(&applied.stderr));
}

/// The message of a condition.
pub fn message(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == type_);
    found.and_then(|condition| condition["message"].as_str()).unwrap_or_default().to_owned()
}
