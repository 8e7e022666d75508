//! Snapshots: made, listed, fetched whole or not at all, and restored with their digest.

use std::fs;
use std::io::Read as _;

use memorybank::bank::Meter;
use memorybank::bank::qdrant::QdrantError;
use memorybank::domain::Digest;
use tokio_util::sync::CancellationToken;

use crate::qdrant::Answer;
use crate::{NAME, SIZE, client, healthy, id};

const LIMIT: u64 = 1 << 30;

#[tokio::test]
async fn a_snapshot_is_fetched_whole_and_restored_elsewhere() {
    let server = healthy(20);
    let client = client(&server).await;
    let made = client.create_snapshot(NAME).await.unwrap();
    assert_eq!(client.snapshots(NAME).await.unwrap(), std::slice::from_ref(&made));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.snapshot");
    let meter = Meter::default();
    let got = client.download_snapshot(NAME, &made, &path, LIMIT, &meter).await.unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!((got.size, got.digest), (made.size, Digest::of(&bytes)));
    assert_eq!((made.digest(), meter.progress().0), (Some(got.digest), made.size));

    // It is a plain tar with the collection's settings and a tar of each segment.
    let mut names = Vec::new();
    for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        if name == "config.json" {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            assert!(text.contains(&format!("\"size\":{SIZE}")), "{text}");
        }
        names.push(name);
    }
    assert_eq!(names[..2], ["version.info", "config.json"]);
    assert!(names[2].starts_with("0/segments/") && names[2].contains(".tar"), "{names:?}");

    let before: Vec<_> = (0..20).map(|number| server.point(NAME, id(number))).collect();
    assert!(client.upload_snapshot("uploaded", &path, &got.digest).await.unwrap());
    let location = format!("file://{}", path.display());
    assert!(client.recover_snapshot("recovered", &location, &got.digest).await.unwrap());
    let own = format!("{}/collections/{NAME}/snapshots/{}", server.url(), made.name);
    assert!(client.recover_snapshot("again", &own, &got.digest).await.unwrap());
    for name in ["uploaded", "recovered", "again"] {
        let after: Vec<_> = (0..20).map(|number| server.point(name, id(number))).collect();
        assert!(before == after, "{name}");
    }
    assert!(client.delete_snapshot(NAME, &made.name).await.unwrap());
    assert_eq!(client.snapshots(NAME).await.unwrap(), []);
    assert!(client.delete_snapshot(NAME, &made.name).await.unwrap_err().is_missing());
}

#[tokio::test]
async fn what_is_not_the_snapshot_that_was_announced_leaves_no_file() {
    let server = healthy(20);
    let client = client(&server).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.snapshot");
    let whole = client.create_snapshot(NAME).await.unwrap();
    server.tear_snapshots();
    let torn = client.create_snapshot(NAME).await.unwrap();

    let error = client.download_snapshot(NAME, &torn, &path, LIMIT, &Meter::default()).await.unwrap_err();
    assert!(matches!(error, QdrantError::Checksum { .. }), "{error}");
    let error = client.download_snapshot(NAME, &whole, &path, whole.size - 1, &Meter::default()).await.unwrap_err();
    assert!(matches!(error, QdrantError::TooLarge { .. }), "{error}");
    let token = CancellationToken::new();
    token.cancel();
    client.download_snapshot(NAME, &whole, &path, LIMIT, &Meter::new(token)).await.unwrap_err();
    for trouble in [Answer::Status(503, "busy"), Answer::Drop, Answer::Half] {
        server.trouble("GET /collections/openmemory/snapshots/", Some(1), trouble);
        client.download_snapshot(NAME, &whole, &path, LIMIT, &Meter::default()).await.unwrap_err();
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    // A file that is there is not overwritten.
    fs::write(&path, "mine").unwrap();
    let error = client.download_snapshot(NAME, &whole, &path, LIMIT, &Meter::default()).await.unwrap_err();
    assert!(matches!(error, QdrantError::File { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
}

#[tokio::test]
async fn a_snapshot_of_another_digest_is_not_restored() {
    let server = healthy(5);
    let client = client(&server).await;
    let made = client.create_snapshot(NAME).await.unwrap();
    let own = format!("{}/collections/{NAME}/snapshots/{}", server.url(), made.name);
    let other = Digest::of(b"other");
    let error = client.recover_snapshot("copy", &own, &other).await.unwrap_err();
    assert!(error.to_string().contains("checksum mismatch"), "{error}");
    let path = server.snapshots().join(NAME).join(&made.name);
    let error = client.upload_snapshot("copy", &path, &other).await.unwrap_err();
    assert!(error.to_string().contains("checksum mismatch"), "{error}");
    assert_eq!(server.collections(), [NAME]);
    // A change is asked for once, whatever happens.
    let asked = || server.requests().iter().filter(|request| request.contains("recover")).count();
    let before = asked();
    server.trouble("recover", None, Answer::Status(503, "busy"));
    client.recover_snapshot("copy", &own, &made.digest().unwrap()).await.unwrap_err();
    assert_eq!(asked(), before + 1);
}
