//! Lets the pod of a run's Job in, and nobody else.

mod judge;

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::delivery::{AUDIENCE, Admitted, Gate, Refusal};
use crate::resources::MaintenanceRun;

/// How long the API server may take for one answer.
const CALL: Duration = Duration::from_secs(5);
/// How many callers are checked at once, and how long others wait for their turn.
const AT_ONCE: usize = 16;
const TURN: Duration = Duration::from_secs(5);

/// Asks the API server whose token it is, and whether that pod belongs to the run's Job.
pub struct ClusterGate {
    client: Client,
    turns: Semaphore,
}

impl ClusterGate {
    /// A gate that asks through this client.
    pub fn new(client: Client) -> Self {
        Self { client, turns: Semaphore::new(AT_ONCE) }
    }

    /// Who the token belongs to.
    async fn review(&self, token: &str) -> Result<judge::Caller, Refusal> {
        let review = TokenReview {
            spec: TokenReviewSpec { audiences: Some(vec![AUDIENCE.to_owned()]), token: Some(token.to_owned()) },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let answer = ask("the review of the token", reviews.create(&PostParams::default(), &review)).await?;
        let answer = answer.ok_or_else(|| Refusal::Unavailable("the API server has no TokenReview".to_owned()))?;
        judge::caller(&answer.status.unwrap_or_default())
    }
}

/// One call to the API server; none where it says that there is no such object.
async fn ask<T>(what: &str, call: impl Future<Output = kube::Result<T>>) -> Result<Option<T>, Refusal> {
    match timeout(CALL, call).await {
        Ok(Ok(answer)) => Ok(Some(answer)),
        Ok(Err(kube::Error::Api(status))) if status.is_not_found() => Ok(None),
        Ok(Err(error)) => Err(Refusal::Unavailable(format!("{what}: {error}"))),
        Err(_) => Err(Refusal::Unavailable(format!("{what}: no answer within {} s", CALL.as_secs()))),
    }
}

impl Gate for ClusterGate {
    async fn admit(&self, token: &str, namespace: &str, run: &str) -> Result<Admitted, Refusal> {
        let turn = timeout(TURN, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Refusal::Unavailable(format!("{AT_ONCE} callers are being checked already")));
        };
        let caller = self.review(token).await?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let Some(pod) = ask("the caller's pod", pods.get(&caller.pod)).await? else {
            return Err(Refusal::Forbidden(format!("there is no pod {} in namespace {namespace}", caller.pod)));
        };
        let owner = judge::job_of(&pod, &caller)?;
        let jobs: Api<Job> = Api::namespaced(self.client.clone(), namespace);
        let Some(job) = ask("the caller's Job", jobs.get(&owner.name)).await? else {
            return Err(Refusal::Forbidden(format!("there is no Job {} in namespace {namespace}", owner.name)));
        };
        let admitted = judge::run_of(&job, &owner, run)?;
        let runs: Api<MaintenanceRun> = Api::namespaced(self.client.clone(), namespace);
        let Some(object) = ask("the run", runs.get(run)).await? else {
            return Err(Refusal::UnknownRun(format!("there is no MaintenanceRun {run} in namespace {namespace}")));
        };
        judge::same_run(&object, &admitted)?;
        Ok(admitted)
    }
}
