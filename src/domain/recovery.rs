use serde::{Deserialize, Serialize};

use super::Digest;

/// How far a recovery may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "given", content = "planDigest")]
pub enum Consent {
    /// It shows its plan.
    #[default]
    None,
    /// It carries out the plan of this digest, and nothing that would lose more.
    Plan(Digest),
    /// It carries out what loses nothing.
    Lossless,
}

/// What one step of a recovery does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RepairAction {
    /// Makes the indexes of a database anew from its tables.
    Reindex,
    /// Puts a database back as a backup set has it.
    RestoreDatabase,
    /// Makes a database anew from the rows that can still be read.
    SalvageDatabase,
    /// Puts single files of a tree back as a backup set has them.
    RestoreFiles,
    /// Puts a collection back as a backup set has it.
    RestoreCollection,
    /// Makes vectors anew from the texts of the database.
    ReEmbed,
    /// Removes points that no row has.
    DeleteOrphans,
    /// Puts the texts of the database, and vectors of them, in place of others.
    SyncText,
    /// Writes the hash of a text beside it where there is none.
    WriteHash,
}

impl RepairAction {
    /// Every action.
    pub const ALL: [Self; 9] = [
        Self::Reindex,
        Self::RestoreDatabase,
        Self::SalvageDatabase,
        Self::RestoreFiles,
        Self::RestoreCollection,
        Self::ReEmbed,
        Self::DeleteOrphans,
        Self::SyncText,
        Self::WriteHash,
    ];

    /// The form in documents and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reindex => "Reindex",
            Self::RestoreDatabase => "RestoreDatabase",
            Self::SalvageDatabase => "SalvageDatabase",
            Self::RestoreFiles => "RestoreFiles",
            Self::RestoreCollection => "RestoreCollection",
            Self::ReEmbed => "ReEmbed",
            Self::DeleteOrphans => "DeleteOrphans",
            Self::SyncText => "SyncText",
            Self::WriteHash => "WriteHash",
        }
    }
}

/// One step of a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryStep {
    /// What is done.
    pub action: RepairAction,
    /// To what: a component such as `database` or `files/uploads`.
    pub target: String,
    /// To how many indexes, files, rows or points.
    pub items: u64,
    /// Whether nothing can be lost by it.
    pub lossless: bool,
    /// How many memories are not there afterwards that could be read before.
    pub lost_memories: u64,
    /// How many rows of any table, or points, are not there afterwards that could be read before; memories among them.
    pub lost_rows: u64,
    /// How long it may take; none where nothing tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_seconds: Option<u64>,
    /// For people: what it takes, and what is lost. Never content of a memory.
    pub detail: String,
}

/// What a recovery would do, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryPlan {
    /// The backup set that it takes from; none where it needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// At most [`RecoveryPlan::MAX_STEPS`].
    pub steps: Vec<RecoveryStep>,
    /// What is damaged and stays so, each with why.
    pub unmended: Vec<String>,
}

impl RecoveryPlan {
    /// What the output is called that holds the newest plan.
    pub const OUTPUT: &str = "recovery/plan";
    /// The most steps of a plan.
    pub const MAX_STEPS: usize = 20;

    /// What an approval names: the digest of all that the plan says, but for the time that it may take.
    pub fn digest(&self) -> Digest {
        let mut fields = vec![self.set.clone().unwrap_or_default()];
        for step in &self.steps {
            let RecoveryStep { action, target, items, lossless, lost_memories, lost_rows, detail, .. } = step;
            fields.extend([action.name().to_owned(), target.clone(), items.to_string(), lossless.to_string()]);
            fields.extend([lost_memories.to_string(), lost_rows.to_string(), detail.clone()]);
        }
        fields.push("unmended".to_owned());
        fields.extend(self.unmended.iter().cloned());
        Digest::of_fields(&fields.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// How a recovery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryState {
    /// Nothing is damaged that it was asked to mend, or nothing of it can be mended.
    Nothing,
    /// The plan is there; nothing was changed.
    Planned,
    /// The bank, or the consent, does not allow it; nothing was changed.
    Refused,
    /// Every step was carried out, and the damage is gone.
    Succeeded,
    /// A step failed, or damage was left: the bank is as it was.
    RolledBack,
    /// A step failed and the bank could not be put back: the quarantine has what it was.
    Failed,
}

impl RecoveryState {
    /// The form in documents and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "Nothing",
            Self::Planned => "Planned",
            Self::Refused => "Refused",
            Self::Succeeded => "Succeeded",
            Self::RolledBack => "RolledBack",
            Self::Failed => "Failed",
        }
    }
}

/// What a recovery did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryReport {
    /// The plan from what was found now.
    pub plan: RecoveryPlan,
    /// Its digest, by which it can be approved.
    pub plan_digest: Digest,
    /// How it ended.
    pub state: RecoveryState,
    /// What the checks before the first step said, for people.
    pub verified_before: String,
    /// What the checks after the last step said, for people; none where no step was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_after: Option<String>,
    /// The folder that keeps what was overwritten; none where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<String>,
    /// How many memories are not there any more that could be read before; none where no step was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_memories: Option<u64>,
    /// The damage that it worked on.
    #[serde(default)]
    pub mended: Vec<Mended>,
}

/// What came of one damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mended {
    /// The damage ([`super::CorruptionEvent::key`]).
    pub key: Digest,
    /// What was done.
    pub action: RepairAction,
    /// Whether it is gone.
    pub success: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_all_that_is_approved() {
        let step = RecoveryStep {
            action: RepairAction::Reindex,
            target: "database".to_owned(),
            items: 1,
            lossless: true,
            lost_memories: 0,
            lost_rows: 0,
            estimated_seconds: Some(1),
            detail: String::new(),
        };
        let plan = RecoveryPlan { set: None, steps: vec![step.clone()], unmended: Vec::new() };
        let with = |step: RecoveryStep| RecoveryPlan { steps: vec![step], ..plan.clone() }.digest();
        assert_eq!(with(RecoveryStep { estimated_seconds: None, ..step.clone() }), plan.digest());
        assert_ne!(with(RecoveryStep { lost_memories: 1, ..step.clone() }), plan.digest());
        assert_ne!(with(RecoveryStep { lossless: false, ..step.clone() }), plan.digest());
        assert_ne!(with(RecoveryStep { target: "history".to_owned(), ..step }), plan.digest());
        assert_ne!(RecoveryPlan { unmended: vec![String::new()], ..plan.clone() }.digest(), plan.digest());
    }

    #[test]
    fn consent_reads_as_people_write_it() {
        let digest = Digest::of(b"plan");
        let text = serde_json::to_string(&Consent::Plan(digest)).unwrap();
        assert_eq!(text, format!(r#"{{"given":"Plan","planDigest":"{digest}"}}"#));
        for consent in [Consent::None, Consent::Plan(digest), Consent::Lossless] {
            let text = serde_json::to_string(&consent).unwrap();
            assert_eq!(serde_json::from_str::<Consent>(&text).unwrap(), consent);
        }
    }
}
