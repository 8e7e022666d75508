use nix::errno::Errno;
use nix::unistd::geteuid;

use super::{Depth, sha_backend};
use crate::domain::{Check, CorruptionEvent, FileTree, Level, Verdict};
use crate::engine::integrity::files::{Comparison, Manifest, Told, TreePath};

const NAMES: &str = "files-names";
const CONTENT: &str = "files-content";
/// How many paths a line for people names.
const NAMED: usize = 3;

/// What a check of one tree found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeReport {
    /// `files-names` and, unless the level is `Quick`, `files-content`.
    pub checks: Vec<Check>,
    /// The damage, worst first.
    pub corruption: Vec<CorruptionEvent>,
    /// The manifest that the next check is to be given; none where the previous one stays as it is.
    pub next: Option<Manifest>,
    /// There was no manifest: nothing could be compared.
    pub first: bool,
    /// How much of the bytes has been compared with an earlier digest by now.
    pub coverage_percent: u8,
    /// Bytes that were read and hashed in this run.
    pub hashed_bytes: u64,
    /// Files, links and special files that were seen.
    pub files: u64,
    /// Events left out because there were too many.
    pub omitted: u64,
    /// Paths that could not be looked at or read.
    pub unreadable: u64,
}

/// What was seen beside differences.
#[derive(Debug)]
pub(super) struct Sight {
    pub files: u64,
    pub bytes: u64,
    pub transient: Vec<TreePath>,
    pub refused: Vec<(TreePath, Errno)>,
    pub too_large: Vec<TreePath>,
    pub hidden: Vec<(TreePath, Errno)>,
    pub mounts: Vec<TreePath>,
}

/// Makes the reports of one check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reports<'a> {
    pub tree: &'a FileTree,
    pub previous: Option<&'a Manifest>,
    pub depth: Depth,
}

impl Reports<'_> {
    pub fn component(&self) -> String {
        format!("files/{}", self.tree.name)
    }

    /// Nothing could be measured.
    pub fn unknown(&self, what: &str, errno: Errno) -> TreeReport {
        let detail = format!("{what} cannot be opened: {}", why(errno));
        let checks = self.ids().map(|id| Check::unknown(id, &self.component(), detail.clone())).collect();
        self.nothing(checks, Vec::new())
    }

    /// The tree's root is no folder, or may not be read. That it is gone is damage where it was there before.
    pub fn no_root(&self, errno: Errno) -> TreeReport {
        let what = format!("the tree's folder {} in volume {}", self.tree.root.path, self.tree.root.volume);
        let gone = matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP);
        let Some(previous) = self.previous.filter(|manifest| gone && !manifest.entries.is_empty()) else {
            return self.unknown(&what, errno);
        };
        let component = self.component();
        let files = previous.entries.len();
        let event = CorruptionEvent {
            check: NAMES.to_owned(),
            component: component.clone(),
            corruption_type: Told::Missing.corruption_type(),
            invariant: None,
            severity: Told::Missing.severity(),
            object: self.tree.root.path.clone(),
            count: files as u64,
            evidence: format!("missing: {what} is not there ({}), the manifest has {files} files in it", errno.desc()),
            advice: "Mount the volume, or restore the folder from a backup.".to_owned(),
        };
        let checks = self.ids().map(|id| match id {
            NAMES => Check::failed(id, &component, format!("{what} is missing")),
            _ => Check::unknown(id, &component, format!("{what} is missing: there is no content to read")),
        });
        self.nothing(checks.collect(), vec![event])
    }

    /// The tree was checked.
    pub fn checked(&self, comparison: Comparison, next: Manifest, sight: &Sight) -> TreeReport {
        let unreadable = sight.hidden.len() + sight.refused.len() + sight.too_large.len();
        let checks = self.ids().map(|id| match id {
            NAMES => self.names(&comparison, sight),
            _ => self.content(&comparison, &next, sight),
        });
        let checks = checks.collect();
        let stays = |previous: &&Manifest| previous.entries == next.entries && previous.cursor == next.cursor;
        TreeReport {
            checks,
            corruption: comparison.events,
            first: self.previous.is_none(),
            coverage_percent: next.coverage_percent(),
            next: if self.previous.as_ref().is_some_and(stays) { None } else { Some(next) },
            hashed_bytes: sight.bytes,
            files: sight.files,
            omitted: comparison.omitted,
            unreadable: unreadable as u64,
        }
    }

    fn ids(&self) -> impl Iterator<Item = &'static str> {
        [NAMES, CONTENT].into_iter().take(if self.depth.level == Level::Quick { 1 } else { 2 })
    }

    fn nothing(&self, checks: Vec<Check>, corruption: Vec<CorruptionEvent>) -> TreeReport {
        TreeReport {
            checks,
            corruption,
            next: None,
            first: self.previous.is_none(),
            coverage_percent: self.previous.map_or(0, Manifest::coverage_percent),
            hashed_bytes: 0,
            files: 0,
            omitted: 0,
            unreadable: 1,
        }
    }

    fn names(&self, comparison: &Comparison, sight: &Sight) -> Check {
        let mut detail = vec![format!("{} files", sight.files)];
        detail.push(match self.previous {
            None => "first manifest: taken as found (trust on first use)".to_owned(),
            Some(manifest) => format!("held against generation {} of {}", manifest.generation, manifest.created),
        });
        push(&mut detail, comparison.in_names, "differences that are damage");
        push(&mut detail, comparison.expected, "expected differences");
        list(&mut detail, "mount points within", &sight.mounts, TreePath::to_string);
        list(&mut detail, "could not be looked at", &sight.hidden, |(path, errno)| format!("{path} ({})", why(*errno)));
        self.check(NAMES, comparison.in_names, sight.hidden.is_empty(), &detail)
    }

    fn content(&self, comparison: &Comparison, next: &Manifest, sight: &Sight) -> Check {
        let share = match self.depth.level {
            Level::Checksum => format!(" (share {} %)", self.depth.share_percent),
            Level::Quick | Level::Full => String::new(),
        };
        let mut detail = vec![format!("{} bytes read{share}, SHA-256 by {}", sight.bytes, sha_backend())];
        detail.push(match self.previous {
            None => "first manifest: nothing to compare with yet (trust on first use)".to_owned(),
            Some(_) => format!("{} % compared by now", next.coverage_percent()),
        });
        push(&mut detail, comparison.in_content, "files whose content is damaged");
        push(&mut detail, comparison.busy, "files were being written whenever they were read");
        list(&mut detail, "agreed only when read again (check memory and disk)", &sight.transient, TreePath::to_string);
        list(&mut detail, "could not be read", &sight.refused, |(path, errno)| format!("{path} ({})", why(*errno)));
        list(&mut detail, "could not be looked at", &sight.hidden, |(path, errno)| format!("{path} ({})", why(*errno)));
        list(&mut detail, "too large to be read", &sight.too_large, TreePath::to_string);
        let whole = sight.refused.is_empty() && sight.hidden.is_empty() && sight.too_large.is_empty();
        self.check(CONTENT, comparison.in_content, whole, &detail)
    }

    /// Damage wins over what could not be measured: events of what was not seen again are told again, so that a
    /// failed check closes none of them.
    fn check(&self, id: &str, damaged: u64, whole: bool, detail: &[String]) -> Check {
        let verdict = match (damaged, whole) {
            (1.., _) => Verdict::Failed,
            (0, true) => Verdict::Passed,
            (0, false) => Verdict::Unknown,
        };
        Check { id: id.to_owned(), component: self.component(), verdict, detail: detail.join("; ") }
    }
}

fn why(errno: Errno) -> String {
    match errno {
        Errno::EACCES | Errno::EPERM => format!("{} as uid {}", errno.desc(), geteuid()),
        _ => errno.desc().to_owned(),
    }
}

fn push(detail: &mut Vec<String>, count: u64, what: &str) {
    if count > 0 {
        detail.push(format!("{count} {what}"));
    }
}

fn list<T>(detail: &mut Vec<String>, what: &str, items: &[T], name: impl Fn(&T) -> String) {
    if !items.is_empty() {
        let named: Vec<String> = items.iter().take(NAMED).map(name).collect();
        let more = if items.len() > NAMED { ", ..." } else { "" };
        detail.push(format!("{} {what}: {}{more}", items.len(), named.join(", ")));
    }
}
