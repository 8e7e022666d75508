use super::SetManifest;

/// The statements that make the tables of a database anew, beside their rows.
pub const DDL: &str = "ddl.sql";
/// The file that makes a folder a set; the last one that is written.
pub const MANIFEST: &str = "manifest.json";
/// The digests of the stored files, for `sha256sum -c` on any machine.
pub const SUMS: &str = "SHA256SUMS";
/// What the name of an encrypted file ends with.
pub const SEALED: &str = ".age";
/// What is added to the name of a set while it is written.
pub const PARTIAL: &str = ".partial";
/// The longest name of a file that is named after something, without its ending.
const MAX_NAME: usize = 200;

/// Where the copy of a SQLite file stands in its set; `suffix` is that of a side file, or empty.
pub fn sqlite_file(component: &str, suffix: &str) -> String {
    format!("sqlite/{component}.db{suffix}.zst")
}

/// Where the archive of a file tree stands in its set.
pub fn file_tree(tree: &str) -> String {
    format!("files/{tree}.tar.zst")
}

/// Where the snapshot of a collection stands in its set; none for a name that no file can have.
pub fn snapshot_file(collection: &str) -> Option<String> {
    Some(format!("qdrant/{}.snapshot", file_name(collection)?))
}

/// Where the tables of a PostgreSQL database stand in their set: `ddl.sql` and the rows of each table.
pub fn postgres_folder(component: &str) -> String {
    format!("postgres/{}", component.replace('/', "-"))
}

/// A name as a file has it: what is no letter, digit, `-` or `_` is `.` and two hex digits. None for one that no file can
/// have.
pub(super) fn file_name(of: &str) -> Option<String> {
    let mut name = String::with_capacity(of.len());
    for byte in of.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.extend([".", &format!("{byte:02x}")]);
        }
    }
    (!name.is_empty() && name.len() <= MAX_NAME).then_some(name)
}

impl SetManifest {
    /// The text of `SHA256SUMS`. Paths within a set need no escape.
    pub fn to_sha256sums(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            text.extend([part.sha256.to_string().as_str(), "  ", &part.path, "\n"]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_collection_leaves_its_folder_or_meets_another() {
        for (collection, expected) in [
            ("openmemory", "qdrant/openmemory.snapshot"),
            ("../../etc", "qdrant/.2e.2e.2f.2e.2e.2fetc.snapshot"),
            ("..2f", "qdrant/.2e.2e2f.snapshot"),
            ("mémoire 1", "qdrant/m.c3.a9moire.201.snapshot"),
        ] {
            assert_eq!(snapshot_file(collection).as_deref(), Some(expected));
        }
        assert_eq!(snapshot_file(""), None);
        assert_eq!(snapshot_file(&"é".repeat(100)), None);
    }
}
