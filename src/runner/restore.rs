//! Restores the newest set where nothing of the bank is, and looks whether it is a bank there.

mod compared;
mod qdrant;
mod server;
mod trial;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::backup::REPOSITORY;
use super::body::Body;
use super::copies::{Copies, blocking};
use super::verify::components;
use super::{Exchange, Runner};
use crate::bank::Meter;
use crate::bank::backup::{BackupError, Examined, Fault, Set, drop_fetched, examine, unseal};
use crate::domain::{
    Check, CorruptionEvent, LatestSet, Output, Reason, RestoreVerdict, RestoredSet, RunSpec, Severity,
};
use crate::engine::backup::{SetManifest, SetName};
use trial::{Stop, Trial};

/// The one check of a restored set: it is a bank again, or is refused.
const RESTORED: &str = "restore-test";

/// What came of a set.
enum Tried {
    /// It is a whole bank; what was looked at, for people.
    Passed(SetManifest, String),
    /// It is not.
    Refused(Vec<Fault>),
    /// It could not be tried.
    Unknown(String),
}

impl<E: Exchange> Runner<E> {
    /// Restores the newest set in a scratch place, and looks whether it is a bank there.
    pub(super) async fn restore_test(
        &self,
        spec: &RunSpec,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let told = |error: super::ExchangeError| error.to_string();
        let unmeasured = |body: &mut Body, why: String| {
            body.checks.push(Check::unknown(RESTORED, REPOSITORY, &why));
            body.unmeasured = Some((Reason::NotMeasured, why));
        };
        let Some(latest) = self.latest_set(copies).await? else {
            unmeasured(body, "no set of this bank was ever made here: ask for a Backup".to_owned());
            return Ok(());
        };
        let before: Option<RestoreVerdict> = match self.exchange.input(RestoreVerdict::OUTPUT).await.map_err(told)? {
            Some(bytes) => serde_json::from_slice(&bytes).ok(),
            None => None,
        };
        let restored = before.and_then(|verdict| verdict.restored);
        let now = Timestamp::now();
        let set = latest.set.clone();
        let tried = self.try_restore(spec, &latest, copies, meter).await;
        // Later tasks may need the room.
        drop_fetched(&self.places.scratch).map_err(|error| error.to_string())?;
        let verdict = match tried? {
            Tried::Unknown(why) => {
                unmeasured(body, why);
                return Ok(());
            }
            Tried::Passed(manifest, detail) => {
                body.checks.push(Check::passed(RESTORED, REPOSITORY, format!("set {set} restored: {detail}")));
                let restored = Some(RestoredSet { set: set.clone(), started: manifest.started, time: now });
                RestoreVerdict { set, time: now, refused: None, restored }
            }
            Tried::Refused(faults) => {
                let why = faults.first().map(|first| format!("{}: {}", first.object, first.evidence));
                let why = why.unwrap_or_default();
                body.checks.push(Check::failed(RESTORED, REPOSITORY, format!("set {set} is no bank: {why}")));
                body.corruption.extend(faults.into_iter().map(|fault| event(&set, fault)));
                let restored = restored.filter(|restored| restored.set != set);
                // What no server makes a bank of is no set to recover from, nor one for which others may go.
                let mut verified = self.verified_sets(copies).await?;
                verified.remove(&set);
                self.leave_verified(verified, copies, body).await?;
                RestoreVerdict { set, time: now, refused: Some(why), restored }
            }
        };
        let bytes = serde_json::to_vec(&verdict).map_err(|error| error.to_string())?;
        let digest = self.exchange.output(RestoreVerdict::OUTPUT, bytes).await.map_err(told)?;
        body.outputs.push(Output { name: RestoreVerdict::OUTPUT.to_owned(), digest });
        Ok(())
    }

    /// The newest set of the bank that the store knows of, or that this run has made.
    pub(super) async fn latest_set(&self, copies: &Copies<'_>) -> Result<Option<LatestSet>, String> {
        if let Some(made) = &copies.made {
            return Ok(Some(made.clone()));
        }
        let known = self.exchange.input(LatestSet::OUTPUT).await.map_err(|error| error.to_string())?;
        known.map(|bytes| serde_json::from_slice(&bytes)).transpose().map_err(|error| error.to_string())
    }

    /// Reads a set to its end, its databases into scratch; the folder that it is in, which is in scratch where it was fetched
    /// from a bucket. Of an encrypted one all the rest that can be restored is opened into scratch too.
    pub(super) async fn open_set(
        &self,
        spec: &RunSpec,
        latest: &LatestSet,
        meter: &Arc<Meter>,
    ) -> Result<Result<(PathBuf, Examined), String>, String> {
        let repository = match self.repository(&spec.namespace, &spec.bank).await {
            Ok(repository) => repository,
            Err(why) => return Ok(Err(why)),
        };
        let name: SetName = latest.set.parse().map_err(|error: crate::engine::backup::NameError| error.to_string())?;
        let identity = self.identity(&spec.namespace, &spec.bank).await;
        let (lying, known, scratch) = (repository.set(&name), latest.manifest, self.places.scratch.clone());
        let shared = Arc::clone(meter);
        let opened = blocking(move || {
            let identity = identity.as_ref().map_err(String::as_str);
            let from = lying.fetch(&scratch, &shared)?;
            let set = Set::Folder(from.clone());
            let mut examined = examine(&set, &name, Some(&known), Some(&scratch), identity, &shared)?;
            let whole = examined.faults.is_empty() && examined.unread.is_none();
            let folder = match identity {
                Ok(identity) if whole => unseal(&mut examined, from, identity, &scratch, &shared)?,
                _ => from,
            };
            Ok::<_, BackupError>((folder, examined))
        });
        match opened.await? {
            Ok(opened) => Ok(Ok(opened)),
            Err(error) => {
                meter.check().map_err(|cancelled| cancelled.to_string())?;
                Ok(Err(error.to_string()))
            }
        }
    }

    async fn try_restore(
        &self,
        spec: &RunSpec,
        latest: &LatestSet,
        copies: &Copies<'_>,
        meter: &Arc<Meter>,
    ) -> Result<Tried, String> {
        let (folder, examined) = match self.open_set(spec, latest, meter).await? {
            Ok(opened) => opened,
            Err(why) => return Ok(Tried::Unknown(why)),
        };
        let Examined { manifest, faults, databases, unread } = examined;
        if !faults.is_empty() {
            return Ok(Tried::Refused(faults));
        }
        let (Some(manifest), None) = (manifest, &unread) else { return Ok(Tried::Unknown(unread.unwrap_or_default())) };
        if let Some(missing) = manifest.without(&components(&spec.bank)) {
            let why = format!("set {} lacks {}: {}", latest.set, missing.component, missing.why);
            return Ok(Tried::Unknown(why));
        }
        let trial = Trial { runner: self, spec, folder, manifest: &manifest, meter };
        match trial.all(&databases, &copies.uid).await {
            Ok(detail) => Ok(Tried::Passed(manifest, detail)),
            Err(Stop::Refused(faults)) => Ok(Tried::Refused(faults)),
            Err(Stop::Unknown(why)) => Ok(Tried::Unknown(why)),
            Err(Stop::Broken(why)) => Err(why),
        }
    }
}

fn event(set: &str, fault: Fault) -> CorruptionEvent {
    CorruptionEvent {
        check: RESTORED.to_owned(),
        component: REPOSITORY.to_owned(),
        corruption_type: fault.kind,
        invariant: None,
        severity: Severity::High,
        object: format!("{set}/{}", fault.object),
        count: 1,
        evidence: fault.evidence,
        advice: "The set cannot bring the bank back as it was: keep it, make another, and look for damage in the bank."
            .to_owned(),
    }
}
