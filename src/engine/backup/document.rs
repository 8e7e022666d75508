use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Missing, Part, PartKind, SetManifest};
use crate::domain::Digest;

/// The newest version of the format that is written and read. A set that needs nothing of it has the one before, for
/// programs that know no other.
const VERSION: u32 = 2;
/// What the text begins with: the digest of the rest comes before it, so that a flipped bit of the manifest is told as
/// that and not as damage of the set.
const HEAD: &str = "{\"sha256\":\"";
const MIDDLE: &str = "\",\"manifest\":";
const TAIL: &str = "}\n";

/// A text that is no manifest of a set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SetError {
    /// Not written by this program, or cut.
    #[error("not a manifest of a memorybank set")]
    Foreign,
    /// It does not have the digest that it says.
    #[error("the manifest is damaged: its content does not have the digest {0} that it was written with")]
    Damaged(String),
    /// Written by a newer version.
    #[error("the manifest has format version {0}, this program reads up to {VERSION}: use the version that wrote it")]
    Newer(u32),
    /// Its digest is right, its content makes no sense.
    #[error("the manifest is not valid: {0}")]
    Invalid(String),
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    version: u32,
    tool: String,
    namespace: String,
    bank: String,
    run: String,
    started: Timestamp,
    parts: Vec<Part>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    missing: Vec<Missing>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recipients: Vec<String>,
}

impl SetManifest {
    /// The first version of the format that could name all of it.
    fn version(&self) -> u32 {
        let new = self.parts.iter().any(|part| matches!(part.kind, PartKind::Ddl | PartKind::Rows));
        if new || !self.recipients.is_empty() { VERSION } else { 1 }
    }

    /// Its JSON text, and the digest by which the store knows the set. Fields have one order and maps are sorted, so
    /// that the same set has the same text.
    pub fn to_json(&self) -> Result<(Vec<u8>, Digest), SetError> {
        let document = Document {
            version: self.version(),
            tool: self.tool.clone(),
            namespace: self.namespace.clone(),
            bank: self.bank.clone(),
            run: self.run.clone(),
            started: self.started,
            parts: self.parts.clone(),
            missing: self.missing.clone(),
            recipients: self.recipients.clone(),
        };
        if let Some(fault) = self.fault() {
            return Err(SetError::Invalid(fault));
        }
        let body = serde_json::to_string(&document).map_err(|error| SetError::Invalid(error.to_string()))?;
        let digest = Digest::of(body.as_bytes());
        Ok((format!("{HEAD}{digest}{MIDDLE}{body}{TAIL}").into_bytes(), digest))
    }

    /// Reads what [`SetManifest::to_json`] wrote; an error for any other text.
    pub fn from_json(text: &[u8]) -> Result<(Self, Digest), SetError> {
        let rest = text.strip_prefix(HEAD.as_bytes()).ok_or(SetError::Foreign)?;
        let (digest, rest) = rest.split_at_checked(64).ok_or(SetError::Foreign)?;
        let rest = rest.strip_prefix(MIDDLE.as_bytes()).ok_or(SetError::Foreign)?;
        let body = rest.strip_suffix(TAIL.as_bytes()).ok_or(SetError::Foreign)?;
        let found = Digest::of(body);
        let expected = String::from_utf8_lossy(digest).into_owned();
        if found.to_string() != expected {
            return Err(SetError::Damaged(expected.escape_debug().to_string()));
        }
        let invalid = |error: serde_json::Error| SetError::Invalid(error.to_string());
        let Version { version } = serde_json::from_slice(body).map_err(invalid)?;
        if version > VERSION {
            return Err(SetError::Newer(version));
        }
        let Document { tool, namespace, bank, run, started, parts, missing, recipients, .. } =
            serde_json::from_slice(body).map_err(invalid)?;
        let manifest = Self { tool, namespace, bank, run, started, parts, missing, recipients };
        match manifest.fault() {
            Some(fault) => Err(SetError::Invalid(fault)),
            None => Ok((manifest, found)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{file_tree, sqlite_file};
    use super::*;

    fn part(component: &str, kind: PartKind, path: String) -> Part {
        Part {
            component: component.to_owned(),
            kind,
            path,
            bytes: 10,
            stored_bytes: 5,
            sha256: Digest::of(b"stored"),
            raw_sha256: Some(Digest::of(b"raw")),
            rows: BTreeMap::new(),
            orphans: 0,
            files: None,
            points: None,
            damage: None,
        }
    }

    fn manifest() -> SetManifest {
        let database = Part {
            rows: BTreeMap::from([("users".to_owned(), 1), ("memories".to_owned(), 7)]),
            ..part("database", PartKind::Sqlite, sqlite_file("database", ""))
        };
        let uploads = Part { files: Some(3), ..part("files/uploads", PartKind::Files, file_tree("uploads")) };
        SetManifest {
            tool: "memorybank 0.1.0".to_owned(),
            namespace: "default".to_owned(),
            bank: "assistant".to_owned(),
            run: "uid".to_owned(),
            started: Timestamp::UNIX_EPOCH,
            parts: vec![database, uploads],
            missing: Vec::new(),
            recipients: Vec::new(),
        }
    }

    #[test]
    fn a_manifest_round_trips_and_no_altered_byte_is_read() {
        let (text, digest) = manifest().to_json().unwrap();
        assert_eq!(SetManifest::from_json(&text), Ok((manifest(), digest)));
        assert!(String::from_utf8_lossy(&text).contains(r#""rows":{"memories":7,"users":1}"#));
        for at in 0..text.len() {
            let mut bad = text.clone();
            bad[at] ^= 1;
            assert!(SetManifest::from_json(&bad).is_err(), "byte {at}");
            assert!(SetManifest::from_json(&text[..at]).is_err(), "cut at {at}");
        }
        assert!(String::from_utf8_lossy(&text).contains(r#""manifest":{"version":1,"#), "older programs read it");
        let more = [text.as_slice(), b" "].concat();
        assert_eq!(SetManifest::from_json(&more), Err(SetError::Foreign));
    }

    #[test]
    fn what_makes_no_sense_is_refused_though_its_digest_is_right() {
        let envelope = |body: &str| format!("{HEAD}{}{MIDDLE}{body}{TAIL}", Digest::of(body.as_bytes()));
        let (text, _) = manifest().to_json().unwrap();
        let text = String::from_utf8(text).unwrap();
        let body = text.split_once(MIDDLE).unwrap().1.strip_suffix(TAIL).unwrap();
        for (from, to, expected) in [
            ("\"version\":1", "\"version\":3", "format version 3"),
            ("sqlite/database.db.zst", "../database.db.zst", "no path within a set"),
            ("sqlite/database.db.zst", "/etc/passwd", "no path within a set"),
            ("sqlite/database.db.zst", "files/uploads.tar.zst", "named twice"),
            ("sqlite/database.db.zst", "SHA256SUMS", "named twice"),
            ("\"tool\"", "\"tools\"", "unknown field"),
        ] {
            let bad = envelope(&body.replace(from, to));
            let error = SetManifest::from_json(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_set_of_encrypted_files_or_of_tables_is_of_the_newer_format() {
        let mut sealed = manifest();
        sealed.recipients = vec!["age1x".to_owned()];
        sealed.parts[0].path.push_str(".age");
        assert_eq!(sealed.parts[0].plain_path(), manifest().parts[0].path);
        let mut tables = manifest();
        tables.parts[1].kind = PartKind::Rows;
        for newer in [sealed, tables] {
            let (text, digest) = newer.to_json().unwrap();
            assert!(String::from_utf8_lossy(&text).contains(r#""manifest":{"version":2,"#));
            assert_eq!(SetManifest::from_json(&text), Ok((newer, digest)));
        }
    }

    #[test]
    fn a_set_that_lacks_something_says_what() {
        let whole = manifest();
        assert_eq!(whole.lack(), None);
        assert_eq!(whole.stored_bytes(), 10);
        let mut damaged = manifest();
        damaged.parts[0].damage = Some("page 3".to_owned());
        assert!(damaged.lack().unwrap().contains("page 3"));
        let mut empty = manifest();
        empty.parts[0].rows.values_mut().for_each(|rows| *rows = 0);
        empty.parts[1].files = Some(0);
        assert_eq!(empty.lack().unwrap(), "it holds no row and no file, and no point");
        empty.parts[1].points = Some(1);
        assert_eq!(empty.lack(), None);
        let missing = vec![Missing { component: "vectors".to_owned(), why: "not yet".to_owned() }];
        assert_eq!(SetManifest { missing, ..manifest() }.lack().unwrap(), "vectors is missing: not yet");
        assert_eq!(whole.to_sha256sums().lines().count(), 2);
    }
}
