//! What is wrong with one cell, given what its column holds.

use jiff::Timestamp;

use super::schema::ColumnKind;
use super::text::Encoding;
use super::{date, json, uuid};

/// A stored value with the type that it is stored as.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Cell<'a> {
    Null,
    Integer(i64),
    Real,
    /// Its bytes, in the encoding of the database.
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// What can be wrong with a cell, or with a row by its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Defect {
    /// The bytes are no text in the database's encoding.
    NotText,
    /// A text with a NUL in it.
    Nul,
    /// Bytes where a text belongs.
    Blob,
    /// Not what `json.loads` reads.
    NotJson,
    /// Not a date.
    NotDate,
    /// A date that no bank can hold.
    OtherAge,
    /// Not an id, or an id that SQLite stored as a number.
    NotUuid,
    /// Outside of the set of states.
    NotState,
    /// Outside of the set of events.
    NotEvent,
    /// Neither 0 nor 1.
    NotBoolean,
    /// Not an integer.
    NotInteger,
    /// State deleted without a time of deletion.
    DeletedWithoutTime,
    /// State archived without a time of archiving.
    ArchivedWithoutTime,
}

/// The states of a memory.
pub const STATES: [&str; 4] = ["active", "paused", "archived", "deleted"];
/// The events of mem0's history.
pub const EVENTS: [&str; 3] = ["ADD", "UPDATE", "DELETE"];

/// Judges cells of one database at one time.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// The encoding of its text.
    pub encoding: Encoding,
    /// The time of the check.
    pub now: Timestamp,
}

impl Judge {
    /// The first thing that is wrong with a cell.
    pub fn cell(&self, kind: ColumnKind, cell: Cell<'_>) -> Option<Defect> {
        match cell {
            Cell::Null => None,
            Cell::Text(bytes) => self.text(kind, bytes),
            Cell::Integer(number) => Self::integer(kind, number),
            Cell::Real => match kind {
                ColumnKind::Integer => Some(Defect::NotInteger),
                _ => Self::integer(kind, i64::MAX),
            },
            Cell::Blob(_) => match kind {
                ColumnKind::Any => None,
                ColumnKind::Text => Some(Defect::Blob),
                ColumnKind::Integer => Some(Defect::NotInteger),
                _ => Self::integer(kind, i64::MAX).or(Some(Defect::NotJson)),
            },
        }
    }

    fn text(&self, kind: ColumnKind, bytes: &[u8]) -> Option<Defect> {
        let Some(text) = self.encoding.decode(bytes) else {
            return Some(Defect::NotText);
        };
        if text.contains('\0') {
            return Some(Defect::Nul);
        }
        match kind {
            ColumnKind::Text | ColumnKind::Any => None,
            ColumnKind::Uuid => uuid::plain(text.as_bytes()).is_none().then_some(Defect::NotUuid),
            ColumnKind::AnyUuid => uuid::any(text.as_bytes()).is_none().then_some(Defect::NotUuid),
            ColumnKind::Json => (!json::valid(&text)).then_some(Defect::NotJson),
            ColumnKind::Date => match date::parse(&text) {
                None => Some(Defect::NotDate),
                Some(time) => (!date::plausible(time, self.now)).then_some(Defect::OtherAge),
            },
            ColumnKind::State => (!STATES.contains(&&*text)).then_some(Defect::NotState),
            ColumnKind::Event => (!EVENTS.contains(&&*text)).then_some(Defect::NotEvent),
            ColumnKind::Boolean => Some(Defect::NotBoolean),
            ColumnKind::Integer => Some(Defect::NotInteger),
        }
    }

    /// A number in a column of text is SQLite's own to tell (`NUMERIC value in ...`).
    fn integer(kind: ColumnKind, number: i64) -> Option<Defect> {
        match kind {
            ColumnKind::Text | ColumnKind::Any | ColumnKind::Json | ColumnKind::Integer => None,
            ColumnKind::Uuid | ColumnKind::AnyUuid => Some(Defect::NotUuid),
            ColumnKind::Date => Some(Defect::NotDate),
            ColumnKind::State => Some(Defect::NotState),
            ColumnKind::Event => Some(Defect::NotEvent),
            ColumnKind::Boolean => (!matches!(number, 0 | 1)).then_some(Defect::NotBoolean),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [ColumnKind; 10] = [
        ColumnKind::Uuid,
        ColumnKind::AnyUuid,
        ColumnKind::Text,
        ColumnKind::Json,
        ColumnKind::Date,
        ColumnKind::State,
        ColumnKind::Event,
        ColumnKind::Boolean,
        ColumnKind::Integer,
        ColumnKind::Any,
    ];

    fn judge(kind: ColumnKind, cell: Cell<'_>) -> Option<Defect> {
        Judge { encoding: Encoding::Utf8, now: "2026-01-01T00:00:00Z".parse().unwrap() }.cell(kind, cell)
    }

    #[test]
    fn healthy_cells_pass() {
        for (kind, text) in [
            (ColumnKind::Uuid, "123e4567e89b12d3a456426614174000"),
            (ColumnKind::AnyUuid, "123e4567-e89b-12d3-a456-426614174000"),
            (ColumnKind::Text, ""),
            (ColumnKind::Json, "null"),
            (ColumnKind::Date, "2025-07-01 10:00:00.000001"),
            (ColumnKind::State, "paused"),
            (ColumnKind::Event, "ADD"),
        ] {
            assert_eq!(judge(kind, Cell::Text(text.as_bytes())), None, "{kind:?}");
        }
        assert_eq!(judge(ColumnKind::Json, Cell::Real), None, "JSON that is a number is stored as one");
        assert_eq!(judge(ColumnKind::Boolean, Cell::Integer(1)), None);
        assert_eq!(judge(ColumnKind::Integer, Cell::Integer(-7)), None);
        for kind in KINDS {
            assert_eq!(judge(kind, Cell::Null), None, "{kind:?}");
        }
    }

    #[test]
    fn each_fault_has_its_name() {
        for (kind, cell, defect) in [
            (ColumnKind::Uuid, Cell::Real, Defect::NotUuid),
            (ColumnKind::Uuid, Cell::Text(b"123E4567e89b12d3a456426614174000"), Defect::NotUuid),
            (ColumnKind::Uuid, Cell::Blob(b"x"), Defect::NotUuid),
            (ColumnKind::Text, Cell::Text(b"\xff"), Defect::NotText),
            (ColumnKind::Any, Cell::Text(b"a\0b"), Defect::Nul),
            (ColumnKind::Text, Cell::Blob(b"x"), Defect::Blob),
            (ColumnKind::Json, Cell::Text(b"{'a': 1}"), Defect::NotJson),
            (ColumnKind::Json, Cell::Blob(b"{}"), Defect::NotJson),
            (ColumnKind::Date, Cell::Integer(2025), Defect::NotDate),
            (ColumnKind::Date, Cell::Text(b"2025-02-30 00:00:00"), Defect::NotDate),
            (ColumnKind::Date, Cell::Text(b"9025-02-03 00:00:00"), Defect::OtherAge),
            (ColumnKind::State, Cell::Text(b"activd"), Defect::NotState),
            (ColumnKind::Event, Cell::Text(b"ADE"), Defect::NotEvent),
            (ColumnKind::Boolean, Cell::Integer(2), Defect::NotBoolean),
            (ColumnKind::Boolean, Cell::Real, Defect::NotBoolean),
            (ColumnKind::Integer, Cell::Text(b"x"), Defect::NotInteger),
        ] {
            assert_eq!(judge(kind, cell), Some(defect), "{kind:?} {cell:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_text_are_found_in_every_column(mut bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            bytes.push(0xff);
            for kind in KINDS {
                prop_assert_eq!(judge(kind, Cell::Text(&bytes)), Some(Defect::NotText));
            }
        }
    }
}
