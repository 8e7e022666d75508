use std::ops::Range;

use regex::bytes::Regex;

use super::super::rule::Rule;
use super::phone::{Phone, beside};
use super::{CARD, IBAN, PHONE, SSN as SSN_RULE, card, iban};
use crate::engine::audit::leak::value::contains_ignore_case;

pub const SSN: &str = r"\d{3}-\d{2}-\d{4}";

/// How far the words beside a number are looked for.
const BEFORE: usize = 28;
const AFTER: usize = 9;
/// A run longer than this is a table of numbers, cut so that the work stays bounded.
const PIECE: usize = 64;

/// Finds cards, accounts, social security and telephone numbers in runs of digits.
pub struct Numbers {
    cards: Option<Regex>,
    social: Option<Regex>,
    phone: Phone,
}

impl Numbers {
    pub fn new() -> Self {
        Self {
            cards: Regex::new(&format!("(?-u){}", card::PATTERN)).ok(),
            social: Regex::new(&format!("(?-u){SSN}")).ok(),
            phone: Phone::new(),
        }
    }

    /// Looks at one run of the class of numbers.
    #[inline]
    pub fn look(&self, text: &[u8], run: Range<usize>, emit: &mut dyn FnMut(&'static Rule, Range<usize>)) {
        if text[run.clone()].iter().filter(|b| b.is_ascii_digit()).count() < super::super::runs::SHORTEST_NUMBER {
            return;
        }
        self.pieces(text, run, emit);
    }

    fn pieces(&self, text: &[u8], run: Range<usize>, emit: &mut dyn FnMut(&'static Rule, Range<usize>)) {
        let mut start = run.start;
        while start < run.end {
            // Dates and two blanks in a row part numbers from each other.
            let date = date(&text[start..run.end]);
            if date > 0 {
                start += date;
                continue;
            }
            if !text[start].is_ascii_digit() && !matches!(text[start], b'+' | b'(') {
                start += 1;
                continue;
            }
            let limit = run.end.min(start + PIECE);
            let mut end = start + 1;
            while end < limit
                && !(text[end - 1..=end] == *b"  ")
                && (text[end - 1].is_ascii_digit() || date_at(text, end, limit) == 0)
            {
                end += 1;
            }
            while end > start && !text[end - 1].is_ascii_digit() {
                end -= 1;
            }
            self.piece(text, start..end, emit);
            start = end.max(start + 1);
        }
    }

    fn piece(&self, text: &[u8], piece: Range<usize>, emit: &mut dyn FnMut(&'static Rule, Range<usize>)) {
        let number = &text[piece.clone()];
        let digits = number.iter().filter(|b| b.is_ascii_digit()).count();
        if digits < 7 {
            return;
        }
        if digits >= 9 {
            if let Some(range) = iban::find(text, piece.clone()) {
                return emit(&IBAN, range);
            }
        }
        let before = &text[piece.start.saturating_sub(BEFORE)..piece.start];
        let after = &text[piece.end..text.len().min(piece.end + AFTER)];
        // A number within a word, a version, a fraction or a longer code is none of a person's.
        let glued =
            before.last().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'#' | b'$' | b'@' | b'%'))
                && !(before.len() >= 2 && before[before.len() - 2] == b'\\');
        let tail = after.first().is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'%' | b'@' | b':'));
        if glued {
            return;
        }
        if digits >= 12 && !tail && self.card(text, &piece, emit) {
            return;
        }
        if digits == 9 && !tail {
            if let Some(found) = self.social.as_ref().and_then(|s| s.find(number)).filter(|f| f.len() == number.len()) {
                if social(found.as_bytes()) {
                    emit(&SSN_RULE, piece);
                }
                return;
            }
        }
        let extension = extension(after);
        if (!tail || extension > 0) && self.is_phone(number, digits, before, after) {
            emit(&PHONE, piece.start..piece.end + extension);
        }
    }

    fn is_phone(&self, number: &[u8], digits: usize, before: &[u8], after: &[u8]) -> bool {
        let formed = matches!(number[0], b'+' | b'(') || number.len() > digits;
        // A bare number is a telephone's only where a word says so; that is the cheapest to ask first.
        (formed || beside(before, after)) && self.phone.is(number, before, after)
    }

    fn card(&self, text: &[u8], piece: &Range<usize>, emit: &mut dyn FnMut(&'static Rule, Range<usize>)) -> bool {
        let Some(cards) = &self.cards else { return false };
        let mut any = false;
        for found in cards.find_iter(&text[piece.clone()]) {
            let range = piece.start + found.start()..piece.start + found.end();
            let outside = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_digit() || matches!(b, b'.'));
            if range.start > 0
                && (outside(text.get(range.start - 1)) || text[range.start - 1] == b'-' && found.start() > 0)
            {
                continue;
            }
            if text.get(range.end).is_some_and(u8::is_ascii_digit) {
                continue;
            }
            let digits: Vec<u8> = found.as_bytes().iter().copied().filter(u8::is_ascii_digit).collect();
            let before = &text[range.start.saturating_sub(BEFORE)..range.start];
            let context = [&b"card"[..], b"visa", b"cc ", b"maestro"].iter().any(|w| contains_ignore_case(before, w));
            if card::valid(&digits, context) {
                emit(&CARD, range);
                any = true;
            }
        }
        any
    }
}

/// The area, group and serial numbers that the Social Security Administration never gave out.
fn social(number: &[u8]) -> bool {
    let part = |range: Range<usize>| &number[range];
    !matches!(part(0..3), b"000" | b"666")
        && number[0] != b'9'
        && part(4..6) != b"00"
        && part(7..11) != b"0000"
        && number != b"123-45-6789"
}

/// How many bytes at the start are a date: `2026-03-04`, `04.03.2026`, `2026/03/04`; 0 if none.
fn date(text: &[u8]) -> usize {
    let digits = |range: Range<usize>| text.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let mark = |at: usize| text.get(at).is_some_and(|b| matches!(b, b'-' | b'.' | b'/'));
    let ends = |at: usize| text.get(at).is_none_or(|b| !b.is_ascii_digit());
    let year_first = digits(0..4) && mark(4) && digits(5..7) && mark(7) && digits(8..10) && ends(10);
    let year_last = digits(0..2) && mark(2) && digits(3..5) && mark(5) && digits(6..10) && ends(10);
    let plausible = |year: &[u8]| matches!(&year[..2], b"19" | b"20");
    if year_first && plausible(&text[..4]) || year_last && plausible(&text[6..10]) { 10 } else { 0 }
}

fn date_at(text: &[u8], at: usize, limit: usize) -> usize {
    if text[at].is_ascii_digit() { date(&text[at..limit]) } else { 0 }
}

/// The length of an extension such as `x036`.
fn extension(after: &[u8]) -> usize {
    if after.first() != Some(&b'x') {
        return 0;
    }
    let digits = after[1..].iter().take_while(|b| b.is_ascii_digit()).count();
    if (2..=6).contains(&digits) { digits + 1 } else { 0 }
}
