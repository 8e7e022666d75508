//! The rights that the chart gives against those that the operator used, as the API server's audit log has it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::install::{NAMESPACE, RELEASE};

/// What is given and was not used by the steps so far, and what it is for.
const UNUSED: [(&str, &[&str]); 5] = [
    (
        "nothing more is seen by it than by list and watch, which people expect it with",
        &[
            "get memorybank.dev memorybanks",
            "get memorybank.dev maintenancepolicies",
            "get memorybank.dev integritychecks",
            "get memorybank.dev securityaudits",
            "get memorybank.dev recoveries",
            "get  persistentvolumeclaims",
            "get  namespaces",
        ],
    ),
    (
        "only OpenShift asks for it",
        &[
            "update memorybank.dev memorybanks/finalizers",
            "update memorybank.dev maintenanceruns/finalizers",
            "update memorybank.dev integritychecks/finalizers",
            "update memorybank.dev securityaudits/finalizers",
            "update memorybank.dev recoveries/finalizers",
        ],
    ),
    (
        "no policy of these steps has a rule for damage",
        &["create memorybank.dev recoveries", "delete memorybank.dev recoveries"],
    ),
    ("an Event that is told again within minutes", &["patch events.k8s.io events"]),
    ("the chart makes the Lease; somebody may delete it", &["create coordination.k8s.io leases"]),
];

pub fn none_missing_none_superfluous(cluster: &Cluster) {
    let user = format!("system:serviceaccount:{NAMESPACE}:{RELEASE}");
    let (mut used, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for line in cluster.audit_log().lines().filter(|line| line.contains(&user)) {
        let event: Value = serde_json::from_str(line).unwrap();
        let object = &event["objectRef"];
        if event["user"]["username"] != user.as_str() || object.is_null() {
            continue;
        }
        let part = |name: &str| object[name].as_str().unwrap_or_default();
        let resource = match part("subresource") {
            "" => part("resource").to_owned(),
            sub => format!("{}/{sub}", part("resource")),
        };
        let right = format!("{} {} {resource}", event["verb"].as_str().unwrap(), part("apiGroup"));
        let forbidden = event["responseStatus"]["code"] == 403;
        if forbidden {
            refused.insert(right)
        } else {
            used.insert(right)
        };
    }
    // An API server that has just begun does not know its roles yet; what it refused then it allowed at other times.
    let missing: Vec<_> = refused.difference(&used).collect();
    assert!(missing.is_empty(), "refused: {missing:#?}");
    let mut given = BTreeSet::new();
    let labels = format!("app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=operator");
    let cluster_role = cluster.get("default", "clusterrole", &format!("{NAMESPACE}-{RELEASE}")).unwrap();
    let roles = cluster.list(NAMESPACE, "roles", &labels);
    for rule in roles.iter().chain([&cluster_role]).flat_map(|role| role["rules"].as_array().unwrap()) {
        let texts =
            |name: &str| rule[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect::<Vec<_>>();
        for (group, resource) in texts("apiGroups")
            .into_iter()
            .flat_map(|group| texts("resources").into_iter().map(move |resource| (group, resource)))
        {
            given.extend(texts("verbs").into_iter().map(|verb| format!("{verb} {group} {resource}")));
        }
    }
    let known: BTreeSet<String> =
        UNUSED.iter().flat_map(|(_, rights)| *rights).map(|right| (*right).to_owned()).collect();
    let unused: BTreeSet<String> = given.difference(&used).cloned().collect();
    let superfluous: Vec<_> = unused.difference(&known).collect();
    assert!(superfluous.is_empty(), "given and never used: {superfluous:#?}");
    let gone: Vec<_> = known.difference(&given).collect();
    assert!(gone.is_empty(), "not given any more: {gone:#?}");
}
