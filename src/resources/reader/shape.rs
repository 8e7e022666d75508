use std::collections::BTreeMap;

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

use super::nearest::nearest;
use super::node::{Content, Node};

/// What a document may look like: a CRD's own schema, made ready to judge nodes. So the reader of files
/// refuses what the API server would refuse, and unknown fields, which the API server drops.
#[derive(Debug)]
pub(super) struct Shape {
    form: Form,
    /// The schema's description: what was expected, for people.
    description: String,
}

#[derive(Debug)]
enum Form {
    Object { fields: BTreeMap<String, Shape>, required: Vec<String> },
    Map { values: Box<Shape>, max: usize },
    List { items: Box<Shape>, min: usize, max: usize, unique: Unique },
    Text { min: usize, max: usize, pattern: Option<Regex>, among: Vec<String>, time: bool },
    Integer { min: i64, max: i64 },
    Bool,
    IntOrText,
    Any,
}

/// Which entries of a list may not be there twice.
#[derive(Debug)]
enum Unique {
    No,
    Whole,
    /// Entries with the same values of these keys.
    Keys(Vec<String>),
}

/// What is wrong with a node.
#[derive(Debug)]
pub(super) struct Misfit {
    pub field: String,
    pub line: u64,
    pub message: String,
}

impl Shape {
    /// Reads an OpenAPI schema.
    pub fn of(schema: &Value) -> Self {
        let description = schema["description"].as_str().unwrap_or_default().split(['\n', ';']).next();
        let description = description.unwrap_or_default().trim_end_matches('.').to_owned();
        Self { form: Form::of(schema), description }
    }

    /// Puts the shape of a field in.
    pub fn put(&mut self, field: &str, shape: Self) {
        if let Form::Object { fields, .. } = &mut self.form {
            fields.insert(field.to_owned(), shape);
        }
    }

    /// Anything at all.
    pub const fn any() -> Self {
        Self { form: Form::Any, description: String::new() }
    }

    /// Judges a node; `field` is where it stands.
    pub fn check(&self, node: &Node, field: &str, misfits: &mut Vec<Misfit>) {
        let mut wrong = |message: String| misfits.push(Misfit { field: field.to_owned(), line: node.line, message });
        match (&self.form, &node.value) {
            (Form::Any, _)
            | (Form::Bool, Content::Bool(_))
            | (Form::IntOrText, Content::Number(_) | Content::Text(_))
            // As `kubectl create --dry-run -o yaml` writes creationTimestamp.
            | (Form::Text { time: true, .. }, Content::Null) => {}
            (Form::Object { fields, required }, Content::Map(entries)) => {
                check_object(fields, required, node.line, entries, field, misfits);
            }
            (Form::Map { values, max }, Content::Map(entries)) => {
                if entries.len() > *max {
                    wrong(format!("found {} entries, expected at most {max}", entries.len()));
                }
                for (key, _, value) in entries {
                    values.check(value, &format!("{field}[{key}]"), misfits);
                }
            }
            (Form::List { items, min, max, unique }, Content::List(nodes)) => {
                if nodes.len() < *min {
                    wrong(format!("found {} entries, expected at least {min}", nodes.len()));
                } else if nodes.len() > *max {
                    wrong(format!("found {} entries, expected at most {max}", nodes.len()));
                }
                for (index, item) in nodes.iter().enumerate() {
                    let field = format!("{field}[{index}]");
                    items.check(item, &field, misfits);
                    if let Some(message) = unique.repeated(&nodes[..index], item) {
                        misfits.push(Misfit { field, line: item.line, message });
                    }
                }
            }
            (Form::Text { .. }, Content::Text(text)) => {
                if let Err(message) = self.check_text(text) {
                    wrong(message);
                }
            }
            (Form::Integer { min, max }, Content::Number(number)) => match number.as_i64() {
                Some(n) if (*min..=*max).contains(&n) => {}
                Some(n) if *max == i64::MAX => wrong(format!("found {n}, expected a whole number from {min} on")),
                _ => wrong(format!("found {number}, expected a whole number from {min} to {max}")),
            },
            (_, Content::Null) => wrong(format!("found nothing, expected {}: fill it or leave it out", self.expected())),
            _ => {
                let hint = match (&self.form, &node.value) {
                    (Form::Text { .. }, Content::Bool(_) | Content::Number(_)) => " (put it in quotes)",
                    _ => "",
                };
                wrong(format!("found {}, expected {}{hint}", node.kind(), self.expected()));
            }
        }
    }

    fn expected(&self) -> &'static str {
        match self.form {
            Form::Object { .. } | Form::Map { .. } => "a mapping",
            Form::List { .. } => "a list",
            Form::Text { .. } => "a text",
            Form::Integer { .. } => "a whole number",
            Form::Bool => "true or false",
            Form::IntOrText => "a number or a text",
            Form::Any => "a value",
        }
    }

    /// Texts are not repeated, unless the schema names all that there may be: any could be a secret.
    fn check_text(&self, text: &str) -> Result<(), String> {
        let Form::Text { min, max, pattern, among, time } = &self.form else { return Ok(()) };
        let length = text.chars().count();
        if !among.is_empty() {
            if among.iter().any(|a| a == text) {
                return Ok(());
            }
            let found: String = text.chars().take(40).collect();
            let hint = nearest(text, among.iter().map(String::as_str));
            let hint = hint.map(|n| format!(" (did you mean {n}?)")).unwrap_or_default();
            return Err(format!("found {found:?}, expected one of {}{hint}", among.join(", ")));
        }
        if length < *min {
            return Err(format!("found an empty text, expected: {}", self.description));
        }
        if length > *max {
            return Err(format!("found {length} characters, expected at most {max}"));
        }
        if let Some(pattern) = pattern.as_ref().filter(|p| !p.is_match(text)) {
            return Err(format!("expected a text like {pattern}: {}", self.description));
        }
        if *time && text.parse::<Timestamp>().is_err() {
            return Err("expected a time such as 2026-11-22T05:00:00Z".to_owned());
        }
        Ok(())
    }
}

fn check_object(
    fields: &BTreeMap<String, Shape>,
    required: &[String],
    line: u64,
    entries: &[(String, u64, Node)],
    field: &str,
    misfits: &mut Vec<Misfit>,
) {
    let join = |key: &str| if field.is_empty() { key.to_owned() } else { format!("{field}.{key}") };
    for (key, at, value) in entries {
        if let Some(shape) = fields.get(key) {
            shape.check(value, &join(key), misfits);
        } else {
            let message = match nearest(key, fields.keys().map(String::as_str)) {
                Some(name) => format!("unknown field; did you mean {name}?"),
                None => format!("unknown field; known are {}", names(fields.keys())),
            };
            misfits.push(Misfit { field: join(&cut(key)), line: *at, message });
        }
    }
    for name in required {
        if !entries.iter().any(|(key, ..)| key == name) {
            let shape = fields.get(name);
            let what = shape.map(|s| s.description.as_str()).filter(|d| !d.is_empty());
            let message = what.map_or_else(|| "is missing".to_owned(), |what| format!("is missing; expected: {what}"));
            misfits.push(Misfit { field: join(name), line, message });
        }
    }
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// An unknown key may be anything; no more of it is repeated than a name is long.
fn cut(key: &str) -> String {
    key.chars().take(63).collect()
}

impl Unique {
    /// Tells where an entry repeats one before it.
    fn repeated(&self, before: &[Node], item: &Node) -> Option<String> {
        match self {
            Self::No => None,
            Self::Whole => before.iter().any(|b| b.to_json() == item.to_json()).then(|| "is there twice".to_owned()),
            Self::Keys(keys) => {
                let same = |b: &&Node| {
                    keys.iter().all(|k| item.get(k).is_some_and(|n| b.get(k).is_some_and(|m| m.value == n.value)))
                };
                let twin = before.iter().find(same)?;
                Some(format!("has the same {} as the entry on line {}", keys.join(" and "), twin.line))
            }
        }
    }
}

impl Form {
    fn of(schema: &Value) -> Self {
        let number = |key: &str| schema[key].as_f64();
        let count = |key: &str| schema[key].as_u64().and_then(|n| usize::try_from(n).ok());
        if schema["x-kubernetes-int-or-string"] == true {
            return Self::IntOrText;
        }
        match schema["type"].as_str() {
            Some("object") => match (schema["properties"].as_object(), schema.get("additionalProperties")) {
                (Some(properties), _) => Self::Object {
                    fields: properties.iter().map(|(name, schema)| (name.clone(), Shape::of(schema))).collect(),
                    required: texts(&schema["required"]),
                },
                (None, Some(values)) => {
                    Self::Map { values: Box::new(Shape::of(values)), max: count("maxProperties").unwrap_or(usize::MAX) }
                }
                (None, None) => Self::Any,
            },
            Some("array") => Self::List {
                items: Box::new(Shape::of(&schema["items"])),
                min: count("minItems").unwrap_or(0),
                max: count("maxItems").unwrap_or(usize::MAX),
                unique: match schema["x-kubernetes-list-type"].as_str() {
                    Some("set") => Unique::Whole,
                    Some("map") => Unique::Keys(texts(&schema["x-kubernetes-list-map-keys"])),
                    _ => Unique::No,
                },
            },
            Some("string") => Self::Text {
                min: count("minLength").unwrap_or(0),
                max: count("maxLength").unwrap_or(usize::MAX),
                pattern: schema["pattern"].as_str().and_then(|p| Regex::new(p).ok()),
                among: texts(&schema["enum"]),
                time: schema["format"] == "date-time",
            },
            // Bounds of integers are small whole numbers, which a float holds exactly.
            #[allow(clippy::cast_possible_truncation)]
            Some("integer") => Self::Integer {
                min: number("minimum").map_or(i64::MIN, |n| n as i64),
                max: number("maximum").map_or(i64::MAX, |n| n as i64),
            },
            Some("boolean") => Self::Bool,
            _ => Self::Any,
        }
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
