use std::path::Path;

use serde_json::Value;

use super::CliError;
use crate::store::{Location, Store};

/// The objects of a kind beside a running `local`, each whole: metadata, spec and status.
pub(super) async fn objects(data: &Path, kind: &str) -> Result<Vec<Value>, CliError> {
    let store = open(data).await?;
    let objects = store.objects(kind).await?;
    Ok(objects.into_iter().map(|object| object.status).collect())
}

/// The store of a data folder, to be read beside whoever writes it.
pub(super) async fn open(data: &Path) -> Result<Store, CliError> {
    if !data.join("memorybank.db").exists() {
        return Err(CliError::Config(format!(
            "{} is no data folder: expected memorybank.db in it; name the folder of `memorybank local` with --data",
            data.display()
        )));
    }
    Ok(Store::open_read_only(&Location::Sqlite(data.to_owned())).await?)
}
