//! Who reaches whom: ports and labels of one object are those of another.

use serde_json::{Value, json};

use crate::helm::{ALL, DEFAULT, EVERYTHING, HIGHLY_AVAILABLE, Helm, NAMESPACED, Objects, name};

/// The labels that the operator gives to the pods of its Jobs.
fn runner() -> Value {
    json!({
        "app.kubernetes.io/name": "memorybank",
        "app.kubernetes.io/managed-by": "memorybank-operator",
        "app.kubernetes.io/component": "runner",
        "memorybank.dev/bank": "assistant",
        "memorybank.dev/run": "assistant-daily-56b646-29922060",
    })
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.as_object().expect("a selector of labels");
    !wanted.is_empty() && wanted.iter().all(|(label, value)| labels[label] == *value)
}

fn pod(objects: &Objects) -> &Value {
    &objects.one("Deployment")["spec"]["template"]
}

/// The number of a port of the operator's container.
fn container_port(objects: &Objects, port: &str) -> u64 {
    let ports = pod(objects)["spec"]["containers"][0]["ports"].as_array().unwrap();
    let found: Vec<_> = ports.iter().filter(|known| known["name"] == port).collect();
    assert_eq!(found.len(), 1, "{port}");
    found[0]["containerPort"].as_u64().unwrap()
}

fn argument<'a>(objects: &'a Objects, option: &str) -> &'a str {
    let arguments = pod(objects)["spec"]["containers"][0]["args"].as_array().unwrap();
    let found = arguments.iter().find_map(|argument| argument.as_str()?.strip_prefix(option)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {option}"))
}

#[test]
fn the_service_leads_to_the_operators_ports() {
    let Some(helm) = Helm::find() else { return };
    for values in ALL {
        let objects = helm.objects(values);
        let service = objects.one("Service");
        let labels = &pod(&objects)["metadata"]["labels"];
        assert!(selects(&service["spec"]["selector"], labels));
        assert!(!selects(&service["spec"]["selector"], &runner()), "a Job's pod must get no requests");
        for port in service["spec"]["ports"].as_array().unwrap() {
            let listened = container_port(&objects, port["targetPort"].as_str().unwrap());
            assert_eq!(port["port"].as_u64(), Some(listened));
        }
        let ingest = container_port(&objects, "ingest");
        let namespace = service["metadata"]["namespace"].as_str().unwrap();
        let url = format!("https://{}.{namespace}.svc:{ingest}", name(service));
        assert_eq!(argument(&objects, "--ingest-url"), url);
        assert_eq!(argument(&objects, "--ingest-listen"), format!("0.0.0.0:{ingest}"));
        assert_eq!(argument(&objects, "--listen"), format!("0.0.0.0:{}", container_port(&objects, "http")));
        assert_eq!(argument(&objects, "--ingest-secret"), name(objects.one("Secret")));
        assert_eq!(argument(&objects, "--lease"), name(objects.one("Lease")));
    }
}

#[test]
fn the_policy_admits_reports_from_runners_alone() {
    let Some(helm) = Helm::find() else { return };
    for (values, namespaces) in [
        (DEFAULT, json!({})),
        (
            NAMESPACED,
            json!({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a", "team-b"]}]}),
        ),
    ] {
        let objects = helm.objects(values);
        let policy = &objects.one("NetworkPolicy")["spec"];
        assert!(selects(&policy["podSelector"]["matchLabels"], &pod(&objects)["metadata"]["labels"]));
        assert!(!selects(&policy["podSelector"]["matchLabels"], &runner()));
        assert_eq!(policy["policyTypes"], json!(["Ingress"]), "egress is free unless asked for");
        let rules = policy["ingress"].as_array().unwrap();
        let of = |port: &str| {
            let found: Vec<_> =
                rules.iter().filter(|rule| rule["ports"] == json!([{"port": port, "protocol": "TCP"}])).collect();
            assert_eq!(found.len(), 1, "{port}");
            assert!(container_port(&objects, port) > 0);
            found[0]
        };
        assert_eq!(rules.len(), 2);
        assert!(of("http")["from"].is_null());
        let from = of("ingest")["from"].as_array().unwrap();
        assert_eq!(from.len(), 1, "one peer: its selectors hold together");
        assert_eq!(from[0]["namespaceSelector"], namespaces);
        assert!(selects(&from[0]["podSelector"]["matchLabels"], &runner()));
        assert!(!selects(&from[0]["podSelector"]["matchLabels"], &pod(&objects)["metadata"]["labels"]));
    }
}

#[test]
fn egress_is_limited_to_names_the_api_server_and_what_is_named() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(EVERYTHING);
    let policy = &objects.one("NetworkPolicy")["spec"];
    let mut ports = Vec::new();
    for rule in policy["egress"].as_array().unwrap() {
        ports.extend(rule["ports"].as_array().unwrap().iter().map(|port| port["port"].as_u64().unwrap()));
    }
    assert_eq!(ports, [53, 53, 443, 6443, 5432]);
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    let http = &policy["ingress"][0]["from"][0]["namespaceSelector"]["matchLabels"];
    assert_eq!(http["kubernetes.io/metadata.name"], "monitoring");
}

#[test]
fn monitors_find_what_they_scrape_and_keep_its_labels() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(EVERYTHING);
    for (kind, endpoints, found) in [
        ("ServiceMonitor", "endpoints", &objects.one("Service")["metadata"]["labels"]),
        ("PodMonitor", "podMetricsEndpoints", &pod(&objects)["metadata"]["labels"]),
    ] {
        let monitor = &objects.one(kind)["spec"];
        assert!(selects(&monitor["selector"]["matchLabels"], found), "{kind}");
        let endpoint = &monitor[endpoints][0];
        assert_eq!(endpoint["honorLabels"], true, "{kind}");
        assert_eq!((&endpoint["port"], &endpoint["path"]), (&json!("http"), &json!("/metrics")), "{kind}");
    }
    let default = helm.objects(DEFAULT);
    for kind in ["ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap", "PodDisruptionBudget"] {
        assert_eq!(default.of_kind(kind).count(), 0, "{kind} is off by default");
    }
}

#[test]
fn a_budget_comes_with_more_than_one_replica() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(HIGHLY_AVAILABLE);
    let budget = &objects.one("PodDisruptionBudget")["spec"];
    assert!(selects(&budget["selector"]["matchLabels"], &pod(&objects)["metadata"]["labels"]));
    assert_eq!(budget["maxUnavailable"], 1);
}
