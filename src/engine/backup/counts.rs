use std::collections::BTreeMap;

/// The table without which a database is none of a bank.
const MEMORIES: &str = "memories";
/// Fewer rows or files less than the live bank has are what was written since.
const SLACK: u64 = 1_000;

/// How much a part of a bank holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows by table, of a SQLite file.
    pub rows: BTreeMap<String, u64>,
    /// Files and links, of a tree.
    pub files: Option<u64>,
    /// Points of a collection.
    pub points: Option<u64>,
}

/// What a set holds nothing of, where the live bank has some: rows, memories, points. Whenever the set was made, it does
/// not stand for that bank.
pub fn emptiness(set: &Counts, live: &Counts) -> Option<String> {
    let rows = |counts: &Counts| counts.rows.values().sum::<u64>();
    let points = |counts: &Counts| counts.points.unwrap_or_default();
    let none = |what: &str, set: u64, live: u64| {
        (set == 0 && live > 0).then(|| format!("it holds no {what}, and the live bank has {live}"))
    };
    none("row", rows(set), rows(live))
        .or_else(|| none("memory", of(set, MEMORIES), of(live, MEMORIES)))
        .or_else(|| none("point", points(set), points(live)))
}

/// What a set that was just made holds too little of, beside the live bank; none where nothing.
///
/// A bank goes on while its set is made, so a little less is expected. Too little is: nothing at all, or no memory, where
/// the live bank has some; or of a table, tree or collection less than half, and more than 1,000 less. More than the live
/// bank has is no fault of the set.
pub fn shortfall(set: &Counts, live: &Counts) -> Option<String> {
    let short = |set: u64, live: u64| set < live / 2 && live - set > SLACK;
    let table = || {
        let (table, live) = live.rows.iter().find(|(table, live)| short(of(set, table), **live))?;
        Some(format!("it holds {} rows of {table}, and the live bank has {live}", of(set, table)))
    };
    let few = |(what, set, live): (&str, Option<u64>, Option<u64>)| {
        let (set, live) = (set.unwrap_or_default(), live.unwrap_or_default());
        let too_few = (set == 0 && live > 0) || short(set, live);
        too_few.then(|| format!("it holds {set} {what}, and the live bank has {live}"))
    };
    let others = [("files", set.files, live.files), ("points", set.points, live.points)];
    emptiness(set, live).or_else(table).or_else(|| others.into_iter().find_map(few))
}

fn of(counts: &Counts, table: &str) -> u64 {
    counts.rows.get(table).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[(&str, u64)]) -> Counts {
        Counts { rows: rows.iter().map(|(table, rows)| ((*table).to_owned(), *rows)).collect(), ..Counts::default() }
    }

    fn files(files: u64) -> Counts {
        Counts { files: Some(files), ..Counts::default() }
    }

    fn points(points: u64) -> Counts {
        Counts { points: Some(points), ..Counts::default() }
    }

    #[test]
    fn a_set_of_nothing_never_passes_and_growth_does() {
        for (set, live) in [
            (rows(&[]), rows(&[("users", 1)])),
            (rows(&[("memories", 0), ("users", 1)]), rows(&[("memories", 1), ("users", 1)])),
            (rows(&[("memories", 9), ("logs", 10)]), rows(&[("memories", 9), ("logs", 2_000)])),
            (files(0), files(1)),
            (files(400), files(1_500)),
            (points(0), points(1)),
            (points(400), points(1_500)),
        ] {
            assert!(shortfall(&set, &live).is_some(), "{set:?} {live:?}");
        }
        for (set, live) in [
            (rows(&[("memories", 9)]), rows(&[("memories", 900), ("logs", 300)])),
            (rows(&[("memories", 1_000)]), rows(&[("memories", 2_000)])),
            (rows(&[("memories", 9)]), rows(&[])),
            (files(3), files(800)),
            (files(9_000), files(0)),
            (points(400), points(1_400)),
            (points(9_000), points(0)),
        ] {
            assert_eq!(shortfall(&set, &live), None, "{set:?} {live:?}");
        }
    }

    #[test]
    fn an_older_set_is_only_too_little_where_it_is_empty() {
        for (set, live) in [
            (rows(&[]), rows(&[("users", 1)])),
            (rows(&[("memories", 0), ("users", 1)]), rows(&[("memories", 1), ("users", 1)])),
            (points(0), points(1)),
        ] {
            assert!(emptiness(&set, &live).is_some(), "{set:?} {live:?}");
        }
        for (set, live) in [
            (rows(&[("memories", 1), ("logs", 1)]), rows(&[("memories", 900_000), ("logs", 900_000)])),
            (rows(&[("memories", 0), ("users", 1)]), rows(&[("memories", 0), ("users", 9_000)])),
            (points(1), points(900_000)),
            (files(0), files(900)),
        ] {
            assert_eq!(emptiness(&set, &live), None, "{set:?} {live:?}");
        }
    }
}
