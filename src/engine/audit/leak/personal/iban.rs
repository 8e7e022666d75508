use std::ops::Range;

pub const PATTERN: &str = r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}";

/// Lengths by country, from the SWIFT IBAN registry.
const LENGTHS: [(&[u8; 2], usize); 88] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
];

/// The bytes before a run of digits in which an IBAN that it belongs to may begin.
const BEFORE: usize = 14;

/// The IBAN whose digits are in `run`, if there is one: it may begin before the run (country, bank letters).
pub fn find(text: &[u8], run: Range<usize>) -> Option<Range<usize>> {
    let from = run.start.saturating_sub(BEFORE);
    let to = run.end.min(run.start + 40).min(text.len());
    (from..to).find_map(|start| {
        let boundary = start == 0 || !text[start - 1].is_ascii_alphanumeric() || escaped(text, start);
        boundary.then(|| at(text, start)).flatten()
    })
}

fn escaped(text: &[u8], start: usize) -> bool {
    start >= 2 && text[start - 2] == b'\\' && matches!(text[start - 1], b'n' | b't' | b'r')
}

fn at(text: &[u8], start: usize) -> Option<Range<usize>> {
    let upper = |at: usize| text.get(at).map(u8::to_ascii_uppercase);
    let country = [upper(start)?, upper(start + 1)?];
    let length = LENGTHS.iter().find(|(c, _)| **c == country)?.1;
    let mut remainder = 0_u32;
    let mut head = [0_u8; 4];
    let mut taken = 0;
    let mut end = start;
    let mut shift = |byte: u8| {
        let value = match byte {
            b'0'..=b'9' => u32::from(byte - b'0'),
            _ => u32::from(byte - b'A') + 10,
        };
        remainder = (remainder * if value > 9 { 100 } else { 10 } + value) % 97;
    };
    while taken < length {
        let byte = upper(end)?;
        // One blank or dash between groups of four.
        if matches!(byte, b' ' | b'-') && taken >= 4 && taken % 4 == 0 {
            end += 1;
            if text.get(end).is_some_and(|b| b == &b' ' || b == &b'-') {
                return None;
            }
            continue;
        }
        if !(byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
            return None;
        }
        if taken < 4 {
            head[taken] = byte;
        } else {
            shift(byte);
        }
        taken += 1;
        end += 1;
    }
    head.into_iter().for_each(&mut shift);
    let check = head[2].is_ascii_digit() && head[3].is_ascii_digit();
    let ends = text.get(end).is_none_or(|b| !b.is_ascii_alphanumeric());
    (check && ends && remainder == 1).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let digits = text.find("0440").or_else(|| text.find("4400")).unwrap_or(0);
        find(text.as_bytes(), digits..text.len()).map(|range| &text[range])
    }

    #[test]
    fn remainder_length_and_boundary_must_hold() {
        assert_eq!(found("to DE89370400440532013000."), Some("DE89370400440532013000"));
        assert_eq!(found("to DE89 3704 0044 0532 0130 00 now"), Some("DE89 3704 0044 0532 0130 00"));
        assert_eq!(found("to DE88370400440532013000"), None, "remainder");
        assert_eq!(found("to DE8937040044053201300"), None, "length");
        assert_eq!(found("to XDE89370400440532013000"), None, "boundary");
        assert_eq!(found("to DE893704004405320130001"), None, "longer");
    }
}
