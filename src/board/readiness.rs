use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// Which parts of the process are ready. A part that is not says what it waits for; a part that works
/// but has something to say (an edit that was refused) says so without being unready.
#[derive(Debug, Default)]
pub struct Readiness(RwLock<BTreeMap<String, Part>>);

#[derive(Clone, Debug)]
struct Part {
    ready: bool,
    note: String,
}

impl Readiness {
    /// The part works; `note` is told beside it, empty for nothing.
    pub fn ready(&self, part: &str, note: impl Into<String>) {
        self.set(part, true, note.into());
    }

    /// The part does not work yet, and why.
    pub fn pending(&self, part: &str, why: impl Into<String>) {
        self.set(part, false, why.into());
    }

    fn set(&self, part: &str, ready: bool, note: String) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(part.to_owned(), Part { ready, note });
    }

    /// Each part with whether it is ready and what it says, in order of names.
    pub fn parts(&self) -> Vec<(String, bool, String)> {
        let parts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        parts.iter().map(|(name, part)| (name.clone(), part.ready, part.note.clone())).collect()
    }
}
