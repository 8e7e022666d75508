//! Points in time as text: the form of `SQLAlchemy`, and ISO 8601 as mem0 writes it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Before this nothing of a bank can have been written: mem0 and its forerunner are younger. In
/// microseconds since 1970: 2000-01-01.
const EARLIEST: i64 = 946_684_800_000_000;
/// A clock may be wrong, by more than a year it is damage.
const AHEAD: i64 = 366 * 86_400 * 1_000_000;

/// Reads `YYYY-MM-DD HH:MM:SS[.f{1,6}]`, or with `T` and an offset (`Z`, `+HH:MM`), as microseconds since
/// 1970 in UTC; without an offset it is UTC, as OpenMemory stores it. `None` where the text is no such
/// date, or one that no calendar has.
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (head, mut rest) = bytes.split_at_checked(19)?;
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, byte)| head[*at] != *byte) || !matches!(head[10], b' ' | b'T') {
        return None;
    }
    let two = |at: usize| i8::try_from(digits(&head[at..at + 2])?).ok();
    let year = i16::try_from(digits(&head[..4])?).ok()?;
    let mut nanoseconds = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=6).contains(&length) {
            return None;
        }
        nanoseconds = digits(&fraction[..length])? * 10_i32.pow(9 - u32::try_from(length).ok()?);
        rest = &fraction[length..];
    }
    let civil = DateTime::new(year, two(5)?, two(8)?, two(11)?, two(14)?, two(17)?, nanoseconds).ok()?;
    Some(offset(rest)?.to_timestamp(civil).ok()?.as_microsecond())
}

/// Whether a date is one that a bank can hold at the time `now`.
pub fn plausible(microseconds: i64, now: Timestamp) -> bool {
    (EARLIEST..=now.as_microsecond().saturating_add(AHEAD)).contains(&microseconds)
}

fn digits(bytes: &[u8]) -> Option<i32> {
    bytes.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i32::from(byte - b'0')))
}

fn offset(text: &[u8]) -> Option<Offset> {
    match text {
        b"" | b"Z" => Some(Offset::UTC),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let seconds = digits(&[*h1, *h2])? * 3600 + digits(&[*m1, *m2])? * 60;
            Offset::from_seconds(if *sign == b'-' { -seconds } else { seconds }).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_both_forms() {
        assert_eq!(parse("1970-01-01 00:00:01.5"), Some(1_500_000));
        assert_eq!(parse("2025-07-01T10:00:00-07:00"), parse("2025-07-01 17:00:00.000000"));
        assert_eq!(parse("2024-02-29 00:00:00Z"), parse("2024-02-29 00:00:00"));
    }

    #[test]
    fn refuses_what_no_calendar_has() {
        for bad in [
            "",
            "2025-07-01",
            "2025-02-29 00:00:00",
            "2025-13-01 00:00:00",
            "2025-07-01 24:00:00",
            "2025-07-01 00:61:00",
            "2025-07-01 00:00:00.",
            "2025-07-01 00:00:00.1234567",
            "2025-07-01x00:00:00",
            "2025-07-01 00:00:00 ",
            "2025-07-01 00:00:00+9:00",
            "ü025-07-01 00:00:00",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_date_of_another_age_is_told() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let plausible = |text: &str| plausible(parse(text).unwrap(), now);
        assert!(plausible("2026-01-02 00:00:00"), "a clock may be a day wrong");
        assert!(!plausible("6025-07-01 00:00:00"));
        assert!(!plausible("1025-07-01 00:00:00"));
    }

    proptest! {
        #[test]
        fn reads_every_timestamp_as_sqlalchemy_writes_it(micros in -62_000_000_000_000_000..253_000_000_000_000_000_i64) {
            let timestamp = Timestamp::from_microsecond(micros).unwrap();
            let text = timestamp.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string();
            prop_assert_eq!(parse(&text), Some(micros), "{}", text);
        }

        #[test]
        fn never_panics(text in "\\PC{0,30}") {
            let _ = parse(&text);
        }
    }
}
