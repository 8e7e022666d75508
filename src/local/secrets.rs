use std::path::Path;

use crate::resources::ValidBank;

/// The references of a bank whose secret is not there, for people. A secret is the file `NAME/KEY` under the
/// folder of secrets; it is read when it is used, so a missing one keeps only those parts from being
/// measured that need it.
pub(super) fn missing(bank: &ValidBank, folder: &Path) -> Vec<String> {
    bank.secrets
        .iter()
        .filter(|secret| !folder.join(&secret.name).join(&secret.key).is_file())
        .map(|secret| {
            let path = folder.join(&secret.name).join(&secret.key);
            format!("bank {}: {}: there is no file {}", bank.meta.name, secret.field, path.display())
        })
        .collect()
}
