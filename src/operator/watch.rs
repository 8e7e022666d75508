use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use futures::stream::StreamExt as _;
use kube::core::{DeserializeGuard, Status};
use kube::runtime::watcher::{self, Config, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch_objects};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::entry::Read;
use super::key::Key;
use super::mirror::{Change, Mirror};
use crate::board::Readiness;

/// How long a watch may be silent before the server is asked to end it; a dead connection is noticed this late.
const SILENCE_SECONDS: u32 = 240;
/// A watch that failed and says nothing for this long goes on: its tries are never further apart.
const QUIET: Duration = Duration::from_mins(1);
/// Objects of one page of a list.
const PAGE: u32 = 500;

/// What is watched, and who is told.
pub struct Watch<T: Read> {
    /// The objects that are wanted; `None` of a namespace is all of them.
    pub api: Api<DeserializeGuard<T::Object>>,
    /// The one namespace of `api`.
    pub namespace: Option<String>,
    /// What selects them by label; empty for all.
    pub labels: &'static str,
    /// The kind's plural.
    pub plural: &'static str,
    /// Where they are kept.
    pub mirror: Arc<Mirror<T>>,
    /// Told once the first list is whole.
    pub synced: Option<oneshot::Sender<()>>,
}

impl<T: Read> Watch<T>
where
    T::Object: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    /// Keeps the mirror as the API server tells it, for ever, and tells what changed. What this process wrote itself
    /// is there already, and is not told again.
    pub async fn run(mut self, readiness: &Readiness, changed: impl Fn(Change<T>)) {
        let mut config = Config::default().timeout(SILENCE_SECONDS).page_size(PAGE);
        if !self.labels.is_empty() {
            config = config.labels(self.labels);
        }
        let part = part(self.plural, self.namespace.as_deref());
        let mut events = watch_objects(self.api.clone(), config).default_backoff().boxed();
        let mut listed = Vec::new();
        let mut failed = false;
        loop {
            let event = if failed {
                // That a watch goes on again is told by no event of its own.
                let Ok(event) = tokio::time::timeout(QUIET, events.try_next()).await else {
                    failed = false;
                    self.goes_on(&part, readiness);
                    continue;
                };
                event
            } else {
                events.try_next().await
            };
            failed = event.is_err();
            match event {
                Ok(Some(event)) => self.take(event, &mut listed, (&part, readiness), &changed),
                Ok(None) => return,
                Err(error) => self.fails(&error, &part, readiness),
            }
        }
    }

    /// What is kept only grows old while a watch is interrupted. Nothing may be done with it before it is whole, nor
    /// where it may no longer be asked for.
    fn fails(&self, error: &watcher::Error, part: &str, readiness: &Readiness) {
        let why = explain(error, self.plural);
        tracing::warn!(part, "{why}");
        let lasting = refused(error).is_some_and(|status| unknown(status) || status.is_forbidden());
        if self.synced.is_some() || lasting {
            readiness.pending(part, why);
        } else {
            readiness.ready(part, why);
        }
    }

    fn goes_on(&self, part: &str, readiness: &Readiness) {
        if self.synced.is_none() {
            readiness.ready(part, "");
        }
    }

    fn take(
        &mut self,
        event: Event<DeserializeGuard<T::Object>>,
        listed: &mut Vec<T>,
        (part, readiness): (&str, &Readiness),
        changed: &impl Fn(Change<T>),
    ) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => listed.push(T::read(object)),
            Event::InitDone => {
                let changes = self.mirror.replace(self.namespace.as_deref(), std::mem::take(listed));
                changes.into_iter().for_each(changed);
                readiness.ready(part, "");
                if let Some(synced) = self.synced.take() {
                    // Nobody waits any more where the operator is ending.
                    let _ = synced.send(());
                }
            }
            Event::Apply(object) => {
                self.mirror.put(T::read(object)).into_iter().for_each(changed);
                readiness.ready(part, "");
            }
            Event::Delete(object) => {
                if let Some(before) = self.mirror.remove(&Key::of(&object)) {
                    changed(Change { before: Some(before), now: None });
                }
            }
        }
    }
}

/// The part of `/readyz` that waits for the first list of a kind, in one namespace or in all.
pub fn part(plural: &str, namespace: Option<&str>) -> String {
    namespace.map_or_else(|| plural.to_owned(), |namespace| format!("{namespace}/{plural}"))
}

/// What the API server said, if it said anything.
fn refused(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.as_ref()),
        _ => None,
    }
}

/// Whether there is no such kind: then the answer is no Status, and has no reason.
fn unknown(status: &Status) -> bool {
    status.code == 404
}

/// What a watch waits for, and what to do.
fn explain(error: &watcher::Error, plural: &str) -> String {
    match refused(error) {
        Some(status) if unknown(status) => {
            format!("{plural} are not known to the API server: install the CustomResourceDefinitions (crds/)")
        }
        Some(status) if status.is_forbidden() => format!("{plural} may not be watched: {}", status.message),
        Some(status) if status.code == 410 => format!("the list of {plural} is too old and is read anew"),
        Some(status) => format!("{plural}: the API server answers {}: {}", status.code, status.message),
        None => format!("{plural}: the API server does not answer: {error}"),
    }
}
