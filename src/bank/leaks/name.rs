//! Which files of a volume are texts worth scanning, by name.

use crate::domain::Severity;

/// What kind of text a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Where secrets are expected: environment files, Compose files, credentials of tools, key files.
    Settings,
    /// Where none is.
    Text,
}

/// Extensions of settings.
const SETTINGS: [&str; 9] = ["env", "pem", "key", "conf", "cfg", "ini", "properties", "toml", "config"];
/// Extensions of other texts.
const TEXTS: [&str; 20] = [
    "yaml", "yml", "json", "jsonl", "ndjson", "log", "txt", "md", "csv", "tsv", "sql", "sh", "bash", "py", "js", "ts",
    "xml", "html", "out", "err",
];
/// Whole names.
const NAMES: [&str; 11] = [
    ".netrc",
    ".pgpass",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    "credentials",
    "id_rsa",
    "id_ed25519",
    "id_ecdsa",
    "config",
    "secrets",
];
/// Folders of packages and version control: their texts are others' work.
const FOLDERS: [&str; 7] = ["node_modules", ".git", "__pycache__", "site-packages", ".venv", "venv", ".cache"];

/// Names that only the storage folder of a database server has: Qdrant's and PostgreSQL's.
pub const STORES: [&str; 3] = ["raft_state.json", "PG_VERSION", "segment.json"];

/// The kind of the file of this name; none where it is not scanned.
pub fn kind(name: &str) -> Option<FileKind> {
    let name = name.to_ascii_lowercase();
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_'));
    // `api.log.1` and `api.log-20260304` are logs too.
    let extension = stem.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
    let compose =
        (name.starts_with("compose") || name.starts_with("docker-compose")) && matches!(extension, "yml" | "yaml");
    if name.starts_with(".env") || compose || SETTINGS.contains(&extension) || NAMES.contains(&name.as_str()) {
        Some(FileKind::Settings)
    } else if TEXTS.contains(&extension) || name == "dockerfile" {
        Some(FileKind::Text)
    } else {
        None
    }
}

/// Whether the folder of this name is passed over.
pub fn foreign(folder: &str) -> bool {
    FOLDERS.contains(&folder)
}

/// How a secret in settings is told: it is expected there, so what counts is who else can read the file.
pub fn in_settings(severity: Severity, others_read: bool) -> (Severity, &'static str) {
    if others_read {
        let advice = "Every account of the machine can read this file: make it private (mode 600), or move the value to a secret store.";
        (severity.min(Severity::High), advice)
    } else {
        let advice = "Expected here and readable by its owner only; keep the file out of backups and version control, or use a secret store.";
        (severity.min(Severity::Medium), advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_compose_and_rotated_logs_are_scanned_and_binaries_are_not() {
        for name in
            [".env", ".env.local", "prod.env", "docker-compose.yml", "compose.override.yaml", "app.ini", "tls.key"]
        {
            assert_eq!(kind(name), Some(FileKind::Settings), "{name}");
        }
        for name in ["api.log", "api.log.1", "api.log-20260304", "notes.md", "values.yaml", "EXPORT.JSON", "Dockerfile"]
        {
            assert_eq!(kind(name), Some(FileKind::Text), "{name}");
        }
        for name in ["openmemory.db", "image.png", "chunk_0.mmap", "backup.tar.gz", "README"] {
            assert_eq!(kind(name), None, "{name}");
        }
    }
}
