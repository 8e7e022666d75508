use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::random::Random;
use super::templates::TEMPLATES;
use super::words::fillers;

/// Writes the texts of memories, no two alike.
#[derive(Debug)]
pub struct Texts {
    random: Random,
    /// Digests of what was written: 8 bytes a memory, so that a bank of a million stays small here.
    written: HashSet<u64>,
}

/// A text, and the index of its category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub category: usize,
    pub content: String,
}

impl Texts {
    pub fn new(random: Random) -> Self {
        Self { random, written: HashSet::new() }
    }

    /// A text that was not written before.
    pub fn next(&mut self) -> Text {
        let mut text = self.draw();
        // Some templates have few fillings: in a large bank a plain number keeps them apart.
        let mut tries = 0;
        while !self.written.insert(digest(&text.content)) {
            tries += 1;
            text = self.draw();
            if tries > 3 {
                let _ = write!(text.content, " (note {})", self.written.len());
            }
        }
        text
    }

    fn draw(&mut self) -> Text {
        let (category, template) = self.random.pick(&TEMPLATES);
        Text { category, content: fill(template, &mut self.random) }
    }
}

/// A short query, as an agent searches its memories.
pub fn query(random: &mut Random) -> String {
    const QUERIES: [&str; 6] = [
        "what does {name} own",
        "plans for {month}",
        "preferred {tool} setup",
        "trip to {city}",
        "notes on {topic}",
        "{food}",
    ];
    let template = random.pick(&QUERIES);
    fill(template, random)
}

/// Fills the slots of a template.
pub fn fill(template: &str, random: &mut Random) -> String {
    let mut out = String::with_capacity(template.len() + 48);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((slot, after)) = after.split_once('}') else { break };
        match (slot, fillers(slot)) {
            (_, Some(words)) => out.push_str(random.pick(words)),
            ("date", _) => {
                let _ = write!(out, "2025-{:02}-{:02}", 1 + random.below(12), 1 + random.below(28));
            }
            ("time", _) => {
                let _ = write!(out, "{:02}:{:02}", 6 + random.below(16), 5 * random.below(12));
            }
            ("version", _) => {
                let _ = write!(out, "{}.{}.{}", 1 + random.below(5), random.below(20), random.below(10));
            }
            ("amount", _) => {
                let _ = write!(out, "{}.{:02}", 5 + random.below(900), random.below(100));
            }
            _ => {
                let _ = write!(out, "{}", 2 + random.below(97));
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_texts_are_alike_and_no_slot_stays() {
        let mut texts = Texts::new(Random::new(1, 0));
        let all: Vec<_> = (0..20_000).map(|_| texts.next().content).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        assert!(all.iter().all(|t| !t.contains(['{', '}'])));
    }
}
