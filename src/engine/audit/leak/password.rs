//! Passwords: after a word for one, in assignments, command lines and prose.

use std::ops::Range;

use regex::bytes::Regex;

use super::rule::{Kind, Rule};
use super::value::{code, password, reference, stand_in};
use crate::domain::Severity::High;

const CHANGE: &str =
    "Change the password, then remove this copy; a memory of it stays readable to every client of the bank.";

/// What follows a word for a password.
pub static PASSWORD: Rule = Rule {
    id: "password",
    title: "Password",
    severity: High,
    advice: CHANGE,
    kind: Kind::Password,
    keywords: &[],
    pattern: r"(?i:passw(?:or)?d|passphrase|pwd|pw|secret)\W{0,3}[:=>]\W{0,3}\S{6,96}|(?i:password|passphrase|pw|pwd|secret)(?: \w{1,12}){0,6} is \S{6,96}",
    lead: 0,
};

/// Short words that every supported form contains; each begins a look around it.
pub static TRIGGERS: [&[u8]; 21] = [
    b"swor",
    b"SWOR",
    b"swd",
    b"SWD",
    b"pwd",
    b"PWD",
    b"Pwd",
    b"pw:",
    b"pw=",
    b"PW:",
    b"PW=",
    b"pw ",
    b"pass",
    b"PASS",
    b"Pass",
    b"ecret",
    b"ECRET",
    b"ogin",
    b"DENTIFIED",
    b"dentified",
    b"-u ",
];

/// A name of a password, with what may stand around it in an identifier.
const WORD: &str =
    r"(?P<name>[a-z0-9_.-]{0,24}?(?:pass?w(?:or)?d|ps?swd|pwd|pw|passphrase|passcode|pass|secret)[a-z0-9_]{0,10}?)";

/// Ends of names that are about a password, and are none.
const ABOUT: [&[u8]; 22] = [
    b"id", b"ids", b"name", b"file", b"path", b"url", b"uri", b"field", b"hint", b"hash", b"length", b"policy",
    b"reset", b"type", b"ref", b"refs", b"prompt", b"label", b"manager", b"secrets", b"ports", b"port",
];

/// How far around a trigger is looked.
const BEFORE: usize = 32;
const AFTER: usize = 160;

/// Finds passwords around triggers.
pub struct Passwords {
    quoted: Option<Regex>,
    bare: Option<Regex>,
    prose: Option<Regex>,
    pair: Option<Regex>,
    sql: Option<Regex>,
    curl: Option<Regex>,
}

impl Passwords {
    pub fn new() -> Self {
        let build = |pattern: &str| Regex::new(&format!("(?i-u){}", pattern.replace("WORD", WORD))).ok();
        Self {
            quoted: build(
                r#"\bWORD(?:\\?["'`\])]){0,3}[ \t]{0,12}(?::=|=>|===?|!==?|[:=,(]|[ \t])[ \t]{0,6}(?:value[ \t]?=[ \t]?)?\\{0,4}(?:"(?P<a>[^"\\\r\n]{4,96})\\{0,4}"|'(?P<b>[^'\\\r\n]{4,96})\\{0,4}'|`(?P<c>[^`\r\n]{4,96})`)"#,
            ),
            bare: build(
                r#"\b(?:WORD[\])]?[ \t]{0,3}(?::=|=>|==|[:=>])[ \t]{0,3}|(?:--?[a-z-]{0,20}pass\w{0,10}|passw(?:or)?d|pwd|pw|passphrase)[ \t])(?P<a>[^\s"'`<>]{6,96})"#,
            ),
            prose: build(
                r#"\b(?:password|passphrase|passwd|passcode|pwd|pw|secret)(?: [a-z]{1,12}){0,6}? (?:is|was|to|=)(?: now| set to)?:? ["'`]?(?P<a>[^\s"'`<>]{6,96})"#,
            ),
            pair: build(r#"\blogin\b[^\n:]{0,40}: ?[\w.@-]{2,32} ?/ ?(?P<a>[^\s"'`<>]{6,96})"#),
            sql: build(r#"\bidentified[ \t]+by[ \t]+(?:values[ \t]+)?["']?(?P<a>[^\s"'`;\\)]{6,96})"#),
            curl: build(r#"\b(?:curl|wget)\b[\s\S]{0,110}\s-u[ ]["']?[\w.@-]{0,40}:(?P<a>[^\s"'`<>]{4,96})"#),
        }
    }

    /// The password of the statement around `at`, which is where a trigger stands.
    pub fn look(&self, text: &[u8], at: usize) -> Option<Range<usize>> {
        let mut from = at.saturating_sub(BEFORE);
        if let Some(line) = text[from..at].iter().rposition(|&b| b == b'\n') {
            from += line + 1;
        }
        let mut to = text.len().min(at + AFTER);
        if let Some(line) = text[at..to].iter().position(|&b| b == b'\n') {
            to = at + line;
        }
        let window = &text[from..to];
        let shifted = |range: Range<usize>| from + range.start..from + range.end;
        if text[at..].starts_with(b"-u ") {
            let begin = at.saturating_sub(120);
            return self.curl(&text[begin..to]).map(|r| begin + r.start..begin + r.end);
        }
        if matches!(text[at], b'D' | b'd') {
            return capture(self.sql.as_ref(), window).filter(|r| bare_value(&window[r.clone()], false)).map(shifted);
        }
        if text[at] == b'o' {
            return capture(self.pair.as_ref(), window)
                .map(|r| ended(window, r))
                .filter(|r| password(&window[r.clone()]))
                .map(shifted);
        }
        if let Some(range) = capture(self.quoted.as_ref(), window) {
            return quoted_value(&window[range.clone()]).then(|| shifted(range));
        }
        if let Some(range) = capture(self.prose.as_ref(), window).map(|r| ended(window, r))
            && password(&window[range.clone()])
        {
            return Some(shifted(range));
        }
        let range = ended(window, capture(self.bare.as_ref(), window)?);
        bare_value(&window[range.clone()], true).then(|| shifted(range))
    }

    fn curl(&self, window: &[u8]) -> Option<Range<usize>> {
        let range = capture(self.curl.as_ref(), window)?;
        let value = &window[range.clone()];
        (!stand_in(value) && !reference(value) && !value.starts_with(b"$")).then_some(range)
    }
}

fn capture(pattern: Option<&Regex>, window: &[u8]) -> Option<Range<usize>> {
    let found = pattern?.captures(window)?;
    if found.name("name").is_some_and(|name| about(name.as_bytes())) {
        return None;
    }
    ["a", "b", "c"].iter().find_map(|name| found.name(name)).map(|value| value.range())
}

/// Whether a name is of something about a password: its file, its id, its length.
fn about(name: &[u8]) -> bool {
    ABOUT.iter().any(|end| {
        let Some(head) = name.len().checked_sub(end.len()).filter(|head| *head > 0) else { return false };
        // `passwordId`, `password_id`, `PASSWORD_ID`, `secretsid`; not `valid`.
        name[head..].eq_ignore_ascii_case(end)
    })
}

/// Without the punctuation that belongs to the sentence.
fn ended(window: &[u8], mut range: Range<usize>) -> Range<usize> {
    // A separator of lists and statements ends a value that stands without quotes.
    if let Some(cut) = window[range.clone()].iter().position(|&b| matches!(b, b';' | b',')) {
        range.end = range.start + cut;
    }
    while range.len() > 1 {
        let last = window[range.end - 1];
        let open = |mark: u8| window[range.clone()].contains(&mark);
        let punctuation = match last {
            b'.' | b':' | b'\\' => true,
            b')' => !open(b'('),
            b']' => !open(b'['),
            b'}' => !open(b'{'),
            _ => false,
        };
        if !punctuation {
            break;
        }
        range.end -= 1;
    }
    range
}

/// A value in quotes is meant as one: letters alone may be a password, but not a name, a path or a sentence.
fn quoted_value(value: &[u8]) -> bool {
    let sentence = value.contains(&b' ');
    let identifier =
        value.iter().all(|b| b.is_ascii_uppercase() || *b == b'_' || b.is_ascii_digit()) && value.contains(&b'_');
    let path = value.contains(&b'/') && !value.iter().any(u8::is_ascii_digit);
    let dashed = value.contains(&b'-') && value.iter().all(|b| b.is_ascii_lowercase() || *b == b'-');
    let snake = value.contains(&b'_') && value.iter().all(|b| b.is_ascii_lowercase() || *b == b'_');
    if stand_in(value) || reference(value) || code(value) || identifier || path || dashed || snake || sentence {
        return false;
    }
    password(value) || value.iter().any(|b| b.is_ascii_digit() || matches!(b, b'$' | b'!' | b'@' | b'#' | b'%' | b'&'))
}

/// A value without quotes must look like a password by itself.
fn bare_value(value: &[u8], strict: bool) -> bool {
    let call = value.contains(&b'(') || value.contains(&b'{');
    let dotted = value.contains(&b'.') && !value.iter().any(u8::is_ascii_digit);
    password(value) && !(strict && (call || dotted))
}
