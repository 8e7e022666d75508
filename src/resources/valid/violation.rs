use std::fmt::Display;

use serde::Serialize;
use thiserror::Error;

/// One thing that is wrong with a resource.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[error("{field}: {message}")]
pub struct Violation {
    /// Where, such as `spec.schedules[0].cron`.
    pub field: String,
    /// What was found and what was expected; never a secret.
    pub message: String,
}

/// All that is wrong with one resource, as it is found.
#[derive(Debug, Default)]
pub(super) struct Violations(Vec<Violation>);

impl Violations {
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Violation { field: field.into(), message: message.into() });
    }

    /// Notes a rule that is broken.
    pub fn require(&mut self, holds: bool, field: impl Into<String>, message: impl Into<String>) {
        if !holds {
            self.add(field, message);
        }
    }

    /// Exactly one of some optional members is there.
    pub fn one_of(&mut self, members: &[&str], present: &[bool], field: impl Into<String>) {
        let one = present.iter().filter(|p| **p).count() == 1;
        self.require(one, field, crate::resources::rules::one_of_message(members));
    }

    /// The value of a parse, or its error noted.
    pub fn keep<T, E: Display>(&mut self, field: impl Into<String>, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// The validated form, where nothing is wrong. A form that is not there has its violation noted.
    pub fn into_result<T>(self, valid: Option<T>) -> Result<T, Vec<Violation>> {
        match valid {
            Some(valid) if self.0.is_empty() => Ok(valid),
            _ => Err(self.0),
        }
    }
}
