use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Digest;

/// The set that a bank's newest backup made, as the store keeps it apart from the set: who rewrites a set cannot rewrite
/// this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestSet {
    /// Its name.
    pub set: String,
    /// The digest of its manifest.
    pub manifest: Digest,
}

/// What verification says of the sets of a bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupVerdict {
    /// The set that was looked at last; none where there was none to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// When.
    pub time: Timestamp,
    /// Why it was refused; none where nothing is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What it lacks of the bank, though nothing is wrong with what it has: it is neither refused nor verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
    /// The newest set that passed, and was not refused since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<VerifiedSet>,
}

/// A set that was read back whole and agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedSet {
    /// Its name.
    pub set: String,
    /// When it was begun: what was written later is not in it.
    pub started: Timestamp,
    /// When it was last verified.
    pub time: Timestamp,
    /// Its size as it is stored.
    pub bytes: u64,
    /// The digest of its manifest; none where a version noted it that did not keep that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
}

/// The sets of a bank that passed and were not refused since, newest first, as the store keeps them apart from the sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedSets {
    /// At most [`VerifiedSets::MAX`].
    pub sets: Vec<VerifiedSet>,
}

/// Which sets are kept: so many newest ones, and one of each of so many newest days, weeks and months (UTC) that have
/// any: the newest verified one, or the newest where none is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Retention {
    pub last: u32,
    pub daily: u32,
    pub weekly: u32,
    pub monthly: u32,
}

/// What the newest restore test says of the sets of a bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreVerdict {
    /// The set that was restored last.
    pub set: String,
    /// When.
    pub time: Timestamp,
    /// Why it is no bank when it is restored; none where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The newest set that was restored and found whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<RestoredSet>,
}

/// A set that was restored in a scratch place and found whole there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoredSet {
    /// Its name.
    pub set: String,
    /// When it was begun: what was written later is not in it.
    pub started: Timestamp,
    /// When it was restored.
    pub time: Timestamp,
}

impl RestoreVerdict {
    /// What the output is called that holds it.
    pub const OUTPUT: &str = "backup/restored";
}

impl LatestSet {
    /// What the output is called that holds it.
    pub const OUTPUT: &str = "backup/latest";
}

impl BackupVerdict {
    /// What the output is called that holds it.
    pub const OUTPUT: &str = "backup/verdict";
}

impl VerifiedSets {
    /// What the output is called that holds them.
    pub const OUTPUT: &str = "backup/verified";
    /// So many of the newest are known.
    pub const MAX: usize = 200;

    /// Notes a set that passed, once by its name.
    pub fn add(&mut self, set: VerifiedSet) {
        self.remove(&set.set);
        self.sets.push(set);
        self.sets.sort_by(|a, b| (b.started, &b.set).cmp(&(a.started, &a.set)));
        self.sets.truncate(Self::MAX);
    }

    /// Forgets a set that was refused or removed.
    pub fn remove(&mut self, set: &str) {
        self.sets.retain(|known| known.set != set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verified_sets_are_known_once_newest_first_and_only_so_many() {
        let set = |second: i64| VerifiedSet {
            set: format!("{second:03}"),
            started: Timestamp::from_second(second).unwrap(),
            time: Timestamp::UNIX_EPOCH,
            bytes: 1,
            manifest: None,
        };
        let mut known = VerifiedSets::default();
        for second in (0..250).rev().chain(0..250) {
            known.add(set(second));
        }
        assert_eq!(known.sets.len(), VerifiedSets::MAX);
        assert_eq!((known.sets[0].set.as_str(), known.sets[199].set.as_str()), ("249", "050"));
        known.remove("249");
        assert_eq!(known.sets[0].set, "248");
        // As the version before wrote it.
        let old = r#"{"set":"a","started":"2026-11-22T05:00:00Z","time":"2026-11-22T05:10:00Z","bytes":7}"#;
        assert_eq!(serde_json::from_str::<VerifiedSet>(old).unwrap().manifest, None);
    }
}
