//! The Job of a run. Pure: plain data in, a Job out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

mod volumes;

use volumes::{bank_volume, extra_volume};

use super::labels;
use super::needs;
use super::standing::CONTAINER;
use crate::delivery::GRACE;
use crate::domain::RunSpec;
use crate::resources::{EnvVar, ExtraVolume, JobTemplate, Resources, ValidBank};

/// The uid that runs a Job unless its bank says another.
const UID: i64 = 65532;
/// The most that a RunSpec may be in an annotation.
const MAX_SPEC: usize = 64 << 10;
/// How long a pod may go on after its run's deadline: to be placed, and to hand in its report.
const DELIVERY: Duration = GRACE.saturating_add(Duration::from_mins(2));
/// A Job that ended is kept this long; its run is kept by the policy's limits.
const TTL_SECONDS: i32 = 3600;
/// How long a pod gets to end.
const GRACE_SECONDS: i64 = 30;
/// How long a token is good for; the kubelet renews it in time.
const TOKEN_SECONDS: i64 = 3600;
/// Exit codes that another pod would end with too: wrong use, and a report that was not taken until the deadline.
const FINAL_CODES: [i32; 2] = [2, 3];

const SETUP: &str = "/etc/memorybank/job";
const SECRETS: &str = "/etc/memorybank/secrets";
const TOKEN: &str = "/var/run/memorybank";
const SCRATCH: &str = "/scratch";
const VOLUMES: &str = "/volumes";
const TERMINATION: &str = "/dev/termination-log";

/// What every Job has from the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSettings {
    /// The operator's own image.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub image_pull_policy: String,
    /// Where reports go.
    pub ingest_url: String,
}

/// The Job that is to be.
#[derive(Debug)]
pub struct JobOrder<'a> {
    pub settings: &'a JobSettings,
    pub bank: &'a ValidBank,
    pub spec: &'a RunSpec,
    /// The uid of the MaintenanceRun.
    pub run_uid: &'a str,
    /// What the ingest endpoint is trusted by, in PEM.
    pub ingest_ca: &'a str,
    /// The node to run on: that of the pod that has the bank's files.
    pub node: Option<&'a str>,
}

/// Why there can be no such Job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// Annotations are bounded.
    #[error("the RunSpec has {0} bytes, and an annotation takes {MAX_SPEC}: declare fewer files or tasks in one run")]
    TooLarge(usize),
    /// What the API server cannot know of a field that takes anything.
    #[error("spec.jobTemplate.affinity is no affinity of a pod: {0}")]
    Affinity(String),
    /// A bug of ours.
    #[error("the RunSpec cannot be written: {0}")]
    Unwritable(String),
}

/// The volumes of the bank that a Job mounts, by name.
#[derive(Debug)]
struct Mounted {
    needed: BTreeSet<String>,
    /// Those of them that are mounted for writing.
    written: BTreeSet<String>,
}

/// Builds the Job of a run.
pub fn job(order: &JobOrder<'_>) -> Result<Job, JobError> {
    let spec = serde_json::to_string(order.spec).map_err(|error| JobError::Unwritable(error.to_string()))?;
    if spec.len() > MAX_SPEC {
        return Err(JobError::TooLarge(spec.len()));
    }
    let default = JobTemplate::default();
    let template = order.bank.job_template.as_ref().unwrap_or(&default);
    let bank = &order.spec.bank.name;
    let mut labels = template.labels.clone();
    labels.extend(labels::of_run(bank, &order.spec.run));
    let mut pod_annotations = template.annotations.clone();
    pod_annotations.insert(labels::RUN_SPEC.to_owned(), spec);
    pod_annotations.insert(labels::INGEST_CA.to_owned(), order.ingest_ca.to_owned());
    let owner = OwnerReference {
        api_version: "memorybank.dev/v1alpha1".to_owned(),
        kind: "MaintenanceRun".to_owned(),
        name: order.spec.run.clone(),
        uid: order.run_uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(order.spec.run.clone()),
            namespace: Some(order.spec.namespace.clone()),
            labels: Some(labels.clone()),
            annotations: (!template.annotations.is_empty()).then(|| template.annotations.clone()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            active_deadline_seconds: Some(
                i64::from(order.spec.active_deadline_seconds).saturating_add_unsigned(DELIVERY.as_secs()),
            ),
            backoff_limit: Some(1),
            pod_failure_policy: Some(failure_policy()),
            // Never two pods on one bank.
            pod_replacement_policy: Some("Failed".to_owned()),
            ttl_seconds_after_finished: Some(TTL_SECONDS),
            template: core::PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: Some(pod_annotations),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(order, template)?),
            },
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// A pod that was evicted or lost its node does not count; what would only fail again is not tried again.
fn failure_policy() -> PodFailurePolicy {
    let disrupted = PodFailurePolicyRule {
        action: "Ignore".to_owned(),
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            status: "True".to_owned(),
            type_: "DisruptionTarget".to_owned(),
        }]),
        ..PodFailurePolicyRule::default()
    };
    let final_ = PodFailurePolicyRule {
        action: "FailJob".to_owned(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(CONTAINER.to_owned()),
            operator: "In".to_owned(),
            values: FINAL_CODES.to_vec(),
        }),
        ..PodFailurePolicyRule::default()
    };
    PodFailurePolicy { rules: vec![disrupted, final_] }
}

fn pod(order: &JobOrder<'_>, template: &JobTemplate) -> Result<core::PodSpec, JobError> {
    let mounted = Mounted {
        needed: needs::volumes(&order.spec.bank, &order.spec.tasks),
        written: needs::written(&order.spec.bank, &order.spec.tasks),
    };
    let security = template.pod_security.clone().unwrap_or_default();
    let uid = security.run_as_user.unwrap_or(UID);
    let scratch_class = template.scratch.as_ref().and_then(|scratch| scratch.storage_class_name.as_ref());
    // The kubelet gives a volume that is made for the pod to this group; claims that are only read keep theirs.
    let fs_group = security.fs_group.or_else(|| scratch_class.map(|_| security.run_as_group.unwrap_or(UID)));
    Ok(core::PodSpec {
        restart_policy: Some("Never".to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        service_account_name: template.service_account_name.clone(),
        priority_class_name: template.priority_class_name.clone(),
        runtime_class_name: template.runtime_class_name.clone(),
        image_pull_secrets: some(
            template.image_pull_secrets.iter().map(|s| core::LocalObjectReference { name: s.name.clone() }).collect(),
        ),
        node_selector: (!template.node_selector.is_empty()).then(|| template.node_selector.clone()),
        tolerations: some(template.tolerations.iter().map(toleration).collect()),
        affinity: affinity(template, order.node)?,
        security_context: Some(core::PodSecurityContext {
            run_as_user: Some(uid),
            run_as_group: Some(security.run_as_group.unwrap_or(UID)),
            run_as_non_root: Some(uid != 0),
            supplemental_groups: some(security.supplemental_groups),
            fs_group,
            fs_group_change_policy: fs_group.map(|_| "OnRootMismatch".to_owned()),
            seccomp_profile: Some(core::SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..core::SeccompProfile::default()
            }),
            ..core::PodSecurityContext::default()
        }),
        containers: vec![container(order, template, &mounted)],
        volumes: Some(volumes::volumes(order, template, &mounted)),
        ..core::PodSpec::default()
    })
}

fn container(order: &JobOrder<'_>, template: &JobTemplate, mounted: &Mounted) -> core::Container {
    let mut args = vec![
        "run".to_owned(),
        format!("--spec={SETUP}/spec.json"),
        format!("--uid={}", order.run_uid),
        format!("--ingest={}", order.settings.ingest_url),
        format!("--ingest-ca={SETUP}/ca.crt"),
        format!("--token={TOKEN}/token"),
        format!("--secrets={SECRETS}"),
        format!("--scratch={SCRATCH}"),
        format!("--termination-log={TERMINATION}"),
    ];
    args.extend(mounted.needed.iter().map(|name| format!("--volume={name}={VOLUMES}/{name}")));
    let mount = |name: &str, path: String, read_only: bool| core::VolumeMount {
        name: name.to_owned(),
        mount_path: path,
        read_only: Some(read_only),
        ..core::VolumeMount::default()
    };
    let mut mounts = vec![
        mount("mb-setup", SETUP.to_owned(), true),
        mount("mb-token", TOKEN.to_owned(), true),
        mount("mb-secrets", SECRETS.to_owned(), true),
        mount("mb-scratch", SCRATCH.to_owned(), false),
    ];
    let of_bank =
        |name: &String| mount(&bank_volume(name), format!("{VOLUMES}/{name}"), !mounted.written.contains(name));
    mounts.extend(mounted.needed.iter().map(of_bank));
    let extra = |volume: &ExtraVolume| {
        mount(&extra_volume(&volume.name), volume.mount_path.clone(), volume.empty_dir.is_none())
    };
    mounts.extend(template.volumes.iter().map(extra));
    core::Container {
        name: CONTAINER.to_owned(),
        image: Some(order.settings.image.clone()),
        image_pull_policy: Some(order.settings.image_pull_policy.clone()),
        args: Some(args),
        env: Some(std::iter::once(sqlite_scratch()).chain(template.env.iter().map(env)).collect()),
        resources: Some(resources(template.resources.as_ref())),
        security_context: Some(core::SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(core::Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..core::SecurityContext::default()
        }),
        termination_message_path: Some(TERMINATION.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(mounts),
        ..core::Container::default()
    }
}

/// Where SQLite sorts, and writes a file anew: the root is read-only.
fn sqlite_scratch() -> core::EnvVar {
    core::EnvVar { name: "SQLITE_TMPDIR".to_owned(), value: Some(SCRATCH.to_owned()), value_from: None }
}

fn env(var: &EnvVar) -> core::EnvVar {
    let source = var.secret_key_ref.as_ref().map(|secret| core::EnvVarSource {
        secret_key_ref: Some(core::SecretKeySelector {
            name: secret.name.clone(),
            key: secret.key.clone(),
            optional: None,
        }),
        ..core::EnvVarSource::default()
    });
    core::EnvVar { name: var.name.clone(), value: var.value.clone(), value_from: source }
}

fn toleration(toleration: &crate::resources::Toleration) -> core::Toleration {
    core::Toleration {
        key: toleration.key.clone(),
        operator: toleration.operator.clone(),
        value: toleration.value.clone(),
        effect: toleration.effect.clone(),
        toleration_seconds: toleration.toleration_seconds,
    }
}

/// What a user says, over what suits most banks.
fn resources(given: Option<&Resources>) -> core::ResourceRequirements {
    let quantity = |value: &IntOrString| match value {
        IntOrString::Int(number) => Quantity(number.to_string()),
        IntOrString::String(text) => Quantity(text.clone()),
    };
    let amounts = |given: Option<&BTreeMap<String, IntOrString>>, default: &[(&str, &str)]| {
        let defaults = default.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned())));
        let mut amounts: BTreeMap<String, Quantity> = defaults.collect();
        amounts.extend(given.into_iter().flatten().map(|(name, value)| (name.clone(), quantity(value))));
        amounts
    };
    // Where a user says the most alone, Kubernetes takes that for what is reserved too: ours might be more.
    let limited = |name: &str| given.is_some_and(|given| given.limits.contains_key(name));
    let ours: Vec<_> = [("cpu", "100m"), ("memory", "128Mi")].into_iter().filter(|(name, _)| !limited(name)).collect();
    let requests = amounts(given.map(|given| &given.requests), &ours);
    let limits = amounts(given.map(|given| &given.limits), &[("memory", "1Gi")]);
    core::ResourceRequirements { requests: Some(requests), limits: Some(limits), claims: None }
}

/// The user's affinity, bound to one node where the bank's files need that.
fn affinity(template: &JobTemplate, node: Option<&str>) -> Result<Option<core::Affinity>, JobError> {
    let mut affinity: core::Affinity =
        serde_json::from_value(json!(template.affinity)).map_err(|error| JobError::Affinity(error.to_string()))?;
    if let Some(node) = node {
        let here = core::NodeSelectorRequirement {
            key: "metadata.name".to_owned(),
            operator: "In".to_owned(),
            values: Some(vec![node.to_owned()]),
        };
        let required = &mut affinity
            .node_affinity
            .get_or_insert_default()
            .required_during_scheduling_ignored_during_execution
            .get_or_insert_default()
            .node_selector_terms;
        if required.is_empty() {
            required.push(core::NodeSelectorTerm::default());
        }
        // The terms are alternatives: each must ask for the node.
        for term in required {
            term.match_fields.get_or_insert_default().push(here.clone());
        }
    }
    Ok((affinity != core::Affinity::default()).then_some(affinity))
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests;
