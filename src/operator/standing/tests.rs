use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-11-22T06:10:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A Job that was made so many seconds ago, with these conditions.
fn job(age: i64, conditions: &Value) -> Job {
    let made = now().checked_sub(SignedDuration::from_secs(age)).unwrap();
    let job = json!({
        "metadata": {"name": "gold-daily-1", "creationTimestamp": made},
        "status": {"conditions": conditions},
    });
    serde_json::from_value(job).unwrap()
}

fn active() -> Job {
    job(60, &json!([]))
}

fn failed(reason: &str) -> Job {
    job(60, &json!([{"type": "Failed", "status": "True", "reason": reason}]))
}

/// A pod whose runner is in `state`, with these conditions.
fn pod(state: &Value, conditions: &Value) -> Pod {
    let pod = json!({
        "metadata": {"name": "gold-daily-1-x", "creationTimestamp": "2026-11-22T06:09:00Z"},
        "status": {
            "phase": "Running",
            "conditions": conditions,
            "containerStatuses": [{"name": "runner", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state}],
        },
    });
    serde_json::from_value(pod).unwrap()
}

fn scheduled() -> Value {
    json!([{"type": "PodScheduled", "status": "True"}])
}

fn waiting(reason: &str, message: &str) -> Pod {
    pod(&json!({"waiting": {"reason": reason, "message": message}}), &scheduled())
}

fn terminated(code: i32, reason: &str) -> Pod {
    pod(&json!({"terminated": {"exitCode": code, "reason": reason}}), &scheduled())
}

fn running(conditions: &Value) -> Pod {
    pod(&json!({"running": {"startedAt": "2026-11-22T06:09:10Z"}}), conditions)
}

fn at(job: &Job, pod: &Pod) -> Standing {
    standing(job, &[pod], &[], now())
}

/// Its kind and reason.
fn told(standing: Standing) -> (&'static str, Option<Reason>) {
    match standing {
        Standing::Active(note) => ("active", note.map(|note| note.reason)),
        Standing::Ended => ("ended", None),
        Standing::Failed(note) => ("failed", Some(note.reason)),
    }
}

#[test]
fn what_will_never_start_is_ended_at_once_and_what_may_still_start_is_told() {
    let cases = [
        (waiting("ErrImagePull", "not found"), ("active", Some(Reason::ImagePullFailed))),
        (waiting("ImagePullBackOff", "back-off"), ("failed", Some(Reason::ImagePullFailed))),
        (waiting("InvalidImageName", "bad"), ("failed", Some(Reason::ImagePullFailed))),
        (waiting("CreateContainerConfigError", "runAsNonRoot"), ("failed", Some(Reason::PodForbidden))),
        (waiting("ContainerCreating", ""), ("active", None)),
        (running(&json!([{"type": "Ready", "status": "True"}])), ("active", None)),
    ];
    for (pod, expected) in cases {
        assert_eq!(told(at(&active(), &pod)), expected, "{:?}", pod.status);
    }
}

#[test]
fn a_pod_that_no_node_takes_says_why() {
    let of = |message: &str| {
        pod(
            &json!({}),
            &json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]),
        )
    };
    let missing = of("0/1 nodes are available: persistentvolumeclaim \"data\" not found.");
    assert_eq!(told(at(&active(), &missing)), ("failed", Some(Reason::VolumeNotFound)));
    let full = of("0/3 nodes are available: 3 Insufficient memory.");
    assert_eq!(told(at(&active(), &full)), ("active", Some(Reason::Unschedulable)));
    // Past the deadline the cause is told, not just that it took too long.
    assert_eq!(told(at(&failed("DeadlineExceeded"), &full)), ("failed", Some(Reason::Unschedulable)));
}

#[test]
fn an_end_without_a_report_has_its_own_reason() {
    assert_eq!(told(at(&active(), &terminated(137, "OOMKilled"))), ("failed", Some(Reason::OutOfMemory)));
    assert_eq!(
        told(at(&failed("BackoffLimitExceeded"), &terminated(137, "OOMKilled"))),
        ("failed", Some(Reason::OutOfMemory))
    );
    // A signal 9 alone is not taken for a lack of memory.
    assert_eq!(
        told(at(&failed("BackoffLimitExceeded"), &terminated(137, "Error"))),
        ("failed", Some(Reason::TaskFailed))
    );
    assert_eq!(
        told(at(&failed("DeadlineExceeded"), &terminated(130, "Error"))),
        ("failed", Some(Reason::DeadlineExceeded))
    );
    assert_eq!(told(at(&failed("PodFailurePolicy"), &terminated(2, "Error"))), ("failed", Some(Reason::TaskFailed)));
    assert_eq!(told(at(&active(), &terminated(0, "Completed"))), ("ended", None));
    // The Job decides whether another pod is made.
    assert_eq!(told(at(&active(), &terminated(4, "Error"))), ("active", Some(Reason::TaskFailed)));
    let complete = job(60, &json!([{"type": "SuccessCriteriaMet", "status": "True"}]));
    assert_eq!(told(standing(&complete, &[], &[], now())), ("ended", None));
    assert_eq!(told(standing(&failed("BackoffLimitExceeded"), &[], &[], now())), ("failed", Some(Reason::TaskFailed)));
}

#[test]
fn a_pod_that_was_taken_away_is_told_apart_from_one_that_failed() {
    let disrupted = |reason: &str| {
        running(&json!([{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "m"}]))
    };
    for (reason, expected) in [
        ("EvictionByEvictionAPI", Reason::Evicted),
        ("TerminationByKubelet", Reason::Evicted),
        ("PreemptionByScheduler", Reason::Evicted),
        ("DeletionByTaintManager", Reason::NodeLost),
        ("DeletionByPodGC", Reason::NodeLost),
    ] {
        assert_eq!(told(at(&active(), &disrupted(reason))), ("active", Some(expected)), "{reason}");
        assert_eq!(
            told(at(&failed("BackoffLimitExceeded"), &disrupted(reason))),
            ("failed", Some(expected)),
            "{reason}"
        );
    }
    let silent = running(&json!([{"type": "Ready", "status": "False"}]));
    assert_eq!(told(at(&active(), &silent)), ("active", Some(Reason::NodeLost)), "its node does not answer");
}

#[test]
fn warnings_are_asked_for_only_where_nothing_else_tells() {
    let young = job(2, &json!([]));
    assert_eq!(ask(&young, &[], now()), None);
    assert_eq!(ask(&active(), &[], now()), Some(Ask::OfJob));
    let creating = waiting("ContainerCreating", "");
    assert_eq!(ask(&active(), &[&creating], now()), Some(Ask::OfPod("gold-daily-1-x")));
    assert_eq!(ask(&active(), &[&running(&json!([]))], now()), None);
    assert_eq!(ask(&failed("DeadlineExceeded"), &[], now()), None);
    let forbidden = ["pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"".to_owned()];
    assert_eq!(told(standing(&active(), &[], &forbidden, now())), ("failed", Some(Reason::PodForbidden)));
    assert_eq!(told(standing(&young, &[], &forbidden, now())), ("active", None));
    let quota = ["pods \"x\" is forbidden: exceeded quota: compute, requested: pods=1".to_owned()];
    assert_eq!(told(standing(&active(), &[], &quota, now())), ("active", Some(Reason::PodForbidden)), "it may free up");
    let mount = ["MountVolume.SetUp failed for volume \"b-data\"".to_owned()];
    assert_eq!(told(standing(&active(), &[&creating], &mount, now())), ("active", Some(Reason::VolumeNotFound)));
}

#[test]
fn the_newest_pod_counts() {
    let mut old = terminated(1, "Error");
    old.metadata.name = Some("old".to_owned());
    old.metadata.creation_timestamp = serde_json::from_value(json!("2026-11-22T06:00:00Z")).unwrap();
    let fresh = running(&json!([]));
    assert_eq!(told(standing(&active(), &[&fresh, &old], &[], now())), ("active", None));
}
