use jiff::Timestamp;

use super::value::args;
use super::{Store, StoreError};
use crate::domain::Digest;

impl Store {
    /// The key of a bank's fingerprints: 32 random bytes, made when first asked for, the same ever after.
    /// Never to be logged or shown: who has it can test guesses against fingerprints.
    pub async fn fingerprint_key(&self, namespace: &str, bank: &str) -> Result<[u8; 32], StoreError> {
        let mut tx = self.db.read().await?;
        let sql = "SELECT secret FROM fingerprint_keys WHERE namespace = $1 AND bank = $2";
        let found = tx.row(sql, args![namespace, bank]).await?;
        drop(tx);
        let row = if found.is_some() {
            found
        } else {
            let _writer = self.writer.lock().await;
            let mut tx = self.db.write().await?;
            // The 64 hex digits of a digest are a handy form for any 32 bytes.
            let fresh = Digest::from_bytes(rand::random()).to_string();
            let insert = "INSERT INTO fingerprint_keys (namespace, bank, secret, created) VALUES ($1, $2, $3, $4) \
                          ON CONFLICT (namespace, bank) DO NOTHING";
            tx.execute(insert, args![namespace, bank, fresh, Timestamp::now()]).await?;
            let row = tx.row(sql, args![namespace, bank]).await?;
            tx.commit().await?;
            row
        };
        let secret: Option<Digest> = row.and_then(|row| row.text("secret").ok()?.parse().ok());
        // The text itself must not enter an error.
        secret.map(|key| *key.as_bytes()).ok_or_else(|| {
            StoreError::damaged(
                self.db.health.place(),
                format_args!("the fingerprint key of {namespace}/{bank} is no key"),
            )
        })
    }
}
