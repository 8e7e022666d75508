use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A path within a tree, relative to its root. Names are bytes, as the kernel has them.
///
/// Its text form is [`escape`]d, so that every name, UTF-8 or not, has one text and every text one name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Box<[u8]>);

/// A path that cannot lie within a tree.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a path within a tree: {0}")]
pub struct PathError(String);

impl TreePath {
    /// Checks that a path is relative and stays beneath its root: no empty part, no `.`, no `..`, no NUL.
    pub fn new(bytes: &[u8]) -> Result<Self, PathError> {
        let bad = |part: &[u8]| part.is_empty() || part == b"." || part == b".." || part.contains(&0);
        if bytes.split(|b| *b == b'/').any(bad) { Err(PathError(escape(bytes))) } else { Ok(Self(bytes.into())) }
    }

    /// The path of `name` in `folder`, which is the root where there is none.
    pub fn child(folder: Option<&Self>, name: &[u8]) -> Result<Self, PathError> {
        match folder {
            Some(folder) => Self::new(&[&folder.0, &b"/"[..], name].concat()),
            None => Self::new(name),
        }
    }

    /// Its bytes, parts separated by `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The folder that it is in, none for the root, and its name there.
    pub fn split(&self) -> (Option<&[u8]>, &[u8]) {
        match self.0.iter().rposition(|b| *b == b'/') {
            Some(at) => (Some(&self.0[..at]), &self.0[at + 1..]),
            None => (None, &self.0),
        }
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", escape(&self.0))
    }
}

impl FromStr for TreePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(&unescape(text)?)
    }
}

impl Serialize for TreePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TreePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The text form of any bytes: UTF-8 as it is; `%`, control characters and bytes that are no UTF-8 as `%XX`, which
/// also keeps a name from moving the cursor of the terminal that shows it.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let hex = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or_default().to_ascii_uppercase();
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '%' || c.is_control() {
                hex(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(c);
            }
        }
        hex(&mut text, chunk.invalid());
    }
    text
}

/// The bytes of a text that [`escape`] made; an error for any other.
pub fn unescape(text: &str) -> Result<Vec<u8>, PathError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(|b| (b as char).to_digit(16)).and_then(|d| u8::try_from(d).ok());
            let (Some(high), Some(low)) = (digit(), digit()) else { return Err(PathError(text.to_owned())) };
            bytes.push(high * 16 + low);
        } else {
            bytes.push(byte);
        }
    }
    // One text for one name: what escapes differently was not written by us.
    if escape(&bytes) == text { Ok(bytes) } else { Err(PathError(text.to_owned())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_stays_beneath_its_root() {
        for bad in ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a%00b"] {
            assert!(bad.parse::<TreePath>().is_err(), "{bad}");
        }
        for good in ["a", "a/b", "...", "-", "a b", "ä", "%FF", "a%0Ab", "%25"] {
            assert_eq!(good.parse::<TreePath>().unwrap().to_string(), good);
        }
        for twice in ["%41", "%ff", "%", "%F", "%zz", "%C3%A4"] {
            assert!(twice.parse::<TreePath>().is_err(), "{twice} has another text");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let text = escape(&bytes);
            prop_assert!(!text.contains(char::is_control));
            prop_assert_eq!(unescape(&text), Ok(bytes));
        }
    }
}
