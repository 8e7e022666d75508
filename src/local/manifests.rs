use std::fs;
use std::io;
use std::path::Path;

use crate::domain::RunReport;
use crate::engine::integrity::files::Manifest;
use crate::store::Store;

/// What the outputs of a run are called that are manifests of file trees.
const PREFIX: &str = "manifest/";

/// Writes the manifests that a run left as `DATA/manifests/BANK/TREE.SHA256SUMS`, for `sha256sum -c` and
/// people. The store holds the true ones; a file that cannot be written is told and made by the next run.
pub(super) async fn write(store: &Store, data: &Path, report: &RunReport) {
    for output in report.tasks.iter().flat_map(|task| &task.outputs) {
        let Some(tree) = output.name.strip_prefix(PREFIX) else { continue };
        let written = match store.get_blob(&output.digest).await {
            Ok(Some(bytes)) => write_one(data, &report.bank, tree, &bytes),
            Ok(None) => Err(io::Error::other("its blob is missing")),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        if let Err(error) = written {
            tracing::warn!(bank = report.bank, tree, %error, "SHA256SUMS not written");
        }
    }
}

fn write_one(data: &Path, bank: &str, tree: &str, bytes: &[u8]) -> io::Result<()> {
    let manifest = Manifest::from_json(bytes).map_err(io::Error::other)?;
    let folder = data.join("manifests").join(bank);
    fs::create_dir_all(&folder)?;
    let new = folder.join(format!(".{tree}.new"));
    fs::write(&new, manifest.to_sha256sums())?;
    fs::rename(&new, folder.join(format!("{tree}.SHA256SUMS")))
}
