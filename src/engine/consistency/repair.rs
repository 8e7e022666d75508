//! What would mend what was found: what it takes, and what it risks. Nothing is carried out here.

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::tally::{Tally, Totals};

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Remove the points of deleted memories.
    PurgeDeleted,
    /// Embed texts of SQL again, and add their points.
    ReEmbed,
    /// Embed the texts of SQL again, and put both beside the vector in place of the other text.
    SyncText,
    /// Write the hash of the text beside it.
    WriteHash,
    /// Remove points that have no row.
    DeleteOrphans,
    /// Restore points from a verified backup, or embed their texts again.
    RestorePoints,
    /// Restore rows from a verified backup.
    RestoreRows,
    /// A person says whose memory it is.
    DecideOwner,
}

/// One step of a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repair {
    /// What it does.
    pub action: Action,
    /// The invariant that it restores; none for damage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invariant: Option<String>,
    /// How many memories or points it concerns.
    pub count: u64,
    /// Calls to an embedding model; one text each.
    pub embeddings: u64,
    /// Bytes of text to embed; 0 without embedding.
    pub bytes: u64,
    /// Whether nothing is lost by it that is nowhere else.
    pub lossless: bool,
    /// What can go wrong, for people.
    pub risk: String,
}

/// The steps that would mend what a check found, in the order in which they are to be done: what exposes data first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairPlan {
    /// The steps.
    pub steps: Vec<Repair>,
}

/// The faults in the order of their repair.
const ORDER: [(Fault, Action); 9] = [
    (Fault::Owner, Action::DecideOwner),
    (Fault::Recallable, Action::PurgeDeleted),
    (Fault::RowChanged, Action::RestoreRows),
    (Fault::PointChanged, Action::RestorePoints),
    (Fault::Missing, Action::ReEmbed),
    (Fault::Text, Action::SyncText),
    (Fault::HashDiffers, Action::WriteHash),
    (Fault::HashAbsent, Action::WriteHash),
    (Fault::Orphan, Action::DeleteOrphans),
];

impl RepairPlan {
    /// What would mend these faults.
    pub fn new(tally: &Tally, totals: Totals) -> Self {
        let seen = ORDER.into_iter().filter(|(fault, _)| tally.count(*fault) > 0);
        Self { steps: seen.map(|(fault, action)| step(fault, action, tally, totals)).collect() }
    }
}

/// What to do about a fault, for people.
pub(super) fn advice(fault: Fault, tally: &Tally, totals: Totals) -> String {
    let own = ORDER.iter().find(|(other, _)| *other == fault);
    own.map(|(_, action)| step(fault, *action, tally, totals).told()).unwrap_or_default()
}

impl Repair {
    fn told(&self) -> String {
        let cost = match self.embeddings {
            0 => String::new(),
            calls => format!(" ({calls} texts to embed, {} bytes)", self.bytes),
        };
        let does = match self.action {
            Action::PurgeDeleted => "Remove these points from the vector store",
            Action::ReEmbed => "Embed these memories again from SQL: save each of them again through the API",
            Action::SyncText => "Save these memories again, so that the vector store has the text of SQL",
            Action::WriteHash => "Write the MD5 of the text as hash beside it",
            Action::DeleteOrphans => "Remove these points, or import them as memories",
            Action::RestorePoints => "Restore these points from a verified backup, or embed their texts again",
            Action::RestoreRows => "Restore these rows from a verified backup",
            Action::DecideOwner => "Decide whose memories these are, and correct the wrong side",
        };
        format!("{does}{cost}. {}", self.risk)
    }
}

fn step(fault: Fault, action: Action, tally: &Tally, totals: Totals) -> Repair {
    let count = tally.count(fault);
    let embeds = matches!(action, Action::ReEmbed | Action::SyncText | Action::RestorePoints);
    let (lossless, risk) = match action {
        Action::PurgeDeleted => {
            (false, "The vector is lost for good, as deleting the memory meant it to be.".to_owned())
        }
        Action::ReEmbed => {
            (true, "Nothing is lost; with another embedding model than before, recall is wrong.".to_owned())
        }
        Action::SyncText => (
            false,
            "The other text is lost; it may be the newer one where mem0 changed it by itself: history.db tells."
                .to_owned(),
        ),
        Action::WriteHash if fault == Fault::HashAbsent => (true, "Nothing is lost.".to_owned()),
        Action::WriteHash => {
            (false, "Compare the text with the row first: the old hash is what shows that it was altered.".to_owned())
        }
        Action::DeleteOrphans if totals.broken > 0 => (
            false,
            format!(
                "Not yet: {} rows have an id that is none (I14), and their true ids are among these.",
                totals.broken
            ),
        ),
        Action::DeleteOrphans => (
            false,
            "Their text is nowhere else; programs that use mem0 directly leave such points on purpose.".to_owned(),
        ),
        Action::RestorePoints => (true, "Nothing is lost that was not lost already.".to_owned()),
        Action::RestoreRows => (false, "If somebody edited the rows by hand, the edit is lost.".to_owned()),
        Action::DecideOwner => (false, "The wrong choice shows one user the memories of another.".to_owned()),
    };
    Repair {
        action,
        invariant: fault.invariant().map(str::to_owned),
        count,
        embeddings: if embeds { count } else { 0 },
        bytes: if embeds { tally.bytes(fault) } else { 0 },
        lossless,
        risk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PointId;
    use crate::engine::consistency::Faults;

    fn tally(faults: &[Fault]) -> Tally {
        let mut tally = Tally::default();
        tally.see(PointId::Uuid(1), faults.iter().copied().collect::<Faults>(), 9);
        tally
    }

    #[test]
    fn every_fault_has_its_step_and_its_advice() {
        let plan = RepairPlan::new(&tally(&Fault::ALL), Totals::default());
        assert_eq!(plan.steps.len(), Fault::ALL.len());
        for event in tally(&Fault::ALL).events(Totals::default()) {
            assert!(event.advice.len() > 20, "{event:?}");
        }
        let told = tally(&[Fault::Missing]).events(Totals { live: 100, broken: 0 });
        assert!(told[0].advice.contains("1 texts to embed, 9 bytes"), "{}", told[0].advice);
    }

    #[test]
    fn orphans_stay_while_rows_have_no_id() {
        let plan = RepairPlan::new(&tally(&[Fault::Orphan]), Totals { live: 9, broken: 2 });
        assert!(plan.steps[0].risk.starts_with("Not yet: 2 rows"), "{plan:?}");
        assert!(!plan.steps[0].lossless);
    }

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let plan = RepairPlan::new(&tally(&Fault::ALL), Totals::default());
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<RepairPlan>(&text).unwrap(), plan);
    }
}
