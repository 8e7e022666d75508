use crate::domain::{CorruptionType, Severity};

/// How a row and its point differ from each other, or from what they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A live memory without a point (I1).
    Missing,
    /// A point of a deleted memory (I2).
    Recallable,
    /// A point without a row (I3).
    Orphan,
    /// The text beside the vector is not that of the row (I4).
    Text,
    /// No hash beside the text (I5).
    HashAbsent,
    /// A hash that is not that of the text beside it (I5).
    HashDiffers,
    /// A point that belongs to another user than its row (I6).
    Owner,
    /// A point that changed although its times did not.
    PointChanged,
    /// A row whose text changed although its times did not.
    RowChanged,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 9] = [
        Self::Missing,
        Self::Recallable,
        Self::Orphan,
        Self::Text,
        Self::HashAbsent,
        Self::HashDiffers,
        Self::Owner,
        Self::PointChanged,
        Self::RowChanged,
    ];

    /// Every check, with its component.
    pub const CHECKS: [(&'static str, &'static str); 8] = [
        (Self::Missing.check(), VECTORS),
        (Self::Recallable.check(), VECTORS),
        (Self::Orphan.check(), VECTORS),
        (Self::Text.check(), VECTORS),
        (Self::HashDiffers.check(), VECTORS),
        (Self::Owner.check(), VECTORS),
        (Self::PointChanged.check(), VECTORS),
        (Self::RowChanged.check(), DATABASE),
    ];

    /// The check that sees it.
    pub const fn check(self) -> &'static str {
        match self {
            Self::Missing => "consistency-missing",
            Self::Recallable => "consistency-deleted",
            Self::Orphan => "consistency-orphans",
            Self::Text => "consistency-text",
            Self::HashAbsent | Self::HashDiffers => "consistency-hash",
            Self::Owner => "consistency-owner",
            Self::PointChanged => "vectors-unchanged",
            Self::RowChanged => "rows-unchanged",
        }
    }

    /// The component that it is in.
    pub const fn component(self) -> &'static str {
        match self {
            Self::RowChanged => DATABASE,
            _ => VECTORS,
        }
    }

    /// The invariant that it breaks; none where something was damaged.
    pub const fn invariant(self) -> Option<&'static str> {
        match self {
            Self::Missing => Some("I1"),
            Self::Recallable => Some("I2"),
            Self::Orphan => Some("I3"),
            Self::Text => Some("I4"),
            Self::HashAbsent | Self::HashDiffers => Some("I5"),
            Self::Owner => Some("I6"),
            Self::PointChanged | Self::RowChanged => None,
        }
    }

    /// The type of its event.
    pub const fn corruption_type(self) -> CorruptionType {
        match self {
            Self::PointChanged | Self::RowChanged => CorruptionType::ChecksumMismatch,
            _ => CorruptionType::DataInconsistency,
        }
    }

    /// What it is in.
    pub const fn object(self) -> &'static str {
        match self {
            Self::Missing | Self::Recallable | Self::Orphan | Self::PointChanged => "points",
            Self::Text => "payload.data",
            Self::HashAbsent => "payload.hash (absent)",
            Self::HashDiffers => "payload.hash",
            Self::Owner => "payload.user_id",
            Self::RowChanged => "memories.content",
        }
    }

    /// What it is, for people.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Missing => "live memories without a point: agents cannot recall them",
            Self::Recallable => "points of deleted memories: agents still recall them",
            Self::Orphan => "points without a row: agents recall what no list shows",
            Self::Text => "the text beside the vector is not that of the row: people see one, agents the other",
            Self::HashAbsent => "no hash beside the text",
            Self::HashDiffers => "the hash is not that of the text beside it",
            Self::Owner => "the point belongs to another user than its row: one recalls what is another's",
            Self::PointChanged => "vector or payload changed since the baseline although no time of it did",
            Self::RowChanged => "text changed since the baseline although no time of the row did",
        }
    }

    /// How bad it is where `count` of `of` have it: a tenth of all is `Critical` where agents lose what they know.
    pub const fn severity(self, count: u64, of: u64) -> Severity {
        let many = count.saturating_mul(10) >= of;
        match self {
            Self::Recallable | Self::Owner => Severity::Critical,
            Self::Missing | Self::PointChanged | Self::RowChanged if many => Severity::Critical,
            Self::Missing | Self::PointChanged | Self::RowChanged | Self::Text | Self::HashDiffers => Severity::High,
            Self::Orphan | Self::HashAbsent => Severity::Medium,
        }
    }
}

const VECTORS: &str = "vectors";
const DATABASE: &str = "database";

/// Several faults of one id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub(super) u16);

impl Faults {
    /// With one more.
    #[must_use]
    pub const fn with(self, fault: Fault) -> Self {
        Self(self.0 | 1 << fault as u16)
    }

    /// Whether it is one of them.
    pub const fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u16) != 0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |fault| self.has(*fault))
    }
}

impl FromIterator<Fault> for Faults {
    fn from_iter<I: IntoIterator<Item = Fault>>(faults: I) -> Self {
        faults.into_iter().fold(Self::default(), Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_as_a_check_is_what_faults_are_seen_by() {
        for fault in Fault::ALL {
            assert!(Fault::CHECKS.contains(&(fault.check(), fault.component())), "{fault:?}");
            let damage = fault.corruption_type() == CorruptionType::ChecksumMismatch;
            assert_eq!(damage, fault.invariant().is_none(), "{fault:?}");
        }
    }

    #[test]
    fn a_tenth_of_all_is_many() {
        assert_eq!(Fault::Missing.severity(9, 100), Severity::High);
        assert_eq!(Fault::Missing.severity(10, 100), Severity::Critical);
        assert_eq!(Fault::Recallable.severity(1, 1_000_000), Severity::Critical);
    }
}
