//! Whether a text is JSON as Python's `json.loads` reads it, which is what OpenMemory reads it with:
//! RFC 8259, and besides it `NaN`, `Infinity` and `-Infinity`, which its own `json.dumps` writes.

/// Python gives up at about 1,000 levels; nothing that it wrote is deeper.
const DEPTH: usize = 1_000;

/// Whether the text is one JSON value. Takes no memory but a bit of every open bracket.
pub fn valid(text: &str) -> bool {
    let mut scanner = Scanner { rest: text.as_bytes() };
    scanner.document().is_some()
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    fn document(&mut self) -> Option<()> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            // Here a value must follow, or the end of an empty list or object.
            self.space();
            match self.peek()? {
                bracket @ (b'[' | b'{') => {
                    if open.len() == DEPTH {
                        return None;
                    }
                    self.rest = &self.rest[1..];
                    self.space();
                    let closing = closing(bracket);
                    if self.peek()? != closing {
                        open.push(closing);
                        if bracket == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                    self.rest = &self.rest[1..];
                }
                b'"' => self.string()?,
                _ => self.scalar()?,
            }
            // Here a value has ended: close what ends with it, until the next begins.
            loop {
                self.space();
                let Some(closing) = open.last().copied() else {
                    return self.rest.is_empty().then_some(());
                };
                let next = self.peek()?;
                self.rest = &self.rest[1..];
                if next == b',' {
                    if closing == b'}' {
                        self.space();
                        self.key()?;
                    }
                    break;
                } else if next == closing {
                    open.pop();
                } else {
                    return None;
                }
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn key(&mut self) -> Option<()> {
        self.string()?;
        self.space();
        self.rest = self.rest.strip_prefix(b":")?;
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        self.rest = self.rest.strip_prefix(b"\"")?;
        loop {
            let plain = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
            let rest = &self.rest[plain..];
            self.rest = match rest {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return Some(());
                }
                [b'\\', b'u', digits @ ..] => {
                    let (digits, rest) = digits.split_at_checked(4)?;
                    digits.iter().all(u8::is_ascii_hexdigit).then_some(rest)?
                }
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => rest,
                _ => return None,
            };
        }
    }

    fn scalar(&mut self) -> Option<()> {
        let words: [&[u8]; 6] = [b"true", b"false", b"null", b"NaN", b"Infinity", b"-Infinity"];
        if let Some(rest) = words.iter().find_map(|word| self.rest.strip_prefix(*word)) {
            self.rest = rest;
            return Some(());
        }
        self.rest = self.rest.strip_prefix(b"-").unwrap_or(self.rest);
        if let Some(rest) = self.rest.strip_prefix(b"0") {
            self.rest = rest;
        } else {
            self.digits()?;
        }
        if let Some(rest) = self.rest.strip_prefix(b".") {
            self.rest = rest;
            self.digits()?;
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = if let [b'+' | b'-', rest @ ..] = rest { rest } else { rest };
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let length = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = &self.rest[length..];
        (length > 0).then_some(())
    }
}

const fn closing(bracket: u8) -> u8 {
    if bracket == b'[' { b']' } else { b'}' }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    #[test]
    fn reads_what_python_writes_and_no_more() {
        for good in ["{}", " [ ] ", "null", "-0.5e+3", r#"{"a": [1, {"b": "\u00e9\n"}], "c": NaN}"#, "[-Infinity]"] {
            assert!(valid(good), "{good}");
        }
        for bad in ["", "{", "{]", "[1,]", "{\"a\":}", "{\"a\" 1}", "{,}", "01", "1.", "'a'", "\"a", "[1 2]", "{} {}"] {
            assert!(!valid(bad), "{bad}");
        }
        assert!(!valid("\"a\u{1}b\""), "control characters must be escaped");
        assert!(valid(&format!("{}{}", "[".repeat(1_000), "]".repeat(1_000))));
        assert!(!valid(&"[".repeat(1_000_000)), "depth is bounded");
    }

    proptest! {
        #[test]
        fn agrees_with_a_known_parser(text in "[\\[\\]{}:,\"\\\\0-9.eE+ atrufalsn-]{0,24}") {
            let known = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            prop_assert_eq!(valid(&text), known, "{}", text);
        }

        #[test]
        fn a_generated_document_is_read_and_each_cut_of_it_refused(pairs in prop::collection::btree_map("\\PC{0,8}", "\\PC{0,8}", 0..5)) {
            let text = serde_json::to_string(&pairs).unwrap();
            prop_assert!(valid(&text));
            for (cut, _) in text.char_indices() {
                prop_assert!(!valid(&text[..cut]));
            }
        }
    }
}
