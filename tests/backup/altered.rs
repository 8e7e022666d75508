//! No byte of a set can be changed without being told, by whoever changes it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use memorybank::domain::Digest;
use memorybank::engine::backup::SetManifest;

use crate::bed::{Bed, files};

#[test]
fn a_set_that_was_altered_in_any_file_is_refused_by_name() {
    let bed = Bed::new(60);
    bed.run("one", &[memorybank::domain::Work::Backup, memorybank::domain::Work::VerifyBackup]);
    let set = bed.set();
    assert_eq!(bed.refused(), None);
    for file in files(&set) {
        let path = set.join(&file);
        let good = fs::read(&path).unwrap();
        let flipped = |at: usize| {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            bad
        };
        let mut bad = vec![flipped(0), flipped(good.len() / 2), flipped(good.len() - 1)];
        bad.push(good[..good.len() - 1].to_vec());
        bad.push([good.as_slice(), b"x"].concat());
        bad.push(Vec::new());
        for bytes in bad {
            fs::write(&path, bytes).unwrap();
            let refused = bed.refused().unwrap();
            assert!(refused.starts_with(&file), "{file}: {refused}");
            assert_eq!(bed.verdict().unwrap().verified, None);
        }
        fs::remove_file(&path).unwrap();
        let refused = bed.refused().unwrap();
        assert!(refused.starts_with(&file) && refused.contains("missing"), "{file}: {refused}");
        symlink(bed.path("config/memorybank.yaml"), &path).unwrap();
        assert!(bed.refused().unwrap().starts_with(&file));
        fs::remove_file(&path).unwrap();
        fs::write(&path, &good).unwrap();
        assert_eq!(bed.refused(), None, "{file} is mended");
    }
    fs::write(set.join("files/more.tar.zst"), "more").unwrap();
    assert!(bed.refused().unwrap().starts_with("files/more.tar.zst"));
    fs::remove_dir_all(&set).unwrap();
    assert!(bed.refused().unwrap().contains("missing"));
}

/// Writes another content into a set, with a manifest and digests that agree with it.
fn rewrite(set: &Path) {
    let (mut manifest, _) = SetManifest::from_json(&fs::read(set.join("manifest.json")).unwrap()).unwrap();
    let part = manifest.parts.iter_mut().find(|part| part.component == "files/uploads").unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    archive.append_data(&mut header, "evil", b"evil".as_slice()).unwrap();
    let raw = archive.into_inner().unwrap();
    let stored = zstd::encode_all(raw.as_slice(), 3).unwrap();
    (part.bytes, part.stored_bytes, part.files) = (raw.len() as u64, stored.len() as u64, Some(1));
    (part.sha256, part.raw_sha256) = (Digest::of(&stored), Some(Digest::of(&raw)));
    fs::write(set.join(&part.path), stored).unwrap();
    fs::write(set.join("SHA256SUMS"), manifest.to_sha256sums()).unwrap();
    fs::write(set.join("manifest.json"), manifest.to_json().unwrap().0).unwrap();
}

#[test]
fn a_manifest_that_was_rewritten_to_match_is_refused() {
    let bed = Bed::new(30);
    bed.back_up("one");
    assert_eq!(bed.refused(), None);
    rewrite(&bed.set());
    let refused = bed.refused().unwrap();
    assert!(refused.starts_with("manifest.json") && refused.contains("rewritten"), "{refused}");
}
