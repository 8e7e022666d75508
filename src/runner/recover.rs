//! Looks at a bank, plans what mends it, and, as far as it is allowed to, does so: what is overwritten is kept first, and a
//! recovery that does not end well, or does not end at all, is rolled back.

mod act;
mod gather;
mod points;
mod server;
mod standing;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::body::Body;
use super::copies::{Copies, blocking};
use super::integrity::{Depth, check_databases};
use super::{Exchange, Runner};
use crate::bank::qdrant::Client;
use crate::bank::recovery::{Phase, Quarantine};
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{
    Bank, Check, Consent, CorruptionEvent, Digest, Level, Mended, Output, PathInVolume, Reason, RecoveryPlan,
    RecoveryReport, RecoveryState, RunSpec, SqlDatabase, VectorStore, Verdict,
};
use crate::engine::consistency::Fault;
use crate::engine::consistency::baseline::Share;
use crate::engine::recovery::{Planned, Seen, covers, is_gone, why_back};
use act::Steps;
use standing::{PATIENCE, QUIET, Standing};

/// The check that a recovery is.
const RECOVERY: &str = "recovery";
/// What of the bank it is of.
const BANK: &str = "bank";

/// What a recovery was asked for.
pub(super) struct Asked<'a> {
    pub events: &'a [Digest],
    pub set: Option<&'a str>,
    pub consent: Consent,
}

impl<E: Exchange> Runner<E> {
    /// Plans, and carries out what `asked` allows.
    pub(super) async fn recover(
        &self,
        spec: &RunSpec,
        asked: &Asked<'_>,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let home = match self.home(spec) {
            Ok(home) => home,
            Err(why) => {
                unmeasured(body, why);
                return Ok(());
            }
        };
        let client = match self.client(spec).await {
            Ok(client) => client,
            Err(why) => {
                unmeasured(body, why);
                return Ok(());
            }
        };
        let again = match self.roll_back_unfinished(spec, &home, &copies.uid, client.as_ref(), meter).await? {
            Ok(again) => again,
            Err(why) => {
                unmeasured(body, why);
                return Ok(());
            }
        };
        let Some(standing) = self.quiet(spec, client.as_ref(), meter).await? else {
            let why = format!(
                "something writes to the bank: it did not stand still for {} s within {} s; stop it, and recover again",
                QUIET.as_secs(),
                PATIENCE.as_secs()
            );
            unmeasured(body, why);
            return Ok(());
        };
        copies.renew();
        let (before, seen) = self.look_over(spec, copies, meter).await?;
        let chosen = chosen(spec, &seen.events, asked.events);
        let mut sources = match self.gather(spec, asked.set, &chosen, copies, client.as_ref(), meter).await? {
            Ok(sources) => sources,
            Err(why) => {
                take(body, before);
                unmeasured(body, why);
                return Ok(());
            }
        };
        if let Some(Ok(points)) = &mut sources.known.points {
            points.rotten = seen.events.iter().any(|event| event.check == Fault::RowChanged.check());
        }
        let planned = crate::engine::recovery::plan(&chosen, &sources.known);
        let blind = seen.checks.iter().find(|check| check.verdict == Verdict::Unknown);
        if let Some(check) = blind.filter(|_| planned.plan.steps.is_empty() && planned.plan.unmended.is_empty()) {
            let why = format!("{} of {} cannot be measured: {}", check.id, check.component, check.detail);
            take(body, before);
            unmeasured(body, format!("whether anything is damaged is not known: {why}"));
            return Ok(());
        }
        let mut report = RecoveryReport {
            plan_digest: planned.plan.digest(),
            plan: planned.plan.clone(),
            state: RecoveryState::Nothing,
            verified_before: [again, vec![seen.told()]].concat().join("; "),
            verified_after: None,
            quarantine: None,
            lost_memories: None,
            mended: Vec::new(),
        };
        let allowed = self.allowed(asked.consent, &planned.plan, body).await?;
        let steps = match allowed {
            Allowed::Steps(steps) => steps,
            Allowed::No(state) => {
                report.state = state;
                body.recovery = Some(report);
                take(body, before);
                return Ok(());
            }
        };
        let mending = Mending { planned, chosen, seen, before, steps, standing, report };
        let work = Steps { runner: self, spec, sources: &sources, client: client.as_ref(), meter };
        self.mend(mending, &work, &home, copies, body).await
    }

    /// Keeps what will be overwritten, carries the steps out, looks again, and goes back where that did not end well.
    async fn mend(
        &self,
        mending: Mending,
        work: &Steps<'_, E>,
        home: &Path,
        copies: &mut Copies<'_>,
        body: &mut Body,
    ) -> Result<(), String> {
        let Mending { planned, chosen, seen, before, steps, standing, mut report } = mending;
        let (spec, client, meter) = (work.spec, work.client, work.meter);
        let refused = |mut report: RecoveryReport, body: &mut Body, before: Body, why: String| {
            report.state = RecoveryState::Refused;
            body.recovery = Some(report);
            take(body, before);
            unmeasured(body, why);
        };
        let mut quarantine = match work.keep(home, &copies.uid, &planned.plan, &steps).await? {
            Ok(quarantine) => quarantine,
            Err(why) => {
                refused(report, body, before, format!("nothing was changed: {why}"));
                return Ok(());
            }
        };
        if !self.standing(spec, client).await.same(&standing) {
            quarantine.abandon().map_err(|error| error.to_string())?;
            let why =
                "nothing was changed: somebody wrote to the bank while it was looked at; stop it, and recover again";
            refused(report, body, before, why.to_owned());
            return Ok(());
        }
        let kept = quarantine.folder().display().to_string();
        report.quarantine = Some(kept.clone());
        let done: Vec<_> = steps.iter().map(|at| &planned.plan.steps[*at]).collect();
        let carried = work.carry_out(&mut quarantine, &planned.plan, &steps).await;
        copies.renew();
        let looked = match carried {
            Ok(()) => self.look_over(spec, copies, meter).await,
            Err(why) => Err(why),
        };
        let judged = looked.and_then(|(after_body, after)| {
            report.verified_after = Some(after.told());
            let cured: Vec<_> = cured(&planned, &steps, &chosen).map(|(event, _)| event).collect();
            report.mended = mended(spec, &planned, &steps, &chosen, |event| is_gone(event, &after));
            why_back(&seen, &cured, &done, &after).map_or(Ok(after_body), Err)
        });
        let ended = match judged {
            Ok(after) => match quarantine.enter(Phase::Whole, steps.len()) {
                Ok(()) => Ok(after),
                // A journal that does not tell the end would have it all rolled back later.
                Err(error) => Err(format!("the end cannot be written down: {error}")),
            },
            Err(why) => Err(why),
        };
        let why = match ended {
            Ok(after) => {
                take(body, after);
                report.state = RecoveryState::Succeeded;
                report.lost_memories = Some(done.iter().map(|step| step.lost_memories).sum());
                body.checks.push(Check::passed(RECOVERY, BANK, format!("{} steps carried out", steps.len())));
                body.recovery = Some(report);
                return Ok(());
            }
            Err(why) => why,
        };
        take(body, before);
        report.mended = mended(spec, &planned, &steps, &chosen, |_| false);
        let back = self.roll_back(spec, &mut quarantine, client).await;
        (report.state, report.lost_memories) = match &back {
            Ok(()) => (RecoveryState::RolledBack, Some(0)),
            Err(_) => (RecoveryState::Failed, None),
        };
        body.recovery = Some(report);
        Err(match back {
            Ok(()) => format!("rolled back, the bank is as it was: {why}"),
            Err(stuck) => {
                format!(
                    "{why}; and the bank could not be put back as it was: {stuck}. {kept} has what it was: once all of \
                     that is seen to, remove journal.json there"
                )
            }
        })
    }

    /// Which steps may be carried out.
    async fn allowed(&self, consent: Consent, plan: &RecoveryPlan, body: &mut Body) -> Result<Allowed, String> {
        match consent {
            Consent::None => {
                self.leave(plan, body).await?;
                let nothing = plan.steps.is_empty();
                Ok(Allowed::No(if nothing { RecoveryState::Nothing } else { RecoveryState::Planned }))
            }
            _ if plan.steps.is_empty() => Ok(Allowed::No(RecoveryState::Nothing)),
            Consent::Lossless => {
                let steps: Vec<_> = (0..plan.steps.len()).filter(|at| plan.steps[*at].lossless).collect();
                Ok(if steps.is_empty() { Allowed::No(RecoveryState::Refused) } else { Allowed::Steps(steps) })
            }
            Consent::Plan(digest) => {
                let known = self.exchange.input(RecoveryPlan::OUTPUT).await.map_err(|error| error.to_string())?;
                let known: Option<RecoveryPlan> = known.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                let approved = known.filter(|known| known.digest() == digest);
                if approved.is_some_and(|approved| covers(&approved, plan)) {
                    return Ok(Allowed::Steps((0..plan.steps.len()).collect()));
                }
                // It is what can be approved from now on.
                self.leave(plan, body).await?;
                Ok(Allowed::No(RecoveryState::Refused))
            }
        }
    }

    /// Leaves a plan for the run that carries it out once it is approved.
    async fn leave(&self, plan: &RecoveryPlan, body: &mut Body) -> Result<(), String> {
        let bytes = serde_json::to_vec(plan).map_err(|error| error.to_string())?;
        let digest = self.exchange.output(RecoveryPlan::OUTPUT, bytes).await.map_err(|error| error.to_string())?;
        body.outputs.push(Output { name: RecoveryPlan::OUTPUT.to_owned(), digest });
        Ok(())
    }

    /// The bank's folder in its repository, where quarantines are; in the bank's own volume where it has none.
    pub(super) fn home(&self, spec: &RunSpec) -> Result<PathBuf, String> {
        let bank = &spec.bank;
        if let Some(folder) = bank.repository.as_ref().and_then(|repository| repository.folder.as_ref()) {
            let root = self.places.volume(&folder.volume)?;
            return Ok(root.join(&folder.path).join(&spec.namespace).join(&bank.name));
        }
        let place = sqlite_files(bank).into_iter().next().map(|(_, place)| place);
        let place = place.or_else(|| bank.files.first().map(|tree| &tree.root));
        let place =
            place.ok_or("the bank has no folder in which what is overwritten could be kept: declare repository.folder, or a volume with one of its files")?;
        Ok(self.places.volume(&place.volume)?.join(".memorybank").join(&spec.namespace).join(&bank.name))
    }

    async fn client(&self, spec: &RunSpec) -> Result<Option<Client>, String> {
        let Some(VectorStore::Qdrant(endpoint)) = &spec.bank.vector_store else { return Ok(None) };
        let secrets = FolderSecrets::new(&self.places.secrets);
        Client::open(&spec.namespace, endpoint, &secrets).await.map(Some).map_err(|error| error.to_string())
    }

    /// All checks of the bank at level Full. It stands still: nothing needs a second look.
    async fn look_over(
        &self,
        spec: &RunSpec,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
    ) -> Result<(Body, Seen), String> {
        let (bank, mut body) = (&spec.bank, Body::default());
        self.check_server(&spec.namespace, bank, Level::Full, meter, &mut body).await?;
        check_databases(bank, Level::Full, copies, meter, &mut body).await?;
        let checked = self.check_vectors(&spec.namespace, bank, Level::Full, meter, &mut body);
        meter.unless_cancelled(checked).await.map_err(|cancelled| cancelled.to_string())??;
        if bank.vector_store.is_some() && bank.database.is_some() {
            self.check_consistency(spec, Share::All, Duration::ZERO, copies, meter, &mut body).await?;
        }
        for tree in &bank.files {
            self.check_files(tree, Depth { level: Level::Full, share_percent: 100 }, meter, &mut body).await?;
        }
        let seen = Seen { checks: body.checks.clone(), events: body.corruption.clone() };
        Ok((body, seen))
    }

    /// Rolls back what this run left in the middle when it was killed; for people, what was done. What another run left is
    /// not touched, for the bank may have lived on since: the inner error says what a person has to do.
    async fn roll_back_unfinished(
        &self,
        spec: &RunSpec,
        home: &Path,
        uid: &str,
        client: Option<&Client>,
        meter: &Arc<Meter>,
    ) -> Result<Result<Vec<String>, String>, String> {
        let home = home.to_owned();
        let found = blocking(move || Quarantine::unfinished(&home)).await?.map_err(|error| error.to_string())?;
        let mut told = Vec::new();
        for mut quarantine in found {
            meter.check().map_err(|cancelled| cancelled.to_string())?;
            let run = quarantine.journal.run.clone();
            let ours = run == uid;
            if quarantine.journal.phase == Phase::Keeping {
                if ours {
                    quarantine.abandon().map_err(|error| error.to_string())?;
                }
                continue;
            }
            if !ours {
                let (kept, started) = (quarantine.folder().display(), quarantine.journal.started);
                return Ok(Err(format!(
                    "run {run} was ended in the middle of a recovery that began at {started}, and did not come back; \
                     {kept} has what the bank was before. Put back by hand what it needs, or leave it as it is, and remove \
                     journal.json there"
                )));
            }
            self.roll_back(spec, &mut quarantine, client).await.map_err(|stuck| {
                let kept = quarantine.folder().display();
                format!(
                    "what run {run} left in the middle could not be rolled back: {stuck}. {kept} has what the bank was: \
                     once all of that is seen to, remove journal.json there"
                )
            })?;
            told.push("what this run left in the middle was rolled back first".to_owned());
        }
        Ok(Ok(told))
    }
}

/// What may be done.
enum Allowed {
    Steps(Vec<usize>),
    No(RecoveryState),
}

/// The SQLite files of a bank by component.
fn sqlite_files(bank: &Bank) -> Vec<(&'static str, &PathInVolume)> {
    let database = match &bank.database {
        Some(SqlDatabase::Sqlite(place)) => Some((super::copies::DATABASE, place)),
        _ => None,
    };
    database.into_iter().chain(bank.history.as_ref().map(|place| (super::copies::HISTORY, place))).collect()
}

/// The damage that it was asked to mend.
fn chosen(spec: &RunSpec, events: &[CorruptionEvent], keys: &[Digest]) -> Vec<CorruptionEvent> {
    let key = |event: &CorruptionEvent| event.key(&spec.namespace, &spec.bank.name);
    events.iter().filter(|event| keys.is_empty() || keys.contains(&key(event))).cloned().collect()
}

/// The damage that some steps are for, with the place of the step.
fn cured<'a>(
    planned: &'a Planned,
    steps: &'a [usize],
    events: &'a [CorruptionEvent],
) -> impl Iterator<Item = (&'a CorruptionEvent, usize)> {
    let cures = planned.cures.iter().filter(|(_, step)| steps.contains(step));
    cures.map(|(event, step)| (&events[*event], *step))
}

fn mended(
    spec: &RunSpec,
    planned: &Planned,
    steps: &[usize],
    events: &[CorruptionEvent],
    success: impl Fn(&CorruptionEvent) -> bool,
) -> Vec<Mended> {
    let of = |(event, step): (&CorruptionEvent, usize)| Mended {
        key: event.key(&spec.namespace, &spec.bank.name),
        action: planned.plan.steps[step].action,
        success: success(event),
    };
    cured(planned, steps, events).map(of).collect()
}

/// A plan that may be carried out, and what it was made from.
struct Mending {
    planned: Planned,
    chosen: Vec<CorruptionEvent>,
    seen: Seen,
    /// What is told of the bank where it stays as it is.
    before: Body,
    /// The places of the steps that may be carried out.
    steps: Vec<usize>,
    standing: Standing,
    report: RecoveryReport,
}

fn unmeasured(body: &mut Body, why: String) {
    body.checks.push(Check::unknown(RECOVERY, BANK, &why));
    body.unmeasured = Some((Reason::NotMeasured, why));
}

/// Takes what the newest look at the bank told, in place of an older one.
fn take(body: &mut Body, looked: Body) {
    body.checks.extend(looked.checks);
    body.corruption.extend(looked.corruption);
    body.samples.extend(looked.samples);
    body.outputs.extend(looked.outputs);
    body.omitted += looked.omitted;
}
