use jiff::Timestamp;

use super::Judged;
use crate::domain::{BankFacts, NetworkPart, PartSample, Reach, ReachReason};
use crate::plan::reason::ConditionReason;
use crate::plan::wake::{Wake, after, second};
use crate::resources::ValidBank;

/// What the newest sample of a part says now.
enum Known<'a> {
    /// There is none.
    Never,
    /// It is older than twice the interval: it says nothing of now.
    Stale(&'a PartSample),
    /// It says this.
    Fresh(&'a PartSample),
}

fn known<'a>(part: NetworkPart, bank: &ValidBank, facts: &'a BankFacts, wake: &mut Wake) -> Known<'a> {
    match facts.reach.iter().find(|sample| sample.part == part) {
        None => Known::Never,
        Some(sample) if wake.passed(limit(sample, bank)) => Known::Stale(sample),
        Some(sample) => Known::Fresh(sample),
    }
}

/// Until when a sample says something of its part.
fn limit(sample: &PartSample, bank: &ValidBank) -> Timestamp {
    after(sample.time, i64::from(bank.sampling_interval_seconds).saturating_mul(2))
}

/// The newest sample of each declared part succeeded, and none is old. A part that is known not to answer counts
/// before those of which nothing is known. What it says stays the same from sample to sample: no sample by itself
/// changes a status.
pub fn reachable(bank: &ValidBank, facts: &BankFacts, wake: &mut Wake) -> Judged {
    let parts = bank.bank.network_parts();
    if parts.is_empty() {
        return Judged::unknown(ConditionReason::NotConfigured, "no part of this bank answers over the network");
    }
    let (mut bad, mut never, mut stale) = (None, None, None);
    for part in parts {
        match known(part, bank, facts, wake) {
            Known::Never => {
                never.get_or_insert_with(|| Judged::unknown(ConditionReason::NotSampled, not_sampled(part)));
            }
            Known::Stale(sample) => {
                stale.get_or_insert_with(|| Judged::unknown(ConditionReason::SampleStale, too_old(sample)));
            }
            Known::Fresh(PartSample { outcome: Reach::Missed { reason, message }, since, .. }) => {
                let (place, status) = match unreached(*reason) {
                    Ok(condition) => (&mut bad, Judged::bad(condition, told(part, message, *since))),
                    Err(condition) => (&mut never, Judged::unknown(condition, told(part, message, *since))),
                };
                place.get_or_insert(status);
            }
            Known::Fresh(_) => {}
        }
    }
    bad.or(never).or(stale).unwrap_or_else(|| Judged::good("every part that answers over the network does"))
}

/// The parts that are known not to answer now.
pub fn missed(bank: &ValidBank, facts: &BankFacts, now: Timestamp) -> Vec<NetworkPart> {
    let mut wake = Wake::new(now);
    let fails = |part: &NetworkPart| match known(*part, bank, facts, &mut wake) {
        Known::Fresh(sample) => sample.outcome.reason().is_some_and(ReachReason::measured),
        Known::Never | Known::Stale(_) => false,
    };
    bank.bank.network_parts().into_iter().filter(fails).collect()
}

/// The reason of False, or of Unknown where the part could not be asked.
const fn unreached(reason: ReachReason) -> Result<ConditionReason, ConditionReason> {
    match reason {
        ReachReason::ApiUnreachable => Ok(ConditionReason::ApiUnreachable),
        ReachReason::ApiError => Ok(ConditionReason::ApiError),
        ReachReason::DatabaseUnreachable => Ok(ConditionReason::DatabaseUnreachable),
        ReachReason::VectorStoreUnreachable => Ok(ConditionReason::VectorStoreUnreachable),
        ReachReason::CanaryFailed => Ok(ConditionReason::CanaryFailed),
        ReachReason::AuthenticationFailed => Ok(ConditionReason::AuthenticationFailed),
        ReachReason::SecretForbidden => Err(ConditionReason::SecretForbidden),
        ReachReason::SecretNotFound | ReachReason::SecretUnreadable | ReachReason::AddressForbidden => {
            Err(ConditionReason::NotSampled)
        }
    }
}

fn told(part: NetworkPart, message: &str, since: Timestamp) -> String {
    format!("{}: {message} (since {})", part.name(), second(since))
}

fn not_sampled(part: NetworkPart) -> String {
    format!("{} was not sampled yet: wait for the first sample, or waive Reachable to pass over it", part.name())
}

fn too_old(sample: &PartSample) -> String {
    format!(
        "{} was last sampled at {}, more than twice the sampling interval ago: look at the log of what samples it",
        sample.part.name(),
        second(sample.time)
    )
}
