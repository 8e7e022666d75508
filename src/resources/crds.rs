use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

use super::{
    AlertRoute, FindingWaiver, IntegrityCheck, MaintenancePolicy, MaintenanceRun, MemoryBank, Recovery, SecurityAudit,
};

/// The CustomResourceDefinitions of every kind of this version.
pub fn crds() -> [CustomResourceDefinition; 8] {
    [
        MemoryBank::crd(),
        MaintenancePolicy::crd(),
        MaintenanceRun::crd(),
        IntegrityCheck::crd(),
        SecurityAudit::crd(),
        Recovery::crd(),
        AlertRoute::crd(),
        FindingWaiver::crd(),
    ]
}
