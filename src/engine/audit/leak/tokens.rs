use std::ops::Range;

use memchr::memmem;
use regex::bytes::Regex;

use super::rule::Rule;
use super::value::stand_in;
use super::{shape, vendors};

/// A rule with its pattern compiled.
struct Compiled {
    rule: &'static Rule,
    pattern: Regex,
}

/// Finds the credentials of known issuers in long words.
pub struct Tokens {
    rules: Vec<Compiled>,
    /// By the first byte of a keyword: the keywords and the rules that they belong to.
    prefixes: Vec<Vec<(&'static [u8], usize)>>,
    /// Keywords that stand within a token.
    inner: Vec<(memmem::Finder<'static>, usize)>,
}

/// How far after a keyword a token may reach, in bytes.
const WINDOW: usize = 2048;
/// The same of a keyword within a token.
const INNER: usize = 400;

impl Tokens {
    pub fn new() -> Self {
        let mut tokens = Self { rules: Vec::new(), prefixes: vec![Vec::new(); 256], inner: Vec::new() };
        for rule in vendors::rules() {
            // A pattern that does not compile is left out; a test proves that there is none.
            let anchor = if rule.lead == 0 { r"\A" } else { "" };
            let Ok(pattern) = Regex::new(&format!("(?-u){anchor}(?:{})", rule.pattern)) else { continue };
            let index = tokens.rules.len();
            tokens.rules.push(Compiled { rule, pattern });
            for keyword in rule.keywords {
                let bytes = keyword.as_bytes();
                match rule.lead {
                    0 => tokens.prefixes[usize::from(bytes[0])].push((bytes, index)),
                    _ => tokens.inner.push((memmem::Finder::new(bytes), index)),
                }
            }
        }
        tokens
    }

    /// Looks at one run of word bytes; returns how many bytes the patterns were given.
    pub fn look(&self, text: &[u8], run: &Range<usize>, emit: &mut dyn FnMut(&'static Rule, Range<usize>)) -> usize {
        let mut work = 0;
        let mut at = run.start;
        while at < run.end {
            if boundary(text, at) {
                for (keyword, index) in &self.prefixes[usize::from(text[at])] {
                    if text[at..].starts_with(keyword) {
                        work += self.attempt(text, *index, at, at, emit);
                    }
                }
            }
            at += 1;
        }
        for (finder, index) in &self.inner {
            for found in finder.find_iter(&text[run.clone()]) {
                let at = run.start + found;
                work += self.attempt(text, *index, at.saturating_sub(self.rules[*index].rule.lead), at, emit);
            }
        }
        work
    }

    fn attempt(
        &self,
        text: &[u8],
        index: usize,
        from: usize,
        at: usize,
        emit: &mut dyn FnMut(&'static Rule, Range<usize>),
    ) -> usize {
        let Compiled { rule, pattern } = &self.rules[index];
        let reach = if rule.lead == 0 { WINDOW } else { INNER };
        let window = &text[from..text.len().min(at + reach)];
        let Some(found) = pattern.find(window) else { return window.len() };
        let span = from + found.start()..from + found.end();
        // A longer token is cut by the window; a name such as `ico-....png` is a file's.
        let ends = found.end() == window.len()
            || match text.get(span.end) {
                Some(b'.') => {
                    !text[span.end + 1..].iter().take(3).all(u8::is_ascii_lowercase) || text.len() < span.end + 4
                }
                Some(byte) => !byte.is_ascii_alphanumeric(),
                None => true,
            };
        if ends && span.start <= at && span.end > at && boundary(text, span.start) && genuine(rule, found.as_bytes()) {
            emit(rule, span);
        }
        found.len()
    }
}

/// Whether a token may begin here: not within a word, though after `\n` written out.
fn boundary(text: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|b| text[b]) else { return true };
    !before.is_ascii_alphanumeric() || (matches!(before, b'n' | b't' | b'r') && at >= 2 && text[at - 2] == b'\\')
}

/// Whether a token is more than its form: made up for documentation it is not told.
fn genuine(rule: &Rule, token: &[u8]) -> bool {
    if rule.id == "jwt" {
        return shape::token_header(token);
    }
    let prefix =
        rule.keywords.iter().filter(|k| token.starts_with(k.as_bytes())).map(|k| k.len()).max().unwrap_or_default();
    let body = &token[prefix.min(token.len().saturating_sub(8))..];
    !stand_in(body) && super::value::entropy(body) >= 2.5
}
