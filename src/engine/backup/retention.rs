use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::SetName;
use crate::domain::Retention;

/// A set of a bank as retention sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: SetName,
    /// Whether it passed verification, and no later one refused it.
    pub verified: bool,
}

/// The sets that may go: those that no retention keeps. Without a retention none goes; the newest verified set never
/// does, and while no set is verified nothing does, for the oldest may be the only good one.
pub fn doomed(sets: &[Standing], retentions: &[Retention]) -> Vec<SetName> {
    let mut sets: Vec<&Standing> = sets.iter().collect();
    sets.sort_by(|a, b| b.name.cmp(&a.name));
    let Some(newest) = sets.iter().find(|set| set.verified).filter(|_| !retentions.is_empty()) else {
        return Vec::new();
    };
    let mut kept = BTreeSet::from([&newest.name]);
    for retention in retentions {
        kept.extend(sets.iter().take(count(retention.last)).map(|set| &set.name));
        kept.extend(one_each(&sets, retention.daily, |day| day));
        kept.extend(one_each(&sets, retention.weekly, |day| {
            let week = day.iso_week_date();
            (week.year(), week.week())
        }));
        kept.extend(one_each(&sets, retention.monthly, |day| (day.year(), day.month())));
    }
    sets.iter().filter(|set| !kept.contains(&set.name)).map(|set| set.name.clone()).collect()
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// One set of each of so many newest spans. `sets` are newest first.
fn one_each<'a, K: PartialEq>(sets: &[&'a Standing], spans: u32, span: impl Fn(Date) -> K) -> Vec<&'a SetName> {
    let mut chosen: Vec<(K, &Standing)> = Vec::new();
    for set in sets {
        let key = span(set.name.started().to_zoned(TimeZone::UTC).date());
        if let Some((_, other)) = chosen.last_mut().filter(|(last, _)| *last == key) {
            if set.verified && !other.verified {
                *other = set;
            }
        } else if chosen.len() < count(spans) {
            chosen.push((key, set));
        } else {
            break;
        }
    }
    chosen.into_iter().map(|(_, set)| &set.name).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn set(hour: i64, verified: bool) -> Standing {
        let started = Timestamp::from_second(1_700_000_000 + hour * 3_600).unwrap();
        Standing { name: SetName::new(started, "r").unwrap(), verified }
    }

    #[test]
    fn each_span_keeps_its_newest_verified_set() {
        // 2023-11-14T22:13:20Z and the hours from there: the day ends after the second.
        let sets: Vec<_> = [(0, true), (1, false), (2, true), (3, false), (30, true)].map(|(h, v)| set(h, v)).into();
        let daily = Retention { daily: 3, ..Retention::default() };
        let gone: Vec<_> = doomed(&sets, &[daily]).into_iter().collect();
        assert_eq!(gone, [sets[3].name.clone(), sets[1].name.clone()]);
        let last = Retention { last: 2, ..Retention::default() };
        assert_eq!(doomed(&sets, &[last]).len(), 3);
        assert_eq!(doomed(&sets, &[last, daily]), [sets[1].name.clone()]);
        assert_eq!(doomed(&sets, &[]), []);
    }

    prop_compose! {
        fn any_retention()(last in 0_u32..4, daily in 0_u32..4, weekly in 0_u32..4, monthly in 0_u32..4) -> Retention {
            Retention { last, daily, weekly, monthly }
        }
    }

    proptest! {
        #[test]
        fn the_newest_verified_set_stays_and_nothing_goes_without_one(
            hours in prop::collection::btree_map(0_i64..5_000, any::<bool>(), 0..40),
            retentions in prop::collection::vec(any_retention(), 0..3),
            more in any_retention(),
        ) {
            let sets: Vec<_> = hours.iter().map(|(hour, verified)| set(*hour, *verified)).collect();
            let gone = doomed(&sets, &retentions);
            let newest = sets.iter().rfind(|set| set.verified);
            match newest {
                Some(newest) => prop_assert!(!gone.contains(&newest.name)),
                None => prop_assert!(gone.is_empty()),
            }
            // Nothing more goes when it is asked again, and another retention keeps all that was kept.
            let left: Vec<_> = sets.iter().filter(|set| !gone.contains(&set.name)).cloned().collect();
            prop_assert_eq!(doomed(&left, &retentions), []);
            let both: Vec<_> = retentions.iter().copied().chain([more]).collect();
            if !retentions.is_empty() {
                prop_assert!(doomed(&sets, &both).iter().all(|name| gone.contains(name)));
                let most: u32 = retentions.iter().map(|r| r.last + r.daily + r.weekly + r.monthly).sum();
                prop_assert!(newest.is_none() || left.len() <= most as usize + 1);
            }
            // So many of the newest stay.
            for retention in &retentions {
                for set in sets.iter().rev().take(retention.last as usize) {
                    prop_assert!(!gone.contains(&set.name));
                }
            }
        }
    }
}
