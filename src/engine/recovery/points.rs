//! What is done about single points that differ from their rows.

use crate::domain::{CorruptionEvent, RecoveryStep, RepairAction};
use crate::engine::consistency::Fault;
use crate::engine::integrity::vectors::VECTORS;

/// What is known of the model that would embed texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Model {
    /// The bank declares none.
    Undeclared,
    /// It makes no vectors of use, and why.
    Unusable(String),
    /// The bank has no vector that could tell whether it is the bank's model; its name.
    Unproven(String),
    /// It makes the vectors that points drawn at random have; its name.
    Proven(String),
}

/// What can be done about single points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointsKnown {
    /// What would embed texts.
    pub model: Model,
    /// How long it takes for a thousand texts; none where that was not seen.
    pub seconds_per_thousand: Option<u64>,
    /// Live memories without a point.
    pub missing: u64,
    /// Those of them which have a text and a user, and which history does not say were deleted.
    pub embeddable: u64,
    /// How long these texts are, in bytes.
    pub bytes: u64,
    /// Points with another text than their row, where the history shows that theirs is the first one: the row was edited
    /// since.
    pub originals: u64,
    /// Points with another text of which nothing shows which is the newer one.
    pub others: u64,
    /// Points whose text has no hash.
    pub unhashed: u64,
    /// Points without a row.
    pub orphans: u64,
    /// Rows whose id is none: their points look like such without a row.
    pub broken: u64,
    /// Texts of rows changed although no time did: that of a row may be the wrong one.
    pub rotten: bool,
}

impl PointsKnown {
    /// How many are embedded at most where a set gives back so many of the missing points: these may be of memories which
    /// could not be embedded.
    pub(super) fn embeddable_beside(&self, given: u64) -> u64 {
        self.embeddable.min(self.missing.saturating_sub(given))
    }
}

/// What is done to single points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repair {
    /// Embeds texts that have no point.
    Embed,
    /// Removes points that have no row.
    Orphans,
    /// Puts the text of the row in place of another one: where history shows that it is the newer one, or where nothing
    /// does.
    Text {
        /// Whether history shows it.
        originals: bool,
    },
    /// Writes hashes that are not there.
    Hash,
}

impl Repair {
    /// What an event needs.
    pub fn of(event: &CorruptionEvent) -> Option<Self> {
        let all = [Self::Embed, Self::Orphans, Self::Text { originals: true }, Self::Hash];
        let meets = |repair: &Self| {
            let fault = repair.fault();
            event.check == fault.check() && event.object == fault.object()
        };
        all.into_iter().find(meets)
    }

    /// What a step of a plan does.
    pub const fn of_step(step: &RecoveryStep) -> Option<Self> {
        match step.action {
            RepairAction::ReEmbed => Some(Self::Embed),
            RepairAction::DeleteOrphans => Some(Self::Orphans),
            RepairAction::SyncText => Some(Self::Text { originals: step.lost_memories == 0 }),
            RepairAction::WriteHash => Some(Self::Hash),
            _ => None,
        }
    }

    /// What is wrong with the points that it mends.
    pub const fn fault(self) -> Fault {
        match self {
            Self::Embed => Fault::Missing,
            Self::Orphans => Fault::Orphan,
            Self::Text { .. } => Fault::Text,
            Self::Hash => Fault::HashAbsent,
        }
    }

    /// Whether it needs the model.
    pub const fn embeds(self) -> bool {
        matches!(self, Self::Embed | Self::Text { .. })
    }

    /// The steps of a plan that do it, where a set gives back so many of the missing points; for people, why there is none.
    pub(super) fn steps(self, known: &PointsKnown, given: u64) -> Result<Vec<RecoveryStep>, String> {
        let mut model = None;
        if self.embeds() {
            model = Some(match &known.model {
                Model::Undeclared => {
                    return Err("its text cannot be embedded: declare spec.embedding, and recover again".to_owned());
                }
                Model::Unusable(why) => return Err(format!("its text cannot be embedded: {why}")),
                Model::Unproven(name) => (name, false),
                Model::Proven(name) => (name, true),
            });
        }
        let by = match model {
            Some((name, true)) => format!("embedded by {name}, which made the other vectors too"),
            Some((name, false)) => format!("embedded by {name}; no vector tells whether it is the bank's model"),
            None => String::new(),
        };
        let proven = model.is_none_or(|(_, proven)| proven);
        let step = |action, items: u64, lossless, lost, detail: String| RecoveryStep {
            action,
            target: VECTORS.to_owned(),
            items,
            lossless,
            lost_memories: lost,
            lost_rows: lost,
            estimated_seconds: known
                .seconds_per_thousand
                .filter(|_| model.is_some())
                .map(|s| s * items.div_ceil(1_000)),
            detail,
        };
        let steps = match self {
            Self::Embed => {
                let unsure = given > 0 && known.missing > known.embeddable;
                let fewer =
                    if unsure { "; fewer where the set has no point of those that cannot be embedded" } else { "" };
                let detail = format!("of texts of {} bytes in all, {by}{fewer}", known.bytes);
                vec![step(RepairAction::ReEmbed, known.embeddable_beside(given), proven, 0, detail)]
            }
            Self::Orphans if known.broken > 0 => {
                let broken = known.broken;
                return Err(format!("{broken} rows have an id that is none (I14), and their true ids are among these"));
            }
            Self::Orphans => {
                let detail = "their texts are nowhere else; programs that use mem0 directly leave such on purpose";
                vec![step(RepairAction::DeleteOrphans, known.orphans, false, known.orphans, detail.to_owned())]
            }
            Self::Text { .. } if known.rotten => {
                return Err("texts of rows are damaged too (rows-unchanged): mend these first".to_owned());
            }
            Self::Text { .. } => {
                let sparse = "what else the point has for search by words is dropped until the memory is saved again";
                let newer = format!("history shows that the row was edited since; {by}; {sparse}");
                let unknown =
                    format!("nothing shows which text is the newer one: that of the row is kept; {by}; {sparse}");
                vec![
                    step(RepairAction::SyncText, known.originals, proven, 0, newer),
                    step(RepairAction::SyncText, known.others, false, known.others, unknown),
                ]
            }
            Self::Hash => {
                let detail = "MD5 of the text, as mem0 writes it; updated_at becomes a microsecond later".to_owned();
                vec![step(RepairAction::WriteHash, known.unhashed, true, 0, detail)]
            }
        };
        let steps: Vec<_> = steps.into_iter().filter(|step| step.items > 0).collect();
        let why =
            "its row has no text or no user, another user owns the point, or mem0's history says that it was deleted";
        if steps.is_empty() { Err(why.to_owned()) } else { Ok(steps) }
    }
}
