use std::ops::Range;

use regex::bytes::Regex;

use super::super::rule::Rule;
use super::phone::{Phone, beside};
use super::{CARD, IBAN, PHONE, SSN as SSN_RULE, card, iban};
use crate::engine::audit::leak::value::contains_ignore_case;

pub const SSN: &str = r"\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}";

/// No number of a person has fewer digits.
const FEWEST_DIGITS: usize = 7;
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
            social: Regex::new(&format!(r"(?-u)\A(?:{SSN})\z")).ok(),
            phone: Phone::new(),
        }
    }

    /// Looks at one run of the class of numbers.
    #[inline]
    pub fn look(&self, text: &[u8], run: Range<usize>, emit: &mut dyn FnMut(&'static Rule, Range<usize>)) {
        // Most runs of digits in prose are dates, and are to cost little.
        let mut start = run.start;
        while start < run.end && !text[start].is_ascii_digit() {
            start += 1;
        }
        start += date(&text[start..run.end]);
        let rest = &text[start..run.end];
        if rest.len() >= FEWEST_DIGITS && rest.iter().filter(|b| b.is_ascii_digit()).count() >= FEWEST_DIGITS {
            self.pieces(text, run, emit);
        }
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
                && text[end - 1..=end] != *b"  "
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
        if digits < FEWEST_DIGITS {
            return;
        }
        if digits >= 9
            && let Some(range) = iban::find(text, piece.clone())
        {
            return emit(&IBAN, range);
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
        if digits == 9 && !tail && self.social.as_ref().is_some_and(|form| form.is_match(number)) {
            if social(number) {
                emit(&SSN_RULE, piece);
            }
            return;
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
    let Some(head) = text.first_chunk::<10>() else { return 0 };
    let digit = |at: usize| head[at].is_ascii_digit();
    let mark = |at: usize| matches!(head[at], b'-' | b'.' | b'/');
    let century = |at: usize| head[at..at + 2] == *b"19" || head[at..at + 2] == *b"20";
    let year_first = mark(4) && mark(7) && century(0) && [2, 3, 5, 6, 8, 9].into_iter().all(digit);
    let year_last = mark(2) && mark(5) && century(6) && [0, 1, 3, 4, 8, 9].into_iter().all(digit);
    let ends = text.get(10).is_none_or(|b| !b.is_ascii_digit());
    if (year_first || year_last) && ends { 10 } else { 0 }
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
