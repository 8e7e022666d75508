use super::{Meta, Origin, Violation, Violations};
use crate::resources::{FindingWaiver, rules};

/// Tells all that is wrong with a FindingWaiver. This version acts on none, so there is no form to act on.
/// That its time is over is not wrong.
pub fn check_waiver(waiver: &FindingWaiver, origin: Origin<'_>) -> Result<(), Vec<Violation>> {
    let mut wrong = Violations::default();
    let meta = Meta::parse(&waiver.metadata, &waiver.spec, origin, &mut wrong);
    let which = &waiver.spec.matches;
    wrong.require(which.rule.is_some() || which.fingerprint.is_some(), "spec.match", rules::WAIVER_MATCH);
    wrong.into_result(meta.map(drop))
}
