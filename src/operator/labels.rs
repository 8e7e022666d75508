//! Names by which our objects are found.

/// The bank that an object is for.
pub const BANK: &str = "memorybank.dev/bank";
/// The run that an object is for.
pub const RUN: &str = "memorybank.dev/run";
/// The slot of a run that a check or an audit made; its spec has no place for it.
pub const SLOT: &str = "memorybank.dev/slot-time";
/// The RunSpec of a pod.
pub const RUN_SPEC: &str = "memorybank.dev/run-spec";
/// The certificate that the ingest endpoint is trusted by.
pub const INGEST_CA: &str = "memorybank.dev/ingest-ca";
/// What selects our Jobs and pods.
pub const SELECTOR: &str = "app.kubernetes.io/managed-by=memorybank-operator,app.kubernetes.io/component=runner";

/// The labels of a recovery that a policy made.
pub fn of_recovery(bank: &str) -> [(String, String); 3] {
    [("app.kubernetes.io/name", "memorybank"), ("app.kubernetes.io/managed-by", "memorybank-operator"), (BANK, bank)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// The labels of a run's object, Job and pod.
pub fn of_run(bank: &str, run: &str) -> [(String, String); 5] {
    [
        ("app.kubernetes.io/name", "memorybank"),
        ("app.kubernetes.io/managed-by", "memorybank-operator"),
        ("app.kubernetes.io/component", "runner"),
        (BANK, bank),
        (RUN, run),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
}
