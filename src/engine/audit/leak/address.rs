//! Passwords in addresses: `postgresql://user:password@host/db`.

use std::ops::Range;

use super::rule::{Kind, Rule};
use super::value::{reference, stand_in};
use crate::domain::Severity::Critical;

/// The password of an address.
pub static ADDRESS: Rule = Rule {
    id: "address-password",
    title: "Password in the address of a database or service",
    severity: Critical,
    advice: "Change the password at the service, and pass it by a secret instead of within the address.",
    kind: Kind::Password,
    keywords: &["://"],
    pattern: r#"[a-z][a-z0-9+.-]{1,20}://[^\s:/@"'<>]{0,64}:[^\s"'<>]{3,128}@[\w.\[-]"#,
    lead: 24,
};

/// The longest user and password that are looked at, in bytes.
const USER: usize = 64;
const PASSWORD: usize = 128;
/// How far a look reaches.
pub const REACH: usize = USER + PASSWORD;

/// The password of the address whose `://` stands at `at`.
pub fn find(text: &[u8], at: usize) -> Option<Range<usize>> {
    let user = at + 3;
    if at == 0 || !text[at - 1].is_ascii_alphanumeric() {
        return None;
    }
    let colon = text[user..].iter().take(USER).position(|b| !name(*b)).map(|n| user + n)?;
    if text[colon] != b':' {
        return None;
    }
    let start = colon + 1;
    let stop = text[start..]
        .iter()
        .take(PASSWORD)
        .position(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\' | b'/'));
    let stop = stop.map_or(text.len().min(start + PASSWORD), |n| start + n);
    let end = start + text[start..stop].iter().rposition(|&b| b == b'@')?;
    let value = &text[start..end];
    let host = text.get(end + 1)?;
    let hosted = host.is_ascii_alphanumeric() || matches!(host, b'[' | b'$' | b'{');
    (hosted && value.len() >= 3 && !placeholder(&text[user..colon], value)).then_some(start..end)
}

fn name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'%' | b'+' | b'~' | b'$' | b'!')
}

/// Values that documentation writes in place of a password; `secret` is none: people do use it.
fn placeholder(user: &[u8], value: &[u8]) -> bool {
    (stand_in(value) && !value.eq_ignore_ascii_case(b"secret"))
        || reference(value)
        || user.starts_with(b"$")
        || value.starts_with(b"$")
        || value.starts_with(b"{")
        || value.starts_with(b"%")
        || value == b"..."
}
