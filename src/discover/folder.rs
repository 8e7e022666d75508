use std::path::Path;

use super::stack::{Database, Stack, Volume, VolumeSource, label};

/// Where OpenMemory's database lies in a checkout, in a copied volume, or by itself.
const DATABASES: [&str; 3] = ["openmemory.db", "api/openmemory.db", "openmemory/api/openmemory.db"];
/// Where mem0's history lies beside it.
const HISTORIES: [&str; 4] = [".mem0/history.db", "history.db", "api/.mem0/history.db", "history/history.db"];

/// Finds a bank by its files in a folder.
pub(super) fn find(folder: &Path) -> Option<Stack> {
    let present = |paths: &[&'static str]| paths.iter().copied().find(|path| folder.join(path).is_file());
    let database = present(&DATABASES)?;
    let name = folder
        .canonicalize()
        .ok()
        .and_then(|path| Some(label(path.file_name()?.to_str()?)))
        .unwrap_or_else(|| "bank".to_owned());
    let mut stack = Stack {
        name,
        flavor: "OpenMemory",
        database: Some(Database::Sqlite("data".to_owned(), database.to_owned())),
        volumes: vec![Volume { name: "data".to_owned(), source: VolumeSource::Folder(".".to_owned()) }],
        ..Stack::default()
    };
    match present(&HISTORIES) {
        Some(path) => stack.history = Some(("data".to_owned(), path.to_owned())),
        None => stack
            .notes
            .push("history: no history.db in this folder (mem0 keeps it in ~/.mem0 unless MEM0_DIR is set)".to_owned()),
    }
    if folder.join("backups").is_dir() {
        stack.backups.push(("backups".to_owned(), "data".to_owned(), "backups".to_owned()));
    }
    stack.notes.push(
        "api, vector store: a folder does not tell where they are; add them by hand, or use --compose".to_owned(),
    );
    Some(stack)
}
