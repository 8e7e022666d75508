pub const PATTERN: &str = r"\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{4}(?:[ -]\d{3})?|\d{4}[ -]\d{6}[ -]\d{4,5}|\d{12,19}";

/// Whether the digits are a card's: issuer, length and check digit agree. With `context` (the word "card" beside
/// it) the issuers whose ranges are wide (Maestro) count too.
pub fn valid(digits: &[u8], context: bool) -> bool {
    issuer(digits, context) && luhn(digits) && digits.windows(2).any(|w| w[0] != w[1])
}

/// Issuer ranges of ISO/IEC 7812 as the networks publish them.
fn issuer(digits: &[u8], context: bool) -> bool {
    let prefix = |n: usize| digits.iter().take(n).fold(0_u32, |value, d| value * 10 + u32::from(d - b'0'));
    let (one, two, three, four, len) = (prefix(1), prefix(2), prefix(3), prefix(4), digits.len());
    match len {
        14 => matches!(three, 300..=305) || matches!(two, 36 | 38 | 39),
        15 => matches!(two, 34 | 37) || (context && matches!(four, 2131 | 1800)),
        16 => {
            one == 4
                || matches!(two, 51..=55 | 62 | 65)
                || matches!(four, 2221..=2720 | 3528..=3589 | 6011)
                || matches!(three, 644..=649)
                || (context && matches!(two, 35 | 50 | 56..=58 | 60 | 63 | 67))
        }
        13 => one == 4,
        17..=19 => {
            one == 4 && len == 19
                || matches!(two, 62 | 65)
                || matches!(four, 3528..=3589 | 6011)
                || (context && matches!(two, 35 | 50 | 56..=58 | 60 | 63 | 67))
        }
        12 => context && matches!(two, 50 | 56..=58 | 60 | 63 | 67),
        _ => false,
    }
}

/// The check of ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(digit - b'0') << (place % 2);
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuer_length_and_check_digit_must_agree() {
        assert!(valid(b"4111111111111111", false));
        assert!(valid(b"378282246310005", false));
        assert!(!valid(b"4111111111111112", false), "check digit");
        assert!(!valid(b"1111111111111117", false), "issuer");
        assert!(!valid(b"411111111111116", false), "length");
        assert!(!valid(b"0000000000000000", false));
    }
}
