//! `Reachable` and what follows from it, on plain YAML and samples.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

#[path = "common/planning.rs"]
mod common;

use common::{World, at, condition};
use memorybank::domain::{
    ApiEndpoint, Bank, Canary, NetworkPart, PartSample, Phase, PostgresEndpoint, QdrantEndpoint, Reach, ReachReason,
    SecretKey, SqlDatabase, Trust, VectorStore,
};
use memorybank::plan::HeldReason;
use memorybank::resources::Config;

const BANK: &str = "
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: assistant}
spec:
  api: {url: 'http://openmemory-mcp:8765', userId: default_user, tokenSecretRef: {name: api, key: token}}
  database: {postgres: {urlSecretRef: {name: db, key: url}}}
  vectorStore: {qdrant: {url: 'https://qdrant:6333', collection: openmemory, tls: {caSecretRef: {name: ca, key: ca.crt}}}}
  files: [{name: uploads, volume: data, path: uploads}]
  volumes: [{name: data, folder: {path: ./data}}]
  sampling: {intervalSeconds: 60}
";

fn with_policy(tasks: &str) -> String {
    format!(
        "{BANK}---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {{name: standard}}
spec:
  bankSelector: {{}}
  schedules: [{{name: daily, cron: '0 6 * * *', tasks: [{tasks}]}}]
"
    )
}

fn sample(part: NetworkPart, time: &str, outcome: Reach) -> PartSample {
    PartSample { part, time: at(time), since: at("2026-11-22T05:50:00.123456Z"), milliseconds: 7, outcome }
}

fn missed(reason: ReachReason) -> Reach {
    Reach::Missed { reason, message: "words: do something".to_owned() }
}

/// All parts, at one time, one of them as it is told.
fn samples(time: &str, part: NetworkPart, outcome: &Reach) -> Vec<PartSample> {
    let of = |p| sample(p, time, if p == part { outcome.clone() } else { Reach::Reached });
    NetworkPart::ALL.into_iter().map(of).collect()
}

#[test]
fn a_bank_carries_its_endpoints_and_names_of_secrets_alone() {
    let world = World::new(&with_policy("{task: Probe}"));
    let bank: &Bank = &world.config.banks[0].bank;
    let secret = |name: &str, key: &str| SecretKey { name: name.to_owned(), key: key.to_owned() };
    assert_eq!(
        bank.api,
        Some(ApiEndpoint {
            url: "http://openmemory-mcp:8765".to_owned(),
            user_id: Some("default_user".to_owned()),
            token: Some(secret("api", "token")),
            canary: Canary::ReadOnly,
            tls: Trust::default(),
        })
    );
    let postgres = PostgresEndpoint { url: secret("db", "url"), schema: "public".to_owned() };
    assert_eq!(bank.database, Some(SqlDatabase::Postgres(postgres)));
    let qdrant = QdrantEndpoint {
        url: "https://qdrant:6333".to_owned(),
        api_key: None,
        collection: "openmemory".to_owned(),
        tls: Trust { ca: Some(secret("ca", "ca.crt")), insecure_skip_verify: false },
    };
    assert_eq!(bank.vector_store, Some(VectorStore::Qdrant(qdrant)));
    assert_eq!(world.config.banks[0].sampling_interval_seconds, 60);
    let written = serde_json::to_value(bank).unwrap();
    assert_eq!(serde_json::from_value::<Bank>(written.clone()).unwrap(), *bank);
    assert_eq!(
        written,
        serde_json::json!({
            "name": "assistant",
            "flavor": "OpenMemory",
            "database": {"postgres": {"url": {"name": "db", "key": "url"}, "schema": "public"}},
            "vectorStore": {"qdrant": {
                "url": "https://qdrant:6333",
                "collection": "openmemory",
                "tls": {"ca": {"name": "ca", "key": "ca.crt"}, "insecureSkipVerify": false},
            }},
            "api": {
                "url": "http://openmemory-mcp:8765",
                "userId": "default_user",
                "token": {"name": "api", "key": "token"},
                "canary": "ReadOnly",
                "tls": {"insecureSkipVerify": false},
            },
            "volumes": ["data"],
            "files": [{"name": "uploads", "volume": "data", "path": "uploads", "mutable": "Never"}],
            "backups": [],
        })
    );
}

#[test]
fn reachable_is_what_the_newest_samples_say() {
    use NetworkPart::{Api, Database, VectorStore};
    let mut world = World::new(BANK);
    world.step("2026-11-22T06:00:00Z");
    assert_eq!(condition(world.status(), "Reachable"), ("Unknown", "NotSampled"));
    for (part, reason, status, told) in [
        (Api, None, "True", "AsExpected"),
        (Api, Some(ReachReason::ApiUnreachable), "False", "ApiUnreachable"),
        (Api, Some(ReachReason::ApiError), "False", "ApiError"),
        (Api, Some(ReachReason::CanaryFailed), "False", "CanaryFailed"),
        (Database, Some(ReachReason::DatabaseUnreachable), "False", "DatabaseUnreachable"),
        (Database, Some(ReachReason::AuthenticationFailed), "False", "AuthenticationFailed"),
        (VectorStore, Some(ReachReason::VectorStoreUnreachable), "False", "VectorStoreUnreachable"),
        (Api, Some(ReachReason::SecretForbidden), "Unknown", "SecretForbidden"),
        (Api, Some(ReachReason::SecretNotFound), "Unknown", "NotSampled"),
        (Api, Some(ReachReason::SecretUnreadable), "Unknown", "NotSampled"),
        (Api, Some(ReachReason::AddressForbidden), "Unknown", "NotSampled"),
    ] {
        world.facts.reach = samples("2026-11-22T06:00:00Z", part, &reason.map_or(Reach::Reached, missed));
        world.step("2026-11-22T06:00:30Z");
        assert_eq!(condition(world.status(), "Reachable"), (status, told), "{reason:?}");
        let message = &world.status().conditions.iter().find(|c| c.type_ == "Reachable").unwrap().message;
        if reason.is_some() {
            assert_eq!(*message, format!("{}: words: do something (since 2026-11-22T05:50:00Z)", part.name()));
        }
    }
}

#[test]
fn of_several_parts_the_first_that_fails_counts_and_failure_before_ignorance() {
    use NetworkPart::{Api, Database, VectorStore};
    let time = "2026-11-22T06:00:00Z";
    let mut world = World::new(BANK);
    world.facts.reach = vec![
        sample(VectorStore, time, missed(ReachReason::VectorStoreUnreachable)),
        sample(Database, time, missed(ReachReason::DatabaseUnreachable)),
    ];
    world.step(time);
    assert_eq!(condition(world.status(), "Reachable"), ("False", "DatabaseUnreachable"), "the API was never sampled");
    world.facts.reach.push(sample(Api, time, missed(ReachReason::SecretForbidden)));
    world.step(time);
    assert_eq!(condition(world.status(), "Reachable"), ("False", "DatabaseUnreachable"));
    world.facts.reach[2].outcome = missed(ReachReason::ApiError);
    world.step(time);
    assert_eq!(condition(world.status(), "Reachable"), ("False", "ApiError"));
    // What is not declared says nothing.
    world.reload(&BANK.replace("userId: default_user,", "canary: Disabled,"));
    world.step(time);
    assert_eq!(condition(world.status(), "Reachable"), ("False", "DatabaseUnreachable"));
}

#[test]
fn a_sample_is_stale_after_twice_the_interval_and_planned_for() {
    let mut world = World::new(BANK);
    world.facts.reach = samples("2026-11-22T06:00:00Z", NetworkPart::Api, &Reach::Reached);
    world.step("2026-11-22T06:00:01Z");
    assert_eq!(condition(world.status(), "Reachable"), ("True", "AsExpected"));
    assert_eq!(world.next, Some(at("2026-11-22T06:02:01Z")), "when they get stale");
    world.step("2026-11-22T06:02:00Z");
    assert_eq!(condition(world.status(), "Reachable"), ("True", "AsExpected"));
    world.step("2026-11-22T06:02:01Z");
    assert_eq!(condition(world.status(), "Reachable"), ("Unknown", "SampleStale"));
    // What failed long ago says nothing of now either.
    world.facts.reach = samples("2026-11-22T06:00:00Z", NetworkPart::Api, &missed(ReachReason::ApiError));
    world.step("2026-11-22T06:02:01Z");
    assert_eq!(condition(world.status(), "Reachable"), ("Unknown", "SampleStale"));
}

#[test]
fn a_sample_that_says_the_same_changes_no_status() {
    for outcome in [Reach::Reached, missed(ReachReason::ApiUnreachable), missed(ReachReason::SecretNotFound)] {
        let mut world = World::new(&with_policy("{task: Probe}"));
        world.facts.reach = samples("2026-11-22T04:00:00Z", NetworkPart::Api, &outcome);
        world.step("2026-11-22T04:00:01Z");
        let before = world.status().clone();
        for (time, now) in
            [("2026-11-22T04:01:00.5Z", "2026-11-22T04:01:01Z"), ("2026-11-22T04:01:59Z", "2026-11-22T04:02:00Z")]
        {
            world.facts.reach = samples(time, NetworkPart::Api, &outcome);
            world.facts.reach[0].milliseconds += 1;
            world.step(now);
            assert_eq!(*world.status(), before, "{outcome:?}");
        }
    }
}

#[test]
fn a_run_that_needs_a_part_waits_until_it_answers() {
    use NetworkPart::{Api, Database, VectorStore};
    let (time, slot) = ("2026-11-22T05:59:30Z", "2026-11-22T06:00:00Z");
    for (tasks, part, waits) in [
        ("{task: Probe}", Api, false),
        ("{task: Probe}", Database, false),
        ("{task: Backup}", Database, true),
        ("{task: Backup}", VectorStore, true),
        ("{task: Backup}", Api, false),
        ("{task: Probe}, {task: Prune}", VectorStore, true),
        ("{task: ConsistencyCheck}", VectorStore, true),
        ("{task: IntegrityCheck, level: Quick}", VectorStore, false),
        ("{task: IntegrityCheck, level: Quick, scopes: [VectorStore, Consistency]}", VectorStore, true),
        ("{task: IntegrityCheck, level: Quick, scopes: [Database]}", Database, true),
        ("{task: IntegrityCheck, level: Quick, scopes: [Database]}", VectorStore, false),
        ("{task: IntegrityCheck, level: Quick, scopes: [Files]}", Database, false),
        ("{task: SecurityAudit, scopes: [Leaks]}", Database, true),
        ("{task: SecurityAudit, scopes: [Leaks]}", Api, false),
        ("{task: SecurityAudit, scopes: [Probes]}", Api, true),
        ("{task: SecurityAudit, scopes: [Posture]}", Database, false),
    ] {
        let mut world = World::new(&with_policy(tasks));
        world.step("2026-11-22T05:00:00Z");
        let reason = if part == Api { ReachReason::ApiError } else { ReachReason::AuthenticationFailed };
        world.facts.reach = samples(time, part, &missed(reason));
        let plan = world.step(slot);
        assert_eq!(plan.create.len(), 1);
        if !waits {
            assert_eq!(plan.start.len(), 1, "{tasks} with {part:?} away");
            continue;
        }
        assert!(plan.start.is_empty(), "{tasks} with {part:?} away");
        assert_eq!((plan.held[0].1, world.runs[0].phase), (HeldReason::Unreachable, Phase::Held));
        assert!(plan.held[0].2.contains(part.name()), "{}", plan.held[0].2);
        world.facts.reach = samples(slot, part, &Reach::Reached);
        assert_eq!(world.step("2026-11-22T06:00:20Z").start.len(), 1, "{tasks}: it answers again");
    }
}

/// What is not known to fail holds nothing: the run itself tells what it could not measure.
#[test]
fn ignorance_holds_no_run() {
    let slot = "2026-11-22T06:00:00Z";
    for reach in [
        Vec::new(),
        samples("2026-11-22T05:30:00Z", NetworkPart::Database, &missed(ReachReason::DatabaseUnreachable)),
        samples(slot, NetworkPart::Database, &missed(ReachReason::SecretForbidden)),
    ] {
        let mut world = World::new(&with_policy("{task: Backup}"));
        world.step("2026-11-22T05:00:00Z");
        world.facts.reach = reach;
        assert_eq!(world.step(slot).start.len(), 1);
    }
}

#[test]
fn a_transaction_is_told_to_be_a_read() {
    let warned = |canary: &str| {
        let text = BANK.replace("userId: default_user,", &format!("canary: {canary},"));
        let (_, warnings) = Config::load(&[("bank.yaml".to_owned(), text)]).unwrap();
        warnings.iter().any(|warning| warning.to_string().contains("spec.api.canary"))
    };
    assert!(warned("Transaction"));
    assert!(!warned("ReadOnly") && !warned("Disabled"));
}
