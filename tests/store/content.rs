//! Objects, blobs, outputs and keys.

use std::collections::BTreeSet;

use memorybank::domain::{Digest, Output, RunReport};
use memorybank::store::{Location, Object, Store};
use serde_json::json;

use crate::reports::{at, raw, report};
use crate::{begin, check_task, on_both};

on_both!(
    objects_tell_whether_they_changed,
    blobs_come_back_whole_or_not_at_all,
    outputs_are_the_newest_that_were_put,
    fingerprint_keys_stay
);

async fn objects_tell_whether_they_changed(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let status = json!({ "phase": "Running", "conditions": [{ "type": "Ready" }] });
    assert!(store.put_object("MemoryBank", "default", "a", status.clone()).await.unwrap());
    assert!(!store.put_object("MemoryBank", "default", "a", status.clone()).await.unwrap());
    assert_eq!(store.object("MemoryBank", "default", "a").await.unwrap(), Some(status));
    assert_eq!(store.object("MaintenancePolicy", "default", "a").await.unwrap(), None);

    let object = |n: usize, value: usize| Object {
        kind: "MemoryBank".to_owned(),
        namespace: "default".to_owned(),
        name: format!("bank-{:04}", n % 1_000),
        status: json!({ "value": value }),
    };
    let many: Vec<Object> = (0..1_001).map(|n| object(n, n)).collect();
    assert_eq!(store.put_objects(&many).await.unwrap(), 1_000, "two of one name are one");
    assert_eq!(store.put_objects(&many).await.unwrap(), 0);
    let listed = store.objects("MemoryBank").await.unwrap();
    assert_eq!(listed.len(), 1_001);
    assert_eq!(listed[1], object(0, 1_000), "of two of one name the last counts");
    assert!(store.delete_object("MemoryBank", "default", "a").await.unwrap());
    assert!(!store.delete_object("MemoryBank", "default", "a").await.unwrap());
}

async fn blobs_come_back_whole_or_not_at_all(location: Location) {
    let store = Store::open(&location).await.unwrap();
    // More than one chunk, and not compressible.
    let random: Vec<u8> = (0..100_000_u32).flat_map(|n| *Digest::of(&n.to_be_bytes()).as_bytes()).collect();
    for bytes in [Vec::new(), b"a manifest".to_vec(), vec![0; 5 << 20], random] {
        let digest = store.put_blob(bytes.clone()).await.unwrap();
        assert_eq!(digest, Digest::of(&bytes));
        assert_eq!(store.put_blob(bytes.clone()).await.unwrap(), digest);
        assert!(store.get_blob(&digest).await.unwrap() == Some(bytes));
    }
    assert_eq!(store.get_blob(&Digest::of(b"never put")).await.unwrap(), None);

    let digest = store.put_blob(b"to be damaged".to_vec()).await.unwrap();
    let other = zstd::bulk::compress(b"another text!", 3).unwrap();
    match &location {
        Location::Sqlite(data_dir) => {
            let name = digest.to_string();
            let path = data_dir.join("blobs").join(&name[..2]).join(format!("{}.zst", &name[2..]));
            for bytes in [other, Vec::new(), vec![7; 100_000]] {
                std::fs::write(&path, bytes).unwrap();
                let error = store.get_blob(&digest).await.unwrap_err();
                assert_eq!(error.reason(), "Damaged", "{error}");
                assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            }
            std::fs::remove_file(&path).unwrap();
            assert_eq!(store.get_blob(&digest).await.unwrap_err().reason(), "Damaged");
        }
        Location::Postgres(_) => {
            let hex = other.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
            raw(&location, &format!("UPDATE blob_chunks SET data = '\\x{hex}' WHERE digest = '{digest}'")).await;
            assert_eq!(store.get_blob(&digest).await.unwrap_err().reason(), "Damaged");
        }
    }
    store.put_blob(b"to be damaged".to_vec()).await.unwrap();
    assert!(store.get_blob(&digest).await.unwrap().is_some(), "putting it again mends it");
}

fn with_output(uid: &str, minutes: i64, name: &str, digest: Digest) -> RunReport {
    let mut task = check_task();
    task.outputs = vec![Output { name: name.to_owned(), digest }];
    report(uid, at(minutes), vec![task])
}

async fn outputs_are_the_newest_that_were_put(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let old = store.put_blob(b"old".to_vec()).await.unwrap();
    let new = store.put_blob(b"new".to_vec()).await.unwrap();
    begin(&store, &["1", "2"]).await;
    store.finish_run(&with_output("2", 2, "manifest/uploads", new)).await.unwrap();
    store.finish_run(&with_output("1", 1, "manifest/uploads", old)).await.unwrap();
    store.finish_run(&with_output("3", 3, "manifest/uploads", Digest::of(b"never put"))).await.unwrap();
    store.finish_run(&with_output("4", 4, "baseline", old)).await.unwrap();
    let outputs = store.outputs("default", "assistant").await.unwrap();
    let expected = [("manifest/uploads".to_owned(), new), ("baseline".to_owned(), old)];
    assert_eq!(outputs, expected.into());
}

async fn fingerprint_keys_stay(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let asked = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.fingerprint_key("default", "a").await.unwrap() })
    });
    let mut keys = BTreeSet::new();
    for key in asked.collect::<Vec<_>>() {
        keys.insert(key.await.unwrap());
    }
    assert_eq!(keys.len(), 1, "asked at once, made once");
    assert!(!keys.contains(&store.fingerprint_key("default", "b").await.unwrap()));
    store.close().await;
    let again = Store::open(&location).await.unwrap();
    assert!(keys.contains(&again.fingerprint_key("default", "a").await.unwrap()));

    raw(&location, "UPDATE fingerprint_keys SET secret = 'half-a-key' WHERE bank = 'a'").await;
    let error = again.fingerprint_key("default", "a").await.unwrap_err();
    assert_eq!(error.reason(), "Damaged");
    assert!(!format!("{error} {error:?}").contains("half-a-key"));
}
