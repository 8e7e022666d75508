//! OpenMemory's rows against mem0's own history of the same memories (I11).
//!
//! Everything here is `Low`: a healthy bank in daily use shows all of it. Edits of a text go to SQL alone,
//! what mem0 updates or deletes by itself while adding never reaches SQL, the fork deletes in SQL alone,
//! an import writes no history, and a history on no volume begins anew with each container. Hence only
//! memories younger than the history are judged.

use super::directory::{Directory, Part, key};
use super::tally::{Rows, Rule};
use crate::domain::{CorruptionEvent, Severity};

/// What happened to a memory, as mem0 names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Happened {
    Added,
    Updated,
    Deleted,
}

impl Happened {
    /// Reads an event's name.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"ADD" => Some(Self::Added),
            b"UPDATE" => Some(Self::Updated),
            b"DELETE" => Some(Self::Deleted),
            _ => None,
        }
    }
}

/// How a memory and its history disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disagreement {
    /// A memory that mem0 never added.
    NeverAdded,
    /// Deleted in SQL and not in the history, or the other way round.
    Deletion,
    /// The text is not the last one of the history.
    Text,
}

impl Disagreement {
    /// The event of all rows that disagree in this way.
    pub fn event(self, component: &str, rows: &Rows) -> CorruptionEvent {
        let (object, what) = match self {
            Self::NeverAdded => ("memories.id", "live memories that mem0 never added"),
            Self::Deletion => ("memories.state", "memories deleted on one side only"),
            Self::Text => ("memories.content", "memories whose text is not the last of their history"),
        };
        let rule = Rule {
            check: "sqlite-history",
            invariant: Some("I11"),
            severity: Severity::Low,
            what,
            advice: "Nothing is lost: known defects of OpenMemory cause this. Where agents recall a text that was \
                     edited or deleted, save the memory again, so that the vector store has it too.",
        };
        rule.event(component, object, rows)
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    text: u64,
    live: bool,
    added: bool,
    last: Option<Happened>,
    other_text: bool,
}

impl Entry {
    const fn disagreement(self) -> Option<Disagreement> {
        if self.live == matches!(self.last, Some(Happened::Deleted)) {
            Some(Disagreement::Deletion)
        } else if self.live && !self.added {
            Some(Disagreement::NeverAdded)
        } else if self.live && self.other_text {
            Some(Disagreement::Text)
        } else {
            None
        }
    }
}

/// The memories of one part, and what their history says.
#[derive(Debug)]
pub struct Comparison {
    entries: Directory<Entry>,
}

impl Comparison {
    /// For about so many memories in all parts together.
    pub fn new(part: Part, rows: u64) -> Self {
        Self { entries: Directory::new(part, rows) }
    }

    /// Takes a memory younger than the history. All of them come before the first event.
    pub fn memory(&mut self, id: u128, live: bool, text: &[u8]) {
        let entry = Entry { text: key(text), live, added: false, last: None, other_text: false };
        self.entries.insert(id, entry);
    }

    /// Takes an event, with the text that it left, in the order in which they are stored.
    pub fn happened(&mut self, memory: u128, what: Happened, text: Option<&[u8]>) {
        let Some(entry) = self.entries.get_mut(memory) else { return };
        entry.added |= what == Happened::Added;
        entry.last = Some(what);
        if let Some(text) = text {
            entry.other_text = key(text) != entry.text;
        }
    }

    /// How many memories are compared.
    pub fn count(&self) -> u64 {
        self.entries.values().count() as u64
    }

    /// Whether any memory disagrees with its history.
    pub fn any(&self) -> bool {
        self.entries.values().any(|entry| entry.disagreement().is_some())
    }

    /// How this one does.
    pub fn disagreement(&mut self, memory: u128) -> Option<Disagreement> {
        self.entries.get_mut(memory)?.disagreement()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADD: (&str, Option<&str>) = ("ADD", Some("likes tea"));

    fn judge(live: bool, text: &str, events: &[(&str, Option<&str>)]) -> Option<Disagreement> {
        let mut comparison = Comparison::new(Part::all(1).next().unwrap(), 1);
        comparison.memory(7, live, text.as_bytes());
        for (event, text) in events {
            comparison.happened(7, Happened::parse(event.as_bytes()).unwrap(), text.map(str::as_bytes));
            comparison.happened(8, Happened::Deleted, None);
        }
        assert_eq!(comparison.any(), comparison.disagreement(7).is_some());
        comparison.disagreement(7)
    }

    #[test]
    fn both_sides_agree() {
        assert_eq!(judge(true, "likes tea", &[ADD]), None);
        assert_eq!(judge(true, "likes coffee", &[ADD, ("UPDATE", Some("likes coffee"))]), None);
        assert_eq!(judge(false, "likes tea", &[ADD, ("DELETE", None)]), None);
        assert_eq!(judge(false, "", &[ADD, ("DELETE", None)]), None, "purged");
        assert_eq!(judge(true, "likes tea", &[ADD, ("DELETE", None), ADD]), None, "came back");
    }

    #[test]
    fn each_way_to_disagree() {
        assert_eq!(judge(true, "likes tea", &[]), Some(Disagreement::NeverAdded));
        assert_eq!(judge(false, "likes tea", &[ADD]), Some(Disagreement::Deletion));
        assert_eq!(judge(true, "likes tea", &[ADD, ("DELETE", None)]), Some(Disagreement::Deletion));
        assert_eq!(judge(true, "likes cocoa", &[ADD]), Some(Disagreement::Text));
    }
}
