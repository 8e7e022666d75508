//! A long random value that a name beside it calls a secret: `QDRANT_API_KEY=...`, "the key for staging is ...".

use std::ops::Range;

use regex::bytes::Regex;

use super::rule::{Kind, ROTATE, Rule};
use super::value::{contains_ignore_case, hexadecimal, random, reference, stand_in};
use crate::domain::Severity::{High, Medium};

/// The names of secrets; a bare `key` only as a part of a longer name or after the name of a service.
const NOUN: &str = r"(?:api[_. -]?key|[a-z0-9][_.-]key|(?:access|secret|private|auth|license|app|client|master|admin|signing|encryption|integration|application|account|consumer|service|maps?|routing|tracking|subscription|shared|storage|ingest|webhook|deploy|write|read|rest|server|project|session|cookie|instrumentation)[_. -]?key|[a-z]key|key|auth[_-]?token|tokens?|_session|secret|passw(?:or)?d|passwd|pass|pw|pwd|passphrase|credentials?|bearer|authorization|access|private|auth|signature|pat|sas|sid)";

/// What every such name has.
const PART: &str = r"(?i-u)key|token|secret|pass|pw|cred|bearer|auth|access|private|signature|pat|sas|sid|_session";

/// A name, then an assignment in one of the languages of configuration and code.
static ASSIGNMENT: &str = concat!(
    r"(?i-u)(?:^|[^a-z0-9])(?P<name>[a-z0-9_.@-]{0,60}?",
    "NOUN",
    r#")(?:[_-]?(?:\d{1,3}|b64|base64|value|string|production|prod|live|dev))?(?:\\?["'`\])]){0,3}\s{0,6}(?::=|=>|==|!=|\|\||[:=>])\s{0,6}(?:value\s?=\s?)?(?:\\?["'`(\[{]){0,3}\s?(?:(?:bearer|token|basic|apikey)(?:\s|:|=| token=)\s?)?(?:\\?["'])?(?:[a-z0-9]{2,12}:)?\z"#
);

/// A name, then a few words or a blank.
static MENTION: &str = concat!(
    r"(?i-u)(?:^|[^a-z0-9])(?P<name>[a-z0-9_.@-]{0,60}?",
    "NOUN",
    r#")(?:\s(?:[a-z]{1,12}\s){0,4}(?:is|was|to|as):?\s["'`]?|["'`]?[\s-]{1,2}["'`]?|\s\d\s[=:]{1,2}\s)\z"#
);

/// A value that an assignment names a secret.
pub static ASSIGNED: Rule = Rule {
    id: "secret-assignment",
    title: "Secret in an assignment",
    severity: High,
    advice: ROTATE,
    kind: Kind::Secret,
    keywords: &[],
    pattern: r"(?i:key|token|secret|passw(?:or)?d|pwd|credentials?|auth|bearer)\W{0,3}[:=>]\W{0,4}[\w+/.~-]{16,256}",
    lead: 0,
};
/// A value that the text calls a secret.
pub static MENTIONED: Rule = Rule {
    id: "secret-mention",
    title: "Value that the text calls a secret",
    severity: Medium,
    advice: ROTATE,
    kind: Kind::Secret,
    keywords: &[],
    pattern: r"(?i:key|token|secret|access|private)\s(?:\w{1,12}\s){0,4}[\w+/.~-]{16,256}",
    lead: 0,
};

/// How far before a value its name is looked for.
const BEFORE: usize = 96;

/// Tells named secrets from ids, digests and names.
pub struct Named {
    /// A part of every name: without one the longer patterns need not be asked.
    part: Option<Regex>,
    assignment: Option<Regex>,
    mention: Option<Regex>,
}

impl Named {
    pub fn new() -> Self {
        let build = |pattern: &str| Regex::new(&pattern.replace("NOUN", NOUN)).ok();
        Self { part: build(PART), assignment: build(ASSIGNMENT), mention: build(MENTION) }
    }

    /// The secret in the run of word bytes, if the text before it names it one.
    pub fn look(&self, text: &[u8], run: Range<usize>) -> Option<(&'static Rule, Range<usize>)> {
        let span = trim(text, run);
        let value = &text[span.clone()];
        let before = &text[span.start.saturating_sub(BEFORE)..span.start];
        let line = before.iter().rposition(|&b| b == b'\n').map_or(before, |at| &before[at + 1..]);
        let after = text.get(span.end).copied().unwrap_or_default();
        if matches!(after, b'(' | b'{' | b'[')
            || line.last().is_some_and(|b| matches!(b, b'$' | b'{' | b'<' | b'@' | b'%' | b'#'))
                && !line.ends_with(b"{{")
        {
            return None;
        }
        // The cheapest question first: most long words have no such name before them.
        let named = self.part.as_ref().is_some_and(|part| part.is_match(line));
        if !named || !random(value) || stand_in(value) || reference(value) || describes_a_digest(line) {
            return None;
        }
        if let Some(name) = name(self.assignment.as_ref(), line) {
            return plausible(name, value, true).then_some((&ASSIGNED, span));
        }
        let name = name(self.mention.as_ref(), line)?;
        plausible(name, value, false).then_some((&MENTIONED, span))
    }
}

fn name<'t>(pattern: Option<&Regex>, line: &'t [u8]) -> Option<&'t [u8]> {
    Some(pattern?.captures(line)?.name("name")?.as_bytes())
}

/// Without the separators at its ends, and with the padding of base64.
fn trim(text: &[u8], run: Range<usize>) -> Range<usize> {
    let end = text[run.clone()]
        .iter()
        .rposition(|b| !matches!(b, b'.' | b'/' | b'-' | b'~'))
        .map_or(run.start, |at| run.start + at + 1);
    let padding = text[end..].iter().take(2).take_while(|&&b| b == b'=').count();
    run.start..end + padding
}

/// Words that say that the value identifies content, not a person's right.
fn describes_a_digest(line: &[u8]) -> bool {
    const WORDS: [&[u8]; 12] = [
        b"sha1",
        b"sha256",
        b"sha512",
        b"sha-",
        b"md5",
        b"digest",
        b"checksum",
        b"commit",
        b"etag",
        b"integrity",
        b"hash",
        b"fingerprint",
    ];
    let tail = &line[line.len().saturating_sub(48)..];
    WORDS.iter().any(|w| contains_ignore_case(tail, w))
}

fn plausible(name: &[u8], value: &[u8], assigned: bool) -> bool {
    let ends = |word: &[u8]| name.len() >= word.len() && name[name.len() - word.len()..].eq_ignore_ascii_case(word);
    // `key` alone names entries of maps and caches more often than secrets.
    let bare_key = name.eq_ignore_ascii_case(b"key") || name.eq_ignore_ascii_case(b"pass");
    let public = contains_ignore_case(name, b"public")
        || contains_ignore_case(name, b"cache")
        || contains_ignore_case(name, b"foreign")
        || contains_ignore_case(name, b"partition")
        || contains_ignore_case(name, b"primary");
    let weak = ends(b"access")
        || ends(b"private")
        || ends(b"auth")
        || ends(b"signature")
        || ends(b"sid")
        || ends(b"pat")
        || ends(b"credential")
        || ends(b"credentials");
    if public || ends(b"monkey") || ends(b"hotkey") || ends(b"turkey") {
        return false;
    }
    if assigned {
        return !((bare_key || weak) && hexadecimal(value));
    }
    value.len() >= 16 && !bare_key || value.len() >= 20
}
