//! The rights that the chart gives, each one listed here: one more or one less is a failure.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::helm::{ALL, HIGHLY_AVAILABLE, Helm, NAMESPACE, NAMESPACED, Objects, name, namespace, texts};

/// `group/resource verb...`; what is bound to one name has it after a colon.
const WATCHED: [&str; 19] = [
    "memorybank.dev/memorybanks get list watch",
    "memorybank.dev/maintenancepolicies get list watch",
    "memorybank.dev/integritychecks get list watch",
    "memorybank.dev/securityaudits get list watch",
    "memorybank.dev/recoveries get list watch create delete",
    "memorybank.dev/maintenanceruns get list watch create delete",
    "memorybank.dev/memorybanks/status patch",
    "memorybank.dev/maintenancepolicies/status patch",
    "memorybank.dev/maintenanceruns/status patch",
    "memorybank.dev/integritychecks/status patch",
    "memorybank.dev/securityaudits/status patch",
    "memorybank.dev/recoveries/status patch",
    "memorybank.dev/memorybanks/finalizers update",
    "memorybank.dev/maintenanceruns/finalizers update",
    "memorybank.dev/integritychecks/finalizers update",
    "memorybank.dev/securityaudits/finalizers update",
    "memorybank.dev/recoveries/finalizers update",
    "batch/jobs get list watch create delete",
    "events.k8s.io/events list create patch",
];
const WATCHED_CORE: [&str; 2] = ["/pods get list watch", "/persistentvolumeclaims get list watch"];
const CLUSTER_WIDE: [&str; 1] = ["/namespaces get list watch"];
const TOKENS: &str = "authentication.k8s.io/tokenreviews create";
const OWN: [&str; 3] = [
    "coordination.k8s.io/leases create",
    "coordination.k8s.io/leases:memorybank-operator get update",
    "/secrets:memorybank-operator-ingest get update",
];
const SECRETS: &str = "/secrets get";
const SCALE: [&str; 4] = [
    "apps/deployments list",
    "apps/statefulsets list",
    "apps/deployments/scale get patch",
    "apps/statefulsets/scale get patch",
];

fn one_by_one<'a>(lines: impl IntoIterator<Item = &'a &'a str>) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for line in lines {
        let (subject, verbs) = line.split_once(' ').unwrap();
        assert!(verbs.split(' ').all(|verb| rights.insert(format!("{subject} {verb}"))), "{line} twice");
    }
    rights
}

/// The rights of a role, one by one; each is given once.
fn rights(role: &Value) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        assert!(rule["nonResourceURLs"].is_null());
        let mut names = texts(&rule["resourceNames"]);
        let bound = !names.is_empty();
        if !bound {
            names.push("");
        }
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for name in &names {
                    for verb in texts(&rule["verbs"]) {
                        let colon = if bound { ":" } else { "" };
                        let right = format!("{group}/{resource}{colon}{name} {verb}");
                        assert!(!right.contains('*'), "{right}");
                        assert!(rights.insert(right.clone()), "{right} twice");
                    }
                }
            }
        }
    }
    rights
}

/// The rights of the operator's own account, by namespace; `None` is the whole cluster.
fn bound(objects: &Objects, scope: Option<&str>) -> BTreeSet<String> {
    let (kind, binding_kind) =
        if scope.is_some() { ("Role", "RoleBinding") } else { ("ClusterRole", "ClusterRoleBinding") };
    let account = name(objects.one("ServiceAccount"));
    let mut all = BTreeSet::new();
    for binding in objects.of_kind(binding_kind).filter(|binding| namespace(binding) == scope) {
        let subjects = binding["subjects"].as_array().unwrap();
        assert_eq!(subjects.len(), 1);
        assert_eq!((subjects[0]["name"].as_str(), subjects[0]["namespace"].as_str()), (Some(account), Some(NAMESPACE)));
        assert_eq!(binding["roleRef"]["kind"], kind);
        let role = objects
            .of_kind(kind)
            .find(|role| namespace(role) == scope && binding["roleRef"]["name"] == role["metadata"]["name"]);
        all.extend(rights(role.unwrap_or_else(|| panic!("{} leads nowhere", binding["roleRef"]))));
    }
    all
}

#[test]
fn a_cluster_wide_install_has_these_rights_and_no_others() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&[]);
    let expected = WATCHED.iter().chain(&WATCHED_CORE).chain(&CLUSTER_WIDE).chain([&TOKENS]);
    assert_eq!(bound(&objects, None), one_by_one(expected));
    assert_eq!(bound(&objects, Some(NAMESPACE)), one_by_one(&OWN));
    assert_eq!(objects.of_kind("Role").count(), 1);
}

#[test]
fn a_namespaced_install_has_tokenreview_alone_in_the_cluster() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(NAMESPACED);
    assert_eq!(bound(&objects, None), one_by_one([&TOKENS]));
    let watched = || WATCHED.iter().chain(&WATCHED_CORE);
    assert_eq!(bound(&objects, Some("team-a")), one_by_one(watched().chain([&SECRETS])));
    assert_eq!(bound(&objects, Some("team-b")), one_by_one(watched().chain(&SCALE)));
    assert_eq!(bound(&objects, Some("vault")), one_by_one([&SECRETS]));
    assert_eq!(bound(&objects, Some(NAMESPACE)), one_by_one(&OWN));
}

#[test]
fn secrets_and_scales_everywhere_are_given_only_where_that_is_asked_for() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(HIGHLY_AVAILABLE);
    assert!(one_by_one(SCALE.iter().chain([&SECRETS])).is_subset(&bound(&objects, None)));
    assert_eq!(objects.of_kind("Role").count(), 1);
}

#[test]
fn the_roles_of_people_are_aggregated_and_never_bound() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&[]);
    let kinds =
        ["memorybanks", "maintenancepolicies", "maintenanceruns", "integritychecks", "securityaudits", "recoveries"];
    let expected = |suffix: &str, verbs: &[&str]| -> BTreeSet<String> {
        let each =
            |kind: &&str| verbs.iter().map(|verb| format!("memorybank.dev/{kind}{suffix} {verb}")).collect::<Vec<_>>();
        kinds.iter().flat_map(each).collect()
    };
    let approves = |mut rights: BTreeSet<String>| {
        rights.insert("memorybank.dev/recoveries/approval update".to_owned());
        rights
    };
    for (role, to, rights_of_it) in [
        ("view", &["view", "edit", "admin"][..], expected("", &["get", "list", "watch"])),
        ("edit", &["edit", "admin"], expected("", &["create", "update", "patch", "delete", "deletecollection"])),
        ("admin", &["admin"], approves(expected("/status", &["update", "patch"]))),
    ] {
        let found = objects.of_kind("ClusterRole").find(|object| name(object).ends_with(&format!("-{role}"))).unwrap();
        assert_eq!(rights(found), rights_of_it, "{role}");
        for target in ["view", "edit", "admin"] {
            let label = &found["metadata"]["labels"][format!("rbac.authorization.k8s.io/aggregate-to-{target}")];
            assert_eq!(*label == "true", to.contains(&target), "{role} to {target}");
        }
        assert!(objects.of_kind("ClusterRoleBinding").all(|binding| binding["roleRef"]["name"] != *name(found)));
    }
    let without = helm.objects(&["--set", "rbac.aggregate=false"]);
    assert_eq!(without.of_kind("ClusterRole").count(), 1);
}

#[test]
fn every_rule_says_why() {
    for file in ["_rules.tpl", "clusterrole.yaml", "role.yaml", "role-secrets.yaml", "clusterroles-people.yaml"] {
        let text = crate::text_of(&format!("charts/memorybank-operator/templates/{file}"));
        let lines: Vec<_> = text.lines().collect();
        let mut rules = 0;
        for (index, _) in lines.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with("- apiGroups:")) {
            rules += 1;
            let above = lines[index - 1].trim_start();
            // The name that a rule is bound to is explained with the rule before it.
            let shares = lines[index + 2].contains("resourceNames") && above.starts_with("verbs:");
            assert!(above.starts_with("# ") || shares, "{file}:{}: {above}", index + 1);
        }
        assert!(rules > 0, "{file}");
    }
}

#[test]
fn the_secret_of_the_ingest_is_made_empty_and_goes_with_the_release() {
    let Some(helm) = Helm::find() else { return };
    for values in ALL {
        let objects = helm.objects(values);
        let secret = objects.one("Secret");
        assert!(secret["data"].is_null() && secret["stringData"].is_null());
        assert!(secret["metadata"]["annotations"].is_null());
        let lease = objects.one("Lease");
        assert!(lease["spec"].is_null(), "a spec would take the lease from who holds it");
    }
}
