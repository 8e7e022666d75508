/// One document of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    /// Its text, from its `---` on.
    pub text: &'a str,
    /// How many lines stand before it.
    pub offset: u64,
}

/// Cuts a file at its `---` lines. By YAML's rules one ends a document wherever it stands, so a document that
/// is broken hides no other. Documents of nothing but blank lines, comments and directives are left out.
pub(super) fn split(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let (mut start, mut offset) = (0, 0);
    let (mut at, mut line) = (0, 0);
    let mut empty = true;
    for text_line in text.split_inclusive('\n') {
        if is_separator(text_line) {
            if !empty {
                chunks.push(Chunk { text: &text[start..at], offset });
            }
            (start, offset, empty) = (at, line, true);
        }
        empty = empty && says_nothing(text_line);
        at += text_line.len();
        line += 1;
    }
    if !empty {
        chunks.push(Chunk { text: &text[start..], offset });
    }
    chunks
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn says_nothing(line: &str) -> bool {
    let rest = if is_separator(line) { &line[3..] } else { line };
    let rest = rest.trim();
    rest.is_empty() || rest.starts_with('#') || rest == "..." || line.starts_with('%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_their_line_numbers() {
        let text = "# head\n---\na: 1\n---\n\n--- # nothing\n---\r\nb: |\n  ----\n  text\n--- {c: 1}\n";
        let chunks = split(text);
        let offsets: Vec<_> = chunks.iter().map(|c| (c.offset, c.text.lines().count())).collect();
        assert_eq!(offsets, [(1, 2), (6, 4), (10, 1)]);
        for nothing in ["", "---", "---\n---\n", "\r\n", "%YAML 1.2\n---\n...\n", "# only\n"] {
            assert_eq!(split(nothing), [], "{nothing:?}");
        }
    }
}
