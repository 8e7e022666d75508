use std::fmt;

/// The id of a point. Ordered as a vector store walks its points: numbers before UUIDs, each ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PointId {
    /// An unsigned number; mem0 makes none.
    Number(u64),
    /// A UUID, by its 128 bits: the id of the memory's row.
    Uuid(u128),
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Uuid(bits) => {
                let hex = format!("{bits:032x}");
                write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
            }
        }
    }
}

/// What mem0 keeps beside a vector, as far as it is compared. Of a key that is there with a value of another type
/// nothing is kept but the digest of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// The text of the memory.
    pub data: Option<String>,
    /// MD5 of the text, 32 lower-case hex digits as mem0 writes it.
    pub hash: Option<String>,
    /// The name (not the row's id) of the user whose memory it is.
    pub user_id: Option<String>,
    /// ISO 8601 with an offset.
    pub created_at: Option<String>,
    /// The same of the last change.
    pub updated_at: Option<String>,
    /// The ids of the memories that an entity is linked to; empty but in a collection of entities.
    pub linked: Vec<String>,
    /// SHA-256 of the payload as JSON with its keys in order, so that any change of it shows.
    pub digest: [u8; 32],
}

/// One point of a vector store, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Its id.
    pub id: PointId,
    /// Its payload.
    pub payload: Payload,
    /// Its dense vector; none where it has none, or none was asked for.
    pub vector: Option<Vec<f32>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_as_they_are_walked_and_told_with_dashes() {
        let uuid = PointId::Uuid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert!(PointId::Number(u64::MAX) < PointId::Uuid(0));
        assert_eq!(uuid.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
    }
}
