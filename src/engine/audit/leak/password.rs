//! Passwords: after a word for one, in assignments, command lines and prose.

use std::ops::Range;

use regex::bytes::Regex;

use super::rule::{Kind, Rule};
use super::value::{code, contains_ignore_case, password, reference, stand_in};
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

/// What the name of a password contains.
const WITHIN: [&[u8]; 10] =
    [b"password", b"passwd", b"pasword", b"paswd", b"psswd", b"pswd", b"pwd", b"passphrase", b"passcode", b"secret"];
/// What it may end with instead.
const ENDS: [&[u8]; 2] = [b"pw", b"pass"];
/// The words for one in a sentence.
const PLAIN: [&[u8]; 7] = [b"password", b"passphrase", b"passwd", b"passcode", b"pwd", b"pw", b"secret"];

/// Ends of names that are about a password, and are none.
const ABOUT: [&[u8]; 22] = [
    b"id", b"ids", b"name", b"file", b"path", b"url", b"uri", b"field", b"hint", b"hash", b"length", b"policy",
    b"reset", b"type", b"ref", b"refs", b"prompt", b"label", b"manager", b"secrets", b"ports", b"port",
];

/// How long a name may be before and after a trigger, and how far behind it a value is looked for.
const NAME: usize = 40;
const AFTER: usize = 160;
/// How far before its option the name of a command stands.
const COMMAND: usize = 120;
/// How far a look reaches.
pub const REACH: usize = COMMAND + NAME + AFTER;

/// Finds passwords around triggers.
pub struct Passwords {
    quoted: Option<Regex>,
    assigned: Option<Regex>,
    spaced: Option<Regex>,
    prose: Option<Regex>,
    pair: Option<Regex>,
    sql: Option<Regex>,
    user: Option<Regex>,
}

impl Passwords {
    pub fn new() -> Self {
        // All of what follows a name: anchored, so that most attempts end at the first byte.
        let build = |pattern: &str| Regex::new(&format!(r"(?i-u)\A(?:{pattern})")).ok();
        Self {
            quoted: build(concat!(
                r#"(?:\\?["'`\])]){0,3}[ \t]{0,12}(?::=|=>|===?|!==?|[:=,(]|[ \t])[ \t]{0,6}(?:value[ \t]?=[ \t]?)?\\{0,4}"#,
                r#"(?:"(?P<a>[^"\\\r\n]{4,96})\\{0,4}"|'(?P<b>[^'\\\r\n]{4,96})\\{0,4}'|`(?P<c>[^`\r\n]{4,96})`)"#,
            )),
            assigned: build(r#"[\])]?[ \t]{0,3}(?::=|=>|==|[:=>])[ \t]{0,3}(?P<a>[^\s"'`<>]{6,96})"#),
            spaced: build(r#"[ \t](?P<a>[^\s"'`<>]{6,96})"#),
            prose: build(r#"(?: [a-z]{1,12}){0,6}? (?:is|was|to|=)(?: now| set to)?:? ["'`]?(?P<a>[^\s"'`<>]{6,96})"#),
            pair: build(r#"[^\n:]{0,40}: ?[\w.@-]{2,32} ?/ ?(?P<a>[^\s"'`<>]{6,96})"#),
            sql: build(r#"[ \t]+by[ \t]+(?:values[ \t]+)?["']?(?P<a>[^\s"'`;\\)]{6,96})"#),
            user: build(r#"["']?[\w.@-]{0,40}:(?P<a>[^\s"'`<>]{4,96})"#),
        }
    }

    /// The password of the statement around the trigger at `at`, and where the next trigger is worth a look.
    pub fn look(&self, text: &[u8], at: usize) -> (Option<Range<usize>>, usize) {
        let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let left = text[..at].iter().rev().take(NAME).take_while(|b| part(b) || **b == b'.').count();
        let right = text[at..].iter().take(NAME).take_while(|b| part(b)).count();
        let (mut start, end) = (at - left, at + right);
        // The letter of an escape such as `\n` is no part of the name.
        if left > 0 && start > 0 && text[start - 1] == b'\\' {
            start += 1;
        }
        let name = &text[start.min(end)..end];
        let rest = &text[end..text.len().min(end + AFTER)];
        let span = if text[at..].starts_with(b"-u ") {
            self.of_user(text, at)
        } else if name.eq_ignore_ascii_case(b"identified") {
            capture(self.sql.as_ref(), rest).filter(|r| bare_value(&rest[r.clone()], false)).map(|r| shift(r, end))
        } else if name.eq_ignore_ascii_case(b"login") {
            let span = capture(self.pair.as_ref(), rest).map(|r| ended(rest, r));
            span.filter(|r| password(&rest[r.clone()])).map(|r| shift(r, end))
        } else {
            self.named(name, rest).map(|r| shift(r, end))
        };
        (span, end.max(at + 1))
    }

    fn named(&self, name: &[u8], rest: &[u8]) -> Option<Range<usize>> {
        let ends = |word: &[u8]| name.len() >= word.len() && name[name.len() - word.len()..].eq_ignore_ascii_case(word);
        let named = WITHIN.iter().any(|word| contains_ignore_case(name, word)) || ENDS.iter().any(|word| ends(word));
        if !named || about(name) {
            return None;
        }
        if let Some(range) = capture(self.quoted.as_ref(), rest) {
            return Some(range).filter(|r| quoted_value(&rest[r.clone()]));
        }
        let plain = PLAIN.iter().any(|word| name.eq_ignore_ascii_case(word));
        if plain
            && let Some(range) = capture(self.prose.as_ref(), rest).map(|r| ended(rest, r))
            && password(&rest[range.clone()])
        {
            return Some(range);
        }
        let option = name.starts_with(b"-");
        let spaced = || capture(self.spaced.as_ref(), rest).filter(|_| option || (plain && !ends(b"secret")));
        let range = ended(rest, capture(self.assigned.as_ref(), rest).or_else(spaced)?);
        bare_value(&rest[range.clone()], true).then_some(range)
    }

    /// The password of `curl -u user:password`.
    fn of_user(&self, text: &[u8], at: usize) -> Option<Range<usize>> {
        let before = &text[at.saturating_sub(COMMAND)..at];
        let command = [&b"curl"[..], b"wget"].iter().any(|c| contains_ignore_case(before, c));
        if !command || !before.last().is_some_and(u8::is_ascii_whitespace) {
            return None;
        }
        let start = at + 3;
        let rest = &text[start..text.len().min(start + AFTER)];
        let range = capture(self.user.as_ref(), rest)?;
        let value = &rest[range.clone()];
        (!stand_in(value) && !reference(value) && !value.starts_with(b"$")).then(|| shift(range, start))
    }
}

fn shift(range: Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

fn capture(pattern: Option<&Regex>, text: &[u8]) -> Option<Range<usize>> {
    let found = pattern?.captures(text)?;
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
