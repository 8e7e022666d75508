use super::check;
use crate::domain::{CorruptionEvent, CorruptionType, Severity};
use crate::engine::integrity::sqlite::tally::Rows;

/// What can be wrong with one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Defect {
    NoVector,
    NotFinite,
    Zero,
    WrongNorm,
    WrongLength,
    NoData,
    NoUser,
    NoCreated,
    NotDate,
    WrongHash,
    NoHash,
}

/// How a defect is told.
struct Rule {
    check: &'static str,
    invariant: &'static str,
    severity: Severity,
    object: &'static str,
    what: &'static str,
    advice: &'static str,
}

const RESTORE: &str = "These vectors are lost: restore these points from the newest verified backup, or embed the memories again. \
    Where many are zero, look at what the storage lies on: Qdrant needs a local POSIX file system.";
const EMBED: &str = "Embed these memories again with the model that made the others.";
const WRITE: &str = "Write these payloads again from SQL, which has the text, the user and the time.";
const HASH: &str = "Compare these texts with SQL and with the newest verified backup: the text or its hash was changed by something that is not mem0.";
const IMPORT: &str = "An import of OpenMemory leaves the hash out; write it again, so that a change of the text shows.";

impl Defect {
    /// The check that sees it.
    pub const fn check(self) -> &'static str {
        self.rule().check
    }

    /// The event of all points with this defect.
    pub fn event(self, points: &Rows) -> CorruptionEvent {
        let rule = self.rule();
        let noun = if points.count == 1 { "point" } else { "points" };
        let more = if points.count > points.examples.len() as u64 { ", ..." } else { "" };
        let named = points.examples.join(", ");
        CorruptionEvent {
            check: rule.check.to_owned(),
            component: super::VECTORS.to_owned(),
            // A vector that is none can be told from its bytes alone; the rest contradicts itself or other data.
            corruption_type: if rule.invariant == "I9" {
                CorruptionType::FileCorruption
            } else {
                CorruptionType::DataInconsistency
            },
            invariant: Some(rule.invariant.to_owned()),
            severity: rule.severity,
            object: rule.object.to_owned(),
            count: points.count,
            evidence: format!("{}; {} {noun}: {named}{more}", rule.what, points.count),
            advice: rule.advice.to_owned(),
        }
    }

    const fn rule(self) -> Rule {
        use Severity::{Critical, Low, Medium};
        match self {
            Self::NoVector => values("vector/missing", "no vector: no search can find it", EMBED),
            Self::NotFinite => values("vector/not-finite", "a vector with a number that is none", RESTORE),
            Self::Zero => values("vector/zero", "a vector of zeros: no search can find it", RESTORE),
            Self::WrongNorm => {
                values("vector/norm", "a vector that has not length 1, as the store keeps every vector", RESTORE)
            }
            Self::WrongLength => rule(
                check::DIMENSION,
                "I8",
                Critical,
                "vector/length",
                "a vector of another length than the collection's",
                EMBED,
            ),
            Self::NoData => rule(check::PAYLOAD, "I16", Medium, "payload.data", "no text", WRITE),
            Self::NoUser => rule(check::PAYLOAD, "I16", Medium, "payload.user_id", "no user", WRITE),
            Self::NoCreated => rule(check::PAYLOAD, "I16", Medium, "payload.created_at", "no time of creation", WRITE),
            Self::NotDate => rule(
                check::PAYLOAD,
                "I16",
                Medium,
                "payload.created_at/value",
                "a time of creation that cannot be read",
                WRITE,
            ),
            Self::WrongHash => {
                rule(check::HASH, "I5", Medium, "payload.hash", "the hash is not the md5 of the text", HASH)
            }
            Self::NoHash => rule(check::HASH, "I5", Low, "payload.hash/missing", "no hash of the text", IMPORT),
        }
    }
}

const fn values(object: &'static str, what: &'static str, advice: &'static str) -> Rule {
    rule(check::VALUES, "I9", Severity::Critical, object, what, advice)
}

const fn rule(
    check: &'static str,
    invariant: &'static str,
    severity: Severity,
    object: &'static str,
    what: &'static str,
    advice: &'static str,
) -> Rule {
    Rule { check, invariant, severity, object, what, advice }
}
