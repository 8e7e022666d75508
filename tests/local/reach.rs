//! What answers over the network, as `local` tells it: a stand-in for OpenMemory and Qdrant goes and comes back.

use crate::guardian::{Bed, condition, field, wait_for};
use crate::standin::{COLLECTION, Mode, StandIn, USER};

/// A bank that is an API and a vector store, and a run of a task that needs the latter.
fn bank(api: &str, vectors: &str) -> String {
    format!(
        "apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {{name: remote}}
spec:
  api: {{url: '{api}', userId: {USER}, tokenSecretRef: {{name: api, key: token}}}}
  vectorStore: {{qdrant: {{url: '{vectors}', collection: {COLLECTION}}}}}
  sampling: {{intervalSeconds: 30}}
"
    )
}

const RUN: &str = "---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenanceRun
metadata: {name: compare}
spec: {bankName: remote, tasks: [{task: ConsistencyCheck}]}
---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenanceRun
metadata: {name: ask}
spec: {bankName: remote, tasks: [{task: Probe}]}
";

fn bed(documents: &str) -> Bed {
    let bed = Bed::new(1);
    bed.config("remote.yaml", documents);
    std::fs::create_dir_all(bed.path("config/secrets/api")).unwrap();
    std::fs::write(bed.path("config/secrets/api/token"), "t0ken\n").unwrap();
    bed
}

fn reachable(bed: &Bed) -> (String, String) {
    bed.status("MemoryBank", "remote").map(|bank| condition(&bank, "Reachable")).unwrap_or_default()
}

fn wait_until(bed: &Bed, status: &str, reason: &str) {
    wait_for(&format!("Reachable {status}/{reason}"), || {
        (reachable(bed) == (status.to_owned(), reason.to_owned())).then_some(())
    });
}

#[test]
fn an_api_that_goes_and_comes_back_is_told_and_runs_that_need_it_wait() {
    let (api, vectors) = (StandIn::start(), StandIn::start());
    let address = api.address();
    api.require("Authorization: Bearer t0ken");
    drop(api);
    vectors.set(Mode::Status(500));
    let documents = bank(&format!("http://{address}"), &vectors.url());
    let bed = bed(&documents);
    let served = bed.watch(&[]);
    wait_until(&bed, "False", "ApiUnreachable");
    let message = wait_for("what is wrong", || {
        let bank = bed.status("MemoryBank", "remote")?;
        let conditions = bank["status"]["conditions"].as_array()?.clone();
        Some(field(conditions.iter().find(|condition| condition["type"] == "Reachable")?, "/message"))
    });
    assert!(message.contains("refuses connections: start it"), "{message}");
    // The files of status are written before what metrics show.
    let shows = |series: &str| wait_for(series, || served.metrics().contains(series).then_some(()));
    shows(
        "memorybank_bank_condition{namespace=\"default\",bank=\"remote\",condition=\"Reachable\",status=\"False\"} 1",
    );
    // The vector store fails too: what compares it waits, and what measures it does not.
    bed.config("remote.yaml", &(documents.clone() + RUN));
    let held = |name: &str| bed.status("MaintenanceRun", name).map(|run| field(&run, "/status/phase"));
    wait_for("the run that waits", || (held("compare")? == "Held").then_some(()));
    wait_for("the probe", || (held("ask")? == "Succeeded").then_some(()));
    shows("memorybank_runs_held{reason=\"Unreachable\"} 1");

    // A change of the bank is sampled soon: the interval need not be waited for.
    let api = StandIn::at(address);
    api.require("Authorization: Bearer t0ken");
    vectors.set(Mode::Good);
    bed.config("remote.yaml", &(documents.replace("Seconds: 30", "Seconds: 31") + RUN));
    wait_until(&bed, "True", "AsExpected");
    wait_for("the run that waited", || (held("compare")? == "Unknown").then_some(()));
    assert!(api.requests().iter().all(|request| request.starts_with("GET /api/v1/stats/")), "{:?}", api.requests());

    // A bank that goes takes its samples with it.
    std::fs::remove_file(bed.path("config/remote.yaml")).unwrap();
    wait_for("the end of the bank", || bed.status("MemoryBank", "remote").is_none().then_some(()));
    assert!(served.stop().success());
    assert!(bed.query("SELECT bank FROM reach").is_empty());
}

#[test]
fn once_samples_before_it_judges() {
    let server = StandIn::start();
    let bed = bed(&bank(&server.url(), &server.url()));
    // The sample's policy asks of this bank what this version cannot measure.
    bed.once_ends(&["--now"], 3);
    assert_eq!(reachable(&bed), ("True".to_owned(), "AsExpected".to_owned()));
    let asked = |what: &str| server.requests().iter().filter(|request| request.starts_with(what)).count();
    assert_eq!(asked("GET /api/v1/stats/"), 1, "{:?}", server.requests());
    // Sampled once, and asked by the checks of the vector store as well.
    assert!(asked("GET /collections/") > 1, "{:?}", server.requests());
    server.set(Mode::Drop);
    bed.once_ends(&["--now"], 3);
    assert_eq!(reachable(&bed), ("False".to_owned(), "ApiUnreachable".to_owned()));
    std::fs::remove_file(bed.path("config/secrets/api/token")).unwrap();
    server.set(Mode::Good);
    bed.once_ends(&[], 3);
    assert_eq!(reachable(&bed), ("Unknown".to_owned(), "NotSampled".to_owned()));
}
