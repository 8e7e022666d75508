use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::{CorruptionEvent, Finding};

/// One planted damage, and what must be told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Planted {
    /// Its name, as `--damage` takes it.
    pub damage: String,
    /// What it is, for people.
    pub what: String,
    /// What must be told: all of it.
    pub expected: Vec<Expected>,
    /// What may be told beside it, because the damage honestly shows there too.
    #[serde(default)]
    pub also: Vec<Expected>,
}

/// A sighting of a damage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Expected {
    /// A corruption event.
    Corruption {
        /// [`CorruptionEvent::check`], or `*` for any.
        check: String,
        /// [`CorruptionEvent::component`].
        component: String,
        /// [`CorruptionEvent::object`], or `*` for any.
        object: String,
        /// [`CorruptionEvent::invariant`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invariant: Option<String>,
    },
    /// A finding.
    Finding {
        /// [`Finding::check`].
        check: String,
        /// [`Finding::component`].
        component: String,
        /// [`Finding::rule`].
        rule: String,
        /// [`Finding::place`], or `*` for any.
        place: String,
    },
}

impl Expected {
    /// Damage that breaks an invariant of the workload, or none.
    pub fn corruption(check: &str, component: &str, object: impl Into<String>, invariant: Option<&str>) -> Self {
        Self::Corruption {
            check: check.to_owned(),
            component: component.to_owned(),
            object: object.into(),
            invariant: invariant.map(str::to_owned),
        }
    }

    /// A finding of an audit.
    pub fn finding(check: &str, component: &str, rule: &str, place: impl Into<String>) -> Self {
        Self::Finding {
            check: check.to_owned(),
            component: component.to_owned(),
            rule: rule.to_owned(),
            place: place.into(),
        }
    }

    /// Whether this event is that sighting.
    pub fn is_event(&self, event: &CorruptionEvent) -> bool {
        match self {
            Self::Corruption { check, component, object, invariant } => {
                is(check, &event.check)
                    && *component == event.component
                    && is(object, &event.object)
                    && (check == "*" || *invariant == event.invariant)
            }
            Self::Finding { .. } => false,
        }
    }

    /// Whether this finding is that sighting.
    pub fn is_finding(&self, finding: &Finding) -> bool {
        match self {
            Self::Finding { check, component, rule, place } => {
                *check == finding.check
                    && *component == finding.component
                    && *rule == finding.rule
                    && is(place, &finding.place)
            }
            Self::Corruption { .. } => false,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corruption { check, component, object, .. } => write!(f, "{check} in {component}: {object}"),
            Self::Finding { check, component, rule, place } => write!(f, "{check}/{rule} in {component}: {place}"),
        }
    }
}

fn is(expected: &str, seen: &str) -> bool {
    expected == "*" || expected == seen
}
