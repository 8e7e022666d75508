use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules, schema};
use crate::domain::{Level, Task, TaskKind, Work};

/// One task of a schedule or a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::level_needed(),
    validation = rules::level_misplaced(),
    validation = rules::scopes()
)]
pub struct TaskSpec {
    /// Its name, unique within its list; by default its kind in kebab-case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub name: Option<String>,
    /// What to do.
    #[schemars(schema_with = "schema::task_kind")]
    pub task: TaskKind,
    /// How deep an IntegrityCheck looks; it must say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::level")]
    pub level: Option<Level>,
    /// What an IntegrityCheck or a SecurityAudit looks at; by default all that the bank declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::task_scopes")]
    pub scopes: Vec<Scope>,
    /// At level Checksum: the share of the bytes that one IntegrityCheck reads; 10 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub share_percent: Option<u8>,
    /// Its own deadline; that of the run bounds it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub active_deadline_seconds: Option<u32>,
}

impl From<&Task> for TaskSpec {
    /// A task as a run's spec has it.
    fn from(task: &Task) -> Self {
        let mut spec = Self {
            name: Some(task.name.clone()),
            task: task.work.kind(),
            level: None,
            scopes: Vec::new(),
            share_percent: None,
            active_deadline_seconds: task.active_deadline_seconds,
        };
        match &task.work {
            Work::IntegrityCheck { level, scopes, share_percent } => {
                spec.level = Some(*level);
                spec.scopes = scopes.iter().copied().map(Scope::Integrity).collect();
                spec.share_percent = Some(*share_percent);
            }
            Work::SecurityAudit { scopes } => spec.scopes = scopes.iter().copied().map(Scope::Audit).collect(),
            _ => {}
        }
        spec
    }
}

/// What a check or an audit looks at; which of them fit a task, its kind says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scope {
    /// Of an IntegrityCheck.
    Integrity(crate::domain::IntegrityScope),
    /// Of a SecurityAudit.
    Audit(crate::domain::AuditScope),
}

/// The share of the bytes that a check at level Checksum reads, unless set.
pub const SHARE_PERCENT: u8 = 10;

/// How a task of a run went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// Its name.
    pub name: String,
    /// Succeeded, Failed, Skipped or Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_milliseconds: Option<u64>,
    /// What it found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<super::common::FindingCounts>,
}
