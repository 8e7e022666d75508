//! Snapshots as Qdrant makes them: a plain tar of `version.info`, `config.json` and a tar for each segment; within
//! that the points, in a form of this stand-in's own.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use memorybank::domain::{Digest, PointId};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::routes::{Reply, error, ok};
use super::{Collection, Config, Shared, Stored};

const SEGMENT: &str = "0/segments/5e0e1c7c-7f0e-4e0e-9b1a-4d1f4a8c5b11.tar";
const POINTS: &str = "snapshot/files/points.bin";

fn folder(shared: &Shared, name: &str) -> PathBuf {
    let folder = shared.folder.join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

pub(super) fn create(shared: &Shared, name: &str) -> Reply {
    let folder = folder(shared, name);
    let mut state = shared.state();
    state.snapshots += 1;
    let file = format!("{name}-4711-2026-11-25-10-{:02}-{:02}.snapshot", state.snapshots / 60, state.snapshots % 60);
    let path = folder.join(&file);
    match &state.given {
        Some(given) => drop(fs::copy(given, &path).unwrap()),
        None => write(&state.collections[name], &path, &folder),
    }
    let torn = state.troubles.torn;
    drop(state);
    fs::write(folder.join(format!("{file}.checksum")), digest(&path)).unwrap();
    if torn {
        let whole = fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(whole / 2).unwrap();
    }
    let made = list(shared, name).into_iter().find(|one| one["name"] == json!(file)).unwrap();
    ok(&made)
}

/// The snapshots of a collection, as they are told.
pub(super) fn list(shared: &Shared, name: &str) -> Vec<Value> {
    let folder = folder(shared, name);
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".snapshot"))
        .collect();
    names.sort();
    let told = |file: String| {
        let size = fs::metadata(folder.join(&file)).unwrap().len();
        let checksum = fs::read_to_string(folder.join(format!("{file}.checksum"))).ok();
        json!({"name": file, "creation_time": "2026-11-25T10:00:00", "size": size, "checksum": checksum})
    };
    names.into_iter().map(told).collect()
}

pub(super) fn download(shared: &Shared, name: &str, file: &str) -> Reply {
    match fs::read(folder(shared, name).join(file)) {
        Ok(bytes) => Reply::File(bytes),
        Err(_) => error(404, &format!("Not found: Snapshot {file} not found")),
    }
}

pub(super) fn delete(shared: &Shared, name: &str, file: &str) -> Reply {
    let path = folder(shared, name).join(file);
    if fs::remove_file(&path).is_err() {
        return error(404, &format!("Not found: Snapshot {file} not found"));
    }
    let _none = fs::remove_file(path.with_file_name(format!("{file}.checksum")));
    ok(&json!(true))
}

/// From a file of this machine, or from this server's own address.
pub(super) fn recover(shared: &Shared, name: &str, asked: &Value) -> Reply {
    let location = asked["location"].as_str().unwrap_or_default();
    let own = format!("http://{}/collections/", shared.address);
    let path = if let Some(path) = location.strip_prefix("file://") {
        PathBuf::from(path)
    } else if let Some((of, file)) = location.strip_prefix(&own).and_then(|rest| rest.split_once("/snapshots/")) {
        folder(shared, of).join(file)
    } else {
        return error(400, &format!("Bad request: Invalid snapshot location {location}"));
    };
    if !path.is_file() {
        return error(404, "Not found: Snapshot file not found");
    }
    take(shared, name, &path, asked["checksum"].as_str())
}

pub(super) fn upload(shared: &Shared, name: &str, query: &str, body: &[u8], boundary: &str) -> Reply {
    let Some(part) = part(body, boundary) else { return error(400, "Bad request: no multipart field `snapshot`") };
    let path = folder(shared, name).join("uploaded.tmp");
    fs::write(&path, part).unwrap();
    let checksum = query.split('&').find_map(|pair| pair.strip_prefix("checksum="));
    let reply = take(shared, name, &path, checksum);
    fs::remove_file(path).unwrap();
    reply
}

/// The field `snapshot` of a multipart body.
fn part<'a>(body: &'a [u8], boundary: &str) -> Option<&'a [u8]> {
    let find = |haystack: &[u8], needle: &[u8]| haystack.windows(needle.len()).position(|window| window == needle);
    let head_end = find(body, b"\r\n\r\n")? + 4;
    if !String::from_utf8_lossy(&body[..head_end]).contains("name=\"snapshot\"") {
        return None;
    }
    // The closing boundary is at the very end.
    let closing = format!("\r\n--{boundary}--");
    let tail = body.len().saturating_sub(closing.len() + 16).max(head_end);
    let end = tail + find(&body[tail..], closing.as_bytes())?;
    Some(&body[head_end..end])
}

fn take(shared: &Shared, name: &str, path: &Path, checksum: Option<&str>) -> Reply {
    let found = digest(path);
    if let Some(expected) = checksum.filter(|expected| *expected != found) {
        let told = format!("Bad request: Snapshot checksum mismatch: expected {expected}, got {found}");
        return error(400, &told);
    }
    match read(path) {
        None => error(500, "Service internal error: Failed to read snapshot: unexpected EOF"),
        Some(collection) => {
            shared.state().collections.insert(name.to_owned(), collection);
            ok(&json!(true))
        }
    }
}

fn digest(path: &Path) -> String {
    let (mut file, mut hash, mut piece) = (File::open(path).unwrap(), Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece).unwrap() {
            0 => return Digest::from_bytes(hash.finalize().into()).to_string(),
            count => hash.update(&piece[..count]),
        }
    }
}

fn write(collection: &Collection, path: &Path, folder: &Path) {
    let points = folder.join("points.tmp");
    let mut out = BufWriter::new(File::create(&points).unwrap());
    for (id, point) in collection.from(None) {
        let (kind, bits) = match id {
            PointId::Number(number) => (0_u8, u128::from(number)),
            PointId::Uuid(bits) => (1, bits),
        };
        let payload = point.payload.to_string();
        let vector = point.vector.unwrap_or_default();
        out.write_all(&[kind]).unwrap();
        out.write_all(&bits.to_be_bytes()).unwrap();
        out.write_all(&u32::try_from(payload.len()).unwrap().to_le_bytes()).unwrap();
        out.write_all(payload.as_bytes()).unwrap();
        out.write_all(&u32::try_from(vector.len()).unwrap().to_le_bytes()).unwrap();
        for number in vector {
            out.write_all(&number.to_le_bytes()).unwrap();
        }
    }
    out.into_inner().unwrap().sync_all().unwrap();
    let segment = folder.join("segment.tmp");
    let mut tar = tar::Builder::new(File::create(&segment).unwrap());
    tar.append_path_with_name(&points, POINTS).unwrap();
    tar.into_inner().unwrap();
    let mut tar = tar::Builder::new(File::create(path).unwrap());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content).unwrap();
    };
    add("version.info", b"\"1.19.0\"");
    add("config.json", json!({"params": collection.config.params()}).to_string().as_bytes());
    tar.append_path_with_name(&segment, SEGMENT).unwrap();
    tar.into_inner().unwrap();
    fs::remove_file(points).unwrap();
    fs::remove_file(segment).unwrap();
}

fn read(path: &Path) -> Option<Collection> {
    let mut config = None;
    let mut points = Vec::new();
    let mut outer = tar::Archive::new(File::open(path).ok()?);
    for entry in outer.entries().ok()? {
        let mut entry = entry.ok()?;
        let name = entry.path().ok()?.to_string_lossy().into_owned();
        if name == "config.json" {
            let value: Value = serde_json::from_reader(&mut entry).ok()?;
            config = Config::from_params(&value["params"]);
        } else if name == SEGMENT {
            let mut inner = tar::Archive::new(&mut entry);
            for file in inner.entries().ok()? {
                points = read_points(BufReader::new(file.ok()?))?;
            }
        }
    }
    let mut collection = Collection::new(config?);
    for (id, point) in points {
        collection.put(id, point);
    }
    Some(collection)
}

fn read_points(mut from: impl Read) -> Option<Vec<(PointId, Stored)>> {
    let mut points = Vec::new();
    loop {
        let mut kind = [0];
        if from.read(&mut kind).ok()? == 0 {
            return Some(points);
        }
        let mut bits = [0; 16];
        from.read_exact(&mut bits).ok()?;
        let bits = u128::from_be_bytes(bits);
        let id = if kind[0] == 0 { PointId::Number(u64::try_from(bits).ok()?) } else { PointId::Uuid(bits) };
        let mut length = [0; 4];
        from.read_exact(&mut length).ok()?;
        let mut payload = vec![0; u32::from_le_bytes(length) as usize];
        from.read_exact(&mut payload).ok()?;
        from.read_exact(&mut length).ok()?;
        let mut vector = vec![0; u32::from_le_bytes(length) as usize * 4];
        from.read_exact(&mut vector).ok()?;
        let vector = vector.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        let payload = serde_json::from_slice(&payload).ok()?;
        points.push((id, Stored { payload, vector: Some(vector).filter(|v: &Vec<f32>| !v.is_empty()) }));
    }
}
