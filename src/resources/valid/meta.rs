use std::collections::BTreeMap;
use std::fmt;

use kube::core::ObjectMeta;
use serde::Serialize;

use super::Violations;
use crate::domain::Digest;
use crate::resources::rules;

/// The annotation that asks for a run at once: `TOKEN`, on a policy also `TOKEN/SCHEDULE`.
pub const RUN_NOW: &str = "memorybank.dev/run-now";

/// The annotation of a record which says that a document declared it: the digest of its spec.
pub const SPEC_DIGEST: &str = "memorybank.dev/spec-digest";

/// The longest run-now token.
const MAX_TOKEN: usize = 63;

/// Where a resource comes from, as far as the resource itself does not say.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The namespace of a resource that names none.
    pub namespace: &'a str,
    /// The file that it was read from; none in the cluster.
    pub file: Option<&'a str>,
}

/// What every resource has beside its spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Its name, a DNS label.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The API server's count of changes of the spec; none in a file.
    pub generation: Option<i64>,
    /// Its spec as JSON with every default filled in, to be shown.
    pub spec: String,
    /// The digest of that, which changes just when what it says changes.
    pub spec_digest: Digest,
}

/// A request to run now; handled once per token and bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunNow {
    /// What makes it another request than the one before.
    pub token: String,
    /// The one schedule that is asked for; all without it.
    pub schedule: Option<String>,
}

impl fmt::Display for RunNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.token)?;
        self.schedule.iter().try_for_each(|schedule| write!(f, "/{schedule}"))
    }
}

impl Meta {
    pub(super) fn parse(
        meta: &ObjectMeta,
        spec: &impl Serialize,
        origin: Origin<'_>,
        wrong: &mut Violations,
    ) -> Option<Self> {
        let name = meta.name.clone().unwrap_or_default();
        wrong.require(dns_label(&name), "metadata.name", rules::NAME);
        let namespace = meta.namespace.clone().unwrap_or_else(|| origin.namespace.to_owned());
        wrong.require(dns_label(&namespace), "metadata.namespace", "a namespace is a DNS label");
        // A spec of these types is always JSON.
        let spec = wrong.keep("spec", serde_json::to_string(spec))?;
        Some(Self {
            name,
            namespace,
            labels: meta.labels.clone().unwrap_or_default(),
            annotations: meta.annotations.clone().unwrap_or_default(),
            generation: meta.generation,
            spec_digest: Digest::of(spec.as_bytes()),
            spec,
        })
    }

    /// The run-now annotation; `schedules` are the names that it may ask for.
    pub(super) fn run_now(&self, schedules: &[&str], wrong: &mut Violations) -> Option<RunNow> {
        let value = self.annotations.get(RUN_NOW)?;
        let field = format!("metadata.annotations[{RUN_NOW}]");
        let (token, schedule) = match value.split_once('/') {
            Some((token, schedule)) => (token, Some(schedule)),
            None => (value.as_str(), None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:+".contains(c);
        if token.is_empty() || token.len() > MAX_TOKEN || !token.chars().all(plain) {
            wrong.add(field, "expected TOKEN or TOKEN/SCHEDULE, the token of 1 to 63 letters, digits and -_.:+");
            return None;
        }
        if let Some(schedule) = schedule
            && !schedules.contains(&schedule)
        {
            let known = if schedules.is_empty() { "none here".to_owned() } else { schedules.join(", ") };
            wrong.add(field, format!("asks for a schedule that is not there; there is {known}"));
            return None;
        }
        Some(RunNow { token: token.to_owned(), schedule: schedule.map(str::to_owned) })
    }
}

/// Whether a text is a DNS label of at most 63 characters.
pub(super) fn dns_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|c| inner(*c))
        && !bytes.starts_with(b"-")
        && !bytes.ends_with(b"-")
}
