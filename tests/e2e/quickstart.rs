//! What a new user does after the install: the example is applied, Jobs run, findings stand in conditions and Events.

use serde_json::Value;

use crate::banks::{self, NAMESPACE};
use crate::cluster::Cluster;
use crate::guardian::condition;
use crate::install::metrics;

const EXAMPLE: &str = "examples/kubernetes/quickstart.yaml";
const SHORT: &str = "
apiVersion: memorybank.dev/v1alpha1
kind: MaintenanceRun
metadata: {name: short-lived}
spec: {bankName: openmemory, tasks: [{task: IntegrityCheck, level: Quick}], ttlSecondsAfterFinished: 1}
";

pub fn applied(cluster: &Cluster) {
    banks::sample(cluster, &banks::claim(cluster, NAMESPACE, "openmemory-db"));
    cluster.kubectl(&["-n", NAMESPACE, "apply", "-f", EXAMPLE]);
    let wait = |what: &str, until: &str| {
        cluster.kubectl(&["-n", NAMESPACE, "wait", what, "--for", until, "--timeout=120s"]);
    };
    wait("icheck/everything", "condition=Succeeded");
    wait("icheck/everything", "condition=Passed=False");
    wait("saudit/leaks", "condition=Succeeded");
    wait("mpol/standard", "condition=Ready");
    for kept in ["Ready", "Intact", "Secure"] {
        wait("mbank/openmemory", &format!("condition={kept}=False"));
    }
    let bank = cluster.get(NAMESPACE, "mbank", "openmemory").unwrap();
    assert_eq!(condition(&bank, "OnSchedule"), ("True".to_owned(), "AsExpected".to_owned()));
    assert!(bank["status"]["corruption"]["open"].as_u64().unwrap() > 5, "{bank:#}");
    assert!(bank["status"]["findings"]["critical"].as_u64().unwrap() > 0, "{bank:#}");
    jobs(cluster);
    printed(cluster);
    events(cluster);
    deleted(cluster);
    let refused: Vec<_> =
        metrics(cluster).lines().filter(|line| line.contains(r#"code="403""#)).map(str::to_owned).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

/// Every run is a Job of its own that ended well, under the restricted standard, without rights.
fn jobs(cluster: &Cluster) {
    let runs = cluster.list(NAMESPACE, "maintenanceruns", "");
    assert!(runs.len() >= 2, "{runs:?}");
    for run in runs {
        let name = run["metadata"]["name"].as_str().unwrap();
        assert_eq!(
            (&run["status"]["phase"], &run["status"]["report"]["source"]),
            (&"Succeeded".into(), &"Ingest".into()),
            "{run:#}"
        );
        let job = cluster.get(NAMESPACE, "job", name).unwrap();
        assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], run["metadata"]["uid"]);
        cluster.kubectl(&[
            "-n",
            NAMESPACE,
            "wait",
            "--for=condition=Complete",
            &format!("job/{name}"),
            "--timeout=30s",
        ]);
        let pods = cluster.list(NAMESPACE, "pods", &format!("memorybank.dev/run={name}"));
        assert_eq!(pods.len(), 1, "{name}");
        assert_eq!(pods[0]["spec"]["automountServiceAccountToken"], false);
        let summary = pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]["message"].as_str().unwrap();
        assert!(serde_json::from_str::<Value>(summary).is_ok(), "{summary}");
    }
}

/// What people look at.
fn printed(cluster: &Cluster) {
    let table = cluster.kubectl(&["-n", NAMESPACE, "get", "mbank,mpol,mrun,icheck,saudit"]);
    for words in ["INTACT", "HEALTH", "ONTIME", "PHASE", "PASSED", "openmemory", "standard", "everything", "leaks"] {
        assert!(table.contains(words), "{words} is not in\n{table}");
    }
    // By its whole name too, which no category may take.
    let named = cluster.kubectl(&["-n", NAMESPACE, "get", "memorybank", "openmemory", "--output", "name"]);
    assert_eq!(named.trim(), "memorybank.memorybank.dev/openmemory");
    let described = cluster.kubectl(&["-n", NAMESPACE, "describe", "mbank", "openmemory"]);
    for words in ["Open Corruption", "LeakFound", "DataInconsistency", "Events:", "RunCreated"] {
        let found = described.contains(words) || words == "Open Corruption" && described.contains("Corruption:");
        assert!(found, "{words} is not in\n{described}");
    }
    let explained = cluster.kubectl(&["explain", "memorybank.spec.jobTemplate.tolerations"]);
    assert!(explained.contains("Taints that are tolerated."), "{explained}");
}

fn events(cluster: &Cluster) {
    let told = |kind: &str, name: &str| {
        let fields = format!("involvedObject.kind={kind},involvedObject.name={name}");
        cluster.kubectl(&["-n", NAMESPACE, "get", "events", "--field-selector", &fields, "--output", "wide"])
    };
    let of_bank = told("MemoryBank", "openmemory");
    for words in ["RunCreated", "LeakFound", "Secure is False", "Intact is False", "Warning"] {
        assert!(of_bank.contains(words), "{words} is not in\n{of_bank}");
    }
    let run = cluster.list(NAMESPACE, "maintenanceruns", "").remove(0);
    let name = run["metadata"]["name"].as_str().unwrap();
    let of_run = told("MaintenanceRun", name);
    assert!(of_run.contains("RunStarted") && of_run.contains("Completed"), "{of_run}");
}

/// A check that is deleted takes its run and its Job along; the bank keeps what was found.
fn deleted(cluster: &Cluster) {
    let before = cluster.list(NAMESPACE, "maintenanceruns", "").len();
    cluster.kubectl(&["-n", NAMESPACE, "delete", "icheck", "everything"]);
    cluster.until("the end of the check's run", 60, || {
        let runs = cluster.list(NAMESPACE, "maintenanceruns", "").len();
        let jobs = cluster.list(NAMESPACE, "jobs", "").len();
        (runs + 1 == before && jobs + 1 == before).then_some(())
    });
    // The operator takes a run away after its time, and its Job goes with it.
    cluster.apply(NAMESPACE, SHORT);
    cluster.until("the end of a short-lived run", 60, || {
        let gone = ["mrun", "job"].into_iter().all(|kind| cluster.get(NAMESPACE, kind, "short-lived").is_none());
        gone.then_some(())
    });
    let fields = "involvedObject.name=short-lived,reason=Completed";
    let told = cluster.kubectl(&["-n", NAMESPACE, "get", "events", "--field-selector", fields, "--output", "name"]);
    assert!(!told.is_empty());
    let bank = cluster.get(NAMESPACE, "mbank", "openmemory").unwrap();
    assert_eq!(condition(&bank, "Intact").0, "False");
}
