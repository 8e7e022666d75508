//! Which replica leads. A pure decision, and a thin loop that carries it out.
//!
//! The clocks of replicas are never compared: a lease is expired when it was not seen to change for its whole
//! duration, by the clock of whoever looks. A leader believes in itself for less than that, counted from before
//! it asked, so its belief ends before anybody else's begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a lease is good for, for those who wait.
const LEASE: Duration = Duration::from_secs(15);
/// How long its holder counts on it after it began to renew it.
const BELIEF: Duration = Duration::from_secs(10);
/// How often it is renewed, or looked at by those who wait.
const RENEWAL: Duration = Duration::from_secs(4);
/// How often a renewal that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long one request of it may take.
const REQUEST: Duration = Duration::from_secs(4);

/// Whether this replica leads, for whoever is about to write.
#[derive(Debug)]
pub struct Leadership {
    begun: Instant,
    /// Milliseconds after `begun` until which it leads; 0 while it does not.
    until: AtomicU64,
    leading: watch::Sender<bool>,
}

impl Default for Leadership {
    fn default() -> Self {
        Self { begun: Instant::now(), until: AtomicU64::new(0), leading: watch::Sender::new(false) }
    }
}

impl Leadership {
    /// Whether it leads at this moment. A process that was stopped and wakes up late finds that it does not.
    pub fn leads(&self) -> bool {
        let until = self.until.load(Ordering::Acquire);
        self.begun.elapsed() < Duration::from_millis(until)
    }

    /// Returns once it leads.
    pub async fn elected(&self) {
        let mut leading = self.leading.subscribe();
        // The sender is in this very object.
        let _ = leading.wait_for(|leading| *leading).await;
    }

    fn believe(&self, until: Instant) {
        let until = until.saturating_duration_since(self.begun).as_millis();
        self.until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Release);
        self.leading.send_replace(true);
    }

    fn resign(&self) {
        self.until.store(0, Ordering::Release);
        self.leading.send_replace(false);
    }
}

/// What is known of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Who holds it; empty where it was given back.
    pub holder: &'a str,
    /// When it was first seen as it is.
    pub unchanged_since: Instant,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write it with our name.
    Take,
    /// Write it again: it is ours.
    Renew,
    /// Look again later.
    Wait,
}

/// Decides by what was just read.
pub fn decide(lease: Option<Seen<'_>>, me: &str, now: Instant) -> Step {
    match lease {
        None => Step::Take,
        Some(seen) if seen.holder == me => Step::Renew,
        Some(seen) if seen.holder.is_empty() => Step::Take,
        Some(seen) if now.saturating_duration_since(seen.unchanged_since) > LEASE => Step::Take,
        Some(_) => Step::Wait,
    }
}

/// What came of a step.
enum Outcome {
    Ours,
    Theirs,
    /// Somebody wrote it first; the next look tells who.
    Raced,
}

/// Why leading ended.
#[derive(Debug, thiserror::Error)]
#[error("the lease {lease} was lost: it could not be renewed for {} s{why}", BELIEF.as_secs())]
pub struct LeaseLost {
    lease: String,
    why: String,
}

/// Holds the lease for as long as it can.
pub struct Election {
    pub client: Client,
    pub namespace: String,
    pub lease: String,
    pub me: String,
    pub leadership: Arc<Leadership>,
}

impl Election {
    /// Seeks the lease and renews it until `stop`, when it gives it back. An error means that it was held and lost:
    /// the process must end, for what it knows may be old.
    pub async fn run(self, stop: &CancellationToken) -> Result<(), LeaseLost> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut last: Option<(String, Instant)> = None;
        let mut believed: Option<Instant> = None;
        let mut why = String::new();
        loop {
            let asked = Instant::now();
            let step = tokio::time::timeout(REQUEST, self.step(&leases, &mut last)).await;
            let wait = match step {
                Ok(Ok(Outcome::Ours)) => {
                    if believed.is_none() {
                        tracing::info!(lease = self.lease, me = self.me, "leading");
                    }
                    believed = Some(asked + BELIEF);
                    self.leadership.believe(asked + BELIEF);
                    RENEWAL
                }
                Ok(Ok(Outcome::Theirs)) if believed.is_some() => {
                    self.leadership.resign();
                    return Err(self.lost(": another replica holds it"));
                }
                Ok(Ok(Outcome::Theirs)) => RENEWAL,
                Ok(Ok(Outcome::Raced)) => RETRY,
                Ok(Err(error)) => {
                    why = format!(": {error}");
                    tracing::warn!(lease = self.lease, %error, "the lease could not be asked for");
                    RETRY
                }
                Err(_) => {
                    ": the API server did not answer".clone_into(&mut why);
                    RETRY
                }
            };
            if believed.is_some_and(|until| Instant::now() >= until) {
                self.leadership.resign();
                return Err(self.lost(&why));
            }
            // A little early or late, so that replicas do not ask in step; never after the last moment.
            let next = Instant::now() + wait.mul_f64(rand::random_range(0.9..1.1));
            let next = believed.map_or(next, |until| next.min(until));
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = stop.cancelled() => {
                    self.leadership.resign();
                    if believed.is_some() {
                        self.give_back(&leases).await;
                    }
                    return Ok(());
                }
            }
        }
    }

    fn lost(&self, why: &str) -> LeaseLost {
        LeaseLost { lease: format!("{}/{}", self.namespace, self.lease), why: why.to_owned() }
    }

    /// Reads the lease and writes it where that is the step. A write that meets a newer version is refused by the
    /// API server.
    async fn step(&self, leases: &Api<Lease>, last: &mut Option<(String, Instant)>) -> Result<Outcome, kube::Error> {
        let lease = leases.get_opt(&self.lease).await?;
        let now = Instant::now();
        let version = lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone()).unwrap_or_default();
        if last.as_ref().is_none_or(|(known, _)| *known != version) {
            *last = Some((version, now));
        }
        let spec = lease.as_ref().and_then(|lease| lease.spec.as_ref());
        let seen = lease.as_ref().map(|_| Seen {
            holder: spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default(),
            unchanged_since: last.as_ref().map_or(now, |(_, since)| *since),
        });
        let step = decide(seen, &self.me, now);
        if step == Step::Wait {
            return Ok(Outcome::Theirs);
        }
        let time = Timestamp::now();
        let renewal = spec.filter(|_| step == Step::Renew);
        let transitions = spec.and_then(|spec| spec.lease_transitions).unwrap_or_default();
        let fresh = LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: renewal.and_then(|spec| spec.acquire_time.clone()).or(Some(MicroTime(time))),
            renew_time: Some(MicroTime(time)),
            lease_transitions: Some(if step == Step::Renew { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        };
        let params = PostParams::default();
        let written = if let Some(lease) = lease {
            let lease = Lease { spec: Some(fresh), ..lease };
            leases.replace(&self.lease, &params, &lease).await
        } else {
            let metadata = ObjectMeta { name: Some(self.lease.clone()), ..ObjectMeta::default() };
            leases.create(&params, &Lease { metadata, spec: Some(fresh) }).await
        };
        match written {
            Ok(_) => Ok(Outcome::Ours),
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(Outcome::Raced),
            Err(error) => Err(error),
        }
    }

    /// Lets another replica lead at once. Where that fails, it waits for the lease to expire.
    async fn give_back(&self, leases: &Api<Lease>) {
        let outcome = tokio::time::timeout(REQUEST, async {
            let mut lease = leases.get(&self.lease).await?;
            let Some(spec) = &mut lease.spec else { return Ok(()) };
            if spec.holder_identity.as_deref() == Some(&self.me) {
                spec.holder_identity = Some(String::new());
                leases.replace(&self.lease, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        });
        match outcome.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not given back; it expires"),
            Err(_) => tracing::warn!("the lease was not given back in time; it expires"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_only_when_nobody_can_believe_in_it() {
        let now = Instant::now() + Duration::from_secs(1000);
        let seen = |holder, ago: u64| Some(Seen { holder, unchanged_since: now - Duration::from_secs(ago) });
        assert_eq!(decide(None, "me", now), Step::Take);
        assert_eq!(decide(seen("me", 900), "me", now), Step::Renew);
        assert_eq!(decide(seen("", 0), "me", now), Step::Take);
        assert_eq!(decide(seen("you", 15), "me", now), Step::Wait);
        assert_eq!(decide(seen("you", 16), "me", now), Step::Take);
        assert!(BELIEF < LEASE && RENEWAL + REQUEST < BELIEF, "belief ends before the lease does");
    }

    #[test]
    fn leadership_ends_by_itself() {
        let leadership = Leadership::default();
        assert!(!leadership.leads());
        leadership.believe(Instant::now() + Duration::from_mins(1));
        assert!(leadership.leads());
        leadership.believe(leadership.begun);
        assert!(!leadership.leads());
    }
}
