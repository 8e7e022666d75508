//! The health of a bank in one number.

/// A promise with its weight and whether it holds, where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise<'a> {
    /// Its name.
    pub name: &'a str,
    /// How much it counts beside the others; see [`weight`].
    pub weight: u32,
    /// Whether it holds; none where that is not known.
    pub holds: Option<bool>,
}

/// How much each promise counts. Data that is lost or wrong weighs most, because nothing else brings it
/// back; lateness weighs least, because the next run mends it.
pub fn weight(condition: &str) -> u32 {
    match condition {
        "Intact" => 30,
        "Consistent" | "Secure" => 20,
        "BackedUp" => 15,
        "Reachable" => 10,
        _ => 5,
    }
}

/// The score, 0 to 100: the weight of the promises that hold as a share of those that are known. None while
/// nothing is known: an unknown promise is neither good nor bad, and the summary counts it.
pub fn score(promises: &[Promise<'_>]) -> (Option<u8>, String) {
    let sum = |wanted: &dyn Fn(Option<bool>) -> bool| -> u32 {
        promises.iter().filter(|promise| wanted(promise.holds)).map(|promise| promise.weight).sum()
    };
    let known = sum(&|holds| holds.is_some());
    let holding = sum(&|holds| holds == Some(true));
    let score = (holding * 100).checked_div(known).and_then(|score| u8::try_from(score).ok());
    let named = |wanted: Option<bool>| -> Vec<&str> {
        promises.iter().filter(|promise| promise.holds == wanted).map(|promise| promise.name).collect()
    };
    let (broken, unknown) = (named(Some(false)), named(None));
    let all = promises.len();
    let mut summary = if broken.is_empty() {
        format!("{} of {all} promises hold", named(Some(true)).len())
    } else {
        format!("{} of {all} promises broken: {}", broken.len(), broken.join(", "))
    };
    if !unknown.is_empty() {
        summary.push_str(&format!("; unknown: {}", unknown.join(", ")));
    }
    (score, summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(name: &str, holds: Option<bool>) -> Promise<'_> {
        Promise { name, weight: weight(name), holds }
    }

    #[test]
    fn what_is_unknown_is_neither_good_nor_bad_and_is_told() {
        let (score, summary) = score(&[promise("Intact", None), promise("Secure", None)]);
        assert_eq!((score, summary.as_str()), (None, "0 of 2 promises hold; unknown: Intact, Secure"));
    }

    #[test]
    fn a_broken_promise_costs_its_weight() {
        let all = [promise("Intact", Some(true)), promise("Secure", Some(false)), promise("BackedUp", None)];
        assert_eq!(score(&all), (Some(60), "1 of 3 promises broken: Secure; unknown: BackedUp".to_owned()));
        assert_eq!(score(&[promise("Intact", Some(true))]).0, Some(100));
    }
}
