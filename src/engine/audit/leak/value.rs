//! Judges values: is it a stand-in, is it random, could it be a password?

/// Words that a value made up for documentation contains.
const STAND_INS: [&[u8]; 27] = [
    b"example",
    b"placeholder",
    b"changeme",
    b"change-me",
    b"change_me",
    b"your_",
    b"your-",
    b"yourpass",
    b"your ",
    b"yourapi",
    b"yourtoken",
    b"dummy",
    b"sample",
    b"redacted",
    b"masked",
    b"replace",
    b"insert",
    b"xxxx",
    b"****",
    b"....",
    b"todo",
    b"fake",
    b"not_a_",
    b"not-a-",
    b"put_your",
    b"abcdefghijkl",
    b"01234567890123",
];

/// Values that are the name of the thing, or nothing at all.
const NAMES: [&[u8]; 47] = [
    b"password",
    b"passwd",
    b"passphrase",
    b"pass",
    b"pwd",
    b"pw",
    b"secret",
    b"token",
    b"key",
    b"apikey",
    b"api_key",
    b"api-key",
    b"user",
    b"username",
    b"root",
    b"none",
    b"null",
    b"nil",
    b"true",
    b"false",
    b"undefined",
    b"string",
    b"str",
    b"bool",
    b"text",
    b"test",
    b"testing",
    b"required",
    b"optional",
    b"default",
    b"unset",
    b"empty",
    b"hidden",
    b"mypassword",
    b"my_password",
    b"password123",
    b"secretstring",
    b"value",
    b"env",
    b"environ",
    b"bytes",
    b"object",
    b"number",
    b"any",
    b"void",
    b"yes",
    b"no",
];

/// Whether `value` stands for a secret instead of being one: a template, a reference, a mask, a made-up word.
pub fn stand_in(value: &[u8]) -> bool {
    let bare = trim_marks(value);
    if bare.is_empty() || NAMES.iter().any(|n| bare.eq_ignore_ascii_case(n)) || reference(value) {
        return true;
    }
    let distinct = distinct(bare);
    (bare.len() >= 8 && distinct <= 3)
        || (bare.len() >= 20 && distinct <= 6)
        || longest_repeat(bare) >= 7.max(bare.len() / 4)
        || STAND_INS.iter().any(|word| contains_ignore_case(bare, word))
}

/// Whether `value` points to where the secret is: `${X}`, `$X`, `{{ x }}`, `<x>`, `%x%`, `env:X`, a call.
pub fn reference(value: &[u8]) -> bool {
    let starts = |prefix: &[u8]| value.starts_with(prefix);
    starts(b"$(")
        || starts(b"${")
        || starts(b"<")
        || starts(b"[")
        || starts(b"{")
        || starts(b"env:")
        || starts(b"#{")
        || (starts(b"%") && (value.ends_with(b"%") || starts(b"%s") || starts(b"%(")))
        || variable(value)
        || starts(b"file:")
        || value.windows(2).any(|w| w == b"${" || w == b"{{" || w == b"$(" || w == b"()")
        || (value.contains(&b'(')
            && value.ends_with(b")")
            && value.iter().position(|&b| b == b'(').is_some_and(|at| at > 0 && word(&value[..at])))
}

/// A shell or PHP variable: `$NAME`, `$_POST`, also where a quote or a backslash stands before it.
fn variable(value: &[u8]) -> bool {
    let Some(name) = value.iter().position(|b| !matches!(b, b'"' | b'\'' | b'\\')).map(|at| &value[at..]) else {
        return false;
    };
    let Some(name) = name.strip_prefix(b"$") else { return false };
    let upper = name.iter().take_while(|b| b.is_ascii_uppercase() || **b == b'_').count();
    !name.is_empty() && (upper >= 3 || word(name))
}

fn word(text: &[u8]) -> bool {
    text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
}

/// Whether `value` is long and random enough for a machine-made secret.
///
/// Random text in an alphabet with digits changes between digit and letter, or between cases, at about half
/// of its places; identifiers, paths and words do so at fewer than one in six.
pub fn random(value: &[u8]) -> bool {
    if !(16..=256).contains(&value.len())
        || value.starts_with(b"/")
        || value.starts_with(b"-")
        || value.starts_with(b".")
    {
        return false;
    }
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    let letters = value.iter().filter(|b| b.is_ascii_alphabetic()).count();
    // A dotted or slashed name of short parts is a host, a path or a version.
    let longest = value.split(|b| matches!(b, b'.' | b'/')).map(<[u8]>::len).max().unwrap_or_default();
    let classes = changes(value);
    let varied = classes * 5 >= value.len()
        || (classes * 12 >= value.len() && consonants(value) >= 5)
        || (value.len() >= 32 && hexadecimal(value));
    digits >= 2
        && letters >= 3
        && longest >= 12
        && varied
        && entropy(value) >= 3.0
        && !value.windows(4).any(|w| w == b"://" || w == b".com" || w == b"http")
}

/// Whether `value` looks like a password that a person or a generator made: mixed classes, no code.
pub fn password(value: &[u8]) -> bool {
    if !(6..=96).contains(&value.len()) || stand_in(value) || code(value) {
        return false;
    }
    let has = |class: fn(&u8) -> bool| value.iter().any(class);
    let digit = has(u8::is_ascii_digit);
    let letter = has(u8::is_ascii_alphabetic);
    let special = value.iter().any(|b| b.is_ascii_punctuation() && !matches!(b, b'_' | b'-' | b'.' | b'/' | b':'));
    letter && (digit || special || irregular(value)) && distinct(value) >= 4
}

/// Whether `value` reads like source code or a path rather than a password.
pub fn code(value: &[u8]) -> bool {
    let dotted = value.contains(&b'.')
        && word(value)
        && value.split(|&b| b == b'.').all(|part| part.first().is_some_and(u8::is_ascii_alphabetic));
    dotted
        || value.windows(2).any(|w| matches!(w, b"::" | b"->" | b"=>" | b"//" | b"](" | b"()" | b"&&" | b"||"))
        || value.starts_with(b"/")
        || value.starts_with(b"./")
        || value.starts_with(b"~/")
        || value.starts_with(b"&")
        || value.starts_with(b"@")
        || value.starts_with(b"#")
        || value.starts_with(b"--")
        || value.ends_with(b"(")
        || value.ends_with(b"{")
        || (value.contains(&b'[') && value.contains(&b']'))
}

/// Letters whose case changes too often for words: `vgSQlFNvC`, not `DublinHarbor`.
fn irregular(value: &[u8]) -> bool {
    let upper = value.iter().filter(|b| b.is_ascii_uppercase()).count();
    let lower = value.iter().filter(|b| b.is_ascii_lowercase()).count();
    lower >= 3 && upper >= 3 && upper + lower == value.len() && value.len() <= 24 && value.len() * 10 <= upper * 45
}

/// Shannon entropy, in bits per byte.
pub fn entropy(value: &[u8]) -> f32 {
    let mut counts = [0_u16; 256];
    for &byte in value {
        counts[usize::from(byte)] = counts[usize::from(byte)].saturating_add(1);
    }
    let total = f32::from(u16::try_from(value.len()).unwrap_or(u16::MAX));
    counts.iter().filter(|&&n| n > 0).map(|&n| f32::from(n) / total).map(|p| -p * p.log2()).sum()
}

/// How many neighbours differ in class: digit, upper case, lower case, other.
fn changes(value: &[u8]) -> usize {
    let class = |b: u8| match b {
        b'0'..=b'9' => 0_u8,
        b'A'..=b'Z' => 1,
        b'a'..=b'z' => 2,
        _ => 3,
    };
    // A separator is no sign of randomness: names have them too.
    value.windows(2).filter(|w| class(w[0]) != class(w[1]) && class(w[0]) != 3 && class(w[1]) != 3).count()
}

/// The longest run of consonants: five in a row are rare in words and names, common in random letters.
fn consonants(value: &[u8]) -> usize {
    let consonant = |b: &u8| b.is_ascii_alphabetic() && !b"aeiouyAEIOUY".contains(b);
    value.split(|b| !consonant(b)).map(<[u8]>::len).max().unwrap_or_default()
}

/// Whether all is hexadecimal digits, of one case, with dashes at most: a digest, a UUID, or a key of that form.
pub fn hexadecimal(value: &[u8]) -> bool {
    value.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-')
}

fn distinct(value: &[u8]) -> usize {
    let mut seen = [false; 256];
    value.iter().filter(|&&b| !std::mem::replace(&mut seen[usize::from(b)], true)).count()
}

fn longest_repeat(value: &[u8]) -> usize {
    value.chunk_by(|a, b| a == b).map(<[u8]>::len).max().unwrap_or_default()
}

fn trim_marks(value: &[u8]) -> &[u8] {
    let mark = |b: &u8| matches!(b, b'"' | b'\'' | b'`' | b',' | b';' | b'.' | b' ');
    let start = value.iter().position(|b| !mark(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !mark(b)).map_or(start, |at| at + 1);
    &value[start..end]
}

/// Whether `text` holds `word`, which begins with a letter and is in lower case.
pub fn contains_ignore_case(text: &[u8], word: &[u8]) -> bool {
    let Some(first) = word.first() else { return true };
    text.windows(word.len()).any(|w| w[0] | 0x20 == first | 0x20 && w.eq_ignore_ascii_case(word))
}
