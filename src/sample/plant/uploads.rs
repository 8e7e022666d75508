use std::fs;
use std::path::{Path, PathBuf};

use super::Site;
use crate::sample::damage::Damage;
use crate::sample::error::SampleError;
use crate::sample::planted::{Expected, Planted};
use crate::sample::{timeline, tree};

const COMPONENT: &str = "files/uploads";

/// Damages one file of the tree `uploads`.
pub fn plant(site: &Site, damage: Damage) -> Result<Planted, SampleError> {
    let root = site.bank.join("uploads");
    let object = match damage {
        Damage::FileChangedSilently => "audio/meeting.wav".to_owned(),
        Damage::FileTruncated => note(&root, 9)?,
        Damage::FileRenamed => note(&root, 17)?,
        _ => note(&root, 5)?,
    };
    let path = root.join(&object);
    match damage {
        Damage::FileChangedSilently => {
            let time = fs::metadata(&path).and_then(|m| m.modified()).map_err(SampleError::io(&path))?;
            let mut bytes = fs::read(&path).map_err(SampleError::io(&path))?;
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 0x10;
            }
            fs::write(&path, bytes).map_err(SampleError::io(&path))?;
            let file = fs::File::options().write(true).open(&path).map_err(SampleError::io(&path))?;
            file.set_modified(time).map_err(SampleError::io(&path))?;
        }
        Damage::FileTruncated => {
            let bytes = fs::read(&path).map_err(SampleError::io(&path))?;
            tree::write(&path, bytes.get(..bytes.len() / 3).unwrap_or_default(), timeline::end())?;
        }
        Damage::FileRenamed => {
            fs::rename(&path, path.with_extension("md.old")).map_err(SampleError::io(&path))?;
        }
        _ => fs::remove_file(&path).map_err(SampleError::io(&path))?,
    }
    let check = if damage == Damage::FileChangedSilently { "files-content" } else { "files-names" };
    Ok(Planted::of(damage, vec![Expected::corruption(check, COMPONENT, object, None)]))
}

/// Damages the end of history.db.
pub fn history(site: &Site, damage: Damage) -> Result<Planted, SampleError> {
    let path = site.history();
    let mut bytes = fs::read(&path).map_err(SampleError::io(&path))?;
    let sizes = Expected::corruption("sqlite-file", "history", ".mem0/history.db", None);
    let planted = if damage == Damage::HistoryTail {
        let end = bytes.len();
        bytes.resize(end + 777, 0);
        site.random(damage).fill(bytes.get_mut(end..).unwrap_or_default());
        Planted::of(damage, vec![sizes])
    } else {
        let page_size = usize::from(u16::from_be_bytes([byte(&bytes, 16), byte(&bytes, 17)]));
        bytes.truncate(bytes.len().saturating_sub(2 * page_size));
        // What is missing shows wherever the history is read.
        let also = [HISTORY, DATABASE].map(|component| Expected::corruption("*", component, "*", None));
        Planted::of(damage, vec![sizes]).also(also.to_vec())
    };
    tree::write(&path, &bytes, timeline::end())?;
    Ok(planted)
}

const HISTORY: &str = "history";
const DATABASE: &str = "database";

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}

/// The path of the note with this number, relative to the tree.
fn note(root: &Path, number: usize) -> Result<String, SampleError> {
    let name = format!("note-{number:02}.md");
    let notes = root.join("notes");
    let list = |path: &PathBuf| fs::read_dir(path).map_err(SampleError::io(path));
    for folder in list(&notes)?.flatten() {
        if folder.path().join(&name).exists() {
            return Ok(format!("notes/{}/{name}", folder.file_name().to_string_lossy()));
        }
    }
    Err(SampleError::io(&notes.join(name))(std::io::ErrorKind::NotFound.into()))
}
