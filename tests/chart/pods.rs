//! The operator's pod: restricted, probed, and with the store that its values ask for.

use serde_json::{Value, json};

use crate::helm::{ALL, DEFAULT, EVERYTHING, HIGHLY_AVAILABLE, Helm, Objects, name};

fn pod(objects: &Objects) -> &Value {
    &objects.one("Deployment")["spec"]["template"]["spec"]
}

fn arguments(objects: &Objects) -> Vec<&str> {
    crate::helm::texts(&pod(objects)["containers"][0]["args"])
}

#[test]
fn every_container_is_restricted_and_its_root_read_only() {
    let Some(helm) = Helm::find() else { return };
    for values in ALL {
        let objects = helm.objects(values);
        let pod = pod(&objects);
        let context = &pod["securityContext"];
        assert_eq!(context["runAsNonRoot"], true);
        assert_eq!(context["runAsUser"], 65532);
        assert_eq!(context["seccompProfile"], json!({"type": "RuntimeDefault"}));
        for field in ["hostNetwork", "hostPID", "hostIPC", "hostUsers", "initContainers"] {
            assert!(pod[field].is_null(), "{field}");
        }
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
            assert!(container["resources"]["limits"]["memory"].is_string());
            assert!(container["resources"]["requests"]["memory"].is_string());
            assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/livez", "port": "http"}));
            assert_eq!(container["startupProbe"]["httpGet"], json!({"path": "/livez", "port": "http"}));
            assert_eq!(container["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": "http"}));
        }
        for volume in pod["volumes"].as_array().unwrap() {
            let kinds: Vec<_> = volume.as_object().unwrap().keys().filter(|key| *key != "name").collect();
            assert!(["emptyDir", "persistentVolumeClaim", "secret"].contains(&kinds[0].as_str()), "{kinds:?}");
        }
    }
}

#[test]
fn sqlite_has_a_claim_and_one_writer() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(DEFAULT);
    let claim = name(objects.one("PersistentVolumeClaim"));
    let data = pod(&objects)["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "data").unwrap();
    assert_eq!(data["persistentVolumeClaim"]["claimName"], claim);
    assert_eq!(objects.one("Deployment")["spec"]["strategy"], json!({"type": "Recreate"}));
    assert!(arguments(&objects).contains(&"--data=/data"));

    let objects = helm.objects(&["--set", "store.persistence.existingClaim=mine"]);
    assert_eq!(objects.of_kind("PersistentVolumeClaim").count(), 0);
    let volumes = pod(&objects)["volumes"].as_array().unwrap();
    assert!(volumes.iter().any(|volume| volume["persistentVolumeClaim"]["claimName"] == "mine"));

    let kept = helm.objects(&["--set", "store.persistence.keep=true,store.persistence.storageClassName=fast"]);
    let claim = kept.one("PersistentVolumeClaim");
    assert_eq!(claim["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    assert_eq!(claim["spec"]["storageClassName"], "fast");
}

#[test]
fn postgresql_is_told_by_a_file_and_rolls() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(HIGHLY_AVAILABLE);
    assert_eq!(objects.of_kind("PersistentVolumeClaim").count(), 0);
    assert_eq!(objects.one("Deployment")["spec"]["strategy"]["type"], "RollingUpdate");
    assert_eq!(objects.one("Deployment")["spec"]["replicas"], 2);
    let arguments = arguments(&objects);
    assert!(arguments.contains(&"--postgres-url-file=/etc/memorybank/postgres/url"));
    assert!(arguments.iter().all(|argument| !argument.starts_with("--data")), "the two exclude each other");
    let secret =
        pod(&objects)["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "postgres").unwrap();
    assert_eq!(secret["secret"], json!({"secretName": "database", "items": [{"key": "url", "path": "url"}]}));
    let mounts = pod(&objects)["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "postgres").unwrap();
    assert_eq!((&mount["mountPath"], &mount["readOnly"]), (&json!("/etc/memorybank/postgres"), &json!(true)));
    let environment = pod(&objects)["containers"][0]["env"].to_string();
    assert!(!environment.contains("secretKeyRef"), "no secret in the environment");
}

#[test]
fn a_digest_wins_over_the_tag_for_operator_and_jobs() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(EVERYTHING);
    let digest = "registry.example/memorybank@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(pod(&objects)["containers"][0]["image"], digest);
    assert!(arguments(&objects).contains(&format!("--image={digest}").as_str()));
    let objects = helm.objects(&["--set", "image.tag=v9"]);
    assert_eq!(pod(&objects)["containers"][0]["image"], "memorybank:v9");
    let objects = helm.objects(DEFAULT);
    assert_eq!(pod(&objects)["containers"][0]["image"], format!("memorybank:{}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_the_operator_may_see_is_passed_to_it() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(EVERYTHING);
    let arguments = arguments(&objects);
    for expected in [
        "--watch-namespace=team-a",
        "--watch-namespace=team-b",
        "--secret-namespace=team-a",
        "--allow-host-path=/srv/banks",
        "--allow-host-path=/mnt/my banks",
        "--max-active-jobs=7",
        "-v",
    ] {
        assert!(arguments.contains(&expected), "{expected} is not in {arguments:?}");
    }
    let everywhere = helm.objects(HIGHLY_AVAILABLE);
    assert!(self::arguments(&everywhere).contains(&"--secret-namespace=*"));
    assert!(self::arguments(&everywhere).iter().all(|argument| !argument.starts_with("--watch-namespace")));
}
