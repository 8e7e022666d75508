use super::job::JobSettings;

/// What an operator is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its own namespace.
    pub namespace: String,
    /// Its name in the lease and in Events.
    pub identity: String,
    /// The namespaces that it looks after; all where none are named.
    pub watched: Vec<String>,
    /// The Jobs' common parts.
    pub jobs: JobSettings,
    /// The names under which Jobs reach the ingest endpoint.
    pub ingest_names: Vec<String>,
    /// The Secret that holds the endpoint's certificate.
    pub ingest_secret: String,
    /// The lease.
    pub lease: String,
    /// How many Jobs may be active at once.
    pub max_active_jobs: usize,
    /// Below which paths of nodes banks may have files.
    pub host_paths: Vec<String>,
    /// Where Secrets may be read for samples; `*` for everywhere.
    pub secret_namespaces: Vec<String>,
}
