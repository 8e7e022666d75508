use std::ops::Range;

/// The e-mail address around the `@` at `at`, if it is one.
pub fn find(text: &[u8], at: usize) -> Option<Range<usize>> {
    let local = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-');
    let mut start = text[..at].iter().rev().take(65).take_while(|&&b| local(b)).count();
    if start > 64 {
        return None;
    }
    start = at - start;
    while start < at && matches!(text[start], b'.' | b'-' | b'+' | b'%' | b'_') {
        start += 1;
    }
    // `\n` of an escaped text is no part of the name.
    if start > 0 && text[start - 1] == b'\\' && matches!(text[start], b'n' | b't' | b'r') {
        start += 1;
    }
    let name = &text[start..at];
    if name.is_empty() || name.ends_with(b".") || name == b"git" {
        return None;
    }
    // The password of an address such as `postgres://user:pass@host` is another rule's.
    if start > 0
        && matches!(text[start - 1], b':' | b'/' | b'@' | b'=')
        && text[..start].iter().rev().take(80).any(|&b| b == b'/')
        && after_scheme(text, start)
    {
        return None;
    }
    let rest = &text[at + 1..text.len().min(at + 1 + 255)];
    let domain = rest.iter().take_while(|&&b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')).count();
    let mut domain = &rest[..domain];
    while let Some((b'.' | b'-', head)) = domain.split_last() {
        domain = head;
    }
    valid_domain(domain).then(|| start..at + 1 + domain.len())
}

fn after_scheme(text: &[u8], end: usize) -> bool {
    let from = end.saturating_sub(80);
    let word = text[from..end]
        .iter()
        .rposition(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'\''))
        .map_or(from, |p| from + p + 1);
    text[word..end].windows(3).any(|w| w == b"://")
}

fn valid_domain(domain: &[u8]) -> bool {
    let labels: Vec<&[u8]> = domain.split(|&b| b == b'.').collect();
    let Some((top, names)) = labels.split_last() else { return false };
    let top_is_name = (2..=24).contains(&top.len()) && top.iter().all(u8::is_ascii_alphabetic)
        || top.len() > 6 && top.get(..4).is_some_and(|p| p.eq_ignore_ascii_case(b"xn--"));
    let file = [
        &b"png"[..],
        b"jpg",
        b"jpeg",
        b"gif",
        b"svg",
        b"webp",
        b"js",
        b"css",
        b"local",
        b"internal",
        b"service",
        b"localdomain",
    ];
    !names.is_empty()
        && top_is_name
        && names.iter().all(|n| (1..=63).contains(&n.len()) && n[0] != b'-' && n[n.len() - 1] != b'-')
        && !file.iter().any(|f| top.eq_ignore_ascii_case(f))
        && !reserved(domain)
}

/// Names that RFC 2606 keeps for documentation.
fn reserved(domain: &[u8]) -> bool {
    let lower = domain.to_ascii_lowercase();
    [&b"example.com"[..], b"example.org", b"example.net", b".example", b".invalid", b".test"].iter().any(|r| {
        lower.ends_with(r) && (r[0] == b'.' || lower.len() == r.len() || lower[lower.len() - r.len() - 1] == b'.')
    })
}
