use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the status of an object stands beside the store, for people and scripts.
pub(super) fn path(data: &Path, kind: &str, name: &str) -> PathBuf {
    data.join("status").join(kind).join(format!("{name}.yaml"))
}

/// Writes an object whole: a reader sees the old file or the new one, never half of either. It is not
/// synced: the store holds the truth, and every start holds these files against it. A file that says so
/// already is left alone.
pub(super) fn write(data: &Path, kind: &str, name: &str, object: &serde_json::Value) -> io::Result<()> {
    let path = path(data, kind, name);
    let folder = path.parent().unwrap_or(data);
    let text = serde_saphyr::to_string(object).map_err(io::Error::other)?;
    if fs::read_to_string(&path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    let new = folder.join(format!(".{name}.new"));
    if let Err(error) = fs::write(&new, &text) {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
        fs::create_dir_all(folder)?;
        fs::write(&new, &text)?;
    }
    fs::rename(&new, &path)
}

/// Removes the file of an object that is gone.
pub(super) fn remove(data: &Path, kind: &str, name: &str) -> io::Result<()> {
    match fs::remove_file(path(data, kind, name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The names of the objects of a kind that have a file.
pub(super) fn names(data: &Path, kind: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(data.join("status").join(kind)) else { return Vec::new() };
    let name = |entry: fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(".yaml")?.to_owned());
    entries.filter_map(|entry| name(entry.ok()?)).filter(|name| !name.starts_with('.')).collect()
}
