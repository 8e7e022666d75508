//! What a check of a file tree tells, by level and by what may change, on real folders.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)] // Helpers of tests are tests too.

mod files_bed;

use std::fs;
use std::time::Duration;

use files_bed::{Bed, bytes, next, row, then, told, verdicts};
use memorybank::bank::files::{Depth, FilesError, check_tree};
use memorybank::bank::{Cancelled, Meter};
use memorybank::domain::Severity::{High, Medium};
use memorybank::domain::{Level, Mutable, Verdict};
use memorybank::engine::integrity::files::{LEAF, Told};
use proptest::prelude::*;

type Expected<'a> = &'a [(&'a str, &'a str, memorybank::domain::Severity, &'a str)];

const NONE: Expected = &[];
const NAMES: &str = "files-names";
const CONTENT: &str = "files-content";

/// One change to a tree of `a` (two and a half leaves) and `b` (small), and what is to be told of it.
struct Case {
    name: &'static str,
    change: fn(&Bed),
    /// For `Never`, `Append` and `Always`.
    quick: [Expected<'static>; 3],
    full: [Expected<'static>; 3],
}

const SIZE: u64 = 2 * LEAF + LEAF / 2;

const MISSING: Expected = &[(NAMES, "FileCorruption", High, "b")];
const EXTRA: Expected = &[(NAMES, "DataInconsistency", Medium, "c")];
const CHANGED: Expected = &[(NAMES, "DataInconsistency", Medium, "b")];
const CUT: Expected = &[(NAMES, "FileCorruption", High, "a")];
const SILENT: Expected = &[(CONTENT, "ChecksumMismatch", High, "a")];
const GROWN: Expected = &[(NAMES, "DataInconsistency", Medium, "a")];
const REWRITTEN: Expected = &[(CONTENT, "DataInconsistency", High, "a")];
const LINK: Expected = &[(NAMES, "DataInconsistency", Medium, "link")];

fn grown(beginning: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut content = bytes(SIZE);
    beginning(&mut content);
    content.extend(bytes(LEAF));
    content
}

fn cases() -> Vec<Case> {
    let case = |name, change, quick, full| Case { name, change, quick, full };
    vec![
        case("nothing", |_| {}, [NONE; 3], [NONE; 3]),
        case("missing", |t| fs::remove_file(t.at("b")).unwrap(), [MISSING, MISSING, NONE], [MISSING, MISSING, NONE]),
        case("extra", |t| t.newer("c", "new", 1), [EXTRA, NONE, NONE], [EXTRA, NONE, NONE]),
        case("changed", |t| t.newer("b", "other", 1), [CHANGED, CHANGED, NONE], [CHANGED, CHANGED, NONE]),
        case(
            "silent in a small file",
            |t| t.silent("b", "OTHER"),
            [NONE; 3],
            [&[(CONTENT, "ChecksumMismatch", High, "b")]; 3],
        ),
        case(
            "changed to an older time",
            |t| {
                t.silent("b", "other");
                let file = fs::File::options().write(true).open(t.at("b")).unwrap();
                file.set_modified(then() - Duration::from_secs(9)).unwrap();
            },
            [CHANGED, CHANGED, NONE],
            [CHANGED, CHANGED, NONE],
        ),
        case("touched", |t| t.newer("b", "small", 1), [CHANGED, CHANGED, NONE], [NONE; 3]),
        case(
            "renamed",
            |t| fs::rename(t.at("b"), t.at("c")).unwrap(),
            [CHANGED, CHANGED, NONE],
            [CHANGED, CHANGED, NONE],
        ),
        case(
            "truncated",
            |t| t.newer("a", &bytes(SIZE)[..2 * LEAF as usize + 7], 1),
            [CUT, CUT, NONE],
            [CUT, CUT, NONE],
        ),
        case("truncated silently", |t| t.silent("a", &bytes(SIZE)[..LEAF as usize]), [CUT; 3], [CUT; 3]),
        case("silent", |t| t.silent("a", flipped(SIZE, LEAF + 5)), [NONE; 3], [SILENT; 3]),
        case("grown", |t| t.newer("a", grown(|_| {}), 1), [GROWN, NONE, NONE], [GROWN, NONE, NONE]),
        case(
            "grown over another first leaf",
            |t| t.newer("a", grown(|c| c[3] ^= 1), 1),
            [GROWN, NONE, NONE],
            [GROWN, REWRITTEN, NONE],
        ),
        case(
            "grown over another end of the last leaf",
            |t| t.newer("a", grown(|c| c[SIZE as usize - 1] ^= 1), 1),
            [GROWN, NONE, NONE],
            [GROWN, REWRITTEN, NONE],
        ),
        case(
            "link elsewhere",
            |t| {
                fs::remove_file(t.at("link")).unwrap();
                std::os::unix::fs::symlink("b", t.at("link")).unwrap();
            },
            [LINK, LINK, NONE],
            [LINK, LINK, NONE],
        ),
        case(
            "a file become a link",
            |t| {
                fs::remove_file(t.at("b")).unwrap();
                std::os::unix::fs::symlink("a", t.at("b")).unwrap();
            },
            [CHANGED, CHANGED, NONE],
            [CHANGED, CHANGED, NONE],
        ),
    ]
}

fn flipped(size: u64, at: u64) -> Vec<u8> {
    let mut content = bytes(size);
    content[at as usize] ^= 0x10;
    content
}

fn bed() -> Bed {
    let bed = Bed::new();
    bed.silent("a", bytes(SIZE));
    bed.silent("b", "small");
    std::os::unix::fs::symlink("a", bed.at("link")).unwrap();
    bed
}

#[test]
fn every_difference_is_told_by_level_and_by_what_may_change() {
    for Case { name, change, quick, full } in cases() {
        let bed = bed();
        let first = bed.manifest();
        change(&bed);
        for (at, mutable) in [Mutable::Never, Mutable::Append, Mutable::Always].into_iter().enumerate() {
            for (level, expected) in [(Level::Quick, quick[at]), (Level::Checksum, full[at]), (Level::Full, full[at])] {
                let report = bed.share(Some(&first), level, mutable, 100);
                let context = format!("{name}, {mutable:?}, {level:?}");
                assert_eq!(told(&report), expected, "{context}");
                let verdict = |id| if expected.iter().any(|e| e.0 == id) { Verdict::Failed } else { Verdict::Passed };
                let wanted =
                    if level == Level::Quick { vec![verdict(NAMES)] } else { vec![verdict(NAMES), verdict(CONTENT)] };
                assert_eq!(verdicts(&report), wanted, "{context}");

                // Damage never enters: the same is told again. What was expected enters: nothing is told twice.
                let second = next(&report, &first);
                assert_eq!(told(&bed.share(Some(&second), level, mutable, 100)), expected, "{context}, again");
                for entry in &first.entries {
                    if expected.iter().any(|e| e.3 == entry.path.to_string()) {
                        let kept = second.entry(&entry.path).unwrap();
                        assert_eq!((&kept.node, &kept.sums), (&entry.node, &entry.sums), "{context}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_first_manifest_is_trust_on_first_use_and_says_so() {
    let bed = bed();
    let report = bed.check(None, Level::Full, Mutable::Never);
    assert!(report.first);
    assert_eq!((report.coverage_percent, report.files, report.hashed_bytes), (0, 3, SIZE + 5));
    assert_eq!(verdicts(&report), [Verdict::Passed, Verdict::Passed]);
    assert!(report.checks.iter().all(|check| check.detail.contains("trust on first use")), "{report:?}");
    let manifest = report.next.unwrap();
    assert_eq!((manifest.generation, manifest.previous), (1, None));

    let report = bed.check(Some(&manifest), Level::Full, Mutable::Never);
    assert!(!report.first && report.coverage_percent == 100);
    let second = report.next.unwrap();
    assert_eq!((second.generation, second.previous), (2, Some(manifest.digest().unwrap())));
    assert_eq!(bed.check(Some(&second), Level::Full, Mutable::Never).next, None, "nothing new is to be kept");
}

#[test]
fn evidence_names_the_leaf_and_both_digests() {
    let bed = bed();
    let first = bed.manifest();
    bed.silent("a", flipped(SIZE, LEAF + 5));
    let report = bed.check(Some(&first), Level::Full, Mutable::Never);
    let evidence = &report.corruption[0].evidence;
    let old = first.entry(&"a".parse().unwrap()).unwrap().sums.as_ref().unwrap().leaves()[1];
    assert!(evidence.contains(&format!("1 of 3 leaves differ, within bytes {LEAF} to {}", 2 * LEAF)), "{evidence}");
    assert!(evidence.contains(&old.to_string()), "{evidence}");
}

#[test]
fn a_mismatch_stays_open_until_the_content_is_restored() {
    let bed = bed();
    (0..50).for_each(|n| bed.silent(format!("more/{n}"), bytes(10_000)));
    let mut manifest = bed.manifest();
    bed.silent("more/7", flipped(10_000, 9));
    manifest = bed.check(Some(&manifest), Level::Full, Mutable::Always).next.unwrap();
    let path = "more/7".parse().unwrap();
    assert_eq!(manifest.entry(&path).unwrap().open, Some(Told::Mismatch));
    // A share of 1 % may be elsewhere: what is open is read again all the same.
    for _ in 0..3 {
        let report = bed.share(Some(&manifest), Level::Checksum, Mutable::Always, 1);
        assert_eq!(told(&report), [(CONTENT, "ChecksumMismatch", High, "more/7")]);
        manifest = next(&report, &manifest);
        // A level that reads nothing neither tells nor forgets it.
        let report = bed.check(Some(&manifest), Level::Quick, Mutable::Always);
        assert_eq!(told(&report), NONE);
        manifest = next(&report, &manifest);
    }
    bed.silent("more/7", bytes(10_000));
    let report = bed.share(Some(&manifest), Level::Checksum, Mutable::Always, 1);
    assert_eq!(told(&report), NONE);
    assert_eq!(next(&report, &manifest).entry(&path).unwrap().open, None);
}

#[test]
fn an_append_only_file_may_grow_again_and_again() {
    let bed = Bed::new();
    let mut content = Vec::new();
    bed.silent("log", &content);
    let mut manifest = bed.manifest();
    for (n, more) in [1, LEAF - 1, 1, LEAF + 5, 3 * LEAF, 7].into_iter().enumerate() {
        content.extend(bytes(more));
        bed.newer("log", &content, n as u64 + 1);
        let report = bed.check(Some(&manifest), Level::Checksum, Mutable::Append);
        assert_eq!(told(&report), NONE, "{more}");
        manifest = report.next.unwrap();
        assert_eq!(manifest.entries[0].size(), content.len() as u64);
        // At Quick the growth is seen, but only reading proves it: the old digests stay.
        content.push(b'x');
        bed.newer("log", &content, n as u64 + 100);
        let quick = bed.check(Some(&manifest), Level::Quick, Mutable::Append);
        assert_eq!(next(&quick, &manifest).entries, manifest.entries);
    }
}

#[test]
fn renamed_files_are_paired_once_each() {
    let bed = Bed::new();
    for name in ["a", "b", "c"] {
        bed.silent(name, "the same");
    }
    bed.silent("empty", "");
    let first = bed.manifest();
    for (from, to) in [("a", "x"), ("b", "y"), ("empty", "none")] {
        fs::rename(bed.at(from), bed.at(to)).unwrap();
    }
    fs::remove_file(bed.at("c")).unwrap();
    let report = bed.check(Some(&first), Level::Full, Mutable::Append);
    let evidence = |object: &str| &report.corruption.iter().find(|e| e.object == object).unwrap().evidence;
    assert!(evidence("a").starts_with("renamed to x") && evidence("b").starts_with("renamed to y"), "{report:?}");
    // Two empty files are no proof of a rename, and a third copy has nowhere to have gone.
    assert!(evidence("c").starts_with("missing") && evidence("empty").starts_with("missing"), "{report:?}");
}

#[test]
fn a_tree_that_is_gone_is_damage_only_where_it_was_there() {
    let bed = bed();
    let first = bed.manifest();
    fs::rename(bed.root(), bed.volume.path().join("elsewhere")).unwrap();
    for block in [false, true] {
        if block {
            fs::write(bed.root(), "a file").unwrap();
        }
        let report = bed.check(Some(&first), Level::Full, Mutable::Always);
        assert_eq!(told(&report), [(NAMES, "FileCorruption", High, "tree")]);
        assert_eq!(verdicts(&report), [Verdict::Failed, Verdict::Unknown]);
        assert_eq!(report.next, None);
        let report = bed.check(None, Level::Full, Mutable::Always);
        assert_eq!((told(&report).len(), verdicts(&report)), (0, vec![Verdict::Unknown, Verdict::Unknown]));
        assert_eq!(report.next, None);
    }
    let depth = Depth { level: Level::Quick, share_percent: 10, threads: 1 };
    let nowhere = bed.volume.path().join("nowhere");
    let tree = Bed::tree(Mutable::Never);
    let report =
        check_tree(&nowhere, &tree, Some(&first), depth, &Meter::default(), jiff::Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(verdicts(&report), [Verdict::Unknown]);
}

#[test]
fn damage_beyond_the_bound_is_counted() {
    let bed = Bed::new();
    (0..1_500).for_each(|n| bed.silent(format!("{n:04}"), "x"));
    let first = bed.manifest();
    fs::remove_dir_all(bed.root()).unwrap();
    fs::create_dir(bed.root()).unwrap();
    let report = bed.check(Some(&first), Level::Quick, Mutable::Never);
    assert_eq!((report.corruption.len(), report.omitted), (1_000, 500));
    assert!(row(&report, NAMES).detail.contains("1500 differences"), "{report:?}");
}

#[test]
fn a_foreign_manifest_and_a_cancelled_check_are_errors() {
    let bed = bed();
    let depth = Depth { level: Level::Full, share_percent: 10, threads: 2 };
    let (mut tree, now) = (Bed::tree(Mutable::Never), jiff::Timestamp::UNIX_EPOCH);
    let cancel = tokio_util::sync::CancellationToken::new();
    cancel.cancel();
    let cancelled = check_tree(bed.volume.path(), &tree, None, depth, &Meter::new(cancel), now);
    assert_eq!(cancelled, Err(FilesError::Cancelled(Cancelled)));
    tree.name = "other".into();
    let other = check_tree(bed.volume.path(), &tree, Some(&bed.manifest()), depth, &Meter::default(), now);
    assert!(matches!(other, Err(FilesError::OtherTree { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever byte is damaged silently, `ceil(100 / share)` runs find it, and then all has been compared.
    #[test]
    fn the_rolling_share_finds_any_damage_in_time(
        sizes in prop::collection::vec(prop_oneof![0_u64..5_000, Just(LEAF), Just(2 * LEAF + 1)], 1..12),
        share in 5_u8..=100,
        warm_up in 0_u8..3,
        victim in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
    ) {
        let bed = Bed::new();
        let name = |n: usize| format!("d{}/{n}", n % 3);
        sizes.iter().enumerate().for_each(|(n, size)| bed.silent(name(n), bytes(*size)));
        let mut manifest = bed.manifest();
        for _ in 0..warm_up {
            manifest = next(&bed.share(Some(&manifest), Level::Checksum, Mutable::Never, share), &manifest);
        }
        let victim = victim.index(sizes.len());
        prop_assume!(sizes[victim] > 0);
        bed.silent(name(victim), flipped(sizes[victim], at.index(sizes[victim] as usize) as u64));
        let mut found = false;
        let mut coverage = 0;
        for _ in 0..100_u32.div_ceil(u32::from(share)) {
            let report = bed.share(Some(&manifest), Level::Checksum, Mutable::Never, share);
            found |= report.corruption.iter().any(|e| e.object == name(victim));
            coverage = report.coverage_percent;
            manifest = next(&report, &manifest);
        }
        prop_assert!(found);
        prop_assert_eq!(coverage, 100);
    }
}

#[test]
fn times_are_compared_to_the_nanosecond() {
    let bed = bed();
    let first = bed.manifest();
    fs::File::options().write(true).open(bed.at("b")).unwrap().set_modified(then() + Duration::from_nanos(1)).unwrap();
    assert_eq!(told(&bed.check(Some(&first), Level::Quick, Mutable::Never)), CHANGED);
}
