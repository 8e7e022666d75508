//! Reading resources from files: what is refused, where, and that good ones come through whole.

#![allow(clippy::unwrap_used, clippy::panic)] // A helper of a test fails the test.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use memorybank::domain::{AuditScope, IntegrityScope, Level, SqlDatabase, Work};
use memorybank::resources::{Config, Problem, Review, VolumeSource, read};
use proptest::prelude::*;

const BANK: &str = "\
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: a, labels: {tier: gold}}
spec:
  database:
    sqlite: {volume: data, path: openmemory.db}
  volumes:
  - name: data
    folder: {path: ./data}
";

const POLICY: &str = "\
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {name: p}
spec:
  bankSelector: {}
  timeZone: Europe/Berlin
  schedules:
  - name: daily
    cron: \"0 6 * * *\"
    tasks:
    - {task: IntegrityCheck, level: Quick}
";

fn files(texts: &[&str]) -> Vec<(String, String)> {
    texts.iter().enumerate().map(|(i, text)| (format!("{i}.yaml"), (*text).to_owned())).collect()
}

fn load(texts: &[&str]) -> Config {
    Config::load(&files(texts)).unwrap_or_else(|problems| panic!("{}", lines(&problems))).0
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |mut text, problem| {
        writeln!(text, "{problem}").unwrap();
        text
    })
}

/// The problems of a bank or policy in which one text is replaced.
fn refused(document: &str, from: &str, to: &str) -> String {
    let changed = document.replacen(from, to, 1);
    assert_ne!(changed, document, "{from:?} is not in the document");
    lines(&Review::of(&files(&[&changed])).problems)
}

#[test]
fn every_example_is_good_alone_and_with_the_others() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            all.push((path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap()));
        }
    }
    let bank = all.iter().find(|(name, _)| name == "memorybank.yaml").unwrap().clone();
    for file in &all {
        let mut alone = vec![file.clone()];
        if *file != bank {
            alone.push(bank.clone());
        }
        Config::load(&alone).unwrap_or_else(|problems| panic!("{}", lines(&problems)));
    }
    let (config, warnings) = Config::load(&all).unwrap_or_else(|problems| panic!("{}", lines(&problems)));
    assert_eq!(lines(&warnings), "");
    assert_eq!(config.banks.len(), 2);
    let shipped = config.policies.iter().find(|p| p.meta.name == "default").unwrap();
    let crons: Vec<_> = shipped.schedules.iter().map(|s| (s.name.as_str(), s.cron.text())).collect();
    assert_eq!(crons, [("daily", "0 6 * * *"), ("weekly", "0 2 * * 0"), ("monthly", "0 1 1 * *")]);
}

#[test]
fn a_bank_comes_through_whole() {
    let config = load(&[BANK]);
    assert_eq!(config.namespace, "default");
    let bank = &config.banks[0];
    assert_eq!((bank.meta.name.as_str(), bank.meta.namespace.as_str()), ("a", "default"));
    assert_eq!(bank.meta.labels["tier"], "gold");
    let Some(SqlDatabase::Sqlite(file)) = &bank.bank.database else { panic!("{:?}", bank.bank.database) };
    assert_eq!((file.volume.as_str(), file.path.as_str()), ("data", "openmemory.db"));
    let source = VolumeSource::Folder { path: "./data".to_owned(), file: Some("0.yaml".to_owned()) };
    assert_eq!(bank.volumes[0].source, source);
    // The digest tells a changed spec from one that is written in another way.
    let same = BANK.replace("spec:\n", "spec:\n  suspend: false\n  sampling: {intervalSeconds: 300}\n");
    let other = BANK.replace("spec:\n", "spec:\n  suspend: true\n");
    assert_eq!(load(&[&same]).banks[0].meta.spec_digest, bank.meta.spec_digest);
    assert_ne!(load(&[&other]).banks[0].meta.spec_digest, bank.meta.spec_digest);
}

#[test]
fn tasks_get_names_of_their_own_and_defaults() {
    let tasks = "
    - {task: IntegrityCheck, level: Checksum, scopes: [Files]}
    - {task: IntegrityCheck, level: Full, sharePercent: 7}
    - {name: integrity-check, task: SecurityAudit, scopes: [Leaks]}";
    let policy = POLICY.replace("\n    - {task: IntegrityCheck, level: Quick}", tasks);
    let config = load(&[&policy]);
    let schedule = &config.policies[0].schedules[0];
    let names: Vec<_> = schedule.tasks.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["integrity-check-2", "integrity-check-3", "integrity-check"]);
    let works: Vec<_> = schedule.tasks.iter().map(|t| t.work.clone()).collect();
    let checksum =
        Work::IntegrityCheck { level: Level::Checksum, scopes: vec![IntegrityScope::Files], share_percent: 10 };
    let full = Work::IntegrityCheck { level: Level::Full, scopes: vec![], share_percent: 7 };
    assert_eq!(works, [checksum, full, Work::SecurityAudit { scopes: vec![AuditScope::Leaks] }]);
    assert_eq!(schedule.cron.zone_name(), "Europe/Berlin");
    assert_eq!((schedule.spread_seconds, schedule.active_deadline_seconds), (0, 3600));
}

#[test]
fn a_problem_names_file_line_document_field_and_what_was_expected() {
    let text = format!("# banks\n---\n{BANK}---\n{}", POLICY.replace("0 6 * * *", "0 6 * *"));
    let problems = Review::of(&[("bank.yaml".to_owned(), text)]).problems;
    let shown = lines(&problems);
    assert!(shown.starts_with("bank.yaml:21: document 2, spec.schedules[0].cron: found \"0 6 * *\""), "{shown}");
    assert!(shown.contains("expected five fields"), "{shown}");
    assert_eq!(problems.len(), 1);
}

#[test]
#[allow(clippy::too_many_lines)] // A table.
fn what_a_document_says_wrongly_is_told_at_its_place() {
    for (document, from, to, expected) in [
        (BANK, "volumes:", "volume:", "0.yaml:7: document 1, spec.volume: unknown field; did you mean volumes?"),
        (BANK, "sqlite: {", "sqlite: {mode: 1, ", "spec.database.sqlite.mode: unknown field; known are path, volume"),
        (BANK, "name: data", "name: 7", "0.yaml:8: document 1, spec.volumes[0].name: found a number, expected a text"),
        (BANK, "spec:\n", "spec:\n  suspend: \"no\"\n", "spec.suspend: found a text, expected true or false"),
        (
            BANK,
            "spec:\n",
            "spec:\n  flavor: Openmemory\n",
            "expected one of OpenMemory, Mem0Server (did you mean OpenMemory?)",
        ),
        (BANK, "spec:\n", "spec:\n  history:\n", "spec.history: found nothing, expected a mapping"),
        (
            BANK,
            "spec:\n",
            "spec:\n  sampling: {intervalSeconds: 5}\n",
            "found 5, expected a whole number from 30 to 86400",
        ),
        (BANK, "spec:\n", "spec:\n  sampling: {intervalSeconds: 1e3}\n", "spec.sampling.intervalSeconds: found"),
        (
            BANK,
            "spec:\n",
            "spec:\n  sampling: {intervalSeconds: 99999999999999999999}\n",
            "spec.sampling.intervalSeconds",
        ),
        (BANK, ", path: openmemory.db", "", "spec.database.sqlite.path: is missing; expected: Path within the volume"),
        (BANK, "path: openmemory.db", "path: ../openmemory.db", "spec.database.sqlite.path: expected a path relative"),
        (
            BANK,
            "path: openmemory.db",
            "path: /data/openmemory.db",
            "spec.database.sqlite.path: expected a path relative",
        ),
        (BANK, "volume: data", "volume: date", "spec.database.sqlite.volume: expected the name of a volume declared"),
        (
            BANK,
            "folder: {path: ./data}",
            "folder: {path: ./data}\n  - name: data\n    folder: {path: x}",
            "spec.volumes[1]: has the same name as the entry on line 8",
        ),
        (
            BANK,
            "    folder: {path: ./data}",
            "    persistentVolumeClaim: {claimName: c}\n    folder: {path: ./data}",
            "spec.volumes[0]: expected exactly one of persistentVolumeClaim, folder",
        ),
        (BANK, "name: a,", "name: A,", "metadata.name: metadata.name is a DNS label"),
        (BANK, "metadata: {name: a,", "metadata: {", "metadata.name: metadata.name is a DNS label"),
        (BANK, "metadata: {name: a, labels: {tier: gold}}\n", "", "metadata.name: is missing"),
        (
            BANK,
            "labels: {tier: gold}",
            "labels: {tier: 5}",
            "metadata.labels[tier]: found a number, expected a text (put it in quotes)",
        ),
        (BANK, "labels:", "label:", "metadata.label: unknown field; did you mean labels?"),
        (BANK, "v1alpha1", "v1", "0.yaml:1: document 1, apiVersion: expected memorybank.dev/v1alpha1"),
        (BANK, "MemoryBank", "Memorybank", "kind: unknown kind of memorybank.dev; did you mean MemoryBank?"),
        (BANK, "kind: MemoryBank\n", "", "kind: is missing"),
        (
            POLICY,
            "Europe/Berlin",
            "Europe/Bielefeld",
            "0.yaml:6: document 1, spec.timeZone: found \"Europe/Bielefeld\", expected a time zone",
        ),
        (POLICY, "0 6 * * *", "0 0 6 * * *", "spec.schedules[0].cron: found"),
        (POLICY, "0 6 * * *", "0 0 30 2 *", "spec.schedules[0].cron: found"),
        (POLICY, "0 6 * * *", "TZ=UTC 0 6 * * *", "found a time zone within the cron expression"),
        (
            POLICY,
            "Quick",
            "RestoreTest",
            "spec.schedules[0].tasks[0].level: found \"RestoreTest\", expected one of Quick, Checksum, Full",
        ),
        (
            POLICY,
            "level: Quick",
            "scopes: [Leaks], level: Quick",
            "spec.schedules[0].tasks[0].scopes: scopes fit the task",
        ),
        (
            POLICY,
            "level: Quick",
            "level: Quick, scopes: [Files, Files]",
            "spec.schedules[0].tasks[0].scopes[1]: is there twice",
        ),
        (POLICY, "bankSelector: {}\n", "suspend: false\n", "spec.bankSelector: is missing"),
        (
            POLICY,
            "    tasks:\n    - {task: IntegrityCheck, level: Quick}\n",
            "    tasks: []\n",
            "spec.schedules[0].tasks: found 0 entries, expected at least 1",
        ),
        (
            POLICY,
            "bankSelector: {}\n",
            "bankSelector: {}\n  windows: [{start: \"25:00\", end: \"06:00\"}]\n",
            "spec.windows[0].start: expected a text like",
        ),
        (
            POLICY,
            "bankSelector: {}\n",
            "bankSelector: {}\n  windows: [{start: \"22:00\", end: \"06:00\"}]\n",
            "0.yaml:10: document 1, spec.schedules[0].cron: no slot lies within spec.windows",
        ),
        (
            POLICY,
            "bankSelector: {}\n",
            "bankSelector: {}\n  windows: [{days: [Sun], start: \"06:00\", end: \"07:00\"}]\n  blackouts: [{from: 2026-02-30, to: 2026-03-01}]\n",
            "spec.blackouts[0].from: expected a day that exists",
        ),
        (
            POLICY,
            "bankSelector: {}\n",
            "bankSelector: {}\n  holdWhile: [{condition: Intact, status: \"False\"}]\n",
            "spec.holdWhile[0]: no schedule is held by a condition that its own tasks measure",
        ),
        (
            POLICY,
            "bankSelector: {}\n",
            "bankSelector: {}\n  holdWhile: [{condition: Intact, status: False}]\n",
            "spec.holdWhile[0].status: found true or false, expected a text (put it in quotes)",
        ),
        (
            POLICY,
            "{name: p}",
            "{name: p, annotations: {memorybank.dev/run-now: t/weekly}}",
            "metadata.annotations[memorybank.dev/run-now]: asks for a schedule that is not there; there is daily",
        ),
    ] {
        let shown = refused(document, from, to);
        assert!(shown.contains(expected), "{to}\nexpected {expected}\ngot {shown}");
    }
}

#[test]
fn a_window_over_midnight_admits_the_morning_after() {
    let with = |days: &str, cron: &str| {
        let window = format!("bankSelector: {{}}\n  windows: [{{days: [{days}], start: \"22:00\", end: \"06:30\"}}]\n");
        let text = POLICY.replace("bankSelector: {}\n", &window).replace("0 6 * * *", cron);
        Review::of(&files(&[&text])).problems.is_empty()
    };
    assert!(with("Fri", "0 6 * * 6"));
    assert!(!with("Fri", "0 6 * * 5"));
    assert!(!with("Fri", "30 6 * * 6"));
    assert!(with("Mon", "0 0 29 2 *"), "a 29th of February is a Tuesday once in 28 years");
    assert!(!with("Sun", "0 12 * * *"));
}

#[test]
fn references_between_documents_are_resolved() {
    let check = "apiVersion: memorybank.dev/v1alpha1\nkind: IntegrityCheck\nmetadata: {name: c}\n\
                 spec:\n  level: Full\n  bankName: a\n";
    assert_eq!(load(&[BANK, check]).checks.len(), 1);
    let shown = lines(&Review::of(&files(&[BANK, &check.replace("bankName: a", "bankName: b")])).problems);
    assert_eq!(shown, "1.yaml:6: document 1, spec.bankName: there is no MemoryBank \"b\" in these files\n");
    let twice = lines(&Review::of(&files(&[BANK, BANK])).problems);
    assert_eq!(twice, "1.yaml:3: document 1, metadata.name: a MemoryBank of this name is already at 0.yaml:1\n");
    // The bank that is meant is there, but broken: that alone is told.
    let broken = BANK.replace("volumes:", "volume:");
    assert_eq!(Review::of(&files(&[&broken, check])).problems.len(), 1);
}

#[test]
fn one_folder_is_one_namespace() {
    let with =
        |namespace: &str, name: &str| BANK.replace("name: a,", &format!("name: {name}, namespace: {namespace},"));
    let config = load(&[&with("home", "a"), &BANK.replace("name: a,", "name: b,")]);
    assert_eq!(config.namespace, "home");
    assert!(config.banks.iter().all(|b| b.meta.namespace == "home"));
    let shown = lines(&Review::of(&files(&[&with("home", "a"), &with("work", "b")])).problems);
    assert_eq!(
        shown,
        "1.yaml:3: document 1, metadata.namespace: a folder is one namespace, and 0.yaml:1 is in \"home\"\n"
    );
}

#[test]
fn other_groups_are_passed_over_by_name() {
    let text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{x: y}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\n---\n\
         services: {{web: {{image: x}}}}\n---\n{BANK}"
    );
    let review = Review::of(&files(&[&text]));
    assert_eq!(lines(&review.problems), "");
    let passed: Vec<_> =
        review.passed.iter().map(|(at, p)| (at.document, p.group.as_str(), p.kind.as_str(), p.name.as_str())).collect();
    assert_eq!(passed, [(1, "", "Secret", "s"), (2, "apps", "Deployment", "d")]);
    assert_eq!(lines(&review.warnings), "0.yaml:10: document 3: has neither apiVersion nor kind: passed over\n");
    assert_eq!(review.config.banks.len(), 1);
}

const WAIVER: &str = "\
apiVersion: memorybank.dev/v1alpha1
kind: FindingWaiver
metadata: {name: w}
spec:
  match: {rule: qdrant-no-auth, bankName: a}
  reason: in a closed network
  owner: alice
  expiryTime: 2027-02-01T00:00:00Z
";

const ROUTE: &str = "\
apiVersion: memorybank.dev/v1alpha1
kind: AlertRoute
metadata: {name: r}
spec:
  match: [{categories: [Security]}]
  timeZone: Europe/Berlin
  receivers:
  - name: mail
    email: {host: mail.example.com, from: bank@example.com, to: [ops@example.com]}
  selfTest: {cron: \"0 9 * * 1\"}
";

#[test]
fn kinds_that_nothing_acts_on_yet_are_judged_and_warned_of() {
    let recovery = "apiVersion: memorybank.dev/v1alpha1\nkind: Recovery\nmetadata: {name: m}\nspec: {bankName: a}\n";
    let review = Review::of(&files(&[BANK, WAIVER, ROUTE, recovery]));
    assert_eq!(lines(&review.problems), "");
    assert_eq!(
        lines(&review.warnings),
        "1.yaml:2: document 1, kind: this version acts on no FindingWaiver yet: it has no effect\n\
         2.yaml:2: document 1, kind: this version acts on no AlertRoute yet: it has no effect\n"
    );
    for (document, from, to, expected) in [
        (recovery, "{bankName: a}", "{bankName: b}", "spec.bankName: there is no MemoryBank \"b\""),
        (recovery, "{bankName: a}", "{bankName: a, mode: Now}", "spec.mode: found \"Now\", expected one of DryRun"),
        (WAIVER, "bankName: a", "bankName: b", "spec.match.bankName: there is no MemoryBank \"b\""),
        (WAIVER, "rule: qdrant-no-auth, ", "", "spec.match: a waiver is of a rule or of a fingerprint"),
        (WAIVER, "  expiryTime: 2027-02-01T00:00:00Z\n", "", "spec.expiryTime: is missing"),
        (WAIVER, "2027-02-01T00", "2027-02-31T00", "spec.expiryTime: expected a time such as"),
        (ROUTE, "Europe/Berlin", "Europe/Bielefeld", "spec.timeZone: found \"Europe/Bielefeld\""),
        (ROUTE, "0 9 * * 1", "0 9 * *", "spec.selfTest.cron: found \"0 9 * *\""),
        (ROUTE, "ops@example.com", "ops", "spec.receivers[0].email.to[0]: expected a text like"),
        (ROUTE, "name: mail\n", "name: mail\n    desktop: {}\n", "spec.receivers[0]: expected exactly one of webhook"),
        (ROUTE, "[{categories: [Security]}]", "[]", "spec.match: found 0 entries, expected at least 1"),
    ] {
        let changed = document.replacen(from, to, 1);
        assert_ne!(changed, document, "{from:?} is not in the document");
        let shown = lines(&Review::of(&files(&[BANK, &changed])).problems);
        assert!(shown.contains(expected), "{to}\nexpected {expected}\ngot {shown}");
    }
}

#[test]
fn what_this_version_cannot_measure_is_warned_of() {
    let tasks = "\n    - {task: Learn}\n    - {task: SecurityAudit, scopes: [Leaks, Posture]}";
    let policy = POLICY.replace("\n    - {task: IntegrityCheck, level: Quick}", tasks);
    let (_, warnings) = Config::load(&files(&[BANK, &policy])).unwrap();
    let shown = lines(&warnings);
    assert!(
        shown.contains("1.yaml:11: document 1, spec.schedules[0].tasks[0]: the task Learn comes with a later version")
    );
    assert!(
        shown.contains("1.yaml:12: document 1, spec.schedules[0].tasks[1]: the scope Posture comes with"),
        "{shown}"
    );
    assert_eq!(warnings.len(), 2);
}

#[test]
fn a_list_and_a_status_as_kubectl_writes_them_are_read() {
    let item: String = BANK.lines().fold(String::new(), |mut text, line| {
        writeln!(text, "  {line}").unwrap();
        text
    });
    let item = item.replacen("  apiVersion", "- apiVersion", 1);
    let list = format!("apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: \"\"}}\nitems:\n{item}");
    let list = list.replace("name: a,", "name: a, creationTimestamp: null, generation: 3, uid: x,");
    let list = format!("{list}  status: {{health: {{score: 96}}, whatever: 1}}\n");
    let config = load(&[&list]);
    assert_eq!(config.banks[0].meta.generation, Some(3));
    let broken = list.replace("volumes:", "volume:");
    let shown = lines(&Review::of(&files(&[&broken])).problems);
    assert!(shown.contains("0.yaml:11: document 1, spec.volume: unknown field"), "{shown}");
}

#[test]
fn a_broken_document_hides_no_other() {
    let text = format!("{BANK}---\na: [1, 2\n---\nkind: {{\n---\n- x\n---\n{}", POLICY.replace("daily", "Daily"));
    let (documents, problems) = read("f.yaml", &text);
    assert_eq!(documents.len(), 1);
    let at: Vec<_> = problems.iter().map(|p| (p.place.document, p.place.line)).collect();
    assert_eq!(at.iter().map(|(d, _)| *d).collect::<Vec<_>>(), [2, 3, 4, 5], "{}", lines(&problems));
    assert!(problems[2].message.contains("found a list, expected a resource"));
    assert!(problems[0].place.line >= 11 && problems[1].place.line >= 13, "{}", lines(&problems));
}

#[test]
fn line_ends_marks_and_empty_documents_do_not_matter() {
    let crlf = BANK.replace('\n', "\r\n");
    let marked = format!("\u{feff}{BANK}");
    let empty = format!("---\n---\n# nothing\n---\n{BANK}---\n...\n");
    let directive = format!("%YAML 1.2\n---\n{BANK}");
    for text in [&crlf, &marked, &empty, &directive] {
        assert_eq!(load(&[text]).banks.len(), 1, "{text:?}");
    }
    for nothing in ["", "---", "---\n---\n", "# x\n", "\u{feff}", "\r\n\r\n"] {
        assert_eq!(lines(&Review::of(&files(&[nothing])).problems), "", "{nothing:?}");
    }
    let shown = lines(&Review::of(&files(&[&crlf.replace("volumes:", "volume:")])).problems);
    assert!(shown.starts_with("0.yaml:7: "), "{shown}");
    let tabs = lines(&Review::of(&files(&[&BANK.replace("  database", "\tdatabase")])).problems);
    assert!(tabs.starts_with("0.yaml:5: document 1: "), "{tabs}");
    let twice =
        lines(&Review::of(&files(&[&BANK.replace("spec:\n", "spec:\n  suspend: true\n  suspend: false\n")])).problems);
    assert!(twice.starts_with("0.yaml:6: document 1: "), "{twice}");
}

#[test]
fn anchors_work_and_bombs_do_not() {
    let shared = BANK.replace("volume: data", "volume: &v data").replace("name: data", "name: *v");
    assert_eq!(load(&[&shared]).banks[0].volumes[0].name, "data");

    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let previous = level - 1;
        writeln!(laughs, "a{level}: &a{level} [{}]", vec![format!("*a{previous}"); 10].join(", ")).unwrap();
    }
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let blocks = (0..2_000).fold(String::new(), |mut text, i| {
        writeln!(text, "{}a:", " ".repeat(i)).unwrap();
        text
    });
    let huge = format!("{BANK}# {}\n", "x".repeat(5 << 20));
    let many = "---\na: 1\n".repeat(20_000);
    for bomb in [&laughs, &deep, &blocks, &huge, &many, &"&a [*a]".to_owned()] {
        let review = Review::of(&files(&[bomb]));
        assert!(!review.problems.is_empty(), "{}", &bomb[..40.min(bomb.len())]);
        assert!(review.problems.iter().all(|p| p.message.len() < 400));
    }
}

#[test]
fn no_secret_is_repeated() {
    let secret = "hunter2-SECRET";
    let bank = BANK.replace("spec:\n", "spec:\n  api: {url: \"http://u:hunter2-SECRET@host\"}\n");
    let names = BANK.replace("name: data", "name: hunter2-SECRET");
    let key = BANK.replace(
        "spec:\n",
        "spec:\n  repository: {folder: {volume: data, path: x}, encryption: {recipients: [AGE-hunter2-SECRET]}}\n",
    );
    let syntax = format!("{BANK}password: hunter2-SECRET: [\n");
    let tagged = BANK.replace("path: openmemory.db", "path: !!int hunter2-SECRET");
    for text in [&bank, &names, &key, &syntax, &tagged] {
        let shown = lines(&Review::of(&files(&[text])).problems);
        assert!(!shown.is_empty() && !shown.contains(secret), "{shown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in a file, it is read to the end, and every place that is told exists.
    #[test]
    fn no_text_breaks_the_reader(
        cut in any::<prop::sample::Index>(),
        noise in "[-a-z0-9:{}\\[\\]&*!|>'\"%@`#,?\\\\ \t\r\n\u{0}\u{85}\u{feff}é]{0,40}",
        length in 0_usize..20,
    ) {
        let text = format!("{BANK}---\n{POLICY}");
        let at = cut.index(text.len());
        let end = (at + length).min(text.len());
        let text = format!("{}{noise}{}", &text[..at], &text[end..]);
        let review = Review::of(&files(&[&text]));
        let lines = text.split(['\n', '\r', '\u{85}']).count() as u64 + 1;
        for problem in review.problems.iter().chain(&review.warnings) {
            prop_assert!(problem.place.line >= 1 && problem.place.line <= lines, "{} of {}\n{}", problem, lines, text);
            prop_assert!(problem.place.document >= 1);
        }
    }
}

fn lint(arguments: &[&str], path: &Path) -> (i32, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_memorybank"))
        .arg("lint")
        .args(arguments)
        .arg(path)
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn lint_judges_a_folder_and_tells_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bank.yaml"), BANK).unwrap();
    fs::write(folder.path().join("policy.yml"), POLICY).unwrap();
    fs::write(folder.path().join("notes.txt"), "not: [yaml").unwrap();
    let (code, text) = lint(&[], folder.path());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("1 MemoryBank, 1 MaintenancePolicy"), "{text}");
    assert_eq!(lint(&[], &folder.path().join("bank.yaml")).0, 0);

    fs::write(folder.path().join("policy.yml"), POLICY.replace("Berlin", "Nowhere")).unwrap();
    fs::write(folder.path().join("latin1.yaml"), b"a: \xe9\n").unwrap();
    let (code, text) = lint(&["-o", "json"], folder.path());
    assert_eq!(code, 2);
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    let told: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|p| {
            let file = Path::new(p["file"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned();
            (file, p["line"].as_u64().unwrap(), p["field"].as_str().unwrap(), p["severity"].as_str().unwrap())
        })
        .collect();
    let expected = [("latin1.yaml".to_owned(), 1, "", "Error"), ("policy.yml".to_owned(), 6, "spec.timeZone", "Error")];
    assert_eq!(told, expected);

    assert_eq!(lint(&[], &folder.path().join("absent.yaml")).0, 2);
    assert_eq!(lint(&[], tempfile::tempdir().unwrap().path()).0, 2);
}
