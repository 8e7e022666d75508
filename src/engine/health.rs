//! How well a bank is, in one number and one line, from the promises that count.

/// How one promise stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Proven to hold.
    Kept,
    /// Proven not to hold.
    Broken,
    /// Not proven either way.
    Unknown,
}

/// A promise that counts, and how it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Its name, the type of the condition.
    pub name: &'static str,
    /// How it stands.
    pub standing: Standing,
}

/// The health of a bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// 0 to 100: the weight of the promises kept within the weight of all, rounded down, so that 100 says all.
    pub score: u8,
    /// For people: what is broken and what is unknown.
    pub summary: String,
}

/// What a promise weighs. Ours: what is lost for good (memories) weighs most, what only warns least.
fn weight(name: &str) -> u32 {
    match name {
        "Intact" => 25,
        "Consistent" | "Secure" => 20,
        "BackedUp" => 15,
        "Reachable" | "Guarded" => 10,
        _ => 5,
    }
}

/// The health that follows from the promises that count; none while all are unknown. What is unknown is not
/// kept, so it lowers the score as much as what is broken; the summary tells the two apart.
pub fn health(promises: &[Promise]) -> Option<Health> {
    let names = |standing| promises.iter().filter(move |p| p.standing == standing).map(|p| p.name).collect::<Vec<_>>();
    let (broken, unknown) = (names(Standing::Broken), names(Standing::Unknown));
    if unknown.len() == promises.len() {
        return None;
    }
    let all: u32 = promises.iter().map(|p| weight(p.name)).sum();
    let kept: u32 = promises.iter().filter(|p| p.standing == Standing::Kept).map(|p| weight(p.name)).sum();
    let total = promises.len();
    let mut parts = Vec::new();
    if !broken.is_empty() {
        parts.push(format!("{} of {total} promises broken: {}", broken.len(), broken.join(", ")));
    }
    if !unknown.is_empty() {
        parts.push(format!("{} of {total} unknown: {}", unknown.len(), unknown.join(", ")));
    }
    if parts.is_empty() {
        parts.push(format!("all {total} promises kept"));
    }
    Some(Health { score: u8::try_from(kept * 100 / all).unwrap_or(100), summary: parts.join("; ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(name: &'static str, standing: Standing) -> Promise {
        Promise { name, standing }
    }

    #[test]
    fn nothing_known_has_no_score_and_the_unknown_is_never_counted_as_kept() {
        assert_eq!(health(&[]), None);
        assert_eq!(health(&[promise("Intact", Standing::Unknown)]), None);
        let half = health(&[promise("Intact", Standing::Kept), promise("Secure", Standing::Unknown)]).unwrap();
        assert_eq!((half.score, half.summary.as_str()), (55, "1 of 2 unknown: Secure"));
    }

    #[test]
    fn a_hundred_says_that_all_are_kept() {
        let kept = ["Intact", "Consistent", "Secure", "OnSchedule"].map(|name| promise(name, Standing::Kept));
        let health_of = health(&kept).unwrap();
        assert_eq!((health_of.score, health_of.summary.as_str()), (100, "all 4 promises kept"));
        let mut one = kept.to_vec();
        one.push(promise("BackedUp", Standing::Broken));
        let broken = health(&one).unwrap();
        assert_eq!((broken.score, broken.summary.as_str()), (82, "1 of 5 promises broken: BackedUp"));
    }
}
