use aho_corasick::packed::{Config, MatchKind, Searcher};

/// Finds the first of a few short literals, vectorised where the processor can.
pub struct Literals {
    packed: Option<Searcher>,
    words: &'static [&'static [u8]],
    first: [bool; 256],
}

impl Literals {
    /// A searcher for `words`, none of them empty.
    pub fn new(words: &'static [&'static [u8]]) -> Self {
        let mut builder = Config::new().match_kind(MatchKind::LeftmostFirst).builder();
        builder.extend(words);
        let mut first = [false; 256];
        for word in words {
            first[usize::from(word[0])] = true;
        }
        Self { packed: builder.build(), words, first }
    }

    /// The start and the index of the next literal that starts in `from..to`.
    pub fn find(&self, text: &[u8], from: usize, to: usize) -> Option<(usize, usize)> {
        // A literal that begins before `to` may end after it.
        let longest = self.words.iter().map(|w| w.len()).max().unwrap_or_default();
        let end = text.len().min(to + longest - 1);
        if from >= end {
            return None;
        }
        let (start, index) = match &self.packed {
            Some(packed) => {
                let found = packed.find_in(text, (from..end).into())?;
                (found.start(), found.pattern().as_usize())
            }
            None => (from..end)
                .filter(|&at| self.first[usize::from(text[at])])
                .find_map(|at| self.words.iter().position(|w| text[at..].starts_with(w)).map(|index| (at, index)))?,
        };
        (start < to).then_some((start, index))
    }
}
