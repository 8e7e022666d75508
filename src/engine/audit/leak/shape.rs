//! Secrets whose structure can be proven: JSON Web Tokens, private keys, password hashes.

use std::ops::Range;

use regex::bytes::Regex;

use super::rule::{Kind, ROTATE, Rule};
use crate::domain::Severity::{Critical, Medium};

/// A private key in PEM form.
pub static PRIVATE_KEY: Rule = Rule {
    id: "private-key",
    title: "Private key",
    severity: Critical,
    advice: ROTATE,
    kind: Kind::Secret,
    keywords: &["PRIVATE KEY"],
    pattern: r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----[\w+/=\s\x5c:,.-]{64,4000}",
    lead: 48,
};
/// A password hash: it can be searched offline.
pub static HASH: Rule = Rule {
    id: "password-hash",
    title: "Password hash",
    severity: Medium,
    advice: "Remove it, and change the password if it is short or old: whoever reads a hash can search for its password offline.",
    kind: Kind::Secret,
    keywords: &["$"],
    pattern: r"\$(?:2[abxy]\$\d\d\$[A-Za-z0-9./]{53}|[156]\$(?:rounds=\d{1,9}\$)?[A-Za-z0-9./]{2,16}\$[A-Za-z0-9./]{22,86}|8\$[A-Za-z0-9./]{14}\$[A-Za-z0-9./]{43}|argon2(?:id|i|d)\$[\w=,$]{10,60}\$[A-Za-z0-9+/]{16,90}|krb5(?:asrep|tgs)\$\S{40,400})",
    lead: 200,
};

/// Finds them.
pub struct Shapes {
    hash: Option<Regex>,
}

/// How much of a key is looked at, and how much base64 it has at least: a mention of one has none.
const KEY: usize = 4096;
const BODY: usize = 64;

impl Shapes {
    pub fn new() -> Self {
        Self { hash: Regex::new(&format!("(?-u){}", HASH.pattern)).ok() }
    }

    /// The hash that ends with the run, which a `$` precedes.
    pub fn hash(&self, text: &[u8], run: &Range<usize>) -> Option<Range<usize>> {
        let from = run.start.saturating_sub(80);
        let window = &text[from..text.len().min(run.end + 300)];
        let found = self.hash.as_ref()?.find(window)?;
        let range = from + found.start()..from + found.end();
        (range.start < run.end && range.end > run.start).then_some(range)
    }
}

/// The private key whose words stand at `at`.
pub fn private_key(text: &[u8], at: usize) -> Option<Range<usize>> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let before = &text[at.saturating_sub(PRIVATE_KEY.lead)..at];
    let begin = before.windows(BEGIN.len()).rposition(|w| w == BEGIN)?;
    let kind = &before[begin + BEGIN.len()..];
    let rest = &text[at + b"PRIVATE KEY".len()..];
    let rest = rest.strip_prefix(b" BLOCK").unwrap_or(rest).strip_prefix(b"-----")?;
    let inside = |b: &u8| {
        b.is_ascii_alphanumeric()
            || b.is_ascii_whitespace()
            || matches!(b, b'+' | b'/' | b'=' | b'\\' | b':' | b',' | b'.')
    };
    let body = rest.iter().take(KEY).take_while(|b| inside(b)).count();
    let coded = rest[..body].iter().filter(|b| b.is_ascii_alphanumeric()).count();
    let titled = kind.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' ');
    let start = at - before.len() + begin;
    (titled && coded >= BODY).then(|| start..text.len() - rest.len() + body)
}

/// Whether the first part of a token is the JSON header that RFC 7515 demands.
pub fn token_header(token: &[u8]) -> bool {
    let Some(head) = token.split(|&b| b == b'.').next() else { return false };
    let Some(json) = decode(head) else { return false };
    serde_json::from_slice::<serde_json::Value>(&json)
        .is_ok_and(|v| v.get("alg").or_else(|| v.get("typ")).is_some_and(serde_json::Value::is_string))
}

/// Base64 of RFC 4648, section 5, without padding.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let mut bits = 0_u32;
    let mut held = 0;
    for &byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).ok()?);
        }
    }
    Some(bytes)
}
