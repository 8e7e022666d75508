use jiff::Timestamp;

use crate::domain::Digest;

/// The part of a run's name that people read is cut to this.
const MAX_READABLE: usize = 36;

/// How many hex digits tell one request to run now from another.
const TOKEN_DIGITS: usize = 7;

/// The name of the run of one slot: the same whoever computes it, and at most 52 characters, because the
/// names of Jobs feed a label of 63.
///
/// `BANK-SCHEDULE` cut to 36 characters, six hex digits of the SHA-256 of `POLICY/BANK/SCHEDULE` (joined names
/// alone are ambiguous; names have no `/`), and the slot in minutes since 1970.
pub fn run_name(policy: &str, bank: &str, schedule: &str, slot: Timestamp) -> String {
    format!("{}-{}", stem(policy, bank, schedule), slot.as_second().div_euclid(60))
}

/// The name of a run that no slot asks for but a `token`: as [`run_name`], with `r` and seven hex digits of the
/// token's SHA-256 instead of the slot, so that one token makes one run, whenever it is planned.
pub fn request_name(policy: &str, bank: &str, schedule: &str, token: &str) -> String {
    let digest = Digest::of(token.as_bytes()).to_string();
    format!("{}-r{}", stem(policy, bank, schedule), &digest[..TOKEN_DIGITS])
}

fn stem(policy: &str, bank: &str, schedule: &str) -> String {
    let readable: String = format!("{bank}-{schedule}").chars().take(MAX_READABLE).collect();
    let hash = Digest::of(format!("{policy}/{bank}/{schedule}").as_bytes()).to_string();
    format!("{readable}-{}", &hash[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_a_label_and_its_own() {
        let slot: Timestamp = "2026-11-22T05:00:00Z".parse().unwrap();
        let long = run_name("standard", &"a".repeat(63), &"b".repeat(63), slot);
        assert!(long.len() <= 52, "{long}");
        assert_eq!(run_name("standard", "assistant", "daily", slot), "assistant-daily-56b646-29922060");
        assert!(request_name("standard", &"a".repeat(63), "b", "token").len() <= 52);
        assert_ne!(request_name("p", "b", "s", "1"), request_name("p", "b", "s", "2"));
        assert_ne!(run_name("a", "x-y", "z", slot), run_name("a", "x", "y-z", slot));
        assert_ne!(run_name("a", "x", "z", slot), run_name("b", "x", "z", slot));
    }
}
