use std::collections::BTreeSet;

use super::{Meta, Origin, Violation, Violations};
use crate::domain::{
    self, ApiEndpoint, Bank, BucketEndpoint, EmbeddingEndpoint, PathInVolume, PgvectorEndpoint, PostgresEndpoint,
    QdrantEndpoint, SecretKey, SqlDatabase, Trust,
};
use crate::resources::{
    Api, Canary, ConditionName, Database, EnvVar, ExtraVolume, JobTemplate, LabelSelector, MemoryBank, MemoryBankSpec,
    Repository, S3, SecretKeyRef, Tls, VectorStore, Volume, Workload, rules,
};

/// A validated MemoryBank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidBank {
    /// Name, labels and so on.
    pub meta: Meta,
    /// Nothing is run, sampled, changed or missed.
    pub suspend: bool,
    /// Conditions that do not count.
    pub waived_conditions: Vec<ConditionName>,
    /// Its parts, as a run needs them.
    pub bank: Bank,
    /// Its volumes, in the order of the document.
    pub volumes: Vec<ValidVolume>,
    /// The keys of Secrets that it refers to.
    pub secrets: Vec<SecretUse>,
    /// Changes to its Jobs; ignored in local mode.
    pub job_template: Option<JobTemplate>,
    /// Seconds between two samples of what answers over the network.
    pub sampling_interval_seconds: u32,
    /// The labels of the pods that write to it; ignored in local mode.
    pub workload: Option<LabelSelector>,
}

/// A declared volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidVolume {
    /// Its name within the bank.
    pub name: String,
    /// Where it is.
    pub source: VolumeSource,
}

/// Where a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeSource {
    /// A PersistentVolumeClaim; locally what `--claim` names.
    Claim(String),
    /// A folder.
    Folder {
        /// Its path as written: locally relative to the folder of `file`.
        path: String,
        /// The file that declares it; none in the cluster.
        file: Option<String>,
    },
}

/// One key of a Secret, and who needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// The field that refers to it, such as `spec.api.tokenSecretRef`.
    pub field: String,
    /// The Secret's name.
    pub name: String,
    /// The key within it.
    pub key: String,
}

impl ValidBank {
    /// Validates a bank, or tells all that is wrong with it.
    pub fn parse(bank: &MemoryBank, origin: Origin<'_>) -> Result<Self, Vec<Violation>> {
        let spec = &bank.spec;
        let mut wrong = Violations::default();
        let meta = Meta::parse(&bank.metadata, spec, origin, &mut wrong);
        let any = spec.api.is_some()
            || spec.database.is_some()
            || spec.vector_store.is_some()
            || !spec.files.is_empty()
            || !spec.backups.is_empty();
        wrong.require(any, "spec", rules::ANY_PART);
        check_members(spec, &mut wrong);
        check_paths(spec, &mut wrong);
        check_endpoints(spec, &mut wrong);
        let volumes = volumes(&spec.volumes, origin, &mut wrong);
        let valid = meta.map(|meta| Self {
            bank: parts(&meta.name, spec),
            suspend: spec.suspend,
            waived_conditions: spec.waived_conditions.clone(),
            volumes,
            secrets: secrets(spec),
            job_template: spec.job_template.clone(),
            sampling_interval_seconds: spec.sampling.interval_seconds,
            workload: spec.workload.as_ref().and_then(|workload| workload.selector.clone()),
            meta,
        });
        wrong.into_result(valid)
    }
}

/// The rules "exactly one of".
fn check_members(spec: &MemoryBankSpec, wrong: &mut Violations) {
    if let Some(database) = &spec.database {
        let present = [database.sqlite.is_some(), database.postgres.is_some()];
        wrong.one_of(Database::MEMBERS, &present, "spec.database");
    }
    if let Some(store) = &spec.vector_store {
        let present = [store.qdrant.is_some(), store.pgvector.is_some()];
        wrong.one_of(VectorStore::MEMBERS, &present, "spec.vectorStore");
    }
    if let Some(repository) = &spec.repository {
        let present = [repository.folder.is_some(), repository.s3.is_some()];
        wrong.one_of(Repository::MEMBERS, &present, "spec.repository");
    }
    if let Some(workload) = &spec.workload {
        let present = [workload.selector.is_some(), workload.compose.is_some()];
        wrong.one_of(Workload::MEMBERS, &present, "spec.workload");
        let requirements = workload.selector.iter().flat_map(LabelSelector::broken_requirements);
        for index in requirements {
            wrong.add(format!("spec.workload.selector.matchExpressions[{index}]"), rules::REQUIREMENT);
        }
    }
    let Some(job) = &spec.job_template else { return };
    for (index, env) in job.env.iter().enumerate() {
        let present = [env.value.is_some(), env.secret_key_ref.is_some()];
        wrong.one_of(EnvVar::MEMBERS, &present, format!("spec.jobTemplate.env[{index}]"));
    }
    for (index, volume) in job.volumes.iter().enumerate() {
        let present = [volume.config_map.is_some(), volume.secret.is_some(), volume.empty_dir.is_some()];
        wrong.one_of(ExtraVolume::MEMBERS, &present, format!("spec.jobTemplate.volumes[{index}]"));
    }
}

/// Every path stays within its volume, and every volume that is named is declared.
fn check_paths(spec: &MemoryBankSpec, wrong: &mut Violations) {
    let declared: BTreeSet<_> = spec.volumes.iter().map(|v| v.name.as_str()).collect();
    let mut check = |field: String, volume: &str, path: &str| {
        wrong.require(declared.contains(volume), format!("{field}.volume"), rules::UNDECLARED);
        let inside = !path.starts_with('/') && path.split('/').all(|step| step != "..");
        wrong.require(inside, format!("{field}.path"), rules::PATH);
    };
    let single = [
        ("spec.database.sqlite", spec.database.as_ref().and_then(|d| d.sqlite.as_ref())),
        ("spec.history", spec.history.as_ref()),
        ("spec.repository.folder", spec.repository.as_ref().and_then(|r| r.folder.as_ref())),
        ("spec.workload.compose", spec.workload.as_ref().and_then(|w| w.compose.as_ref())),
    ];
    for (field, file) in single {
        if let Some(file) = file {
            check(field.to_owned(), &file.volume, &file.path);
        }
    }
    for (index, tree) in spec.files.iter().enumerate() {
        check(format!("spec.files[{index}]"), &tree.volume, &tree.path);
    }
    for (index, sets) in spec.backups.iter().enumerate() {
        check(format!("spec.backups[{index}]"), &sets.volume, &sets.path);
    }
}

/// Every url is one, and says nothing secret; no TLS setting contradicts itself.
fn check_endpoints(spec: &MemoryBankSpec, wrong: &mut Violations) {
    let mut check = |field: &str, member: &str, url: Option<&str>, tls: Option<&Tls>| {
        wrong.require(url.is_none_or(http_url), format!("{field}.{member}"), rules::URL);
        let plain = tls.is_none_or(|t| t.ca_secret_ref.is_none() || !t.insecure_skip_verify);
        wrong.require(plain, format!("{field}.tls"), rules::TLS);
    };
    if let Some(api) = &spec.api {
        check("spec.api", "url", Some(&api.url), api.tls.as_ref());
    }
    if let Some(qdrant) = spec.vector_store.as_ref().and_then(|v| v.qdrant.as_ref()) {
        check("spec.vectorStore.qdrant", "url", Some(&qdrant.url), qdrant.tls.as_ref());
    }
    if let Some(s3) = spec.repository.as_ref().and_then(|r| r.s3.as_ref()) {
        check("spec.repository.s3", "endpoint", s3.endpoint.as_deref(), s3.tls.as_ref());
    }
    if let Some(embedding) = &spec.embedding {
        check("spec.embedding", "url", Some(&embedding.url), embedding.tls.as_ref());
    }
}

/// As the CEL rule: `^https?://[^/?#@\s]+([/?#]\S*)?$`.
fn http_url(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else { return false };
    // What CEL's \s is: ASCII alone.
    let space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}');
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    !authority.is_empty() && !authority.contains('@') && !rest.contains(space)
}

fn volumes(volumes: &[Volume], origin: Origin<'_>, wrong: &mut Violations) -> Vec<ValidVolume> {
    let mut valid = Vec::with_capacity(volumes.len());
    for (index, volume) in volumes.iter().enumerate() {
        let source = match (&volume.persistent_volume_claim, &volume.folder) {
            (Some(claim), None) => VolumeSource::Claim(claim.claim_name.clone()),
            (None, Some(folder)) => {
                VolumeSource::Folder { path: folder.path.clone(), file: origin.file.map(str::to_owned) }
            }
            (claim, folder) => {
                let present = [claim.is_some(), folder.is_some()];
                wrong.one_of(Volume::MEMBERS, &present, format!("spec.volumes[{index}]"));
                continue;
            }
        };
        valid.push(ValidVolume { name: volume.name.clone(), source });
    }
    valid
}

fn parts(name: &str, spec: &MemoryBankSpec) -> Bank {
    let place = |volume: &str, path: &str| PathInVolume { volume: volume.to_owned(), path: path.to_owned() };
    Bank {
        name: name.to_owned(),
        flavor: spec.flavor,
        database: spec.database.as_ref().and_then(|d| match (&d.sqlite, &d.postgres) {
            (Some(file), _) => Some(SqlDatabase::Sqlite(place(&file.volume, &file.path))),
            (None, Some(postgres)) => Some(SqlDatabase::Postgres(PostgresEndpoint {
                url: secret_key(&postgres.url_secret_ref),
                schema: postgres.schema.clone(),
            })),
            (None, None) => None,
        }),
        history: spec.history.as_ref().map(|file| place(&file.volume, &file.path)),
        vector_store: spec.vector_store.as_ref().and_then(vector_store),
        embedding: spec.embedding.as_ref().map(|embedding| EmbeddingEndpoint {
            url: embedding.url.clone(),
            model: embedding.model.clone(),
            dimensions: embedding.dimensions,
            api_key: embedding.api_key_secret_ref.as_ref().map(secret_key),
            tls: trust(embedding.tls.as_ref()),
        }),
        api: spec.api.as_ref().map(api),
        volumes: spec.volumes.iter().map(|v| v.name.clone()).collect(),
        files: spec
            .files
            .iter()
            .map(|t| domain::FileTree { name: t.name.clone(), root: place(&t.volume, &t.path), mutable: t.mutable })
            .collect(),
        // Other tools make, rotate and delete their sets as they like: no change of them is damage by itself.
        backups: spec
            .backups
            .iter()
            .map(|b| domain::FileTree {
                name: b.name.clone(),
                root: place(&b.volume, &b.path),
                mutable: domain::Mutable::Always,
            })
            .collect(),
        repository: spec.repository.as_ref().map(|repository| domain::Repository {
            folder: repository.folder.as_ref().map(|file| place(&file.volume, &file.path)),
            s3: repository.s3.as_ref().map(bucket),
            encryption: repository.encryption.as_ref().map(|encryption| domain::Encryption {
                recipients: encryption.recipients.clone(),
                identity: encryption.identity_secret_ref.as_ref().map(secret_key),
            }),
        }),
        compose: spec.workload.as_ref().and_then(|w| w.compose.as_ref()).map(|file| place(&file.volume, &file.path)),
    }
}

fn secret_key(reference: &SecretKeyRef) -> SecretKey {
    SecretKey { name: reference.name.clone(), key: reference.key.clone() }
}

fn trust(tls: Option<&Tls>) -> Trust {
    tls.map_or_else(Trust::default, |tls| Trust {
        ca: tls.ca_secret_ref.as_ref().map(secret_key),
        insecure_skip_verify: tls.insecure_skip_verify,
    })
}

fn api(api: &Api) -> ApiEndpoint {
    ApiEndpoint {
        url: api.url.clone(),
        user_id: api.user_id.clone(),
        token: api.token_secret_ref.as_ref().map(secret_key),
        canary: match api.canary {
            Canary::Disabled => domain::Canary::Disabled,
            Canary::ReadOnly => domain::Canary::ReadOnly,
            Canary::Transaction => domain::Canary::Transaction,
        },
        tls: trust(api.tls.as_ref()),
    }
}

fn bucket(s3: &S3) -> BucketEndpoint {
    BucketEndpoint {
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.clone().unwrap_or_default(),
        endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        credentials: s3.credentials_secret_ref.as_ref().map(|secret| secret.name.clone()),
        tls: trust(s3.tls.as_ref()),
    }
}

/// None only where neither is there, which is refused elsewhere.
fn vector_store(store: &VectorStore) -> Option<domain::VectorStore> {
    let qdrant = store.qdrant.as_ref().map(|qdrant| {
        domain::VectorStore::Qdrant(QdrantEndpoint {
            url: qdrant.url.clone(),
            api_key: qdrant.api_key_secret_ref.as_ref().map(secret_key),
            collection: qdrant.collection.clone(),
            tls: trust(qdrant.tls.as_ref()),
        })
    });
    let pgvector = store.pgvector.as_ref().map(|pgvector| {
        domain::VectorStore::Pgvector(PgvectorEndpoint {
            url: secret_key(&pgvector.url_secret_ref),
            table: pgvector.table.clone(),
        })
    });
    qdrant.or(pgvector)
}

fn secrets(spec: &MemoryBankSpec) -> Vec<SecretUse> {
    let mut uses = Vec::new();
    let mut add = |field: &str, secret: Option<&SecretKeyRef>| {
        uses.extend(secret.map(|s| SecretUse { field: field.to_owned(), name: s.name.clone(), key: s.key.clone() }));
    };
    let ca = |tls: &'_ Option<Tls>| tls.as_ref().and_then(|t| t.ca_secret_ref.clone());
    if let Some(api) = &spec.api {
        add("spec.api.tokenSecretRef", api.token_secret_ref.as_ref());
        add("spec.api.tls.caSecretRef", ca(&api.tls).as_ref());
    }
    if let Some(postgres) = spec.database.as_ref().and_then(|d| d.postgres.as_ref()) {
        add("spec.database.postgres.urlSecretRef", Some(&postgres.url_secret_ref));
    }
    if let Some(qdrant) = spec.vector_store.as_ref().and_then(|v| v.qdrant.as_ref()) {
        add("spec.vectorStore.qdrant.apiKeySecretRef", qdrant.api_key_secret_ref.as_ref());
        add("spec.vectorStore.qdrant.tls.caSecretRef", ca(&qdrant.tls).as_ref());
    }
    if let Some(pgvector) = spec.vector_store.as_ref().and_then(|v| v.pgvector.as_ref()) {
        add("spec.vectorStore.pgvector.urlSecretRef", Some(&pgvector.url_secret_ref));
    }
    if let Some(s3) = spec.repository.as_ref().and_then(|r| r.s3.as_ref()) {
        for key in BucketEndpoint::KEYS {
            let secret = s3.credentials_secret_ref.as_ref();
            let secret = secret.map(|s| SecretKeyRef { name: s.name.clone(), key: key.to_owned() });
            add("spec.repository.s3.credentialsSecretRef", secret.as_ref());
        }
        add("spec.repository.s3.tls.caSecretRef", ca(&s3.tls).as_ref());
    }
    if let Some(encryption) = spec.repository.as_ref().and_then(|r| r.encryption.as_ref()) {
        add("spec.repository.encryption.identitySecretRef", encryption.identity_secret_ref.as_ref());
    }
    if let Some(embedding) = &spec.embedding {
        add("spec.embedding.apiKeySecretRef", embedding.api_key_secret_ref.as_ref());
        add("spec.embedding.tls.caSecretRef", ca(&embedding.tls).as_ref());
    }
    uses
}
