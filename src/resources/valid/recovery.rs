use super::{Meta, Origin, Violation, Violations};
use crate::domain::Digest;
use crate::resources::{Quiesce, Recovery, RecoveryMode, RecoverySpec};

/// How digests of plans are written.
const SHA256: &str = "sha256:";

/// A validated Recovery.
#[derive(Clone, Debug)]
pub struct ValidRecovery {
    /// Name, labels and so on.
    pub meta: Meta,
    /// The bank's name.
    pub bank_name: String,
    /// How far it goes.
    pub mode: RecoveryMode,
    /// How writes are kept away.
    pub quiesce: Quiesce,
    /// Ids of the damage that it mends; empty for all that is open.
    pub events: Vec<String>,
    /// The set that it takes from; none for the newest that was verified.
    pub backup_name: Option<String>,
    /// The plan that was approved.
    pub approval: Option<Digest>,
    /// The digest of all of its spec but the approval: what cannot change without its being another recovery.
    pub identity: Digest,
}

impl ValidRecovery {
    /// Validates a recovery, or tells all that is wrong with it.
    pub fn parse(recovery: &Recovery, origin: Origin<'_>) -> Result<Self, Vec<Violation>> {
        let spec = &recovery.spec;
        let mut wrong = Violations::default();
        let meta = Meta::parse(&recovery.metadata, spec, origin, &mut wrong);
        // The schema has its form.
        let digits = spec.approval.as_ref().and_then(|approval| approval.plan_digest.strip_prefix(SHA256));
        let approval = digits.and_then(|digits| digits.parse().ok());
        let same = RecoverySpec { approval: None, ..spec.clone() };
        let identity = Digest::of(serde_json::to_string(&same).unwrap_or_default().as_bytes());
        let valid = meta.map(|meta| Self {
            meta,
            bank_name: spec.bank_name.clone(),
            mode: spec.mode,
            quiesce: spec.quiesce,
            events: spec.events.clone(),
            backup_name: spec.backup_name.clone(),
            approval,
            identity,
        });
        wrong.into_result(valid)
    }

    /// A plan's digest as documents write it.
    pub fn shown(digest: &Digest) -> String {
        format!("{SHA256}{digest}")
    }
}
