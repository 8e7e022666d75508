//! Helm, and the objects that it renders.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::guardian::{skipped, text};
use crate::repository;

pub const CHART: &str = "charts/memorybank-operator";
pub const NAMESPACE: &str = "memorybank";
pub const RELEASE: &str = "memorybank-operator";

/// Sets of values that stand for the ways in which the chart is installed.
pub const DEFAULT: &[&str] = &[];
pub const WITHOUT_CRDS: &[&str] = &["--set", "crds.enabled=false"];
pub const NAMESPACED: &[&str] =
    &["--set", "watch.namespaces={team-a,team-b},secrets.namespaces={team-a,vault},rbac.scale.namespaces={team-b}"];
pub const HIGHLY_AVAILABLE: &[&str] = &[
    "--set",
    "replicaCount=2,store.postgres.urlSecret.name=database,crds.keep=false",
    "--set",
    "secrets.namespaces={*},rbac.scale.namespaces={*}",
];
pub const EVERYTHING: &[&str] = &["--values", "tests/chart/everything.yaml"];
pub const ALL: [&[&str]; 5] = [DEFAULT, WITHOUT_CRDS, NAMESPACED, HIGHLY_AVAILABLE, EVERYTHING];

/// Helm where it is: named by `HELM`, built by `tests/cluster/build`, or on `PATH`. Without it the reason is
/// printed, and `MEMORYBANK_REQUIRE_ALL_TIERS=1` makes it a failure.
pub struct Helm(PathBuf);

impl Helm {
    pub fn find() -> Option<Self> {
        let home = std::env::var_os("CLUSTER_HOME").unwrap_or_else(|| "/var/cache/one-node-kubernetes".into());
        let given = std::env::var_os("HELM").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::env::split_paths(&path).map(|folder| folder.join("helm"));
        let mut all = given.into_iter().chain([Path::new(&home).join("bin/helm")]).chain(places);
        let found = all.find(|helm| helm.is_file()).map(Self);
        if found.is_none() {
            skipped("no helm: set HELM, or run tests/cluster/build helm");
        }
        found
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        command.current_dir(repository(""));
        command
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What is rendered with these values, or what Helm says against them.
    pub fn try_render(&self, values: &[&str]) -> Result<String, String> {
        let template = ["template", RELEASE, CHART, "--namespace", NAMESPACE];
        let output = self.command().args(template).args(values).output().unwrap();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    pub fn render(&self, values: &[&str]) -> String {
        self.try_render(values).unwrap_or_else(|error| panic!("{values:?}: {error}"))
    }

    pub fn objects(&self, values: &[&str]) -> Objects {
        Objects::parse(&self.render(values))
    }
}

/// Objects as they would be applied.
pub struct Objects(pub Vec<Value>);

impl Objects {
    pub fn parse(text: &str) -> Self {
        let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        Self(all.into_iter().filter(|object| !object.is_null()).collect())
    }

    pub fn of_kind<'a, 'k>(&'a self, kind: &'k str) -> impl Iterator<Item = &'a Value> + use<'a, 'k> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    /// The only object of a kind.
    pub fn one(&self, kind: &str) -> &Value {
        let all: Vec<_> = self.of_kind(kind).collect();
        assert_eq!(all.len(), 1, "{kind}");
        all[0]
    }
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

pub fn namespace(object: &Value) -> Option<&str> {
    object["metadata"]["namespace"].as_str()
}

/// The texts of a list; none where there is no list.
pub fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
}
