use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Counts, MANIFEST, SEALED, SUMS};
use crate::domain::Digest;
use crate::engine::integrity::files::TreePath;

/// What a file of a set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PartKind {
    /// A SQLite file, compressed; with `-wal` or `-journal` in its name a side file of one.
    Sqlite,
    /// A file tree as a compressed archive.
    Files,
    /// A snapshot of a collection as Qdrant makes it: a tar, stored as it came.
    Vectors,
    /// The statements that make the tables of a PostgreSQL database anew.
    Ddl,
    /// The rows of a table of PostgreSQL as `COPY` writes them in text, compressed.
    Rows,
    /// The parts that the bank declares, as JSON: names of volumes and Secrets, no secret.
    Config,
}

/// One file of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Part {
    /// What of the bank it holds: `database`, `history`, `vectors`, `vectors/entities`, `files/NAME`, `config`.
    pub component: String,
    /// Its kind.
    pub kind: PartKind,
    /// Its path in the set, parts separated by `/`.
    pub path: String,
    /// Its size before compression, in bytes.
    pub bytes: u64,
    /// Its size as it is stored, in bytes.
    pub stored_bytes: u64,
    /// The digest of the stored file.
    pub sha256: Digest,
    /// The digest of its content before compression and encryption, where it is not stored as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_sha256: Option<Digest>,
    /// How many rows each table has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rows: BTreeMap<String, u64>,
    /// How many rows refer to rows which do not exist, as in the source.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub orphans: u64,
    /// How many files and links an archive holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// How many points a snapshot of vectors holds at least, counted before and after it: the smaller number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<u64>,
    /// What was wrong with the source when it was copied. Such a copy is kept, for it may be all that there is, and
    /// is never taken as verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde calls it.
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A declared part of the bank that the set does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Missing {
    /// Which.
    pub component: String,
    /// Why.
    pub why: String,
}

/// What a set holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetManifest {
    /// What wrote it, such as `memorybank 0.1.0`.
    pub tool: String,
    /// The bank's namespace.
    pub namespace: String,
    /// The bank's name.
    pub bank: String,
    /// The uid of the run that made it.
    pub run: String,
    /// When it was begun.
    pub started: Timestamp,
    /// Its files, in the order in which they were written.
    pub parts: Vec<Part>,
    /// What it lacks.
    pub missing: Vec<Missing>,
    /// The public keys of age that each of its files is encrypted for; none where they are plain.
    pub recipients: Vec<String>,
}

impl Part {
    /// Its path as it is where it is not encrypted.
    pub fn plain_path(&self) -> &str {
        self.path.strip_suffix(SEALED).unwrap_or(&self.path)
    }

    /// What it counts.
    pub fn counts(&self) -> Counts {
        Counts { rows: self.rows.clone(), files: self.files, points: self.points }
    }
}

impl SetManifest {
    /// Why the set cannot stand for the whole bank; none where it can.
    pub fn lack(&self) -> Option<String> {
        if let Some(missing) = self.missing.first() {
            return Some(format!("{} is missing: {}", missing.component, missing.why));
        }
        if let Some(damage) = self.damage() {
            return Some(damage);
        }
        let some = |count: Option<u64>| count.is_some_and(|count| count > 0);
        let holds = |part: &Part| part.rows.values().any(|rows| *rows > 0) || some(part.files) || some(part.points);
        (!self.parts.iter().any(holds)).then(|| "it holds no row and no file, and no point".to_owned())
    }

    /// What was wrong with a source when it was copied; none where nothing.
    pub fn damage(&self) -> Option<String> {
        let (part, damage) = self.parts.iter().find_map(|part| Some((part, part.damage.as_ref()?)))?;
        Some(format!("{} was damaged when it was copied: {damage}", part.component))
    }

    /// The first of these components of a bank that it does not hold, and why.
    pub fn without(&self, components: &[String]) -> Option<Missing> {
        let has = |component: &str| self.parts.iter().any(|part| part.component == component);
        let later = |component: &String| Missing {
            component: component.clone(),
            why: "the bank declares it by now, and did not when the set was made".to_owned(),
        };
        let since = || components.iter().find(|component| !has(component)).map(later);
        self.missing.first().cloned().or_else(since)
    }

    /// What it counts of a component, and the first file of that; none where it has none.
    pub fn counts(&self, component: &str) -> Option<(&str, Counts)> {
        let mut parts = self.parts.iter().filter(|part| part.component == component);
        let first = parts.next()?;
        let mut counts = first.counts();
        for part in parts {
            let Counts { rows, files, points } = part.counts();
            counts.rows.extend(rows);
            let add = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).reduce(u64::saturating_add);
            (counts.files, counts.points) = (add(counts.files, files), add(counts.points, points));
        }
        Some((&first.path, counts))
    }

    /// How many bytes its files have.
    pub fn stored_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.stored_bytes).sum()
    }

    /// What makes its content senseless, though its digest is right.
    pub(super) fn fault(&self) -> Option<String> {
        let mut paths = BTreeSet::from([MANIFEST, SUMS]);
        self.parts.iter().find_map(|part| {
            let path = &part.path;
            let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
            if !plain || TreePath::new(path.as_bytes()).is_err() {
                return Some(format!("{path:?} is no path within a set"));
            }
            (!paths.insert(path)).then(|| format!("{path} is named twice"))
        })
    }
}
