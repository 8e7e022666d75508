//! Rules over several fields, as CEL for the API server. `valid` holds the same rules for local mode, with
//! the same messages; `tests/resources_cel.rs` compares the two.

use kube::core::Rule;

use super::condition::ConditionName;

pub const NAME: &str = "metadata.name is a DNS label of at most 63 characters (a-z, 0-9 and -)";
pub const PATH: &str = "expected a path relative to the volume, without a leading / and without ..";
pub const URL: &str = "expected http:// or https:// with a host and without user information (use a secret reference)";
pub const TLS: &str = "caSecretRef and insecureSkipVerify exclude each other";
pub const ANY_PART: &str = "expected at least one of api, database, vectorStore, files, backups";
pub const UNDECLARED: &str = "expected the name of a volume declared in spec.volumes";
pub const WINDOW: &str = "start and end differ: a window of no length admits nothing";
pub const BLACKOUT: &str = "from is not after to";
pub const SPREAD: &str = "spreadSeconds is less than startingDeadlineSeconds, or the last banks would always be late";
pub const PURGE: &str = "a purge names something: deletedAfterSeconds, accessLogAfterSeconds or historyAfterSeconds";
pub const RETENTION: &str = "a retention keeps something: last, daily, weekly or monthly is above 0";
pub const CRON_ZONE: &str = "found a time zone within the cron expression; expected it in the field timeZone";
pub const HOLDS: &str = "no schedule is held by a condition that its own tasks measure: it would wait for itself";
pub const TASK_NAMES: &str = "names of tasks are unique within their list";
pub const LEVEL_NEEDED: &str = "an IntegrityCheck has a level: Quick, Checksum or Full";
pub const LEVEL_MISPLACED: &str = "level and sharePercent belong to an IntegrityCheck";
pub const RECOVER_MISPLACED: &str = "a recovery comes from a Recovery: no schedule names the task Recover";
pub const SCOPES: &str = "scopes fit the task: Database, VectorStore, Consistency, Files, Backups for an \
     IntegrityCheck; Leaks, Posture, Probes, Vulnerabilities, Access, Erasure for a SecurityAudit; none for others";
pub const RESTORE_SCOPES: &str = "a RestoreTest has no scopes";
pub const IMMUTABLE: &str = "the spec of a MaintenanceRun is immutable";
pub const RECOVERY_IMMUTABLE: &str = "the spec of a Recovery is immutable but for approval";
pub const WAIVER_MATCH: &str = "a waiver is of a rule or of a fingerprint: expected match.rule or match.fingerprint";
pub const REQUIREMENT: &str = "values belong to In and NotIn, which need at least one";
pub const PLANNED: &str = "policyName, scheduleName and slotTime come together";

fn rule(cel: impl Into<String>, message: &str) -> Rule {
    Rule::new(cel).message(message)
}

/// The message of [`one_of`].
pub fn one_of_message(members: &[&str]) -> String {
    format!("expected exactly one of {}", members.join(", "))
}

/// Exactly one of some optional members is there.
pub fn one_of(members: &[&str]) -> Rule {
    let has: Vec<_> = members.iter().map(|m| format!("has(self.{m})")).collect();
    rule(format!("[{}].filter(x, x).size() == 1", has.join(", ")), &one_of_message(members))
}

pub fn name() -> Rule {
    rule("self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')", NAME)
}

pub fn path() -> Rule {
    rule("!self.startsWith('/') && !self.matches('(^|/)[.][.](/|$)')", PATH)
}

pub fn url() -> Rule {
    rule("self.matches('^https?://[^/?#@\\\\s]+([/?#]\\\\S*)?$')", URL)
}

pub fn tls() -> Rule {
    rule("!(has(self.caSecretRef) && self.insecureSkipVerify)", TLS)
}

pub fn any_part() -> Rule {
    rule(
        "has(self.api) || has(self.database) || has(self.vectorStore) || (has(self.files) && self.files.size() > 0) \
         || (has(self.backups) && self.backups.size() > 0)",
        ANY_PART,
    )
}

/// The volume that one part names is declared; `guards` are the optional members on the way to it.
pub fn volume_of(guards: &[&str]) -> Rule {
    let absent: Vec<_> = guards.iter().map(|g| format!("!has(self.{g})")).collect();
    let part = guards.last().copied().unwrap_or_default();
    rule(
        format!(
            "{} || (has(self.volumes) && self.volumes.exists(v, v.name == self.{part}.volume))",
            absent.join(" || ")
        ),
        UNDECLARED,
    )
}

/// The volumes that the entries of a list name are declared.
pub fn volumes_of(list: &str) -> Rule {
    rule(
        format!(
            "!has(self.{list}) || self.{list}.all(f, has(self.volumes) && self.volumes.exists(v, v.name == f.volume))"
        ),
        UNDECLARED,
    )
}

pub fn window() -> Rule {
    rule("self.start != self.end", WINDOW)
}

pub fn blackout() -> Rule {
    rule("self.from <= self.to", BLACKOUT)
}

pub fn spread() -> Rule {
    rule("!has(self.startingDeadlineSeconds) || self.spreadSeconds < self.startingDeadlineSeconds", SPREAD)
}

pub fn retention() -> Rule {
    rule("self.last + self.daily + self.weekly + self.monthly > 0", RETENTION)
}

pub fn purge() -> Rule {
    rule("has(self.deletedAfterSeconds) || has(self.accessLogAfterSeconds) || has(self.historyAfterSeconds)", PURGE)
}

/// As `CronError::ZoneInside` of the engine.
pub fn cron_zone() -> Rule {
    rule("!self.contains('TZ=')", CRON_ZONE)
}

/// See [`ConditionName::measured_by`].
pub fn holds() -> Rule {
    let waits: Vec<_> = ConditionName::ALL
        .into_iter()
        .flat_map(|c| c.measured_by().iter().map(move |t| (c.name(), t.name())))
        .map(|(condition, task)| format!("(h.condition == '{condition}' && t.task == '{task}')"))
        .collect();
    rule(
        format!(
            "!has(self.holdWhile) || self.holdWhile.all(h, self.schedules.all(s, s.tasks.all(t, !({}))))",
            waits.join(" || ")
        ),
        HOLDS,
    )
}

pub fn task_names() -> Rule {
    rule("self.tasks.all(t, !has(t.name) || self.tasks.exists_one(u, has(u.name) && u.name == t.name))", TASK_NAMES)
}

pub fn level_needed() -> Rule {
    rule("self.task != 'IntegrityCheck' || has(self.level)", LEVEL_NEEDED)
}

pub fn no_recover() -> Rule {
    rule("self.tasks.all(t, t.task != 'Recover')", RECOVER_MISPLACED)
}

pub fn level_misplaced() -> Rule {
    rule("self.task == 'IntegrityCheck' || (!has(self.level) && !has(self.sharePercent))", LEVEL_MISPLACED)
}

pub fn scopes() -> Rule {
    rule(
        "!has(self.scopes) || self.scopes.all(s, \
         (self.task == 'IntegrityCheck' && s in ['Database', 'VectorStore', 'Consistency', 'Files', 'Backups']) || \
         (self.task == 'SecurityAudit' && \
         s in ['Leaks', 'Posture', 'Probes', 'Vulnerabilities', 'Access', 'Erasure']))",
        SCOPES,
    )
}

pub fn restore_scopes() -> Rule {
    rule("self.level != 'RestoreTest' || !has(self.scopes) || self.scopes.size() == 0", RESTORE_SCOPES)
}

pub fn immutable() -> Rule {
    rule("self == oldSelf", IMMUTABLE)
}

pub fn recovery_immutable() -> Rule {
    // Members with a default are always there.
    let same = ["bankName", "mode", "quiesce"].map(|member| format!("self.{member} == oldSelf.{member}"));
    let optional = ["events", "backupName"].map(|member| {
        format!(
            "(has(self.{member}) ? has(oldSelf.{member}) && self.{member} == oldSelf.{member} : !has(oldSelf.{member}))"
        )
    });
    rule([same.as_slice(), &optional].concat().join(" && "), RECOVERY_IMMUTABLE)
}

pub fn waiver_match() -> Rule {
    rule("has(self.rule) || has(self.fingerprint)", WAIVER_MATCH)
}

pub fn requirement() -> Rule {
    rule("(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)", REQUIREMENT)
}

pub fn planned() -> Rule {
    rule("has(self.policyName) == has(self.scheduleName) && has(self.scheduleName) == has(self.slotTime)", PLANNED)
}
