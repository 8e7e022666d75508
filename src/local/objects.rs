use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::status_file;
use crate::resources::{Meta, SPEC_DIGEST};
use crate::store::{Object, Store, StoreError};

/// The kinds whose objects are kept.
pub(super) const KINDS: [&str; 6] =
    ["MemoryBank", "MaintenancePolicy", "MaintenanceRun", "IntegrityCheck", "SecurityAudit", "Recovery"];

type Key = (&'static str, String);

/// All objects of the namespace, whole: what the API server would keep. Changes are collected, and
/// written together.
#[derive(Debug)]
pub(super) struct Objects {
    namespace: String,
    data: PathBuf,
    known: BTreeMap<Key, Value>,
    changed: BTreeSet<Key>,
    removed: BTreeSet<Key>,
    /// Whose files are not known to say what is here: at first all, for a process may have ended between
    /// the store and its files.
    stale: BTreeSet<Key>,
}

impl Objects {
    /// What the store has.
    pub async fn load(store: &Store, namespace: &str, data: &Path) -> Result<Self, StoreError> {
        let mut known = BTreeMap::new();
        for kind in KINDS {
            for object in store.objects(kind).await? {
                if object.namespace == namespace {
                    known.insert((kind, object.name), object.status);
                }
            }
        }
        let of_files =
            KINDS.iter().flat_map(|kind| status_file::names(data, kind).into_iter().map(|name| (*kind, name)));
        Ok(Self {
            namespace: namespace.to_owned(),
            data: data.to_owned(),
            stale: known.keys().cloned().chain(of_files).collect(),
            known,
            changed: BTreeSet::new(),
            removed: BTreeSet::new(),
        })
    }

    /// Takes the document of an object: new ones get generation 1, and each change of the spec one more.
    /// Gives the generation.
    pub fn adopt(&mut self, kind: &'static str, meta: &Meta, now: Timestamp) -> i64 {
        let key = (kind, meta.name.clone());
        let before = self.known.get(&key);
        let digest = meta.spec_digest.to_string();
        let generation = before.and_then(|o| o.pointer("/metadata/generation")).and_then(Value::as_i64).unwrap_or(0);
        let same = before.and_then(|o| o.pointer("/metadata/annotations")?.get(SPEC_DIGEST));
        let generation = if same.is_some_and(|known| *known == digest.as_str()) { generation } else { generation + 1 };
        let spec: Value = serde_json::from_str(&meta.spec).unwrap_or(Value::Null);
        let mut annotations = json!(meta.annotations);
        annotations[SPEC_DIGEST] = json!(digest);
        self.put(key, now, |object| {
            object["metadata"]["generation"] = json!(generation);
            object["metadata"]["labels"] = json!(meta.labels);
            object["metadata"]["annotations"] = annotations;
            object["spec"] = spec;
        });
        generation
    }

    /// Sets spec and status of an object that no document declares: a run that was planned.
    pub fn set(&mut self, kind: &'static str, name: &str, spec: Value, status: Value, now: Timestamp) {
        self.put((kind, name.to_owned()), now, |object| {
            object["metadata"]["generation"] = json!(1);
            object["spec"] = spec;
            object["status"] = status;
        });
    }

    /// Sets the spec of an object that no document declares and that stays: a recovery that a policy made.
    pub fn make(&mut self, kind: &'static str, name: &str, annotations: Value, spec: Value, now: Timestamp) {
        self.put((kind, name.to_owned()), now, |object| {
            object["metadata"]["generation"] = json!(1);
            object["metadata"]["annotations"] = annotations;
            object["spec"] = spec;
        });
    }

    /// An object, as its type.
    pub fn object<T: serde::de::DeserializeOwned>(&self, kind: &'static str, name: &str) -> Option<T> {
        serde_json::from_value(self.known.get(&(kind, name.to_owned()))?.clone()).ok()
    }

    /// When an object came to be known.
    pub fn created(&self, kind: &'static str, name: &str) -> Option<Timestamp> {
        let object = self.known.get(&(kind, name.to_owned()))?;
        object.pointer("/metadata/creationTimestamp")?.as_str()?.parse().ok()
    }

    /// Whether a document declared an object, then or now.
    pub fn declared(&self, kind: &'static str, name: &str) -> bool {
        let object = self.known.get(&(kind, name.to_owned()));
        let annotations = object.and_then(|object| object.pointer("/metadata/annotations"));
        annotations.is_some_and(|annotations| annotations.get(SPEC_DIGEST).is_some())
    }

    /// Sets the status of an object.
    pub fn set_status(&mut self, kind: &'static str, name: &str, status: Value, now: Timestamp) {
        self.put((kind, name.to_owned()), now, |object| object["status"] = status);
    }

    fn put(&mut self, key: Key, now: Timestamp, change: impl FnOnce(&mut Value)) {
        let mut object = self.known.get(&key).cloned().unwrap_or_else(|| {
            let created = Timestamp::from_second(now.as_second()).unwrap_or(now);
            json!({
                "apiVersion": "memorybank.dev/v1alpha1",
                "kind": key.0,
                "metadata": {"name": key.1, "namespace": self.namespace, "creationTimestamp": created},
            })
        });
        change(&mut object);
        if self.known.get(&key) != Some(&object) {
            self.removed.remove(&key);
            self.changed.insert(key.clone());
            self.known.insert(key, object);
        }
    }

    /// The status of an object, as its type.
    pub fn status<T: serde::de::DeserializeOwned>(&self, kind: &'static str, name: &str) -> Option<T> {
        let object = self.known.get(&(kind, name.to_owned()))?;
        serde_json::from_value(object.get("status")?.clone()).ok()
    }

    /// Puts another request in place of a handled one.
    pub fn replace_token(&mut self, kind: &'static str, name: &str, old: &str, new: Option<String>, now: Timestamp) {
        let handled = self.status::<Value>(kind, name);
        if handled.is_some_and(|status| status.get("lastRunNowToken").is_some_and(|token| token == old)) {
            self.put((kind, name.to_owned()), now, |object| match new {
                Some(new) => object["status"]["lastRunNowToken"] = json!(new),
                None => {
                    if let Some(status) = object["status"].as_object_mut() {
                        status.remove("lastRunNowToken");
                    }
                }
            });
        }
    }

    /// Forgets an object.
    pub fn remove(&mut self, kind: &'static str, name: &str) {
        let key = (kind, name.to_owned());
        if self.known.remove(&key).is_some() {
            self.changed.remove(&key);
            self.removed.insert(key);
        }
    }

    /// The names of all objects of a kind.
    pub fn names(&self, kind: &'static str) -> Vec<String> {
        self.known.keys().filter(|(known, _)| *known == kind).map(|(_, name)| name.clone()).collect()
    }

    /// Whether something is left to be written.
    pub fn pending(&self) -> bool {
        !(self.changed.is_empty() && self.removed.is_empty() && self.stale.is_empty())
    }

    /// Writes what changed: the store in one transaction, then the files. What fails stays to be written.
    pub async fn flush(&mut self, store: &Store) -> Result<(), StoreError> {
        let objects: Vec<Object> = self
            .changed
            .iter()
            .filter_map(|key| {
                let status = self.known.get(key)?.clone();
                Some(Object { kind: key.0.to_owned(), namespace: self.namespace.clone(), name: key.1.clone(), status })
            })
            .collect();
        if !objects.is_empty() {
            store.put_objects(&objects).await?;
        }
        for (kind, name) in &self.removed {
            store.delete_object(kind, &self.namespace, name).await?;
        }
        self.stale.append(&mut self.changed);
        self.stale.append(&mut self.removed);
        self.write_files();
        Ok(())
    }

    fn write_files(&mut self) {
        let Self { known, data, stale, .. } = self;
        let mut trouble = None;
        stale.retain(|key| {
            let written = match known.get(key) {
                Some(object) => status_file::write(data, key.0, &key.1, object),
                None => status_file::remove(data, key.0, &key.1),
            };
            let failed = written.is_err();
            trouble = written.err().or(trouble.take());
            failed
        });
        if let Some(error) = trouble {
            tracing::warn!(%error, files = stale.len(), "status files not written; they are written later");
        }
    }
}
