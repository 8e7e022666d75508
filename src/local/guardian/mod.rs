//! The guardian of one folder: what it holds, and its loop.

mod adopt;
mod asks;
mod look;
mod mends;
mod reach;
mod runs;
mod show;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::execute::Ended;
use super::folder::{Folder, glance};
use super::objects::Objects;
use super::summary::Summary;
use super::watched::Watched;
use super::{LocalError, Settings};
use crate::board::Board;
use crate::domain::Digest;
use crate::resources::{Config, RunNow};
use crate::store::{Limits, Store};
use adopt::tell;
use mends::Mends;
use reach::Sampling;

/// How often the folder is glanced at and the clock compared with what is due.
const TICK: Duration = Duration::from_secs(2);
/// How often old records are removed.
const RETENTION: Duration = Duration::from_hours(6);
/// How long runs get to end after a signal: Docker kills what it stops after 10 seconds.
const GRACE: Duration = Duration::from_secs(7);

/// Looks after the banks of one folder.
#[derive(Debug)]
pub struct Guardian {
    settings: Settings,
    store: Arc<Store>,
    board: Arc<Board>,
    config: Config,
    /// What the folder looked like when it was last taken or refused; none where that failed for another
    /// reason, and must be tried again.
    seen: Option<Digest>,
    objects: Objects,
    banks: BTreeMap<String, Watched>,
    /// What stops each run that is being executed.
    running: BTreeMap<String, CancellationToken>,
    executions: JoinSet<Ended>,
    /// The bank and the run of each execution.
    spawned: HashMap<Id, (String, String)>,
    /// Banks with runs that could start were there a free place, first come first served.
    starved: VecDeque<String>,
    stop: CancellationToken,
    unmeasured: Vec<(String, String)>,
    /// When the policies' counts change though no bank does.
    next_policy_look: Option<Timestamp>,
    /// The token by which everything runs now, until the first look has made the runs.
    now_token: Option<RunNow>,
    /// The requests that the documents themselves carry.
    annotated: BTreeMap<(&'static str, String), Option<RunNow>>,
    sampling: Sampling,
    /// Recoveries that policies made, or that went, since the configuration was looked at.
    mends: Mends,
}

impl Guardian {
    /// Reads the folder and what the store knows. Nothing runs yet; what is refused is the error.
    pub async fn start(
        settings: Settings,
        store: Arc<Store>,
        board: Arc<Board>,
        stop: &CancellationToken,
    ) -> Result<Self, LocalError> {
        let seen = glance(&settings.config)?;
        let folder = Folder::read(&settings.config)?;
        let (config, warnings) = Config::load(&folder.files).map_err(LocalError::Config)?;
        tell(&warnings);
        if config.banks.is_empty() {
            return Err(LocalError::NoBank(settings.config));
        }
        let objects = Objects::load(&store, &config.namespace, &settings.data).await?;
        let now = Timestamp::now();
        let now_token = settings.now.then(|| RunNow { token: format!("now-{}", now.as_millisecond()), schedule: None });
        let mut guardian = Self {
            settings,
            store,
            board,
            config: Config::default(),
            seen: Some(seen),
            objects,
            banks: BTreeMap::new(),
            running: BTreeMap::new(),
            executions: JoinSet::new(),
            spawned: HashMap::new(),
            starved: VecDeque::new(),
            stop: stop.child_token(),
            unmeasured: Vec::new(),
            next_policy_look: None,
            now_token,
            annotated: BTreeMap::new(),
            sampling: Sampling::new(),
            mends: Mends::default(),
        };
        // What an earlier process left when it was killed: copies of a bank.
        if let Err(error) = std::fs::remove_dir_all(guardian.scratch())
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "old scratch not removed");
        }
        guardian.adopt(config, now).await?;
        guardian.board.readiness.ready("config", "");
        Ok(guardian)
    }

    fn scratch(&self) -> PathBuf {
        self.settings.data.join("scratch")
    }

    /// Looks after the banks until the process is to stop, or, with `once`, until nothing more is due.
    pub async fn watch(mut self) -> Result<Summary, LocalError> {
        self.begin_sampling().await?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut retention = tokio::time::interval(RETENTION);
        let outcome = loop {
            if let Err(error) = self.look(Timestamp::now()).await {
                self.board.readiness.pending("store", error.to_string());
                tracing::error!(%error, "the store does not take what was planned; it is planned again");
                if self.settings.once {
                    break Err(error.into());
                }
            } else {
                self.board.readiness.ready("store", "");
            }
            if self.settings.once && self.executions.is_empty() {
                break Ok(());
            }
            tokio::select! {
                () = self.stop.cancelled() => break Ok(()),
                Some(joined) = self.executions.join_next_with_id(), if !self.executions.is_empty() => {
                    if let Err(error) = self.joined(joined).await {
                        break Err(error.into());
                    }
                }
                Some(bank) = self.sampling.changed.recv() => self.sampled_anew(bank),
                _ = tick.tick() => self.glance().await,
                _ = retention.tick() => self.retain().await,
            }
        };
        self.finish().await;
        outcome.map(|()| self.summary())
    }

    async fn retain(&self) {
        match self.store.apply_retention(Timestamp::now(), &Limits::default()).await {
            Ok(removed) => tracing::debug!(?removed, "retention"),
            Err(error) => tracing::warn!(%error, "retention is tried again later"),
        }
    }

    /// Stops what runs, within a bound, and writes what is left to write.
    async fn finish(&mut self) {
        self.stop.cancel();
        let deadline = tokio::time::Instant::now() + GRACE;
        while let Ok(Some(joined)) = tokio::time::timeout_at(deadline, self.executions.join_next_with_id()).await {
            if let Err(error) = self.joined(joined).await {
                tracing::error!(%error, "a report is lost with this process; the next one executes the run again");
            }
        }
        if let Err(error) = self.objects.flush(&self.store).await {
            tracing::error!(%error, "the last status could not be written; the next start writes it");
        }
    }
}
