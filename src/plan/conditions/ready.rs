use super::Judged;
use crate::plan::reason::ConditionReason;
use crate::resources::{ConditionName, ConditionStatus, ValidBank};

/// The conditions that count for Ready and the score: not the waived ones, not one whose promise has no subject
/// (nothing declared that could be reached, or disagree), and Stable only where it is False. A backup that
/// nobody configured does count: what is not backed up is not safe.
pub fn counted<'a>(bank: &ValidBank, judged: &'a [(ConditionName, Judged)]) -> Vec<(ConditionName, &'a Judged)> {
    let counts = |(name, judged): &&(ConditionName, Judged)| {
        let no_subject = judged.reason == ConditionReason::NotConfigured && *name != ConditionName::BackedUp;
        let learning = *name == ConditionName::Stable && judged.status != ConditionStatus::False;
        !bank.waived_conditions.contains(name) && !no_subject && !learning
    };
    judged.iter().filter(counts).map(|(name, judged)| (*name, judged)).collect()
}

/// The summary: the worst of what counts. A broken promise is worse than an unknown one; of several the first
/// in the order of their weight.
pub fn ready(counted: &[(ConditionName, &Judged)]) -> Judged {
    const ORDER: [ConditionName; 8] = [
        ConditionName::Intact,
        ConditionName::Consistent,
        ConditionName::Secure,
        ConditionName::Reachable,
        ConditionName::BackedUp,
        ConditionName::OnSchedule,
        ConditionName::Guarded,
        ConditionName::Stable,
    ];
    for status in [ConditionStatus::False, ConditionStatus::Unknown] {
        let found = ORDER.iter().find_map(|name| counted.iter().find(|(n, j)| n == name && j.status == status));
        if let Some((name, judged)) = found {
            let message = format!("{}: {}", name.name(), judged.message);
            return Judged { status, reason: judged.reason, message };
        }
    }
    if counted.is_empty() {
        return Judged::unknown(ConditionReason::NotConfigured, "every condition is waived: nothing is promised");
    }
    Judged::good("every promise is kept")
}
