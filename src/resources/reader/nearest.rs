/// The known name that was most likely meant, where one is near enough.
pub(super) fn nearest<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Names are short; a longer text is no slip of one.
    if found.len() > 64 {
        return None;
    }
    let found = found.to_lowercase();
    let worst = (found.len() / 3).clamp(1, 3);
    known.map(|name| (distance(&found, &name.to_lowercase()), name)).filter(|(d, _)| *d <= worst).min().map(|(_, n)| n)
}

/// The Levenshtein distance: single letters inserted, deleted or replaced.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<_> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["schedules", "suspend", "timeZone", "windows"];
        let meant = |found| nearest(found, known.into_iter());
        assert_eq!(meant("schedule"), Some("schedules"));
        assert_eq!(meant("timezone"), Some("timeZone"));
        assert_eq!(meant("supsend"), Some("suspend"));
        assert_eq!(meant("x"), None);
        assert_eq!(meant("replicas"), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
