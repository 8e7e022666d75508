use super::{Meta, Origin, Violation, Violations};
use crate::resources::Recovery;

/// Tells all that is wrong with a Recovery. This version acts on none, so there is no form to act on.
pub fn check_recovery(recovery: &Recovery, origin: Origin<'_>) -> Result<(), Vec<Violation>> {
    let mut wrong = Violations::default();
    let meta = Meta::parse(&recovery.metadata, &recovery.spec, origin, &mut wrong);
    wrong.into_result(meta.map(drop))
}
