use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::{Difference, Entry, Manifest, Node, Read, Ruling, Told, TreePath, difference, leaf_count, rule};
use crate::domain::{CorruptionEvent, Digest, Mutable, RunReport, Severity};

/// What was seen at a path, and what reading it gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Where.
    pub path: TreePath,
    /// What, as it was when it was read.
    pub node: Node,
    /// Its content.
    pub read: Read,
}

/// Paths that could not be looked at: nothing is known of them and of what lies beneath.
struct Hidden<'a>(HashSet<&'a [u8]>);

impl Hidden<'_> {
    fn holds(&self, path: &TreePath) -> bool {
        let path = path.as_bytes();
        let folders = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
        !self.0.is_empty() && (self.0.contains(path) || folders.into_iter().any(|folder| self.0.contains(folder)))
    }
}

/// A tree beside its manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The damage, worst first, at most [`RunReport::MAX_EVENTS`].
    pub events: Vec<CorruptionEvent>,
    /// Events left out because there were too many.
    pub omitted: u64,
    /// How many events `files-names` has, those left out included.
    pub in_names: u64,
    /// How many events `files-content` has, those left out included.
    pub in_content: u64,
    /// Expected differences that the next manifest takes in, or will when their content is read.
    pub expected: u64,
    /// Files that were being written whenever they were read.
    pub busy: u64,
    /// The next manifest's entries.
    pub entries: Vec<Entry>,
}

/// Holds what was observed, in the order of paths, against a manifest. Without one everything is taken as it is.
/// Of what lies at or beneath a `hidden` path nothing is known.
pub fn compare(
    component: &str,
    mutable: Mutable,
    previous: Option<&Manifest>,
    observed: Vec<Observed>,
    hidden: &[TreePath],
) -> Comparison {
    let hidden = &Hidden(hidden.iter().map(TreePath::as_bytes).collect());
    let old = previous.map_or(&[][..], |manifest| &manifest.entries);
    let renames = if mutable == Mutable::Always { Renames::default() } else { Renames::find(old, &observed, hidden) };
    let mut ledger =
        Ledger { component, mutable, first: previous.is_none(), done: Comparison::default(), kept: [0; 4] };
    let mut old = old.iter().peekable();
    for new in observed {
        while let Some(gone) = old.next_if(|entry| entry.path < new.path) {
            ledger.gone(gone, &renames, hidden);
        }
        match old.next_if(|entry| entry.path == new.path) {
            Some(entry) => ledger.both(entry, new),
            None => ledger.extra(new, &renames),
        }
    }
    old.for_each(|gone| ledger.gone(gone, &renames, hidden));
    let mut done = ledger.done;
    done.events.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.object.cmp(&b.object)));
    done.omitted += done.events.len().saturating_sub(RunReport::MAX_EVENTS) as u64;
    done.events.truncate(RunReport::MAX_EVENTS);
    done
}

/// Files that went and came with the same content: from old to new path, and the other way.
#[derive(Default)]
struct Renames {
    to: HashMap<TreePath, (TreePath, bool)>,
    from: HashMap<TreePath, TreePath>,
}

#[derive(PartialEq, Eq, Hash)]
enum Identity {
    Content(u64, Digest),
    /// Without reading: a rename keeps the time, which is as good as unique to the nanosecond.
    Time(u64, Timestamp),
}

impl Renames {
    fn find(old: &[Entry], observed: &[Observed], hidden: &Hidden) -> Self {
        let mut came: HashMap<Identity, Vec<&TreePath>> = HashMap::new();
        for new in observed.iter().rev().filter(|new| old.binary_search_by(|e| e.path.cmp(&new.path)).is_err()) {
            let Node::File { size: size @ 1.., modified } = new.node else { continue };
            let identity = match &new.read {
                Read::Whole { sums, .. } => Identity::Content(size, sums.root()),
                _ => Identity::Time(size, modified),
            };
            came.entry(identity).or_default().push(&new.path);
        }
        let mut renames = Self::default();
        if came.is_empty() {
            return renames;
        }
        let here = |path: &TreePath| observed.binary_search_by(|new| new.path.cmp(path)).is_ok();
        for entry in old.iter().filter(|entry| !here(&entry.path) && !hidden.holds(&entry.path)) {
            let Node::File { size, modified } = entry.node else { continue };
            let content = entry.sums.as_ref().map(|sums| Identity::Content(size, sums.root()));
            let by_content = content.and_then(|id| came.get_mut(&id)?.pop()).map(|path| (path, true));
            let found =
                by_content.or_else(|| came.get_mut(&Identity::Time(size, modified))?.pop().map(|path| (path, false)));
            if let Some((path, proven)) = found {
                renames.to.insert(entry.path.clone(), (path.clone(), proven));
                renames.from.insert(path.clone(), entry.path.clone());
            }
        }
        renames
    }
}

struct Ledger<'a> {
    component: &'a str,
    mutable: Mutable,
    first: bool,
    done: Comparison,
    /// How many events are kept of each severity, so that a tree that is gone does not fill the memory.
    kept: [usize; Severity::ALL.len()],
}

impl Ledger<'_> {
    fn gone(&mut self, old: &Entry, renames: &Renames, hidden: &Hidden) {
        if hidden.holds(&old.path) {
            if let Some(told) = old.open {
                self.tell(&old.path, told, &Difference::Unseen, old.size());
            }
            self.done.entries.push(old.clone());
            return;
        }
        let difference = match renames.to.get(&old.path) {
            Some((to, proven)) => Difference::Renamed { to: to.clone(), proven: *proven },
            None => Difference::Missing,
        };
        match rule(&difference, self.mutable) {
            Ruling::Accept => self.done.expected += 1,
            Ruling::Tell(told) => self.keep(old, told, &difference),
        }
    }

    fn extra(&mut self, new: Observed, renames: &Renames) {
        self.done.busy += u64::from(new.read == Read::Busy);
        let admitted = self.first || rule(&Difference::Extra, self.mutable) == Ruling::Accept;
        let size = if let Node::File { size, .. } = new.node { size } else { 0 };
        let broken = new.read == Read::Broken;
        if broken {
            self.tell(&new.path, Told::Broken, &Difference::Broken, size);
        }
        if renames.from.contains_key(&new.path) {
            return; // Told at its old name, and entering once that is settled.
        }
        if admitted {
            self.done.expected += u64::from(!self.first);
            let sums = if let Read::Whole { sums, .. } = new.read { Some(sums) } else { None };
            let open = broken.then_some(Told::Broken);
            self.done.entries.push(Entry { path: new.path, node: new.node, sums, compared: false, open });
        } else {
            self.tell(&new.path, Told::Extra, &Difference::Extra, size);
        }
    }

    fn both(&mut self, old: &Entry, new: Observed) {
        self.done.busy += u64::from(new.read == Read::Busy);
        let Some(difference) = difference(old, &new.node, &new.read) else {
            return self.same(old, new.read);
        };
        match rule(&difference, self.mutable) {
            Ruling::Tell(told) => self.keep(old, told, &difference),
            Ruling::Accept => {
                self.done.expected += 1;
                let touched = difference == Difference::Touched { proven: true };
                let (path, compared) = (new.path, touched && old.compared);
                self.done.entries.push(match (new.node, new.read) {
                    (node @ Node::File { .. }, Read::Whole { sums, .. }) => {
                        Entry { path, node, sums: Some(sums), compared, open: None }
                    }
                    // What it holds now is not known: the old digests are still the best witness of what it held.
                    (Node::File { .. }, _) if matches!(old.node, Node::File { .. }) => old.clone(),
                    (node, _) => Entry { path, node, sums: None, compared: false, open: None },
                });
            }
        }
    }

    /// No difference, as far as it was read.
    fn same(&mut self, old: &Entry, read: Read) {
        let mut entry = old.clone();
        match read {
            Read::Leaves { first, digests } => {
                let end = first + digests.len() as u64;
                // The rolling share comes to the end of a file only through its beginning.
                entry.compared |= end == leaf_count(old.size());
                if first == 0 && entry.compared {
                    entry.open = None;
                }
            }
            Read::Whole { sums, .. } => {
                entry.sums = Some(sums);
                entry.open = None;
            }
            Read::Unreadable | Read::Busy => match old.open.filter(|told| told.in_content()) {
                Some(told) => self.tell(&old.path, told, &Difference::Unseen, old.size()),
                None => entry.open = None,
            },
            Read::Skipped | Read::Broken => entry.open = old.open.filter(|told| told.in_content()),
        }
        self.done.entries.push(entry);
    }

    /// Tells a damage; the old entry stays, so that it is told until it is mended.
    fn keep(&mut self, old: &Entry, told: Told, difference: &Difference) {
        self.tell(&old.path, told, difference, old.size());
        let compared = old.compared || matches!(difference, Difference::Silent(_));
        // A mismatch that is not read in this run would else be forgotten where its size or time moved as well.
        let open = Some(old.open.filter(|open| open.in_content() && !told.in_content()).unwrap_or(told));
        self.done.entries.push(Entry { compared, open, ..old.clone() });
    }

    fn tell(&mut self, path: &TreePath, told: Told, difference: &Difference, size: u64) {
        if told.in_content() {
            self.done.in_content += 1;
        } else {
            self.done.in_names += 1;
        }
        let kept = &mut self.kept[told.severity() as usize];
        if *kept == RunReport::MAX_EVENTS {
            self.done.omitted += 1;
            return;
        }
        *kept += 1;
        self.done.events.push(CorruptionEvent {
            check: if told.in_content() { "files-content" } else { "files-names" }.to_owned(),
            component: self.component.to_owned(),
            corruption_type: told.corruption_type(),
            invariant: None,
            severity: told.severity(),
            object: path.to_string(),
            count: 1,
            evidence: difference.evidence(size),
            advice: told.advice().to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CorruptionType;
    use crate::engine::integrity::files::Sums;

    fn observed(read: Read) -> Vec<Observed> {
        let node = Node::File { size: 1, modified: Timestamp::UNIX_EPOCH };
        vec![Observed { path: "a".parse().unwrap(), node, read }]
    }

    fn manifest(entries: Vec<Entry>) -> Manifest {
        Manifest::next(None, "t", Timestamp::UNIX_EPOCH, None, entries).unwrap()
    }

    #[test]
    fn a_failing_device_is_damage_until_the_file_can_be_read() {
        let sums = Sums::one(Digest::of(b"x"));
        let good = || Read::Whole { sums: sums.clone(), beginning: None };
        for mutable in [Mutable::Never, Mutable::Append, Mutable::Always] {
            for first in [None, Some(manifest(compare("c", mutable, None, observed(good()), &[]).entries))] {
                let broken = compare("c", mutable, first.as_ref(), observed(Read::Broken), &[]);
                assert_eq!((broken.in_content, broken.events[0].corruption_type), (1, CorruptionType::FileCorruption));
                let next = manifest(broken.entries);
                // Not allowed to read it any more: it stays told.
                let refused = compare("c", mutable, Some(&next), observed(Read::Unreadable), &[]);
                assert_eq!(refused.in_content, 1);
                let leaves = Read::Leaves { first: 0, digests: vec![sums.sha256()] };
                let read = if first.is_some() { leaves } else { good() };
                let mended = compare("c", mutable, Some(&manifest(refused.entries)), observed(read), &[]);
                assert_eq!((mended.events.len(), mended.entries[0].open), (0, None));
            }
        }
    }
}
