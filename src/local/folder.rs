use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::domain::Digest;

/// A resource file larger than this is none.
const MAX_FILE: u64 = 4 << 20;
/// A folder with more files than this is not a folder of resources.
const MAX_FILES: usize = 10_000;

/// Why a folder of resources could not be read.
#[derive(Debug, Error)]
pub enum FolderError {
    /// The folder or one of its files.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More than this program takes.
    #[error("{path}: {what}")]
    TooMuch {
        /// Which.
        path: PathBuf,
        /// What is too much, and the bound.
        what: String,
    },
}

/// The resource files of a folder, as they were at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Name and text of each `*.yaml` and `*.yml`, in order of names.
    pub files: Vec<(String, String)>,
    /// Changes when any of them does.
    pub digest: Digest,
}

impl Folder {
    /// Reads the folder; folders within it are not entered.
    pub fn read(path: &Path) -> Result<Self, FolderError> {
        let mut files = Vec::new();
        for name in names(path)? {
            let file = path.join(&name);
            let fail = |source| FolderError::Read { path: file.clone(), source };
            if fs::metadata(&file).map_err(fail)?.len() > MAX_FILE {
                return Err(FolderError::TooMuch { path: file, what: "more than 4 MiB".to_owned() });
            }
            files.push((name, fs::read_to_string(&file).map_err(fail)?));
        }
        let fields: Vec<&str> = files.iter().flat_map(|(name, text)| [name.as_str(), text.as_str()]).collect();
        let digest = Digest::of_fields(&fields);
        Ok(Self { files, digest })
    }
}

/// What a glance at the folder shows: names, sizes and times. While it is the same, nothing is read.
pub fn glance(path: &Path) -> Result<Digest, FolderError> {
    let mut seen = Vec::new();
    for name in names(path)? {
        let file = path.join(&name);
        let metadata = fs::metadata(&file).map_err(|source| FolderError::Read { path: file, source })?;
        seen.push(format!("{name} {} {:?}", metadata.len(), metadata.modified().ok()));
    }
    let fields: Vec<&str> = seen.iter().map(String::as_str).collect();
    Ok(Digest::of_fields(&fields))
}

fn names(path: &Path) -> Result<Vec<String>, FolderError> {
    let fail = |source| FolderError::Read { path: path.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let hidden = name.starts_with('.');
        let resource = Path::new(&name).extension().is_some_and(|e| e == "yaml" || e == "yml");
        if resource && !hidden && entry.path().is_file() {
            names.push(name);
        }
        if names.len() > MAX_FILES {
            return Err(FolderError::TooMuch { path: path.to_owned(), what: format!("more than {MAX_FILES} files") });
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_resource_files_count_and_any_change_shows() {
        let folder = tempfile::TempDir::new().unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        put("b.yaml", "b");
        put("a.yml", "a");
        put(".hidden.yaml", "no");
        put("notes.txt", "no");
        let first = Folder::read(folder.path()).unwrap();
        assert_eq!(first.files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a.yml", "b.yaml"]);
        let seen = glance(folder.path()).unwrap();
        put("notes.txt", "changed");
        assert_eq!(glance(folder.path()).unwrap(), seen);
        put("b.yaml", "bb");
        assert_ne!(glance(folder.path()).unwrap(), seen);
        assert_ne!(Folder::read(folder.path()).unwrap().digest, first.digest);
    }

    #[test]
    fn an_absent_folder_is_named() {
        let error = Folder::read(Path::new("/nonexistent/config")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/config"), "{error}");
    }
}
