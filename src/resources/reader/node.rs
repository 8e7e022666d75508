use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Spanned, budget, options};

/// A value of a document with the line that it stands on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// From 1, within the parsed text.
    pub line: u64,
    pub value: Content,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// Each key with its line.
    Map(Vec<(String, u64, Node)>),
}

/// Why a text is no YAML, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Syntax {
    pub line: u64,
    pub message: String,
}

impl Node {
    /// Parses one document. Aliases and nesting are bounded, so a small text stays a small value.
    pub fn parse(text: &str) -> Result<Self, Syntax> {
        let options = options! {
            budget: budget! { max_depth: 32, max_aliases: 1_000, max_anchors: 1_000, max_merge_keys: 1_000 },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 20_000, max_replay_stack_depth: 8 },
            // A snippet would repeat the text around an error, with whatever secret stands there.
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map_or(1, |l| l.line().max(1));
            let text = error.to_string();
            let message = text.lines().next().unwrap_or_default().to_owned();
            Syntax { line, message }
        })
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Content::Map(entries) = &self.value else { return None };
        entries.iter().find(|(k, ..)| k == key).map(|(_, _, node)| node)
    }

    /// The text of a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The line of a field such as `spec.schedules[0].cron`, or of what of it there is.
    pub fn line_of(&self, field: &str) -> u64 {
        let mut node = self;
        let mut line = self.line;
        let mut rest = field;
        while !rest.is_empty() {
            // An annotation's key has dots of its own; it stands in brackets.
            let (step, tail) = match rest.strip_prefix('[') {
                Some(bracket) => bracket.split_once(']').unwrap_or((bracket, "")),
                None => rest.find(['.', '[']).map_or((rest, ""), |end| rest.split_at(end)),
            };
            rest = tail.strip_prefix('.').unwrap_or(tail);
            let found = match &node.value {
                Content::Map(entries) => entries.iter().find(|(k, ..)| k == step).map(|(_, at, n)| (*at, n)),
                Content::List(items) => step.parse().ok().and_then(|i: usize| items.get(i)).map(|n| (n.line, n)),
                _ => None,
            };
            let Some((at, next)) = found else { break };
            (line, node) = (at, next);
        }
        line
    }

    /// The same value as JSON.
    pub fn to_json(&self) -> Value {
        match &self.value {
            Content::Null => Value::Null,
            Content::Bool(b) => Value::Bool(*b),
            Content::Number(n) => Value::Number(n.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => {
                entries.iter().map(|(key, _, node)| (key.clone(), node.to_json())).collect::<Map<_, _>>().into()
            }
        }
    }

    /// What it is, for people.
    pub const fn kind(&self) -> &'static str {
        match self.value {
            Content::Null => "nothing",
            Content::Bool(_) => "true or false",
            Content::Number(_) => "a number",
            Content::Text(_) => "a text",
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Content, E> {
        Number::from_f64(value).map(Content::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Content, E> {
        Ok(Content::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value()?;
            entries.push((key.value, key.referenced.line(), value));
        }
        Ok(Content::Map(entries))
    }
}
