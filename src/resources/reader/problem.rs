use std::fmt;

use serde::Serialize;

/// Where in the files something is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file, as it was named to the reader.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The document within the file, from 1; empty ones do not count. 0 is the file itself.
    pub document: usize,
}

/// Something wrong with a file, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// The field, such as `spec.schedules[0].cron`; empty for a whole document.
    pub field: String,
    /// What was found and what was expected; never a secret.
    pub message: String,
}

/// What does not keep a configuration from being used, though it may not do what was meant.
pub type Warning = Problem;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { file, line, document } = &self.place;
        write!(f, "{file}:{line}: ")?;
        if *document > 0 {
            write!(f, "document {document}")?;
            if !self.field.is_empty() {
                write!(f, ", {}", self.field)?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}
