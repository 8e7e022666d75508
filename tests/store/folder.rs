//! The data folder: who may use it, read it, and see the password.

use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use memorybank::domain::Verdict;
use memorybank::store::{DataLock, Location, Store, StoreError};

use crate::{audit, entry};

#[tokio::test]
async fn a_reader_works_beside_the_writer_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().to_owned());
    let absent = Store::open_read_only(&location).await.unwrap_err();
    assert!(matches!(absent, StoreError::Absent { .. }), "{absent}");
    let writer = Store::open(&location).await.unwrap();
    writer.append_audit(&entry(1)).await.unwrap();
    let reader = Store::open_read_only(&location).await.unwrap();
    assert_eq!(reader.verify_audit().await.unwrap().rows, 1);
    writer.append_audit(&entry(2)).await.unwrap();
    assert_eq!(reader.verify_audit().await.unwrap().rows, 2);
    assert_eq!(reader.append_audit(&entry(3)).await.unwrap_err().reason(), "Denied");
    writer.close().await;
    assert_eq!(Store::open_read_only(&location).await.unwrap().verify_audit().await.unwrap().rows, 2);
}

#[tokio::test]
async fn what_the_store_writes_only_its_owner_reads() {
    fn modes(folder: &Path, found: &mut Vec<(String, u32)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            found.push((entry.file_name().into_string().unwrap(), mode));
            if entry.path().is_dir() {
                modes(&entry.path(), found);
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Location::Sqlite(folder.path().join("data"))).await.unwrap();
    store.fingerprint_key("default", "assistant").await.unwrap();
    store.finish_run(&audit("1", 1, Verdict::Failed, &["x"])).await.unwrap();
    let mut found = Vec::new();
    modes(folder.path(), &mut found);
    let open: Vec<_> =
        found.iter().filter(|(_, mode)| mode & 0o077 != 0).filter(|(name, _)| name != "audit.head").collect();
    assert!(found.len() >= 6 && open.is_empty(), "{open:?} of {found:?}");
}

#[test]
fn one_process_has_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let lock = DataLock::acquire(&data).unwrap();
    let error = DataLock::acquire(&data).unwrap_err();
    assert_eq!(error.reason(), "Locked");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(lock);
    DataLock::acquire(&data).unwrap();
}

#[tokio::test]
async fn a_data_folder_that_is_a_file_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let location = Location::Sqlite(path.clone());
        for error in [
            DataLock::acquire(&path).map(drop).unwrap_err(),
            Store::open(&location).await.map(drop).unwrap_err(),
            Store::open_read_only(&location).await.map(drop).unwrap_err(),
        ] {
            assert_eq!((error.reason(), error.is_transient()), ("NotAFolder", false), "{error}");
            assert!(error.to_string().contains("name another data folder"), "{error}");
        }
    }
}

static PRINTED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Printed;

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        PRINTED.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_statement_is_printed_at_any_level() {
    // For the whole process: SQLite's statements run, and would be told, on threads of their own.
    let all = tracing_subscriber::fmt().with_env_filter("off,sqlx::query=trace,said=trace").with_writer(|| Printed);
    all.init();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Location::Sqlite(folder.path().to_owned())).await.unwrap();
    store.finish_run(&audit("1", 1, Verdict::Failed, &["x"])).await.unwrap();
    if let Some(server) = crate::postgres_server::Postgres::shared() {
        let store = Store::open(&Location::Postgres(server.database())).await.unwrap();
        store.finish_run(&audit("1", 1, Verdict::Failed, &["x"])).await.unwrap();
    }
    tracing::info!(target: "said", "the end");
    let printed = String::from_utf8(PRINTED.lock().unwrap().clone()).unwrap();
    assert!(printed.contains("the end") && printed.lines().count() == 1, "{printed}");
}

#[test]
fn a_password_is_never_shown() {
    let url = "postgres://alice:s3cr3t@127.0.0.1:1/db";
    let location = Location::Postgres(url.to_owned());
    assert!(!format!("{location:?}").contains("s3cr3t"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for url in [url, "postgres://alice:s3cr3t@127.0.0.1:port/db", "s3cr3t"] {
        let error = runtime.block_on(Store::open(&Location::Postgres(url.to_owned()))).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
    }
}
