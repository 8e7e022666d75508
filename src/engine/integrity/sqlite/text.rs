//! Text as a database stores it: its bytes may be anything, whatever the column says.

use std::borrow::Cow;

/// How a database encodes its text (offset 56 of the file header, `PRAGMA encoding`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// What every OpenMemory bank has.
    #[default]
    Utf8,
    /// UTF-16, little-endian.
    Utf16Le,
    /// UTF-16, big-endian.
    Utf16Be,
}

impl Encoding {
    /// Reads the answer of `PRAGMA encoding`.
    pub fn from_pragma(name: &str) -> Option<Self> {
        match name {
            "UTF-8" => Some(Self::Utf8),
            "UTF-16le" => Some(Self::Utf16Le),
            "UTF-16be" => Some(Self::Utf16Be),
            _ => None,
        }
    }

    /// The text, or `None` where the bytes are none in this encoding.
    pub fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        let unit = match self {
            Self::Utf8 => return std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Self::Utf16Le => u16::from_le_bytes,
            Self::Utf16Be => u16::from_be_bytes,
        };
        let (pairs, rest) = bytes.as_chunks::<2>();
        if !rest.is_empty() {
            return None;
        }
        char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<String, _>>().ok().map(Cow::Owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_reads_its_own_and_refuses_what_is_none() {
        assert_eq!(Encoding::Utf8.decode("grün".as_bytes()).as_deref(), Some("grün"));
        assert_eq!(Encoding::Utf8.decode(b"gr\xfcn"), None);
        assert_eq!(Encoding::Utf16Le.decode(b"a\0\xfc\0").as_deref(), Some("aü"));
        assert_eq!(Encoding::Utf16Be.decode(b"\0a\0\xfc").as_deref(), Some("aü"));
        assert_eq!(Encoding::Utf16Le.decode(b"a\0b"), None, "half a unit");
        assert_eq!(Encoding::Utf16Be.decode(b"\xd8\0"), None, "half a surrogate pair");
    }
}
