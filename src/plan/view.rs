use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{BankFacts, NetworkPart, Phase, Pruning, Purge, Retention};
use crate::resources::{
    IntegrityCheckStatus, MemoryBankStatus, PurgeRule, RecoveryStatus, SecurityAuditStatus, ValidAudit, ValidCheck,
    ValidPolicy, ValidRecovery, ValidRun,
};

/// All that asks for work on one bank.
#[derive(Clone, Debug, Default)]
pub struct Asks<'a> {
    /// The policies that select it.
    pub policies: Vec<PolicyAsk<'a>>,
    /// Its checks.
    pub checks: Vec<CheckAsk<'a>>,
    /// Its audits.
    pub audits: Vec<AuditAsk<'a>>,
    /// Its recoveries.
    pub recoveries: Vec<RecoveryAsk<'a>>,
    /// Runs of it that were made by hand.
    pub hand: Vec<&'a ValidRun>,
}

impl Asks<'_> {
    /// What goes of the bank and its sets. What a retention keeps stays, that of a suspended policy too; a suspended one purges
    /// nothing, and of the others that name a kind of records the longest age counts.
    pub fn pruning(&self) -> Pruning {
        let retention = self.policies.iter().filter_map(|ask| ask.policy.retention).map(Retention::from).collect();
        let rules: Vec<_> =
            self.policies.iter().filter(|ask| !ask.policy.suspend).filter_map(|ask| ask.policy.purge).collect();
        let longest = |of: fn(&PurgeRule) -> Option<u32>| rules.iter().filter_map(of).max();
        let limits = self.policies.iter().map(|ask| ask.policy.thresholds.backup_max_age_seconds);
        let purge = limits.min().filter(|_| !rules.is_empty()).map(|backup_max_age_seconds| Purge {
            deleted_after_seconds: longest(|rule| rule.deleted_after_seconds),
            access_log_after_seconds: longest(|rule| rule.access_log_after_seconds),
            history_after_seconds: longest(|rule| rule.history_after_seconds),
            backup_max_age_seconds,
        });
        Pruning { retention, purge }
    }
}

/// A policy, and what its status echoes.
#[derive(Clone, Copy, Debug)]
pub struct PolicyAsk<'a> {
    /// The policy.
    pub policy: &'a ValidPolicy,
    /// Its `status.lastRunNowToken`: banks selected after the echo do not run that request.
    pub echoed: Option<&'a str>,
}

/// A check, and its status.
#[derive(Clone, Copy, Debug)]
pub struct CheckAsk<'a> {
    /// The check.
    pub check: &'a ValidCheck,
    /// Its status, as last written.
    pub status: Option<&'a IntegrityCheckStatus>,
}

/// An audit, and its status.
#[derive(Clone, Copy, Debug)]
pub struct AuditAsk<'a> {
    /// The audit.
    pub audit: &'a ValidAudit,
    /// Its status, as last written.
    pub status: Option<&'a SecurityAuditStatus>,
}

/// A recovery, and its status.
#[derive(Clone, Copy, Debug)]
pub struct RecoveryAsk<'a> {
    /// The recovery.
    pub recovery: &'a ValidRecovery,
    /// Its status, as last written.
    pub status: Option<&'a RecoveryStatus>,
    /// Whether workloads can be scaled from here: in a cluster alone.
    pub scales: bool,
    /// When a policy made it; none where a person did.
    pub made: Option<Timestamp>,
}

/// What is known of one bank.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Its status, as last written.
    pub status: Option<MemoryBankStatus>,
    /// Every run of it that exists.
    pub runs: Vec<RunView>,
    /// What the store knows of it.
    pub facts: BankFacts,
    /// For people: what its spec refers to and is not there, a claim for example.
    pub missing: Option<String>,
}

/// One run, as far as planning looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunView {
    /// Its name.
    pub name: String,
    /// Who asked for it.
    pub owner: RunOwner,
    /// How far it is.
    pub phase: Phase,
    /// The slot that it is for; of a request to run now the minute of its planning.
    pub slot: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Why it is held, or ended as it did, as its status has it.
    pub reason: String,
    /// The same for people.
    pub message: String,
    /// Whether it must have its bank alone ([`super::exclusive`]).
    pub exclusive: bool,
    /// The parts that must answer over the network for it ([`super::needs_network`]).
    pub needs: Vec<NetworkPart>,
    /// Deletes it so many seconds after it ended. A front end that reads runs made by hand from files leaves it
    /// out: deleting would run them again.
    pub ttl_seconds_after_finished: Option<u32>,
}

/// Who asked for a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RunOwner {
    /// A schedule of a policy.
    Policy {
        /// The policy's name.
        policy: String,
        /// The schedule's name.
        schedule: String,
    },
    /// An `IntegrityCheck`.
    Check(String),
    /// A `SecurityAudit`.
    Audit(String),
    /// A `Recovery`.
    Recovery(String),
    /// A person.
    Hand,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Config;

    const POLICIES: &str = "
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {name: NAME}
spec:
  bankSelector: {}
  SUSPEND
  schedules: [{name: daily, cron: '0 6 * * *', tasks: [{task: Prune}]}]
  thresholds: {backupMaxAgeSeconds: AGE}
  PURGE
";

    #[test]
    fn the_longest_age_of_those_that_name_one_counts_and_a_suspended_policy_purges_nothing() {
        let policy = |name: &str, suspend: bool, age: u32, purge: &str| {
            let text = POLICIES.replace("NAME", name).replace("AGE", &age.to_string());
            let text = text.replace("SUSPEND", if suspend { "suspend: true" } else { "" });
            text.replace("PURGE", &if purge.is_empty() { String::new() } else { format!("purge: {{{purge}}}") })
        };
        let asked = |policies: &[String]| {
            let (config, problems) = Config::load(&[("policies.yaml".to_owned(), policies.join("---"))]).unwrap();
            assert!(problems.is_empty());
            let of = |policy| PolicyAsk { policy, echoed: None };
            Asks { policies: config.policies.iter().map(of).collect(), ..Asks::default() }.pruning().purge
        };
        let plain = policy("plain", false, 500, "");
        let short = policy("short", false, 1_000, "deletedAfterSeconds: 3600, historyAfterSeconds: 9000");
        let long = policy("long", false, 2_000, "deletedAfterSeconds: 7200");
        let held = policy("held", true, 3_000, "accessLogAfterSeconds: 3600, deletedAfterSeconds: 90000");
        assert_eq!(asked(&[plain.clone(), held.clone()]), None);
        let expected = Purge {
            deleted_after_seconds: Some(7_200),
            access_log_after_seconds: None,
            history_after_seconds: Some(9_000),
            backup_max_age_seconds: 500,
        };
        assert_eq!(asked(&[plain, short, long, held]), Some(expected));
    }
}
