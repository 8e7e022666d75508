//! The snapshot of a collection as Qdrant makes it: a tar of `config.json` and of a tar for each segment.

use std::cell::Cell;
use std::io::{self, Read};
use std::path::{Component, Path};

use serde_json::Value;
use tar::Archive;

/// A `config.json` larger than this is none.
const MAX_CONFIG: u64 = 1 << 20;
/// How deep archives lie within each other: segments, and in old versions their indexes.
const MAX_DEPTH: u32 = 3;
/// What an archive ends with: two blocks of zeros.
const END: u64 = 1_024;

/// What a walk has met.
#[derive(Default)]
struct Met {
    config: bool,
    segments: u64,
}

/// Reads a snapshot to its end: its settings name the size of a vector, each archive in it is whole, and where it has
/// points there is a segment. Else why not.
pub(super) fn walk(raw: &mut dyn Read, points: u64) -> Result<(), String> {
    let mut met = Met::default();
    archive(raw, "the snapshot", 0, &mut met)?;
    if !met.config {
        return Err("the snapshot has no config.json".to_owned());
    }
    if met.segments == 0 && points > 0 {
        return Err(format!("the snapshot has no segment, and {points} points were counted"));
    }
    Ok(())
}

/// Walks one archive to its end and what lies in it.
fn archive(raw: &mut dyn Read, name: &str, depth: u32, met: &mut Met) -> Result<(), String> {
    let told = |error: io::Error| format!("{name} cannot be walked: {error}");
    let zeros = Cell::new(0);
    let mut raw = Tail { inner: raw, zeros: &zeros };
    let mut archive = Archive::new(&mut raw);
    for entry in archive.entries().map_err(told)? {
        let mut entry = entry.map_err(told)?;
        let path = entry.path().map_err(told)?.into_owned();
        let within = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if !path.components().all(within) {
            return Err(format!("{name} has a path that leads out of it: {}", path.display()));
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        if depth == 0 && path == Path::new("config.json") {
            met.config = true;
            config(&mut entry)?;
        }
        if depth == 0 && is_segment(&path) {
            met.segments += 1;
        }
        if path.extension().is_some_and(|extension| extension == "tar") {
            if depth == MAX_DEPTH {
                return Err(format!("{name} holds archives more than {MAX_DEPTH} deep"));
            }
            self::archive(&mut entry, &path.display().to_string(), depth + 1, met)?;
        }
        // The rest of it, so that one which is cut is told by its name.
        io::copy(&mut entry, &mut io::sink()).map_err(|error| format!("{} in {name}: {error}", path.display()))?;
        // What an entry itself ends with is not the end of the archive.
        zeros.set(0);
    }
    io::copy(&mut raw, &mut io::sink()).map_err(told)?;
    if zeros.get() < END {
        return Err(format!("{name} breaks off: it does not end as an archive does"));
    }
    Ok(())
}

/// Whether a file is of a segment: `SHARD/segments/NAME`.
fn is_segment(path: &Path) -> bool {
    let parts: Vec<_> = path.components().filter(|part| *part != Component::CurDir).collect();
    let is =
        |at: usize, what: fn(&str) -> bool| parts.get(at).and_then(|part| part.as_os_str().to_str()).is_some_and(what);
    is(0, |shard| shard.parse::<u32>().is_ok()) && is(1, |part| part == "segments") && parts.len() > 2
}

fn config(entry: &mut dyn Read) -> Result<(), String> {
    let mut text = Vec::new();
    let read = entry.take(MAX_CONFIG).read_to_end(&mut text);
    read.map_err(|error| format!("config.json cannot be read: {error}"))?;
    let config: Value = serde_json::from_slice(&text).map_err(|error| format!("config.json is not valid: {error}"))?;
    let vectors = &config["params"]["vectors"];
    let sized = |vector: &Value| vector["size"].as_u64().is_some_and(|size| size > 0);
    // One vector without a name, or several by name.
    let named = vectors.as_object().is_some_and(|named| named.values().any(sized));
    if sized(vectors) || named { Ok(()) } else { Err("config.json does not name the size of a vector".to_owned()) }
}

/// Counts the zeros at the end of what passed.
struct Tail<'a> {
    inner: &'a mut dyn Read,
    zeros: &'a Cell<u64>,
}

impl Read for Tail<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let zeros = buffer[..read].iter().rev().take_while(|byte| **byte == 0).count();
        self.zeros.set(if zeros == read { self.zeros.get() } else { 0 } + zeros as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: &str = "0/segments/5e0e1c7c.tar";
    const CONFIG: &[u8] = br#"{"params": {"vectors": {"size": 8, "distance": "Cosine"}}}"#;

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, *content).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn walked(bytes: &[u8], points: u64) -> Result<(), String> {
        walk(&mut &*bytes, points)
    }

    #[test]
    fn a_snapshot_is_whole_or_says_what_is_not() {
        let segment = tar(&[("snapshot/files/points.bin", &[7; 900]), ("snapshot/files/more.bin", b"more")]);
        let whole = tar(&[("version.info", b"\"1.19.0\""), ("config.json", CONFIG), (SEGMENT, &segment)]);
        assert_eq!(walked(&whole, 3), Ok(()));
        // The last of them: right behind the segment, which itself ends in zeros.
        for cut in (0..=whole.len() - 1_024).step_by(128) {
            walked(&whole[..cut], 3).unwrap_err();
        }
        let named = br#"{"params": {"vectors": {"dense": {"size": 8}}}}"#;
        let empty = tar(&[("config.json", named)]);
        assert_eq!(walked(&empty, 0), Ok(()));
        assert!(walked(&empty, 1).unwrap_err().contains("no segment"));
        // What is whole outside may be torn within.
        for cut in (0..segment.len() - 1_024).step_by(128) {
            let torn = tar(&[("config.json", CONFIG), (SEGMENT, &segment[..cut])]);
            let why = walked(&torn, 3).unwrap_err();
            assert!(why.contains("0/segments/"), "{why}");
        }
        for (files, expected) in [
            (vec![(SEGMENT, segment.as_slice())], "no config.json"),
            (vec![("config.json", &CONFIG[..20])], "config.json is not valid"),
            (vec![("config.json", b"{\"params\": {\"vectors\": {}}}".as_slice())], "size of a vector"),
        ] {
            let why = walked(&tar(&files), 3).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
        assert!(walked(&[], 0).is_err());
    }
}
