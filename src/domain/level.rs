use serde::{Deserialize, Serialize};

/// How deep an integrity check looks, from cheap to thorough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Structure, names, sizes and times.
    Quick,
    /// As `Quick`, and the content of a rolling share, so that N runs cover all.
    Checksum,
    /// The content of everything.
    Full,
}

impl Level {
    /// Every level, cheapest first.
    pub const ALL: [Self; 3] = [Self::Quick, Self::Checksum, Self::Full];

    /// The form in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quick => "Quick",
            Self::Checksum => "Checksum",
            Self::Full => "Full",
        }
    }
}
