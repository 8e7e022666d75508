use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::damage::Damage;
use super::database::{self, Shape};
use super::error::SampleError;
use super::insert::Format;
use super::plant::Site;
use super::planted::Planted;
use super::schema::Generation;
use super::{timeline, tree};

const MARKER: &str = "sample.json";
const PLANTED: &str = "planted.json";

/// What a sample was made from: the same recipe gives the same bytes and times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recipe {
    /// How many memories.
    pub memories: usize,
    /// Where chance begins.
    pub seed: u64,
    /// Which code made the tables.
    pub generation: Generation,
}

impl Default for Recipe {
    fn default() -> Self {
        Self { memories: 500, seed: 1, generation: Generation::Current }
    }
}

/// Reads the recipe of a sample; none where the folder is empty or absent.
pub fn recipe(folder: &Path) -> Result<Option<Recipe>, SampleError> {
    let marker = folder.join(MARKER);
    match fs::read(&marker) {
        Ok(bytes) => json(&marker, &bytes).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_empty(folder)? => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(SampleError::NotASample(folder.to_owned())),
        Err(error) => Err(SampleError::io(&marker)(error)),
    }
}

/// Writes a sample bank with planted damage to a folder that is empty, absent, or holds a sample, and gives
/// what was planted.
pub async fn write(folder: &Path, recipe: &Recipe, damages: &[Damage]) -> Result<Vec<Planted>, SampleError> {
    self::recipe(folder)?;
    fs::create_dir_all(folder).map_err(SampleError::io(folder))?;
    // The marker first: a sample that was interrupted is known as one, and may be written again.
    save(&folder.join(MARKER), recipe)?;
    for part in ["bank", "config"] {
        remove(&folder.join(part))?;
    }
    let bank = folder.join("bank");
    tree::write_bank(&bank, recipe.seed)?;
    tree::write_config(&folder.join("config"))?;
    let (main, history) = (bank.join("openmemory.db"), bank.join(".mem0/history.db"));
    for path in [&main, &history] {
        let folder = path.parent().unwrap_or(&bank);
        fs::create_dir_all(folder).map_err(SampleError::io(folder))?;
    }
    let Recipe { memories, seed, generation } = *recipe;
    database::write(&main, &history, Shape { memories, seed, generation, format: Format::default() }).await?;
    for path in [&main, &history] {
        tree::touch(path, timeline::end())?;
    }
    let planted = Site::new(&bank, memories, seed).plant(damages).await?;
    save(&folder.join(PLANTED), &planted)?;
    Ok(planted)
}

/// What was planted in a sample.
pub fn planted(folder: &Path) -> Result<Vec<Planted>, SampleError> {
    let path = folder.join(PLANTED);
    let bytes = fs::read(&path).map_err(SampleError::io(&path))?;
    json(&path, &bytes)
}

fn json<T: for<'de> Deserialize<'de>>(path: &Path, bytes: &[u8]) -> Result<T, SampleError> {
    serde_json::from_slice(bytes).map_err(|source| SampleError::Unreadable { path: path.to_owned(), source })
}

fn save<T: Serialize>(path: &Path, value: &T) -> Result<(), SampleError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|source| SampleError::Unreadable { path: path.to_owned(), source })?;
    tree::write(path, (text + "\n").as_bytes(), timeline::end())
}

/// Whether a folder has no entry; one that does not exist has none.
fn is_empty(folder: &Path) -> Result<bool, SampleError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(SampleError::io(folder)(error)),
    }
}

fn remove(folder: &Path) -> Result<(), SampleError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(SampleError::io(folder)(error)),
        _ => Ok(()),
    }
}
