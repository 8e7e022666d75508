use serde::{Deserialize, Serialize};

use super::{Beginning, Difference};
use crate::domain::{CorruptionType, Mutable, Severity};

/// A difference that is damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Told {
    /// A file is gone.
    Missing,
    /// A file is there that nobody may add.
    Extra,
    /// Content, kind, link or time is another, with another time.
    Changed,
    /// A file that may not change is longer.
    Grown,
    /// A file is shorter.
    Truncated,
    /// A file has another name.
    Renamed,
    /// The content is another though size and time are the same.
    Mismatch,
    /// A file that may only grow has another beginning.
    Rewritten,
    /// The device fails to give the content.
    Broken,
}

/// What a difference means under the promise that a tree was declared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Expected: it enters the next manifest as soon as its content is known.
    Accept,
    /// Damage: it is told, and never enters.
    Tell(Told),
}

/// The rules of docs/files.md.
pub fn rule(difference: &Difference, mutable: Mutable) -> Ruling {
    use Difference as D;
    match (mutable, difference) {
        (_, D::Broken) => Ruling::Tell(Told::Broken),
        (_, D::Silent(_) | D::Unseen) => Ruling::Tell(Told::Mismatch),
        (Mutable::Always, D::Truncated { same_time: true, .. }) => Ruling::Tell(Told::Truncated),
        (Mutable::Always, _)
        | (_, D::Touched { proven: true })
        | (Mutable::Append, D::Extra | D::Grown { beginning: Beginning::Same | Beginning::Unproven, .. }) => {
            Ruling::Accept
        }
        (Mutable::Append, D::Grown { beginning: Beginning::Differs(_), .. }) => Ruling::Tell(Told::Rewritten),
        (Mutable::Never, D::Grown { .. }) => Ruling::Tell(Told::Grown),
        (Mutable::Never, D::Extra) => Ruling::Tell(Told::Extra),
        (_, D::Missing) => Ruling::Tell(Told::Missing),
        (_, D::Truncated { .. }) => Ruling::Tell(Told::Truncated),
        (_, D::Renamed { .. }) => Ruling::Tell(Told::Renamed),
        (_, D::Replaced | D::Changed(_) | D::Touched { proven: false }) => Ruling::Tell(Told::Changed),
    }
}

impl Told {
    /// Whether only reading content can see it. What names, sizes and times show belongs to `files-names` at every
    /// level, so that a `Quick` check neither opens nor closes what a deeper one found.
    pub const fn in_content(self) -> bool {
        matches!(self, Self::Mismatch | Self::Rewritten | Self::Broken)
    }

    /// The type of its record.
    pub const fn corruption_type(self) -> CorruptionType {
        match self {
            Self::Mismatch => CorruptionType::ChecksumMismatch,
            Self::Missing | Self::Truncated | Self::Broken => CorruptionType::FileCorruption,
            Self::Extra | Self::Changed | Self::Grown | Self::Renamed | Self::Rewritten => {
                CorruptionType::DataInconsistency
            }
        }
    }

    /// High where content is lost or is not what was written; Medium where somebody changed what should not change.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Mismatch | Self::Missing | Self::Truncated | Self::Rewritten | Self::Broken => Severity::High,
            Self::Extra | Self::Changed | Self::Grown | Self::Renamed => Severity::Medium,
        }
    }

    /// What a person should do.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Missing => "Restore the file from a backup, or declare the tree `mutable: Always` if files may go.",
            Self::Extra => "Find out who added the file; remove it, or declare the tree `mutable: Append`.",
            Self::Changed | Self::Grown => {
                "Find out who changed it; restore it from a backup, or declare the tree `mutable` as it is used."
            }
            Self::Truncated => "Restore the file from a backup: its end is lost.",
            Self::Renamed => "Give the file its old name back, or declare the tree `mutable: Always`.",
            Self::Mismatch => {
                "Restore the file from a backup, and check disk and memory: its content changed, but nobody wrote to it \
                 in the ordinary way."
            }
            Self::Rewritten => "Restore the beginning from a backup, or declare the tree `mutable: Always`.",
            Self::Broken => "Check the disk (kernel log, SMART) and restore the file from a backup.",
        }
    }
}
