//! The rights that the chart gives against those that the operator used, as the API server's audit log has it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::install::{self, NAMESPACE, RELEASE};

/// What is given and was not used by the steps so far, and why it stays.
const UNUSED: [(&str, &str); 0] = [];

pub fn none_missing_none_superfluous(cluster: &Cluster) {
    let user = format!("system:serviceaccount:{NAMESPACE}:{RELEASE}");
    let mut used = BTreeSet::new();
    for line in cluster.audit_log().lines().filter(|line| line.contains(&user)) {
        let event: Value = serde_json::from_str(line).unwrap();
        if event["user"]["username"] != user.as_str() {
            continue;
        }
        let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
        assert_ne!(code, 403, "{line}");
        let object = &event["objectRef"];
        if object.is_null() {
            continue;
        }
        let part = |name: &str| object[name].as_str().unwrap_or_default();
        let resource = match part("subresource") {
            "" => part("resource").to_owned(),
            sub => format!("{}/{sub}", part("resource")),
        };
        used.insert(format!("{} {} {resource}", event["verb"].as_str().unwrap(), part("apiGroup")));
    }
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
    let superfluous: Vec<_> =
        given.difference(&used).filter(|right| UNUSED.iter().all(|(known, _)| right != known)).collect();
    println!("used:\n{used:#?}");
    assert!(superfluous.is_empty(), "given and never used: {superfluous:#?}");
    let _metrics = install::metrics(cluster);
}
