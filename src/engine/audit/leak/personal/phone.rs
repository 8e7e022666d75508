use regex::bytes::Regex;

use super::super::value::contains_ignore_case;

/// Forms that nothing else has, and numbers after a word for telephones.
pub const PATTERN: &str = concat!(
    r"\+[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,5}(?:[ .-]?\d{2,5}){1,5}",
    r"|001-\d{3}-\d{3}-\d{4}|\([2-9]\d\d\) ?[2-9]\d\d-\d{4}|[2-9]\d\d[.-][2-9]\d\d[.-]\d{4}",
    r"|0[1-9]\d{1,2}[ -]\d{3}[ -]\d{2}[ -]\d{2}|0[1-9]\d{2}[ -]\d{3}[ -]\d{4}|0 \(\d{3}\) \d{3} ?\d{2} ?\d{2}",
    r"|(?i:phone|mobile|tel[.: ]|call|cell|fax|desk|whatsapp|sms)\D{1,20}[\d(][\d ().-]{6,20}",
);
/// The part of it that is certain without a word beside it.
const CERTAIN: &str = concat!(
    r"(?-u)\A(?:\+[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,5}(?:[ .-]?\d{2,5}){1,5}",
    r"|001-\d{3}-\d{3}-\d{4}|\([2-9]\d\d\) ?[2-9]\d\d-\d{4}|[2-9]\d\d[.-][2-9]\d\d[.-]\d{4}",
    r"|0[1-9]\d{1,2}[ -]\d{3}[ -]\d{2}[ -]\d{2}|0[1-9]\d{2}[ -]\d{3}[ -]\d{4}|0 \(\d{3}\) \d{3} ?\d{2} ?\d{2})\z",
);

/// Words before a number that make it a telephone's.
const BEFORE: [&[u8]; 14] = [
    b"phone",
    b"mobile",
    b"tel:",
    b"tel.",
    b"tel ",
    b"telefon",
    b"call ",
    b"cell",
    b"fax",
    b"desk",
    b"whatsapp",
    b"sms",
    b"dial",
    b"hotline",
];
/// Words after it.
const AFTER: [&[u8]; 6] = [b"office", b"fax", b"mobile", b"home", b"cell", b"work"];

/// Tells telephone numbers from other numbers.
pub struct Phone {
    /// Forms that nothing else has.
    certain: Option<Regex>,
}

impl Phone {
    pub fn new() -> Self {
        Self { certain: Regex::new(CERTAIN).ok() }
    }

    /// Whether `number`, cut to its digits and signs, is a telephone's; `before` and `after` are what stands beside it.
    pub fn is(&self, number: &[u8], before: &[u8], after: &[u8]) -> bool {
        let digits = number.iter().filter(|b| b.is_ascii_digit()).count();
        if !(7..=15).contains(&digits) {
            return false;
        }
        // North American numbers have ten digits after the country's 1.
        let american = number.starts_with(b"+1") && digits != 11 && !number.starts_with(b"+1 (0)");
        if digits >= 8 && !american && self.certain.as_ref().is_some_and(|form| form.is_match(number)) {
            return true;
        }
        grouped(number) && beside(before, after)
    }
}

/// Whether the groups are those of a telephone: two to eight digits each, one separator between.
fn grouped(number: &[u8]) -> bool {
    let mut groups = number.split(|b| !b.is_ascii_digit()).filter(|g| !g.is_empty());
    let apart =
        number.windows(2).all(|w| w[0].is_ascii_digit() || w[1].is_ascii_digit() || matches!(w, b") " | b" (" | b")-"));
    apart && groups.all(|g| g.len() <= 11) && !number.starts_with(b"0.")
}

/// Whether a word of telephones stands near.
pub fn beside(before: &[u8], after: &[u8]) -> bool {
    BEFORE.iter().any(|w| contains_ignore_case(before, w)) || AFTER.iter().any(|w| contains_ignore_case(after, w))
}
