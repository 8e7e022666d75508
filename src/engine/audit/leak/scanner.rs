use std::ops::Range;

use super::literals::Literals;
use super::mask::{fingerprint, mask};
use super::named::Named;
use super::password::{PASSWORD, Passwords};
use super::personal::{self, EMAIL, Numbers};
use super::rule::Rule;
use super::runs::{NUMBER, Runs, SHORTEST_NUMBER, SHORTEST_WORD, WORD};
use super::shape::{self, HASH, PRIVATE_KEY, Shapes};
use super::tokens::Tokens;
use super::{address, password};

/// A place where a rule found what it looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The rule.
    pub rule: &'static Rule,
    /// The value, in bytes of the text.
    pub span: Range<usize>,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Rule {}

impl Hit {
    /// What may be shown of the value: see [`mask`].
    pub fn excerpt(&self, text: &[u8]) -> String {
        mask(self.rule.kind, text.get(self.span.clone()).unwrap_or_default())
    }
}

/// Finds leaks in text; made once, used by many threads.
pub struct Scanner {
    key: [u8; 32],
    tokens: Tokens,
    named: Named,
    passwords: Passwords,
    shapes: Shapes,
    numbers: Numbers,
    literals: Literals,
}

/// Literals that begin a look: first those of addresses and keys, then those of passwords.
static LITERALS: [&[u8]; 2 + password::TRIGGERS.len()] = {
    let mut all: [&[u8]; 2 + password::TRIGGERS.len()] = [b"://"; 2 + password::TRIGGERS.len()];
    all[1] = b"PRIVATE KEY";
    let mut at = 0;
    while at < password::TRIGGERS.len() {
        all[2 + at] = password::TRIGGERS[at];
        at += 1;
    }
    all
};

/// The text is gone through in pieces of this size, so that each pass finds it in the processor's cache.
const PIECE: usize = 32 * 1024;

impl Scanner {
    /// A scanner whose fingerprints are under `fingerprint_key`, the bank's own.
    pub fn new(fingerprint_key: &[u8; 32]) -> Self {
        Self {
            key: *fingerprint_key,
            tokens: Tokens::new(),
            named: Named::new(),
            passwords: Passwords::new(),
            shapes: Shapes::new(),
            numbers: Numbers::new(),
            literals: Literals::new(&LITERALS),
        }
    }

    /// The most bytes before or after a place that decide what is found there. A text that is read in pieces
    /// must give each at least so much of its neighbours.
    pub const REACH: usize = 8 * 1024;

    /// Finds every leak in `text`, in the order of their places, no two overlapping.
    ///
    /// Returns the work that the rules did beyond the triggers, in bytes: it is bounded by a multiple of the
    /// text's length.
    pub fn scan(&self, text: &[u8], mut emit: impl FnMut(Hit)) -> u64 {
        let mut words = Runs::new(&WORD, SHORTEST_WORD);
        let mut numbers = Runs::new(&NUMBER, SHORTEST_NUMBER);
        let mut literal = 0;
        let mut found: Vec<Hit> = Vec::new();
        let mut last: Option<Hit> = None;
        let mut work = 0;
        let mut start = 0;
        while start < text.len() {
            let end = text.len().min(start + PIECE);
            while let Some(run) = words.next(text, end) {
                work += self.word(text, run, &mut found);
            }
            while let Some(run) = numbers.next(text, end) {
                work += run.len();
                self.numbers.look(text, run, &mut |rule, span| found.push(Hit { rule, span }));
            }
            for at in memchr::memchr_iter(b'@', &text[start..end]) {
                if let Some(span) = personal::email(text, start + at) {
                    found.push(Hit { rule: &EMAIL, span });
                }
            }
            literal = literal.max(start);
            while let Some((at, index)) = self.literals.find(text, literal, end) {
                let (next, looked) = self.literal(text, at, index, &mut found);
                literal = next;
                work += looked;
            }
            literal = literal.max(end);
            settle(&mut found, &mut last, &mut emit);
            start = end;
        }
        if let Some(hit) = last {
            emit(hit);
        }
        work as u64
    }

    fn word(&self, text: &[u8], run: Range<usize>, found: &mut Vec<Hit>) -> usize {
        // Without a digit or a capital it is words: `state-of-the-art`.
        if !text[run.clone()].iter().any(|b| b.is_ascii_digit() || b.is_ascii_uppercase()) {
            return run.len();
        }
        let work = self.tokens.look(text, &run, &mut |rule, span| found.push(Hit { rule, span }));
        if run.start > 0
            && text[run.start - 1] == b'$'
            && let Some(span) = self.shapes.hash(text, &run)
        {
            found.push(Hit { rule: &HASH, span });
        }
        let length = run.len();
        if let Some((rule, span)) = self.named.look(text, run) {
            found.push(Hit { rule, span });
        }
        work + length
    }

    /// Looks at a literal; returns where the next is sought, and the work done.
    fn literal(&self, text: &[u8], at: usize, index: usize, found: &mut Vec<Hit>) -> (usize, usize) {
        let (rule, span, next, work) = match index {
            0 => (&address::ADDRESS, address::find(text, at), at + 1, address::REACH),
            1 => {
                let key = shape::private_key(text, at);
                let end = key.as_ref().map_or(at + 1, |span| span.end.max(at + 1));
                (&PRIVATE_KEY, key, end, end - at + PRIVATE_KEY.lead)
            }
            _ => {
                let (span, next) = self.passwords.look(text, at);
                (&PASSWORD, span, next, password::REACH)
            }
        };
        if let Some(span) = span {
            found.push(Hit { rule, span });
        }
        (next, work)
    }

    /// The fingerprint of a value in a place: HMAC-SHA-256 under the bank's key, as hex.
    pub fn fingerprint(&self, rule: &Rule, component: &str, place: &str, value: &[u8]) -> String {
        fingerprint(&self.key, &[rule.id.as_bytes(), component.as_bytes(), place.as_bytes(), value])
    }
}

/// Tells the hits of a piece in order; of two that overlap the more certain one, or else the longer.
fn settle(found: &mut Vec<Hit>, last: &mut Option<Hit>, emit: &mut impl FnMut(Hit)) {
    found.sort_by_key(|hit| (hit.span.start, std::cmp::Reverse(hit.span.end)));
    for hit in found.drain(..) {
        match last {
            Some(before) if hit.span.start < before.span.end && before.span.start < hit.span.end => {
                if hit.rule.kind > before.rule.kind {
                    *before = hit;
                }
            }
            _ => {
                if let Some(before) = last.replace(hit) {
                    emit(before);
                }
            }
        }
    }
}
