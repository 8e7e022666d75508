use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::key::Key;

/// What is kept of a watched object.
pub trait Kept: Send + Sync + 'static {
    /// Its namespace and name.
    fn key(&self) -> Key;
    /// What the API server counts changes by; opaque but for its order, which Kubernetes guarantees within a
    /// kind (KEP-5504), so that an older copy never replaces a newer one.
    fn version(&self) -> u64;
    /// The bank of its namespace that it belongs to.
    fn bank(&self) -> Option<&str>;
}

/// A number for a resourceVersion; 0 for what is none.
pub fn version(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// What became of an object.
#[derive(Debug)]
pub struct Change<T> {
    /// As it was; none where it is new.
    pub before: Option<Arc<T>>,
    /// As it is; none where it went.
    pub now: Option<Arc<T>>,
}

impl<T> Change<T> {
    /// As it was, and as it is.
    pub fn both(&self) -> impl Iterator<Item = &Arc<T>> {
        self.before.iter().chain(&self.now)
    }
}

/// The objects of one kind as the watch last told them, and as our own writes were answered: what was
/// written is read back at once, though its watch event is still on the way.
#[derive(Debug)]
pub struct Mirror<T>(RwLock<Objects<T>>);

#[derive(Debug)]
struct Objects<T> {
    known: BTreeMap<Key, Arc<T>>,
    of_bank: BTreeMap<Key, BTreeSet<String>>,
}

impl<T> Default for Mirror<T> {
    fn default() -> Self {
        Self(RwLock::new(Objects { known: BTreeMap::new(), of_bank: BTreeMap::new() }))
    }
}

impl<T: Kept> Mirror<T> {
    fn read(&self) -> RwLockReadGuard<'_, Objects<T>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Objects<T>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.read().known.get(key).cloned()
    }

    /// All objects, in order of keys.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.read().known.values().cloned().collect()
    }

    /// The objects of one namespace.
    pub fn of_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        self.matching(namespace, |_| true)
    }

    /// The objects of one namespace that are wanted.
    pub fn matching(&self, namespace: &str, wanted: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let from = Key::new(namespace, "");
        let objects = self.read();
        let within = objects.known.range(from..).take_while(|(key, _)| key.namespace == namespace);
        within.filter(|(_, object)| wanted(object)).map(|(_, object)| Arc::clone(object)).collect()
    }

    /// The objects that belong to a bank.
    pub fn of_bank(&self, bank: &Key) -> Vec<Arc<T>> {
        let objects = self.read();
        let names = objects.of_bank.get(bank).into_iter().flatten();
        names.filter_map(|name| objects.known.get(&Key::new(bank.namespace.as_str(), name)).cloned()).collect()
    }

    /// Takes an object, unless the same or a newer version is here.
    pub fn put(&self, object: T) -> Option<Change<T>> {
        self.write().put(Arc::new(object))
    }

    /// Takes the answer to a write of ours, where the object is still the one that was written.
    pub fn put_written(&self, object: T, same: impl Fn(&T, &T) -> bool) {
        let mut objects = self.write();
        if objects.known.get(&object.key()).is_some_and(|known| same(known, &object)) {
            objects.put(Arc::new(object));
        }
    }

    /// Forgets an object; the copy that was here.
    pub fn remove(&self, key: &Key) -> Option<Arc<T>> {
        self.write().remove(key)
    }

    /// Takes all objects of a namespace (of all, where none) as a fresh list tells them; what changed by it.
    pub fn replace(&self, namespace: Option<&str>, listed: Vec<T>) -> Vec<Change<T>> {
        let mut objects = self.write();
        let keys: BTreeSet<Key> = listed.iter().map(Kept::key).collect();
        let within = |key: &Key| namespace.is_none_or(|namespace| key.namespace == namespace);
        let gone: Vec<Key> = objects.known.keys().filter(|key| within(key) && !keys.contains(*key)).cloned().collect();
        let gone = gone.iter().filter_map(|key| objects.remove(key));
        let mut changes: Vec<_> = gone.map(|before| Change { before: Some(before), now: None }).collect();
        changes.extend(listed.into_iter().filter_map(|object| objects.put(Arc::new(object))));
        changes
    }
}

impl<T: Kept> Objects<T> {
    fn put(&mut self, object: Arc<T>) -> Option<Change<T>> {
        let key = object.key();
        if self.known.get(&key).is_some_and(|known| known.version() >= object.version()) {
            return None;
        }
        let before = self.remove(&key);
        if let Some(bank) = object.bank() {
            let names = self.of_bank.entry(Key::new(key.namespace.as_str(), bank)).or_default();
            names.insert(key.name.clone());
        }
        self.known.insert(key, Arc::clone(&object));
        Some(Change { before, now: Some(object) })
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<T>> {
        let before = self.known.remove(key)?;
        if let Some(bank) = before.bank() {
            let bank = Key::new(key.namespace.as_str(), bank);
            if let Some(names) = self.of_bank.get_mut(&bank) {
                names.remove(&key.name);
                if names.is_empty() {
                    self.of_bank.remove(&bank);
                }
            }
        }
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Thing(&'static str, u64, Option<&'static str>);

    impl Kept for Thing {
        fn key(&self) -> Key {
            Key::new("ns", self.0)
        }
        fn version(&self) -> u64 {
            self.1
        }
        fn bank(&self) -> Option<&str> {
            self.2
        }
    }

    #[test]
    fn an_older_copy_never_replaces_a_newer_one() {
        let mirror = Mirror::default();
        mirror.put(Thing("a", 5, None));
        mirror.put(Thing("a", 4, None));
        assert_eq!(mirror.get(&Key::new("ns", "a")).unwrap().1, 5);
        mirror.put(Thing("a", 6, None));
        assert_eq!(mirror.get(&Key::new("ns", "a")).unwrap().1, 6);
    }

    #[test]
    fn objects_are_found_by_their_bank_and_a_list_drops_what_is_gone() {
        let mirror = Mirror::default();
        mirror.put(Thing("a", 1, Some("gold")));
        mirror.put(Thing("b", 2, Some("gold")));
        mirror.put(Thing("b", 3, Some("tin")));
        let names = |bank| mirror.of_bank(&Key::new("ns", bank)).iter().map(|t| t.0).collect::<Vec<_>>();
        assert_eq!((names("gold"), names("tin")), (vec!["a"], vec!["b"]));
        let changes = mirror.replace(Some("ns"), vec![Thing("b", 3, Some("tin")), Thing("c", 4, Some("tin"))]);
        let told = |change: &Change<Thing>| (change.before.as_ref().map(|t| t.0), change.now.as_ref().map(|t| t.0));
        assert_eq!(changes.iter().map(told).collect::<Vec<_>>(), [(Some("a"), None), (None, Some("c"))]);
        let names = |bank| mirror.of_bank(&Key::new("ns", bank)).iter().map(|t| t.0).collect::<Vec<_>>();
        assert_eq!((names("gold"), names("tin")), (vec![], vec!["b", "c"]));
        assert!(mirror.replace(Some("other"), Vec::new()).is_empty());
        assert_eq!(mirror.all().len(), 2);
    }
}
