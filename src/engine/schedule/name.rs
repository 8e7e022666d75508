use jiff::Timestamp;

use crate::domain::Digest;

/// The part of a run's name that people read is cut to this.
const MAX_READABLE: usize = 36;

/// The name of the run of one slot: the same whoever computes it, and at most 52 characters, because the
/// names of Jobs feed a label of 63.
///
/// `BANK-SCHEDULE` cut to 36 characters, six hex digits of the SHA-256 over policy, bank and schedule
/// (joined names alone are ambiguous), and the slot in minutes since 1970.
pub fn run_name(policy: &str, bank: &str, schedule: &str, slot: Timestamp) -> String {
    let readable: String = format!("{bank}-{schedule}").chars().take(MAX_READABLE).collect();
    let hash = Digest::of_fields(&[policy, bank, schedule]).to_string();
    let minutes = slot.as_second().div_euclid(60);
    format!("{}-{}-{minutes}", readable.trim_end_matches('-'), &hash[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_a_label_and_its_own() {
        let slot: Timestamp = "2026-11-22T05:00:00Z".parse().unwrap();
        let long = run_name("standard", &"a".repeat(63), &"b".repeat(63), slot);
        assert!(long.len() <= 52, "{long}");
        assert!(run_name("standard", "assistant", "daily", slot).starts_with("assistant-daily-"));
        assert!(run_name("standard", "assistant", "daily", slot).ends_with("-29922060"));
        assert_ne!(run_name("a", "x-y", "z", slot), run_name("a", "x", "y-z", slot));
        assert_ne!(run_name("a", "x", "z", slot), run_name("b", "x", "z", slot));
    }
}
