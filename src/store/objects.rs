use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::value::{Row, args};
use super::{Store, StoreError};

/// A resource's status as it was last written: what the API server keeps in a cluster.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Object {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub status: Value,
}

impl Store {
    /// Writes one object's status; whether that changed anything.
    pub async fn put_object(&self, kind: &str, namespace: &str, name: &str, status: Value) -> Result<bool, StoreError> {
        let object = Object { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned(), status };
        Ok(self.put_objects(std::slice::from_ref(&object)).await? > 0)
    }

    /// Writes many in one transaction; how many changed. Of two of the same name the last one counts.
    pub async fn put_objects(&self, objects: &[Object]) -> Result<u64, StoreError> {
        let now = Timestamp::now();
        let unique: BTreeMap<_, _> =
            objects.iter().map(|object| ((&object.kind, &object.namespace, &object.name), &object.status)).collect();
        let rows = unique
            .into_iter()
            .map(|((kind, namespace, name), status)| args![kind, namespace, name, status.to_string(), now])
            .collect();
        let _writer = self.writer.lock().await;
        let mut tx = self.db.write().await?;
        let changed = tx
            .insert(
                "INSERT INTO objects (kind, namespace, name, status, updated)",
                rows,
                "ON CONFLICT (kind, namespace, name) DO UPDATE SET status = excluded.status, updated = excluded.updated \
                 WHERE objects.status <> excluded.status",
            )
            .await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// One object's status; none where it was never written.
    pub async fn object(&self, kind: &str, namespace: &str, name: &str) -> Result<Option<Value>, StoreError> {
        let mut tx = self.db.read().await?;
        let sql = "SELECT * FROM objects WHERE kind = $1 AND namespace = $2 AND name = $3";
        let row = tx.row(sql, args![kind, namespace, name]).await?;
        Ok(row.as_ref().map(object).transpose()?.map(|object| object.status))
    }

    /// All objects of a kind, by namespace and name.
    pub async fn objects(&self, kind: &str) -> Result<Vec<Object>, StoreError> {
        let mut tx = self.db.read().await?;
        let rows = tx.rows("SELECT * FROM objects WHERE kind = $1 ORDER BY namespace, name", args![kind]).await?;
        rows.iter().map(object).collect()
    }

    /// Forgets one object; whether it was there.
    pub async fn delete_object(&self, kind: &str, namespace: &str, name: &str) -> Result<bool, StoreError> {
        let _writer = self.writer.lock().await;
        let mut tx = self.db.write().await?;
        let sql = "DELETE FROM objects WHERE kind = $1 AND namespace = $2 AND name = $3";
        let gone = tx.execute(sql, args![kind, namespace, name]).await?;
        tx.commit().await?;
        Ok(gone > 0)
    }
}

fn object(row: &Row) -> Result<Object, StoreError> {
    Ok(Object {
        kind: row.text("kind")?,
        namespace: row.text("namespace")?,
        name: row.text("name")?,
        status: row.parsed("status", |text| serde_json::from_str(text).ok())?,
    })
}
