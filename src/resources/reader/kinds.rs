use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::ObjectMeta;
use kube::{CustomResourceExt as _, Resource as _};
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::shape::Shape;
use crate::resources::{
    AlertRoute, FindingWaiver, IntegrityCheck, MaintenancePolicy, MaintenanceRun, MemoryBank, Recovery, SecurityAudit,
};

/// The group of our kinds.
pub const GROUP: &str = "memorybank.dev";
/// The version of our kinds.
pub const VERSION: &str = "v1alpha1";

/// A resource of one of our kinds.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Resource {
    Bank(Box<MemoryBank>),
    Policy(Box<MaintenancePolicy>),
    Run(Box<MaintenanceRun>),
    Check(Box<IntegrityCheck>),
    Audit(Box<SecurityAudit>),
    Recovery(Box<Recovery>),
    Route(Box<AlertRoute>),
    Waiver(Box<FindingWaiver>),
}

impl Resource {
    /// The kind's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bank(_) => "MemoryBank",
            Self::Policy(_) => "MaintenancePolicy",
            Self::Run(_) => "MaintenanceRun",
            Self::Check(_) => "IntegrityCheck",
            Self::Audit(_) => "SecurityAudit",
            Self::Recovery(_) => "Recovery",
            Self::Route(_) => "AlertRoute",
            Self::Waiver(_) => "FindingWaiver",
        }
    }

    /// Its metadata.
    pub fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Bank(bank) => bank.meta(),
            Self::Policy(policy) => policy.meta(),
            Self::Run(run) => run.meta(),
            Self::Check(check) => check.meta(),
            Self::Audit(audit) => audit.meta(),
            Self::Recovery(recovery) => recovery.meta(),
            Self::Route(route) => route.meta(),
            Self::Waiver(waiver) => waiver.meta(),
        }
    }
}

/// How a kind is read.
pub(super) struct Kind {
    pub name: &'static str,
    pub shape: Shape,
    pub parse: fn(Value) -> Option<Resource>,
}

/// Every kind of this version.
pub(super) static KINDS: LazyLock<[Kind; 8]> = LazyLock::new(|| {
    [
        kind("MemoryBank", &MemoryBank::crd(), |v| typed(v).map(Resource::Bank)),
        kind("MaintenancePolicy", &MaintenancePolicy::crd(), |v| typed(v).map(Resource::Policy)),
        kind("MaintenanceRun", &MaintenanceRun::crd(), |v| typed(v).map(Resource::Run)),
        kind("IntegrityCheck", &IntegrityCheck::crd(), |v| typed(v).map(Resource::Check)),
        kind("SecurityAudit", &SecurityAudit::crd(), |v| typed(v).map(Resource::Audit)),
        kind("Recovery", &Recovery::crd(), |v| typed(v).map(Resource::Recovery)),
        kind("AlertRoute", &AlertRoute::crd(), |v| typed(v).map(Resource::Route)),
        kind("FindingWaiver", &FindingWaiver::crd(), |v| typed(v).map(Resource::Waiver)),
    ]
});

fn typed<T: DeserializeOwned>(value: Value) -> Option<Box<T>> {
    serde_json::from_value(value).map(Box::new).ok()
}

fn kind(name: &'static str, crd: &CustomResourceDefinition, parse: fn(Value) -> Option<Resource>) -> Kind {
    let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap_or_default();
    let mut shape = Shape::of(&schema["openAPIV3Schema"]);
    // What a document says of its status is not read: the one writer of it is the kind's controller.
    shape.put("status", Shape::any());
    for field in ["apiVersion", "kind"] {
        shape.put(field, Shape::any());
    }
    shape.put("metadata", metadata());
    Kind { name, shape, parse }
}

/// Metadata has Kubernetes' own schema, which a CRD leaves out.
fn metadata() -> Shape {
    let mut settings = SchemaSettings::openapi3();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<ObjectMeta>();
    Shape::of(schema.as_value())
}
