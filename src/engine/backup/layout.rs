use super::SetManifest;

/// The file that makes a folder a set; the last one that is written.
pub const MANIFEST: &str = "manifest.json";
/// The digests of the stored files, for `sha256sum -c` on any machine.
pub const SUMS: &str = "SHA256SUMS";
/// What is added to the name of a set while it is written.
pub const PARTIAL: &str = ".partial";

/// Where the copy of a SQLite file stands in its set; `suffix` is that of a side file, or empty.
pub fn sqlite_file(component: &str, suffix: &str) -> String {
    format!("sqlite/{component}.db{suffix}.zst")
}

/// Where the archive of a file tree stands in its set.
pub fn file_tree(tree: &str) -> String {
    format!("files/{tree}.tar.zst")
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
