//! A process that is killed in the middle of a recovery: the same run puts the bank back and mends it, another one
//! touches nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use memorybank::bank::recovery::{Journal, Phase};
use memorybank::domain::{
    Bank, Consent, Digest, Outcome, RecoveryReport, RecoveryState, RunSpec, Task, TaskReport, Work,
};
use memorybank::runner::{Exchange, ExchangeError, Places, Progress, Runner};
use tokio_util::sync::CancellationToken;

use crate::bed::Bed;
use crate::damaged::{Damaged, NAME};
use crate::guardian::{files, wait_for};
use crate::qdrant::Answer;

/// What tells the child process where its work lies.
const ORDER: &str = "RECOVERY_ORDER";

#[derive(serde::Serialize, serde::Deserialize)]
struct Order {
    bank: Bank,
    uid: String,
    consent: Consent,
    places: Vec<(String, PathBuf)>,
    outputs: PathBuf,
    scratch: PathBuf,
    secrets: PathBuf,
    report: PathBuf,
}

/// What runs leave, as files.
struct Files(PathBuf);

impl Exchange for Files {
    async fn input(&self, name: &str) -> Result<Option<Vec<u8>>, ExchangeError> {
        Ok(fs::read(self.0.join(Digest::of(name.as_bytes()).to_string())).ok())
    }

    async fn output(&self, name: &str, bytes: Vec<u8>) -> Result<Digest, ExchangeError> {
        let digest = Digest::of(&bytes);
        fs::write(self.0.join(Digest::of(name.as_bytes()).to_string()), bytes).unwrap();
        Ok(digest)
    }

    async fn fingerprint_key(&self) -> Result<[u8; 32], ExchangeError> {
        Ok([7; 32])
    }
}

/// The work of a child process; nothing where this is none.
#[test]
fn child() {
    let Some(order) = std::env::var_os(ORDER) else { return };
    let order: Order = serde_json::from_slice(&fs::read(order).unwrap()).unwrap();
    let work = Work::Recover { events: Vec::new(), set: None, consent: order.consent };
    let spec = RunSpec {
        namespace: "stores".to_owned(),
        run: "by-hand".to_owned(),
        bank: order.bank,
        tasks: vec![Task { name: "recover".to_owned(), work, active_deadline_seconds: None }],
        active_deadline_seconds: 600,
    };
    let places = Places { volumes: order.places.into_iter().collect(), scratch: order.scratch, secrets: order.secrets };
    let runner = Runner { exchange: Files(order.outputs), places, threads: 2 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let report = runtime.block_on(runner.execute(&spec, &order.uid, &CancellationToken::new(), &Progress::new().0));
    fs::write(order.report, serde_json::to_vec(&report.tasks[0]).unwrap()).unwrap();
}

/// Leaves what runs of a bank left where its child processes find it.
pub fn leave_outputs(bed: &Bed) {
    fs::create_dir_all(bed.path("outputs")).unwrap();
    for (name, bytes) in bed.outputs() {
        fs::write(bed.path("outputs").join(Digest::of(name.as_bytes()).to_string()), bytes).unwrap();
    }
}

/// Recovers a bank in a process that can be killed.
pub fn spawn(bed: &Bed, uid: &str, consent: Consent) -> Child {
    let _none = fs::remove_file(bed.path("report.json"));
    let order = Order {
        bank: bed.bank.clone(),
        uid: uid.to_owned(),
        consent,
        places: vec![("data".to_owned(), bed.live()), ("sets".to_owned(), bed.volume())],
        outputs: bed.path("outputs"),
        scratch: bed.path("scratch-child"),
        secrets: bed.path("secrets"),
        report: bed.path("report.json"),
    };
    let path = bed.path("order.json");
    fs::write(&path, serde_json::to_vec(&order).unwrap()).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "deaths::child", "--nocapture"]).env(ORDER, path);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The newest journal that can be read.
pub fn journal(bed: &Bed) -> Option<Journal> {
    let mut journals: Vec<_> = files(&bed.repository().join("quarantine"));
    journals.retain(|path| path.file_name().is_some_and(|name| name == "journal.json"));
    journals.sort();
    serde_json::from_slice(&fs::read(journals.last()?).ok()?).ok()
}

struct Deaths {
    bank: Damaged,
}

impl Deaths {
    fn new() -> Self {
        Self::of(Damaged::new(40))
    }

    fn of(bank: Damaged) -> Self {
        leave_outputs(&bank.bed);
        Self { bank }
    }

    fn spawn(&self, uid: &str, consent: Consent) -> Child {
        spawn(&self.bank.bed, uid, consent)
    }

    /// Executes a run in a process that lives.
    fn run(&self, uid: &str, consent: Consent) -> TaskReport {
        let status = self.spawn(uid, consent).wait().unwrap();
        assert!(status.success());
        serde_json::from_slice(&fs::read(self.bank.bed.path("report.json")).unwrap()).unwrap()
    }

    /// The same, which comes to a plan.
    fn recover(&self, uid: &str, consent: Consent) -> (TaskReport, RecoveryReport) {
        let task = self.run(uid, consent);
        let recovery = task.recovery.clone().unwrap_or_else(|| panic!("{task:#?}"));
        (task, recovery)
    }

    fn journal(&self) -> Option<Journal> {
        journal(&self.bank.bed)
    }

    fn live(&self, path: &str) -> bool {
        self.called(&format!("POST /collections/openmemory/{path}"))
    }

    fn called(&self, begin: &str) -> bool {
        self.bank.server.requests().iter().any(|request| request.starts_with(begin))
    }
}

#[test]
fn who_is_killed_leaves_a_bank_that_the_next_one_puts_back_and_mends() {
    let deaths = Deaths::new();
    let bank = &deaths.bank;
    let good = bank.content();
    let phase = |wanted: Phase, begun: usize| {
        let journal = deaths.journal();
        journal.is_some_and(|journal| journal.phase == wanted && journal.begun >= begun)
    };
    let moments: [(&str, &dyn Fn() -> bool); 6] = [
        ("keeping", &|| phase(Phase::Keeping, 0)),
        ("the database", &|| phase(Phase::Working, 1)),
        ("the files", &|| phase(Phase::Working, 2)),
        ("the collection", &|| phase(Phase::Working, 3)),
        ("its upload", &|| phase(Phase::Working, 3) && deaths.live("snapshots/upload")),
        ("verification", &|| phase(Phase::Working, 3) && deaths.live("points/delete")),
    ];
    let mut working = 0;
    for (moment, reached) in moments {
        let uid = moment.replace(' ', "-");
        bank.tear((bank.root("memories") - 1) * 4_096, &[0xa5; 4_096]);
        bank.rot();
        bank.zero();
        let damaged = bank.bytes();
        // Slow enough to be met in the middle.
        bank.server.forget_requests();
        for on in ["snapshots", "points/delete", "points/count"] {
            bank.server.trouble(
                &format!("POST /collections/openmemory/{on}"),
                None,
                Answer::Delay(Duration::from_millis(300)),
            );
        }
        let mut child = deaths.spawn(&uid, Consent::Lossless);
        wait_for(moment, || (reached() || child.try_wait().unwrap().is_some()).then_some(()));
        child.kill().unwrap();
        child.wait().unwrap();
        bank.server.heal();
        let left = deaths.journal().map(|journal| journal.phase);
        if left == Some(Phase::Working) {
            // Of another run: for all that it knows the bank has lived on for weeks.
            let half = bank.bytes();
            let task = deaths.run("stranger", Consent::Lossless);
            assert_eq!(task.outcome, Outcome::Unknown, "{moment}: {task:#?}");
            assert!(task.message.contains("has what the bank was before"), "{}", task.message);
            assert_eq!(bank.bytes(), half, "{moment}");
        }
        // The same run again, as the next pod of its Job is.
        let (_, shown) = deaths.recover(&uid, Consent::None);
        if left == Some(Phase::Working) {
            working += 1;
            assert!(shown.verified_before.contains("was rolled back first"), "{moment}: {shown:#?}");
        }
        assert_eq!(shown.state, RecoveryState::Planned, "{moment}: {shown:#?}");
        assert_eq!(bank.bytes(), damaged, "{moment}: the bank is as it was");
        let (task, done) = deaths.recover(&uid, Consent::Plan(shown.plan_digest));
        assert_eq!(done.state, RecoveryState::Succeeded, "{moment}: {task:#?}");
        assert_eq!(bank.content(), good, "{moment}");
        assert_eq!(bank.server.collections(), [NAME], "{moment}");
    }
    assert!(working >= 4, "{working} were killed while they changed the bank");
}

#[test]
fn a_death_at_each_step_is_told_by_its_journal() {
    // Whoever reads a journal by hand finds what was kept beside it.
    let deaths = Deaths::new();
    deaths.bank.rot();
    let rotten = fs::read(deaths.bank.upload()).unwrap();
    let (_, done) = deaths.recover("mender", Consent::Lossless);
    let folder = PathBuf::from(done.quarantine.unwrap());
    assert_eq!(deaths.journal().unwrap().phase, Phase::Whole);
    let kept: Vec<_> = files(&folder).into_iter().filter(|path| path.parent() != Some(Path::new(&folder))).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read(&kept[0]).unwrap(), rotten);
}

#[test]
fn who_is_killed_while_points_are_embedded_leaves_what_the_next_one_puts_back() {
    let (bank, _model) = Damaged::embedded(1_000);
    let deaths = Deaths::of(bank);
    let bank = &deaths.bank;
    for id in bank.server.ids(NAME).into_iter().step_by(20) {
        bank.server.remove(NAME, id);
    }
    let damaged = bank.bytes();
    bank.server.forget_requests();
    bank.server.trouble("PUT /collections/openmemory/points", None, Answer::Delay(Duration::from_millis(300)));
    let mut child = deaths.spawn("mender", Consent::Lossless);
    let written =
        || bank.server.requests().iter().filter(|r| r.starts_with("PUT /collections/openmemory/points")).count();
    wait_for("the second page", || (written() >= 2 || child.try_wait().unwrap().is_some()).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    bank.server.heal();
    assert_eq!(deaths.journal().unwrap().phase, Phase::Working);
    let (_, shown) = deaths.recover("mender", Consent::None);
    assert!(shown.verified_before.contains("was rolled back first"), "{shown:#?}");
    assert_eq!(bank.bytes(), damaged, "the bank is as it was");
    let (task, done) = deaths.recover("mender", Consent::Lossless);
    assert_eq!(done.state, RecoveryState::Succeeded, "{task:#?}");
    assert_eq!(bank.server.count(NAME), bank.rows("active") + bank.rows("paused") + bank.rows("archived"));
}
