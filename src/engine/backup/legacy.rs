use crate::domain::{Check, CorruptionEvent, CorruptionType, Severity};

/// The check that judges the sets of other tools.
const SETS: &str = "backup-sets";
/// How many sets a line for people names.
const NAMED: usize = 3;

/// What reading an archive to its end showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archive {
    /// Files with content in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why it could not be read to its end.
    pub trouble: Option<String>,
}

/// A file of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyFile {
    /// Its path in the set.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What it holds, of an archive.
    pub archive: Option<Archive>,
    /// Whether it begins as a SQLite database does.
    pub database: bool,
}

/// One set: a folder, or a file that stands for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegacySet {
    /// Its name.
    pub name: String,
    /// Its files.
    pub files: Vec<LegacyFile>,
    /// What kept it from being looked at whole.
    pub unread: Option<String>,
    /// Of a set of our own layout: what is wrong with it by its own manifest; none inside where it agrees.
    pub own: Option<Option<String>>,
}

/// Judges the sets of a declared tree. One that holds nothing has failed, whatever its tool said, and a tree without
/// any set proves nothing. `left` sets were too many to be looked at.
pub fn judge_legacy(component: &str, sets: &[LegacySet], left: usize) -> (Check, Vec<CorruptionEvent>) {
    let mut events = Vec::new();
    for set in sets {
        faults(component, set, &mut events);
    }
    let unread: Vec<_> = sets.iter().filter_map(|set| Some((set, set.unread.as_ref()?))).collect();
    let check = if let Some((set, why)) = unread.first() {
        Check::unknown(SETS, component, format!("{} was not read whole: {why}", set.name))
    } else if left > 0 {
        Check::unknown(SETS, component, format!("{left} sets beyond the newest {} were not looked at", sets.len()))
    } else if sets.is_empty() {
        events.push(event(component, ".", "no backup set is there".to_owned(), NONE));
        Check::failed(SETS, component, "no backup set is there")
    } else if events.is_empty() {
        let named: Vec<_> = sets.iter().rev().take(NAMED).map(|set| set.name.as_str()).collect();
        let detail = format!("{} sets can be read and hold something, the newest {}", sets.len(), named.join(", "));
        Check::passed(SETS, component, detail)
    } else {
        Check::failed(SETS, component, format!("{} of {} sets have failed", broken(sets, &events), sets.len()))
    };
    (check, events)
}

const NONE: &str = "Look at the tool that makes the sets: it has never succeeded, or writes elsewhere.";
const EMPTY: &str = "This backup holds nothing: look at which volume or folder the tool reads, and make a set anew.";
const CUT: &str = "This backup cannot be restored: make a set anew, and look at the disk and at the tool's errors.";
const ALTERED: &str = "Do not restore from this set; make another, and find out who or what changed it.";

fn broken(sets: &[LegacySet], events: &[CorruptionEvent]) -> usize {
    let of = |set: &&LegacySet| {
        let within = format!("{}/", set.name);
        events.iter().any(|event| event.object == set.name || event.object.starts_with(&within))
    };
    sets.iter().filter(of).count()
}

fn faults(component: &str, set: &LegacySet, events: &mut Vec<CorruptionEvent>) {
    if let Some(own) = &set.own {
        events.extend(own.as_ref().map(|why| event(component, &set.name, why.clone(), ALTERED)));
        return;
    }
    let mut holds = false;
    for file in &set.files {
        let object = if file.path.is_empty() { set.name.clone() } else { format!("{}/{}", set.name, file.path) };
        match &file.archive {
            Some(Archive { trouble: Some(trouble), .. }) => {
                holds = true; // Told already.
                let evidence = format!("{} bytes, cannot be read to the end: {trouble}", file.bytes);
                events.push(event(component, &object, evidence, CUT));
            }
            Some(Archive { files: 0, .. } | Archive { bytes: 0, .. }) => {
                holds = true; // Told already.
                let evidence = format!("an archive of {} bytes that holds no file with content", file.bytes);
                events.push(event(component, &object, evidence, EMPTY));
            }
            Some(_) => holds = true,
            None => holds |= file.database && file.bytes > 0,
        }
    }
    if !holds && set.unread.is_none() {
        let evidence = "it holds no archive and no database".to_owned();
        events.push(event(component, &set.name, evidence, EMPTY));
    }
}

fn event(component: &str, object: &str, evidence: String, advice: &str) -> CorruptionEvent {
    CorruptionEvent {
        check: SETS.to_owned(),
        component: component.to_owned(),
        corruption_type: CorruptionType::FileCorruption,
        invariant: None,
        severity: Severity::High,
        object: object.to_owned(),
        count: 1,
        evidence,
        advice: advice.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Verdict;

    fn archive(path: &str, bytes: u64, archive: Archive) -> LegacyFile {
        LegacyFile { path: path.to_owned(), bytes, archive: Some(archive), database: false }
    }

    fn set(name: &str, files: Vec<LegacyFile>) -> LegacySet {
        LegacySet { name: name.to_owned(), files, ..LegacySet::default() }
    }

    fn plain(path: &str, database: bool) -> LegacyFile {
        LegacyFile { path: path.to_owned(), bytes: 300, archive: None, database }
    }

    #[test]
    fn what_holds_nothing_has_failed() {
        let good = Archive { files: 3, bytes: 900, trouble: None };
        let cut = Archive { trouble: Some("unexpected end".to_owned()), ..good.clone() };
        for (files, expected) in [
            (
                vec![archive("mem0_storage.tar.gz", 87, Archive::default()), plain("docker-compose.yml", false)],
                "87 bytes",
            ),
            (vec![archive("a.tar.gz", 500, cut)], "cannot be read to the end: unexpected end"),
            (vec![plain("docker-compose.yml", false), plain(".env", false)], "no archive and no database"),
            (vec![], "no archive and no database"),
        ] {
            let (check, events) = judge_legacy("backups/old", &[set("20250701_010000", files)], 0);
            assert_eq!(check.verdict, Verdict::Failed);
            assert_eq!(events.len(), 1, "{events:?}");
            assert!(events[0].evidence.contains(expected), "{events:?}");
            assert!(events[0].object.starts_with("20250701_010000"));
        }
        for files in [vec![archive("a.tar.gz", 500, good.clone())], vec![plain("openmemory.db", true)]] {
            let (check, events) = judge_legacy("backups/old", &[set("a", files)], 0);
            assert_eq!((check.verdict, events.len()), (Verdict::Passed, 0));
        }
        let sets = [set("a", vec![archive("x.tar", 9, good.clone())]), set("ab", vec![])];
        assert!(judge_legacy("backups/old", &sets, 0).0.detail.starts_with("1 of 2 sets"));
    }

    #[test]
    fn no_set_is_a_failure_and_what_was_not_read_is_unknown() {
        let (check, events) = judge_legacy("backups/old", &[], 0);
        assert_eq!((check.verdict, events.len()), (Verdict::Failed, 1));
        let unread = LegacySet { unread: Some("permission denied".to_owned()), ..set("a", vec![]) };
        assert_eq!(judge_legacy("backups/old", &[unread], 0).0.verdict, Verdict::Unknown);
        assert_eq!(judge_legacy("backups/old", &[set("a", vec![plain("x.db", true)])], 4).0.verdict, Verdict::Unknown);
    }

    #[test]
    fn sets_of_our_own_are_judged_by_their_manifests() {
        let own = |own| LegacySet { own: Some(own), ..set("20261122T050000Z-a", vec![]) };
        assert_eq!(judge_legacy("backups/own", &[own(None)], 0).0.verdict, Verdict::Passed);
        let (check, events) = judge_legacy("backups/own", &[own(Some("x differs".to_owned()))], 0);
        assert_eq!((check.verdict, events[0].evidence.as_str()), (Verdict::Failed, "x differs"));
    }
}
