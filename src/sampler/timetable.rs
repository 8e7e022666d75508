//! When each bank is asked next: spread over the interval by a hash of its name, so that a thousand banks are
//! asked one after the other, and each at the same moment of its interval whoever asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{BankName, Sampled};
use crate::domain::{Bank, Digest, NetworkPart, PartSample, Reach};

/// A bank that is new, or changed, is asked within this, or within its interval where that is shorter.
const SOON: Duration = Duration::from_secs(10);

/// The banks that are sampled, and nothing of others.
#[derive(Debug, Default)]
pub(super) struct Timetable {
    banks: BTreeMap<BankName, Entry>,
    /// Tells an entry from an earlier one of the same name.
    revisions: u64,
}

#[derive(Debug)]
struct Entry {
    bank: Arc<Bank>,
    interval: Duration,
    revision: u64,
    next: Instant,
    /// What the newest kept samples came to, and when they were kept.
    last: Option<(Vec<(NetworkPart, Reach)>, Instant)>,
}

/// One bank to ask now.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub name: BankName,
    pub revision: u64,
    pub bank: Arc<Bank>,
}

impl Timetable {
    /// Takes the banks in place of those before; one that did not change keeps its place.
    pub fn adopt(&mut self, banks: &[Sampled], now: Instant) {
        let mut before = std::mem::take(&mut self.banks);
        for sampled in banks.iter().filter(|sampled| !sampled.bank.network_parts().is_empty()) {
            let name = (sampled.namespace.clone(), sampled.bank.name.clone());
            let interval = Duration::from_secs(u64::from(sampled.interval_seconds.max(1)));
            let same = |entry: &Entry| entry.interval == interval && entry.bank == sampled.bank;
            let entry = before.remove(&name).filter(same).unwrap_or_else(|| {
                self.revisions += 1;
                Entry {
                    bank: Arc::clone(&sampled.bank),
                    interval,
                    revision: self.revisions,
                    next: now + share(&name, SOON.min(interval)),
                    last: None,
                }
            });
            self.banks.insert(name, entry);
        }
    }

    /// The bank that is due for longest; it is due again an interval later. `clock` is the time since 1970.
    pub fn due(&mut self, now: Instant, clock: Duration) -> Option<Job> {
        let (name, entry) = self.banks.iter_mut().min_by_key(|(_, entry)| entry.next)?;
        if entry.next > now {
            return None;
        }
        entry.next = now + wait(clock, entry.interval, share(name, entry.interval));
        Some(Job { name: name.clone(), revision: entry.revision, bank: Arc::clone(&entry.bank) })
    }

    /// When a bank is due next.
    pub fn next(&self) -> Option<Instant> {
        self.banks.values().map(|entry| entry.next).min()
    }

    /// Whether what was asked is still what is declared.
    pub fn current(&self, job: &Job) -> bool {
        self.banks.get(&job.name).is_some_and(|entry| entry.revision == job.revision)
    }

    /// Takes note of samples that were kept; whether whoever judges the bank must look again: they came to
    /// something else than those before, or those before were too old to judge by.
    pub fn kept(&mut self, job: &Job, samples: &[PartSample], now: Instant) -> bool {
        let Some(entry) = self.banks.get_mut(&job.name).filter(|entry| entry.revision == job.revision) else {
            return false;
        };
        let outcomes: Vec<_> = samples.iter().map(|sample| (sample.part, sample.outcome.clone())).collect();
        let same = entry.last.as_ref().is_some_and(|(before, kept)| {
            *before == outcomes && now.saturating_duration_since(*kept) <= entry.interval * 2
        });
        entry.last = Some((outcomes, now));
        !same
    }
}

/// The share of a time that a name has by its hash.
fn share(name: &BankName, of: Duration) -> Duration {
    let digest = Digest::of(format!("{}/{}", name.0, name.1).as_bytes());
    let bytes = digest.as_bytes();
    let number = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    of.mul_f64(f64::from(number) / (f64::from(u32::MAX) + 1.0))
}

/// How long from now until the moment of the interval that is `phase`; not sooner than half an interval, so that
/// the first sample of a bank is not followed at once by its second.
fn wait(clock: Duration, interval: Duration, phase: Duration) -> Duration {
    let (interval, phase) = (interval.as_millis().max(1), phase.as_millis());
    let into = clock.as_millis() % interval;
    let ahead = (phase + interval - into) % interval;
    let ahead = if ahead < interval / 2 { ahead + interval } else { ahead };
    Duration::from_millis(u64::try_from(ahead).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{ApiEndpoint, Canary, Flavor, ReachReason, Trust};

    fn sampled(name: &str, url: &str, interval_seconds: u32) -> Sampled {
        let api = ApiEndpoint {
            url: url.to_owned(),
            user_id: None,
            token: None,
            canary: Canary::ReadOnly,
            tls: Trust::default(),
        };
        let bank = Bank {
            name: name.to_owned(),
            flavor: Flavor::OpenMemory,
            database: None,
            history: None,
            vector_store: None,
            embedding: None,
            api: Some(api),
            volumes: Vec::new(),
            files: Vec::new(),
            backups: Vec::new(),
            repository: None,
            compose: None,
        };
        Sampled { namespace: "default".to_owned(), bank: Arc::new(bank), interval_seconds }
    }

    fn sample(outcome: Reach) -> Vec<PartSample> {
        let time = Timestamp::UNIX_EPOCH;
        vec![PartSample { part: NetworkPart::Api, time, since: time, milliseconds: 1, outcome }]
    }

    /// The moments, in seconds from the start, at which banks are asked within a time.
    fn asked(table: &mut Timetable, start: Instant, seconds: u64) -> Vec<(String, u64)> {
        let mut asked = Vec::new();
        for second in 0..seconds {
            let (now, clock) = (start + Duration::from_secs(second), Duration::from_secs(1_000_000 + second));
            while let Some(job) = table.due(now, clock) {
                asked.push((job.name.1, second));
            }
        }
        asked
    }

    #[test]
    fn a_thousand_banks_are_asked_soon_then_once_an_interval_and_never_all_at_once() {
        let banks: Vec<_> = (0..1000).map(|n| sampled(&format!("bank-{n}"), "http://a", 300)).collect();
        let (mut table, start) = (Timetable::default(), Instant::now());
        table.adopt(&banks, start);
        let asked = asked(&mut table, start, 1_800);
        let of = |name: &str| -> Vec<u64> { asked.iter().filter(|(n, _)| n == name).map(|(_, at)| *at).collect() };
        for n in [0, 1, 499, 999] {
            let times = of(&format!("bank-{n}"));
            assert!(times[0] <= 10, "{times:?}");
            let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!((150..=451).contains(&gaps[0]), "{gaps:?}");
            assert!(gaps[1..].iter().all(|gap| (299..=301).contains(gap)), "{gaps:?}");
        }
        let most = (600..1_800).map(|second| asked.iter().filter(|(_, at)| *at == second).count()).max().unwrap();
        assert!(most <= 20, "{most} banks within one second");
    }

    #[test]
    fn a_bank_that_goes_is_forgotten_and_one_that_changes_is_asked_soon() {
        let (mut table, start) = (Timetable::default(), Instant::now());
        table.adopt(&[sampled("a", "http://a", 300), sampled("b", "http://b", 300)], start);
        let later = start + Duration::from_secs(11);
        let jobs: Vec<Job> = std::iter::from_fn(|| table.due(later, Duration::from_secs(11))).collect();
        assert_eq!(jobs.len(), 2);
        table.adopt(&[sampled("a", "http://a", 300), sampled("b", "http://changed", 300)], later);
        let (a, b): (Vec<&Job>, Vec<&Job>) = jobs.iter().partition(|job| job.name.1 == "a");
        assert!(table.current(a[0]) && !table.current(b[0]));
        assert!(table.next().unwrap() <= later + SOON);
        table.adopt(&[sampled("a", "http://a", 300)], later);
        assert_eq!(table.banks.len(), 1);
        assert!(!table.kept(b[0], &sample(Reach::Reached), later), "a bank that is gone is told to nobody");
    }

    #[test]
    fn only_what_changes_a_judgement_is_told() {
        let (mut table, start) = (Timetable::default(), Instant::now());
        table.adopt(&[sampled("a", "http://a", 60)], start);
        let job = table.due(start + SOON, SOON).unwrap();
        let at = |seconds| start + Duration::from_secs(seconds);
        let missed = || Reach::Missed { reason: ReachReason::ApiUnreachable, message: "no".to_owned() };
        assert!(table.kept(&job, &sample(Reach::Reached), at(10)), "the first");
        assert!(!table.kept(&job, &sample(Reach::Reached), at(70)), "the same again");
        assert!(table.kept(&job, &sample(missed()), at(130)), "another");
        assert!(!table.kept(&job, &sample(missed()), at(190)));
        assert!(table.kept(&job, &sample(missed()), at(400)), "the same, after what was stale");
    }

    proptest! {
        #[test]
        fn the_wait_is_half_to_one_and_a_half_intervals_and_leads_to_the_phase(
            clock in 0u64..2_000_000_000_000, interval in 30u64..86_400, part in 0.0f64..1.0,
        ) {
            let (clock, interval) = (Duration::from_millis(clock), Duration::from_secs(interval));
            let phase = interval.mul_f64(part);
            let wait = wait(clock, interval, phase);
            prop_assert!(wait >= interval / 2 && wait < interval * 3 / 2);
            prop_assert_eq!((clock + wait).as_millis() % interval.as_millis(), phase.as_millis() % interval.as_millis());
        }
    }
}
