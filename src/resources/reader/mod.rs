//! Reads resources from files, strictly: what the API server would refuse, and what it would drop, is a
//! problem with its file, line, document and field.

mod kinds;
mod nearest;
mod node;
mod problem;
mod shape;
mod split;

pub use kinds::{GROUP, Resource, VERSION};
pub use problem::{Place, Problem, Warning};

use kinds::KINDS;
use nearest::nearest;
use node::{Content as Value, Node};

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;
/// The most documents of a file, and the most problems that are told of one.
const MAX_DOCUMENTS: usize = 10_000;

/// One document of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub content: Content,
    node: Node,
    offset: u64,
}

/// What a document is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A resource of one of our kinds.
    Resource(Resource),
    /// Something else, passed over.
    Passed(Passed),
}

/// A document that is not for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Its API group; empty for the core group.
    pub group: String,
    /// Its kind; empty where it is no Kubernetes object at all.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Document {
    /// A problem with a field of this document.
    pub fn problem(&self, field: impl Into<String>, message: impl Into<String>) -> Problem {
        let field = field.into();
        let place = Place { line: self.offset + self.node.line_of(&field), ..self.place.clone() };
        Problem { place, field, message: message.into() }
    }
}

/// Reads the documents of a file. A document with problems is left out; the others are there.
pub fn read(file: &str, text: &str) -> (Vec<Document>, Vec<Problem>) {
    let mut reader = Reader { file, documents: Vec::new(), problems: Vec::new() };
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file has {} bytes, expected at most {MAX_FILE_BYTES}", text.len());
        reader.problem(0, 1, "", message);
        return (reader.documents, reader.problems);
    }
    let chunks = split::split(text.strip_prefix('\u{feff}').unwrap_or(text));
    if chunks.len() > MAX_DOCUMENTS {
        let message = format!("the file has {} documents, expected at most {MAX_DOCUMENTS}", chunks.len());
        reader.problem(0, 1, "", message);
        return (reader.documents, reader.problems);
    }
    for (index, chunk) in chunks.into_iter().enumerate() {
        match Node::parse(chunk.text) {
            Ok(node) => reader.object(node, index + 1, chunk.offset),
            Err(syntax) => reader.problem(index + 1, chunk.offset + syntax.line, "", syntax.message),
        }
    }
    (reader.documents, reader.problems)
}

struct Reader<'a> {
    file: &'a str,
    documents: Vec<Document>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, document: usize, line: u64, field: &str, message: impl Into<String>) {
        let place = Place { file: self.file.to_owned(), line, document };
        self.problems.push(Problem { place, field: field.to_owned(), message: message.into() });
    }

    fn object(&mut self, node: Node, document: usize, offset: u64) {
        let line = offset + node.line;
        if !matches!(node.value, Value::Map(_)) {
            let message =
                format!("found {}, expected a resource with apiVersion, kind, metadata and spec", node.kind());
            return self.problem(document, line, "", message);
        }
        let (version, kind) = match (node.text("apiVersion"), node.text("kind")) {
            (Some(version), Some(kind)) => (version, kind),
            (None, None) if node.get("apiVersion").is_none() && node.get("kind").is_none() => ("", ""),
            (Some(_), _) => return self.problem(document, line, "kind", "is missing; expected a text"),
            (None, _) => return self.problem(document, line, "apiVersion", "is missing; expected a text"),
        };
        if (version, kind) == ("v1", "List") {
            return self.list(node, document, offset);
        }
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        if group != GROUP {
            let name = node.get("metadata").and_then(|m| m.text("name")).unwrap_or_default().to_owned();
            let passed = Passed { group: group.to_owned(), kind: kind.to_owned(), name };
            return self.keep(node, Content::Passed(passed), document, offset);
        }
        if version != VERSION {
            let line = offset + node.line_of("apiVersion");
            return self.problem(document, line, "apiVersion", format!("expected {GROUP}/{VERSION}"));
        }
        let Some(known) = KINDS.iter().find(|k| k.name == kind) else {
            let hint = nearest(kind, KINDS.iter().map(|k| k.name)).map(|n| format!("; did you mean {n}?"));
            let line = offset + node.line_of("kind");
            let message = format!("unknown kind of {GROUP}{}", hint.unwrap_or_default());
            return self.problem(document, line, "kind", message);
        };
        let mut misfits = Vec::new();
        known.shape.check(&node, "", &mut misfits);
        if node.get("metadata").is_none() {
            self.problem(document, line, "metadata.name", "is missing; expected a name");
        } else if misfits.is_empty() {
            let mut value = node.to_json();
            if let Some(object) = value.as_object_mut() {
                object.remove("status");
            }
            match (known.parse)(value) {
                Some(resource) => return self.keep(node, Content::Resource(resource), document, offset),
                None => self.problem(document, line, "", format!("does not fit the type {kind}")),
            }
        }
        for misfit in misfits {
            self.problem(document, offset + misfit.line, &misfit.field, misfit.message);
        }
    }

    /// As `kubectl get -o yaml` writes several objects.
    fn list(&mut self, mut node: Node, document: usize, offset: u64) {
        let Value::Map(entries) = &mut node.value else { return };
        let items = entries.iter_mut().find(|(key, ..)| key == "items").map(|(_, _, items)| &mut items.value);
        let Some(Value::List(items)) = items else {
            return self.problem(document, offset + node.line, "items", "is missing; expected a list");
        };
        for item in std::mem::take(items) {
            // A list within a list is none that kubectl writes, and would nest without end.
            if item.text("kind") == Some("List") {
                self.problem(document, offset + item.line, "items", "found a List within a List");
            } else {
                self.object(item, document, offset);
            }
        }
    }

    fn keep(&mut self, node: Node, content: Content, document: usize, offset: u64) {
        let place = Place { file: self.file.to_owned(), line: offset + node.line, document };
        self.documents.push(Document { place, content, node, offset });
    }
}
