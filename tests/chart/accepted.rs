//! What a real API server says to the objects: every field is known to it, under strict validation; and a release is
//! installed, upgraded and removed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

use crate::control_plane::ControlPlane;
use crate::guardian::{skipped, text};
use crate::helm::{ALL, CHART, Helm, NAMESPACE, Objects, RELEASE, name};
use crate::repository;

/// The definitions of the kinds of prometheus-operator lie in this module.
const MONITORING: &str = "github.com/prometheus-operator/prometheus-operator@v0.85.0";
const MONITORING_KINDS: [&str; 3] = ["servicemonitors", "podmonitors", "prometheusrules"];
/// Helm keeps a release, chart and manifest, in a Secret, which the API server limits to 1 MiB. Half of it is left for
/// charts that take this one in.
const MAX_RELEASE_BYTES: usize = 512 * 1024;

fn succeeded(output: &Output, what: &str) {
    assert!(output.status.success(), "{what}: {}{}", text(&output.stdout), text(&output.stderr));
}

/// The folder of the monitoring definitions, from Go's cache or fetched once.
fn monitoring() -> Option<PathBuf> {
    let output =
        Command::new("go").args(["mod", "download", "-json", MONITORING]).current_dir(std::env::temp_dir()).output();
    let told: Option<Value> = output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok());
    let folder = told.and_then(|told| Some(Path::new(told["Dir"].as_str()?).join("example/prometheus-operator-crd")));
    if folder.is_none() {
        skipped("no definitions of prometheus-operator: Go fetches them once");
    }
    folder
}

/// The shared control plane with namespaces and definitions that the values speak of, and whether those of monitoring
/// are there.
fn prepared() -> Option<(&'static ControlPlane, bool)> {
    static MONITORED: OnceLock<bool> = OnceLock::new();
    let plane = ControlPlane::shared()?;
    Some((plane, *MONITORED.get_or_init(|| prepare(plane))))
}

fn prepare(plane: &ControlPlane) -> bool {
    for namespace in [NAMESPACE, "team-a", "team-b", "vault"] {
        succeeded(&plane.kubectl().args(["create", "namespace", namespace]).output().unwrap(), namespace);
    }
    let Some(folder) = monitoring() else { return false };
    for kind in MONITORING_KINDS {
        let file = folder.join(format!("monitoring.coreos.com_{kind}.yaml"));
        let file = file.to_str().unwrap();
        succeeded(&plane.kubectl().args(["apply", "--server-side", "-f", file]).output().unwrap(), kind);
        let crd = format!("crd/{kind}.monitoring.coreos.com");
        let wait = ["wait", "--for=condition=Established", "--timeout=60s", &crd];
        succeeded(&plane.kubectl().args(wait).output().unwrap(), kind);
    }
    true
}

#[test]
fn every_rendered_object_is_accepted_under_strict_validation() {
    let Some(helm) = Helm::find() else { return };
    let Some((plane, monitoring)) = prepared() else { return };
    for values in ALL {
        let objects = Objects::parse(&helm.render(values));
        let asked = objects.0.iter().filter(|object| monitoring || object["apiVersion"] != "monitoring.coreos.com/v1");
        let documents: Vec<_> = asked.map(ToString::to_string).collect();
        let number = documents.len();
        let apply = ["apply", "--dry-run=server", "--validate=strict", "--output=name", "-f", "-"];
        let output = plane.kubectl_with(&apply, &documents.join("\n---\n"));
        succeeded(&output, &format!("{values:?}"));
        let said = text(&output.stderr);
        assert!(!said.contains("Warning: would violate") && !said.contains("unknown field"), "{said}");
        assert_eq!(text(&output.stdout).lines().count(), number, "{values:?}");
    }
}

#[test]
fn the_operators_pod_passes_the_restricted_standard() {
    let Some(helm) = Helm::find() else { return };
    let Some(plane) = ControlPlane::shared() else { return };
    let namespace = text(&std::fs::read(repository("config/namespace.yaml")).unwrap()).replace(NAMESPACE, "restricted");
    succeeded(&plane.kubectl_with(&["apply", "-f", "-"], &namespace), "a restricted namespace");
    for values in ALL {
        let objects = helm.objects(values);
        let mut pod = objects.one("Deployment")["spec"]["template"].clone();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["name"] = "operator".into();
        pod["metadata"]["namespace"] = "restricted".into();
        pod["spec"]["serviceAccountName"] = "default".into();
        // The class of the cluster's own parts is for their namespace alone.
        pod["spec"].as_object_mut().unwrap().remove("priorityClassName");
        let account =
            plane.kubectl().args(["-n", "restricted", "wait", "--for=create", "serviceaccount/default"]).output();
        succeeded(&account.unwrap(), "the default account");
        let output =
            plane.kubectl_with(&["create", "--dry-run=server", "--validate=strict", "-f", "-"], &pod.to_string());
        succeeded(&output, &format!("{values:?}"));
    }
}

#[test]
fn the_plain_install_is_built_by_kustomize_and_accepted() {
    let Some((plane, _)) = prepared() else { return };
    let config = repository("config");
    let config = config.to_str().unwrap();
    let built = plane.kubectl().args(["kustomize", config]).output().unwrap();
    succeeded(&built, "kubectl kustomize");
    let objects = Objects::parse(&text(&built.stdout));
    assert!(objects.of_kind("CustomResourceDefinition").count() >= 5 && objects.of_kind("Deployment").count() == 1);
    let output =
        plane.kubectl().args(["apply", "--dry-run=server", "--validate=strict", "-k", config]).output().unwrap();
    succeeded(&output, "kubectl apply -k");
}

/// Installed without waiting for pods, which a control plane alone does not run.
#[test]
fn a_release_is_installed_upgraded_and_leaves_only_what_is_the_users() {
    let Some(helm) = Helm::find() else { return };
    let Some(plane) = ControlPlane::start() else { return };
    let run = |arguments: &[&str]| {
        let output = helm.command().args(arguments).env("KUBECONFIG", plane.kubeconfig()).output().unwrap();
        succeeded(&output, &arguments.join(" "));
        text(&output.stdout)
    };
    let objects_of = |kinds: &str| {
        let selector = format!("app.kubernetes.io/instance={RELEASE}");
        let get = ["get", kinds, "--all-namespaces", "--selector", &selector, "--output", "json"];
        let output = plane.kubectl().args(get).output().unwrap();
        succeeded(&output, kinds);
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        list["items"].as_array().unwrap().clone()
    };
    let kinds = "deployments,services,serviceaccounts,secrets,leases,persistentvolumeclaims,networkpolicies,\
                 poddisruptionbudgets,configmaps,roles,rolebindings,clusterroles,clusterrolebindings";
    let notes = run(&["install", RELEASE, CHART, "--namespace", NAMESPACE, "--create-namespace"]);
    assert!(notes.contains("kubectl -n memorybank rollout status deployment/memorybank-operator"), "{notes}");
    assert!(notes.contains("kubectl apply -f examples/kubernetes/quickstart.yaml"), "{notes}");
    assert_eq!(objects_of("deployments").len(), 1);

    let release = plane.kubectl().args(["-n", NAMESPACE, "get", "secrets", "-l", "owner=helm", "-o", "json"]).output();
    let release: Value = serde_json::from_slice(&release.unwrap().stdout).unwrap();
    let size = release["items"][0]["data"]["release"].as_str().unwrap().len() / 4 * 3;
    println!("the release takes {size} bytes of its Secret");
    assert!(size < MAX_RELEASE_BYTES, "{size} bytes");

    // What the operator wrote stays through an upgrade.
    let filled = r#"{"data":{"ca.crt":"Y2E="}}"#;
    let secret = format!("{RELEASE}-ingest");
    let patch = ["-n", NAMESPACE, "patch", "secret", &secret, "--patch", filled];
    succeeded(&plane.kubectl().args(patch).output().unwrap(), "filling the Secret");
    let held = r#"{"spec":{"holderIdentity":"pod-a"}}"#;
    let patch = ["-n", NAMESPACE, "patch", "lease", RELEASE, "--type=merge", "--patch", held];
    succeeded(&plane.kubectl().args(patch).output().unwrap(), "taking the lease");
    let host_paths = ["--set", "allowHostPaths={/srv/banks}"];
    run(&[&["upgrade", RELEASE, CHART, "--namespace", NAMESPACE][..], &host_paths].concat());
    assert_eq!(objects_of("secrets")[0]["data"]["ca.crt"], "Y2E=");
    assert_eq!(objects_of("leases")[0]["spec"]["holderIdentity"], "pod-a");
    let arguments = objects_of("deployments")[0]["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    assert!(arguments.contains("--allow-host-path=/srv/banks"), "{arguments}");

    let example = repository("examples/kubernetes/quickstart.yaml");
    let example = ["-n", "default", "apply", "--dry-run=server", "--validate=strict", "-f", example.to_str().unwrap()];
    succeeded(&plane.kubectl().args(example).output().unwrap(), "the example that the notes name");

    let bank = "{apiVersion: memorybank.dev/v1alpha1, kind: MemoryBank, metadata: {name: mine}, spec: {api: {url: \"http://a:1\"}}}";
    succeeded(&plane.kubectl_with(&["-n", "default", "apply", "-f", "-"], bank), "a bank");
    run(&["uninstall", RELEASE, "--namespace", NAMESPACE]);
    let left: Vec<_> = objects_of(kinds).iter().map(|object| format!("{} {}", object["kind"], name(object))).collect();
    // A claim goes once nothing uses it; without a node nothing does.
    assert!(left.is_empty(), "{left:?}");
    let kept = plane.kubectl().args(["-n", "default", "get", "mbank", "mine", "--output", "name"]).output().unwrap();
    succeeded(&kept, "the user's bank after uninstalling");
    assert_eq!(objects_of("customresourcedefinitions").len(), 6);
}

#[test]
fn people_see_and_change_what_the_aggregated_roles_say() {
    let Some(helm) = Helm::find() else { return };
    // Of its own: others ask whether what it makes here could be made.
    let Some(plane) = ControlPlane::start() else { return };
    succeeded(&plane.kubectl().args(["create", "namespace", "team-a"]).output().unwrap(), "a namespace");
    let objects = helm.objects(&[]);
    for kind in ["ClusterRole", "CustomResourceDefinition"] {
        let all: Vec<_> = objects.of_kind(kind).map(ToString::to_string).collect();
        succeeded(&plane.kubectl_with(&["apply", "--server-side", "-f", "-"], &all.join("\n---\n")), kind);
    }
    for (role, verb, resource, allowed) in [
        ("view", "list", "memorybanks", true),
        ("view", "create", "memorybanks", false),
        ("edit", "create", "maintenanceruns", true),
        ("edit", "patch", "memorybanks/status", false),
        ("admin", "patch", "memorybanks/status", true),
    ] {
        let user = format!("{role}er");
        let bind = ["-n", "team-a", "create", "rolebinding", &user, "--user", &user, "--clusterrole", role];
        let _there = plane.kubectl().args(bind).output().unwrap();
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let resource = format!("{resource}.memorybank.dev");
        let subresource = format!("--subresource={subresource}");
        let ask = ["-n", "team-a", "auth", "can-i", verb, &resource, &subresource, "--as", &user];
        let answer = || text(&plane.kubectl().args(ask).output().unwrap().stdout);
        // The controller of aggregation takes a moment; what is refused is asked for after what is allowed.
        if allowed {
            crate::guardian::wait_for(&format!("{role}: {verb} {resource}"), || {
                answer().starts_with("yes").then_some(())
            });
        } else {
            assert!(answer().starts_with("no"), "{role}: {verb} {resource}");
        }
    }
}

#[test]
fn a_plan_is_approved_by_who_may_and_in_their_own_name() {
    let Some(helm) = Helm::find() else { return };
    let Some(plane) = ControlPlane::start() else { return };
    succeeded(&plane.kubectl().args(["create", "namespace", "team-a"]).output().unwrap(), "a namespace");
    let objects = helm.objects(&[]);
    let kinds =
        ["ClusterRole", "CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];
    for kind in kinds {
        let all: Vec<_> = objects.of_kind(kind).map(ToString::to_string).collect();
        assert!(!all.is_empty(), "{kind}");
        succeeded(&plane.kubectl_with(&["apply", "--server-side", "-f", "-"], &all.join("\n---\n")), kind);
    }
    for (user, role) in [("ed", "edit"), ("ada", "admin")] {
        let bind = ["-n", "team-a", "create", "rolebinding", user, "--user", user, "--clusterrole", role];
        succeeded(&plane.kubectl().args(bind).output().unwrap(), user);
    }
    let digest = format!("sha256:{}", "0".repeat(64));
    let apply = |user: &str, name: &str, approved_by: Option<&str>| {
        let approval = approved_by
            .map_or(String::new(), |by| format!(", approval: {{planDigest: \"{digest}\", approvedBy: {by}}}"));
        let recovery = format!(
            "{{apiVersion: memorybank.dev/v1alpha1, kind: Recovery, metadata: {{name: {name}}}, spec: \
             {{bankName: assistant, mode: OnApproval{approval}}}}}"
        );
        plane.kubectl_with(&["-n", "team-a", "--as", user, "apply", "-f", "-"], &recovery)
    };
    // Once the policy is in force, which takes a moment, and so are the roles.
    crate::guardian::wait_for("the roles and the policy", || {
        let made = apply("ed", "mend", None).status.success();
        (made && !apply("ed", "probe", Some("ed")).status.success()).then_some(())
    });
    let refused = apply("ed", "mend", Some("ed"));
    assert!(!refused.status.success() && text(&refused.stderr).contains("recoveries/approval"), "{refused:?}");
    crate::guardian::wait_for("the right of ada", || apply("ada", "other", None).status.success().then_some(()));
    let lent = apply("ada", "mend", Some("ed"));
    assert!(!lent.status.success() && text(&lent.stderr).contains("in your own name"), "{lent:?}");
    succeeded(&apply("ada", "mend", Some("ada")), "an approval");
    // What is approved stays so whoever else writes to it, and may be taken back.
    let label = ["-n", "team-a", "--as", "ed", "label", "mrec", "mend", "seen=yes"];
    succeeded(&plane.kubectl().args(label).output().unwrap(), "a label");
    succeeded(&apply("ed", "mend", None), "an approval that is taken back");
}
