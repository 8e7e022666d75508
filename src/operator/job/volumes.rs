use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::labels;
use super::{JobOrder, Mounted, TOKEN_SECONDS};
use crate::delivery::AUDIENCE;
use crate::domain::Digest;
use crate::resources::{ExtraVolume, JobTemplate, ValidBank, VolumeSource};

/// The longest name that Kubernetes gives a volume.
const LONGEST: usize = 63;

/// Volumes of the bank, and those that a user adds, have names of their own, so that none can take ours.
pub fn bank_volume(name: &str) -> String {
    prefixed("b-", name)
}

/// The same of a volume that a user adds.
pub fn extra_volume(name: &str) -> String {
    prefixed("x-", name)
}

/// One that becomes too long is cut, and eight hex digits of its SHA-256 keep it from those that are cut to the same.
fn prefixed(prefix: &str, name: &str) -> String {
    let whole = format!("{prefix}{name}");
    if whole.len() <= LONGEST {
        return whole;
    }
    let kept: String = whole.chars().take(LONGEST - 9).collect();
    let digest = Digest::of(name.as_bytes()).to_string();
    format!("{kept}-{}", &digest[..8])
}

/// All volumes of the pod.
pub(super) fn volumes(order: &JobOrder<'_>, template: &JobTemplate, mounted: &Mounted) -> Vec<core::Volume> {
    let annotation = |path: &str, name: &str| core::DownwardAPIVolumeFile {
        path: path.to_owned(),
        field_ref: Some(core::ObjectFieldSelector {
            field_path: format!("metadata.annotations['{name}']"),
            api_version: None,
        }),
        ..core::DownwardAPIVolumeFile::default()
    };
    let setup = core::DownwardAPIVolumeSource {
        items: Some(vec![annotation("spec.json", labels::RUN_SPEC), annotation("ca.crt", labels::INGEST_CA)]),
        default_mode: None,
    };
    let token = core::ServiceAccountTokenProjection {
        audience: Some(AUDIENCE.to_owned()),
        expiration_seconds: Some(TOKEN_SECONDS),
        path: "token".to_owned(),
    };
    let token = core::VolumeProjection { service_account_token: Some(token), ..core::VolumeProjection::default() };
    let projected = |sources| core::ProjectedVolumeSource { sources: Some(sources), default_mode: None };
    let mut volumes = vec![
        core::Volume { name: "mb-setup".to_owned(), downward_api: Some(setup), ..core::Volume::default() },
        core::Volume {
            name: "mb-token".to_owned(),
            projected: Some(projected(vec![token])),
            ..core::Volume::default()
        },
        core::Volume {
            name: "mb-secrets".to_owned(),
            projected: Some(projected(secrets(order.bank))),
            ..core::Volume::default()
        },
        scratch(template),
    ];
    for volume in order.bank.volumes.iter().filter(|volume| mounted.needed.contains(&volume.name)) {
        let name = bank_volume(&volume.name);
        volumes.push(match &volume.source {
            VolumeSource::Claim(claim) => core::Volume {
                name,
                persistent_volume_claim: Some(core::PersistentVolumeClaimVolumeSource {
                    claim_name: claim.clone(),
                    read_only: Some(!mounted.written.contains(&volume.name)),
                }),
                ..core::Volume::default()
            },
            VolumeSource::Folder { path, .. } => core::Volume {
                name,
                host_path: Some(core::HostPathVolumeSource { path: path.clone(), type_: Some("Directory".to_owned()) }),
                ..core::Volume::default()
            },
        });
    }
    volumes.extend(template.volumes.iter().map(extra));
    volumes
}

/// The keys that the bank refers to, as files `NAME/KEY`. One that is missing is the runner's to tell: optional, so
/// that the pod starts.
fn secrets(bank: &ValidBank) -> Vec<core::VolumeProjection> {
    let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for secret in &bank.secrets {
        keys.entry(&secret.name).or_default().insert(&secret.key);
    }
    let item =
        |name: &str, key: &str| core::KeyToPath { key: key.to_owned(), path: format!("{name}/{key}"), mode: None };
    keys.into_iter()
        .map(|(name, keys)| core::VolumeProjection {
            secret: Some(core::SecretProjection {
                name: name.to_owned(),
                items: Some(keys.into_iter().map(|key| item(name, key)).collect()),
                optional: Some(true),
            }),
            ..core::VolumeProjection::default()
        })
        .collect()
}

fn scratch(template: &JobTemplate) -> core::Volume {
    let scratch = template.scratch.clone().unwrap_or_default();
    let name = "mb-scratch".to_owned();
    let Some(class) = scratch.storage_class_name else {
        let empty = core::EmptyDirVolumeSource { size_limit: scratch.size.map(Quantity), medium: None };
        return core::Volume { name, empty_dir: Some(empty), ..core::Volume::default() };
    };
    let size = Quantity(scratch.size.unwrap_or_else(|| "10Gi".to_owned()));
    let claim = core::PersistentVolumeClaimSpec {
        access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
        storage_class_name: Some(class),
        resources: Some(core::VolumeResourceRequirements {
            requests: Some(BTreeMap::from([("storage".to_owned(), size)])),
            limits: None,
        }),
        ..core::PersistentVolumeClaimSpec::default()
    };
    let template = core::PersistentVolumeClaimTemplate { metadata: None, spec: claim };
    let ephemeral = core::EphemeralVolumeSource { volume_claim_template: Some(template) };
    core::Volume { name, ephemeral: Some(ephemeral), ..core::Volume::default() }
}

fn extra(volume: &ExtraVolume) -> core::Volume {
    let name = extra_volume(&volume.name);
    let config_map = volume
        .config_map
        .as_ref()
        .map(|map| core::ConfigMapVolumeSource { name: map.name.clone(), ..core::ConfigMapVolumeSource::default() });
    let secret = volume.secret.as_ref().map(|secret| core::SecretVolumeSource {
        secret_name: Some(secret.secret_name.clone()),
        ..core::SecretVolumeSource::default()
    });
    let empty_dir = volume
        .empty_dir
        .as_ref()
        .map(|empty| core::EmptyDirVolumeSource { size_limit: empty.size_limit.clone().map(Quantity), medium: None });
    core::Volume { name, config_map, secret, empty_dir, ..core::Volume::default() }
}
