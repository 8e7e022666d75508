use super::header::{Header, HeaderFault};
use super::journal::JournalFacts;
use super::page_checksum::PageChecksums;
use super::pairing::{Pairing, pair_journal, pair_wal};
use super::wal::WalFacts;
use super::wal_index::WalIndex;
use crate::domain::{Check, CorruptionEvent, CorruptionType, Severity};

/// What the bytes of a database and its side files tell before SQLite opens them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFacts {
    /// The database's path in its volume, as events name it.
    pub path: String,
    /// The size of the database file in bytes.
    pub size: u64,
    /// Its header.
    pub header: Result<Header, HeaderFault>,
    /// Its -wal, where there is one with a whole header.
    pub wal: Option<WalFacts>,
    /// What a live connection's -shm says of the -wal, where there was one to ask.
    pub index: Option<WalIndex>,
    /// Its journal, where there is one that says it is to be rolled back.
    pub journal: Option<JournalFacts>,
    /// The checksums of its pages, where it reserves the bytes for them and no side file is to be applied.
    pub page_checksums: Option<PageChecksums>,
}

/// Rows and events that the raw facts amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// One row per check.
    pub checks: Vec<Check>,
    /// The damage.
    pub events: Vec<CorruptionEvent>,
}

impl RawFacts {
    /// The facts of a file without bytes.
    pub fn empty(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            size: 0,
            header: Err(HeaderFault::Short(0)),
            wal: None,
            index: None,
            journal: None,
            page_checksums: None,
        }
    }

    /// Judges them: the checks `sqlite-file`, `sqlite-side-files`, `sqlite-wal` and `sqlite-page-checksums`.
    pub fn judge(&self, component: &str) -> Judgement {
        let mut judgement = Judgement::default();
        let (wal, journal) = (pair_wal(self), pair_journal(self));
        judgement.file(component, self, &wal, &journal);
        judgement.side_files(component, self, &wal, &journal);
        judgement.wal(component, self);
        judgement.page_checksums(component, self);
        judgement
    }
}

/// One fault in the making: what is wrong, with what proof, and what to do.
struct Fault {
    object: String,
    kind: CorruptionType,
    severity: Severity,
    count: u64,
    evidence: String,
    advice: &'static str,
}

const RESTORE: &str = "Stop the application, keep a copy of the file and its side files, and restore the newest \
                       verified backup.";
const INSPECT: &str = "Find out what wrote the file besides SQLite; compare it with a backup before it is trusted.";
const PULL_APART: &str = "Stop the application before it opens the database again, move the side file away, and check \
                          the database without it. SQLite would overwrite good pages with it.";
const KEEP: &str = "Keep the -wal as it is before the application restarts: SQLite drops what lies behind the break. \
                    Restore the newest verified backup, or salvage the rows from the copy.";
const REOPEN: &str = "Do not stop the application yet: if the file was removed, the process still has it open and writes \
                      to it. Let it make a checkpoint, or copy the file from /proc/PID/fd; then restart it. What was \
                      cut off is lost: restore the newest verified backup.";

impl Judgement {
    fn row(&mut self, id: &str, component: &str, faults: Vec<Fault>, sound: String) {
        let row = match faults.first() {
            None => Check::passed(id, component, sound),
            Some(fault) => Check::failed(id, component, fault.evidence.clone()),
        };
        self.checks.push(row);
        self.events.extend(faults.into_iter().map(|fault| CorruptionEvent {
            check: id.to_owned(),
            component: component.to_owned(),
            corruption_type: fault.kind,
            invariant: None,
            severity: fault.severity,
            object: fault.object,
            count: fault.count,
            evidence: fault.evidence,
            advice: fault.advice.to_owned(),
        }));
    }

    fn file(&mut self, component: &str, facts: &RawFacts, wal: &Pairing, journal: &Pairing) {
        let fault = |severity, count, evidence: String, advice| Fault {
            object: facts.path.clone(),
            kind: CorruptionType::FileCorruption,
            severity,
            count,
            evidence,
            advice,
        };
        // What SQLite will see: page 1 as the side files that belong leave it.
        let rolled_back = (*journal == Pairing::Belongs).then_some(facts.journal.as_ref()).flatten();
        let replayed = (*wal == Pairing::Belongs).then_some(facts.wal.as_ref()).flatten();
        let header = replayed.and_then(|w| w.last_header).or(rolled_back.and_then(|j| j.original_header));
        let header = match header.map_or_else(|| facts.header.clone(), Ok) {
            Ok(header) => header,
            Err(reason) => {
                let evidence = if facts.size == 0 { "the file is empty".to_owned() } else { reason.to_string() };
                return self.row(
                    "sqlite-file",
                    component,
                    vec![fault(Severity::Critical, 1, evidence, RESTORE)],
                    String::new(),
                );
            }
        };
        let extent = Extent::of(facts.size, &header, replayed, rolled_back);
        let mut worst = None;
        let mut evidence = Vec::new();
        let mut count = 1;
        for (severity, advice, texts) in [
            (Severity::Critical, RESTORE, header.refused()),
            (Severity::Critical, RESTORE, extent.cut(&mut count)),
            (Severity::Medium, INSPECT, header.oddities(extent.pages)),
            (Severity::Medium, INSPECT, extent.too_long(&mut count)),
        ] {
            if !texts.is_empty() {
                worst = worst.or(Some((severity, advice)));
                evidence.extend(texts);
            }
        }
        let faults = worst.map(|(severity, advice)| fault(severity, count, evidence.join("; "), advice));
        let sound = format!(
            "{} pages of {} bytes{}",
            extent.pages,
            header.page_size,
            if extent.pending { ", once the side files are applied" } else { "" }
        );
        self.row("sqlite-file", component, faults.into_iter().collect(), sound);
    }

    fn side_files(&mut self, component: &str, facts: &RawFacts, wal: &Pairing, journal: &Pairing) {
        let mut faults = Vec::new();
        let mut fault = |suffix: &str, evidence: String, advice| {
            faults.push(Fault {
                object: format!("{}{suffix}", facts.path),
                kind: CorruptionType::FileCorruption,
                severity: Severity::Critical,
                count: 1,
                evidence: format!("the {suffix} {evidence}"),
                advice,
            });
        };
        if let Pairing::Foreign(reason) = wal {
            fault("-wal", format!("does not belong to the database: {reason}"), PULL_APART);
        }
        if let Pairing::Foreign(reason) = journal {
            fault("-journal", format!("does not belong to the database: {reason}"), PULL_APART);
        } else if let Some(facts) = &facts.journal
            && let Some(evidence) = broken_journal(facts)
        {
            fault("-journal", evidence, RESTORE);
        }
        let sound = match (wal, journal) {
            (_, Pairing::Belongs) => "a journal of an unfinished transaction, to be rolled back",
            (Pairing::Belongs, _) => "a -wal that belongs to the database",
            (Pairing::Idle, _) => "a -wal without transactions",
            _ => "no side file to apply",
        };
        self.row("sqlite-side-files", component, faults, sound.to_owned());
    }

    fn wal(&mut self, component: &str, facts: &RawFacts) {
        let Some(wal) = &facts.wal else {
            let fault = facts.index.filter(|index| index.frames > 0).map(|index| removed(&facts.path, index));
            return self.row("sqlite-wal", component, fault.into_iter().collect(), "no -wal".to_owned());
        };
        let frame = u64::from(wal.page_size) + 24;
        let offset = |number: u64| 32 + number * frame;
        let gone = facts.index.map_or(0, |index| u64::from(index.frames).saturating_sub(wal.committed));
        let evidence = if wal.lost_commits > 0 {
            let place = match (&wal.fault, wal.broken_frame) {
                (Some(fault), _) => fault.to_string(),
                (None, at) => format!("frame {} at offset {} is broken", at.unwrap_or(0) + 1, offset(at.unwrap_or(0))),
            };
            Some(format!("{place}; {} commits behind it are lost to SQLite", wal.lost_commits))
        } else if gone > 0 {
            Some(format!(
                "{} frames are sound, up to offset {}; the -shm of a live connection counts {gone} more as committed",
                wal.committed,
                offset(wal.committed)
            ))
        } else {
            None
        };
        let fault = evidence.map(|evidence| Fault {
            object: format!("{}-wal", facts.path),
            kind: CorruptionType::FileCorruption,
            severity: Severity::Critical,
            count: wal.lost_commits.max(gone),
            evidence,
            advice: KEEP,
        });
        let tail = wal.frames - wal.committed;
        // A tail is normal after a crash, and after every restart of the log.
        let sound = format!(
            "{} transactions in {} frames, then {tail} unused frames and {} bytes",
            wal.commits, wal.committed, wal.partial_bytes
        );
        self.row("sqlite-wal", component, fault.into_iter().collect(), sound);
    }

    fn page_checksums(&mut self, component: &str, facts: &RawFacts) {
        let id = "sqlite-page-checksums";
        let Some(sums) = facts.page_checksums.as_ref().filter(|sums| sums.in_use()) else {
            return self.row(id, component, Vec::new(), "none to verify".to_owned());
        };
        let fault = (sums.bad > 0).then(|| Fault {
            object: facts.path.clone(),
            kind: CorruptionType::ChecksumMismatch,
            severity: Severity::Critical,
            count: sums.bad,
            evidence: format!(
                "{} of {} pages do not have the checksum that they were written with, the first: {:?}",
                sums.bad, sums.pages, sums.bad_pages
            ),
            advice: RESTORE,
        });
        self.row(id, component, fault.into_iter().collect(), format!("{} pages verify", sums.pages));
    }
}

/// A -wal that is not there, or not even its header, while a live connection counts frames in it. SQLite removes the
/// -shm before the -wal, so no way to close a database leaves this.
fn removed(path: &str, index: WalIndex) -> Fault {
    let lost = index.frames - index.backfilled;
    Fault {
        object: format!("{path}-wal"),
        kind: CorruptionType::FileCorruption,
        severity: Severity::Critical,
        count: u64::from(lost.max(1)),
        evidence: format!(
            "the -wal is gone; the -shm of a live connection counts {} frames in it, {lost} of which are not in the \
             database",
            index.frames
        ),
        advice: REOPEN,
    }
}

/// Why a journal that must be rolled back cannot be, or only in part.
fn broken_journal(journal: &JournalFacts) -> Option<String> {
    if let Some(fault) = &journal.fault {
        return Some(format!("of an unfinished transaction cannot be rolled back: {fault}"));
    }
    if let Some((record, offset)) = journal.broken_record {
        return Some(format!("cannot be rolled back whole: record {} at offset {offset} is broken", record + 1));
    }
    (journal.missing_records > 0)
        .then(|| format!("was cut: {} of the records that its header counts do not follow", journal.missing_records))
}

/// The size of a database file beside what it should be.
struct Extent {
    bytes: u64,
    page_size: u64,
    /// Of the whole database.
    pages: u64,
    /// Whether the header's page count, and not the file itself, says so.
    counted: bool,
    /// Whether side files are still to be applied: the file may be longer or shorter by what they have.
    pending: bool,
    missing: u64,
}

impl Extent {
    fn of(bytes: u64, header: &Header, wal: Option<&WalFacts>, journal: Option<&JournalFacts>) -> Self {
        let page_size = u64::from(header.page_size);
        let pending = wal.is_some() || journal.is_some();
        let of_side_file = wal.and_then(|w| w.commit_pages).or(journal.map(|j| j.original_pages));
        let counted = of_side_file.or(header.valid_page_count());
        let pages = counted.map_or(bytes.div_ceil(page_size), u64::from);
        let missing = match (wal, journal) {
            (Some(wal), _) => wal.missing_pages,
            (None, Some(journal)) => journal.missing_pages,
            (None, None) => pages.saturating_sub(bytes / page_size),
        };
        Self { bytes, page_size, pages, counted: counted.is_some(), pending, missing }
    }

    fn cut(&self, count: &mut u64) -> Vec<String> {
        if self.missing == 0 {
            return Vec::new();
        }
        *count = self.missing;
        let (pages, missing, bytes) = (self.pages, self.missing, self.bytes);
        if self.counted {
            vec![format!("the file ends at offset {bytes}; {missing} of {pages} pages are missing")]
        } else {
            vec![format!("the file ends at offset {bytes}, within page {pages}")]
        }
    }

    fn too_long(&self, count: &mut u64) -> Vec<String> {
        let end = self.pages * self.page_size;
        if self.pending || !self.counted || self.bytes <= end {
            return Vec::new();
        }
        *count = self.bytes - end;
        vec![format!("the database ends at offset {end}, and {} bytes follow", self.bytes - end)]
    }
}
