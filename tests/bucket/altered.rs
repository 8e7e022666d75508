//! Objects that were changed since.

use std::fs;

use memorybank::domain::Work;
use memorybank::engine::backup::SetManifest;

use crate::bed::Bed;
use crate::s3::S3;

#[test]
fn no_byte_of_a_set_changes_without_its_being_refused() {
    let Some(s3) = S3::start() else { return };
    let mut bed = Bed::new(60);
    s3.keep_sets_of(&mut bed);
    bed.run("one", &[Work::Backup, Work::VerifyBackup]);
    assert_eq!(bed.verdict().unwrap().refused, None);
    let place = s3.bucket().join("deep/down/stores/assistant").join(bed.set().file_name().unwrap());
    let within = |key: &String| key.split_once("Z-one/").map(|(_, path)| path.to_owned());
    let objects: Vec<_> = s3.keys().iter().filter_map(within).collect();
    assert_eq!(objects.len(), 6, "{objects:?}");
    for object in &objects {
        let path = place.join(object);
        let good = fs::read(&path).unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&path, bad).unwrap();
            let refused = bed.refused().unwrap();
            assert!(refused.starts_with(object.as_str()), "{object}: {refused}");
        }
        for other in [&good[..good.len() - 1], &[good.as_slice(), b"more"].concat()] {
            fs::write(&path, other).unwrap();
            let refused = bed.refused().unwrap();
            assert!(refused.starts_with(object.as_str()), "{object}: {refused}");
        }
        fs::remove_file(&path).unwrap();
        let refused = bed.refused().unwrap();
        assert!(refused.starts_with(object.as_str()) && refused.contains("missing"), "{object}: {refused}");
        fs::write(&path, good).unwrap();
        assert_eq!(bed.refused(), None, "{object}");
    }
    fs::write(place.join("files/more.tar.zst"), "more").unwrap();
    assert!(bed.refused().unwrap().starts_with("files/more.tar.zst"));
    fs::remove_file(place.join("files/more.tar.zst")).unwrap();

    // Rewritten to match: only what the store knows tells.
    let path = place.join("manifest.json");
    let (mut manifest, _) = SetManifest::from_json(&fs::read(&path).unwrap()).unwrap();
    manifest.parts[0].orphans += 1;
    fs::write(&path, manifest.to_json().unwrap().0).unwrap();
    let refused = bed.refused().unwrap();
    assert!(refused.starts_with("manifest.json") && refused.contains("rewritten since"), "{refused}");
    fs::remove_dir_all(&place).unwrap();
    assert!(bed.refused().unwrap().starts_with('.'));
}
