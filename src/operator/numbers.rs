//! The numbers of the operator on the board, and the upkeep of the store.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use super::key::Key;
use super::lease::Leadership;
use super::run::free;
use super::work::Controller;
use crate::board::BankName;
use crate::domain::Phase;
use crate::store::{BankMetrics, Limits};

/// How often the numbers of the process are taken, those of the store, and old records are removed.
const TICKS: (Duration, Duration, Duration) =
    (Duration::from_secs(2), Duration::from_secs(30), Duration::from_hours(6));
/// Keeps the numbers on the board, for ever.
pub async fn numbers(cx: Arc<Context>, leadership: Arc<Leadership>) {
    let mut tick = tokio::time::interval(TICKS.0);
    let mut store = tokio::time::interval(TICKS.1);
    let mut retention = tokio::time::interval(TICKS.2);
    for interval in [&mut tick, &mut store, &mut retention] {
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        tokio::select! {
            _ = tick.tick() => of_process(&cx, leadership.leads()),
            _ = store.tick() => of_store(&cx).await,
            _ = retention.tick() => retain(&cx, leadership.leads()).await,
        }
    }
}

fn of_process(cx: &Context, leads: bool) {
    cx.board.operator.set_leader(leads);
    give_back_places(cx);
    for controller in Controller::ALL {
        let depth = if leads { controller.queue(cx).depth() } else { 0 };
        cx.board.operator.set_depth(controller.name(), depth);
    }
    let (mut active, mut held) = (0, BTreeMap::<String, u64>::new());
    for run in cx.world.runs.all() {
        let Some(status) = &run.status else { continue };
        match status.phase.as_deref() {
            Some(phase) if phase == Phase::Running.name() => active += 1,
            Some(phase) if phase == Phase::Held.name() => {
                let why = status.conditions.iter().find(|condition| condition.type_ == "Succeeded");
                *held.entry(why.map(|why| why.reason.clone()).unwrap_or_default()).or_default() += 1;
            }
            _ => {}
        }
    }
    cx.board.runs.set_active(active);
    cx.board.runs.set_held(held);
}

/// No place is kept by a run that is gone, ended or broken, however it came to that.
fn give_back_places(cx: &Context) {
    for key in cx.places.known() {
        let run = cx.world.runs.get(&key);
        let goes_on = run.is_some_and(|run| {
            run.valid.is_ok() && run.status.as_ref().is_none_or(|status| status.completion_time.is_none())
        });
        if !goes_on {
            free(cx, &key);
        }
    }
}

async fn of_store(cx: &Context) {
    let read = async { tokio::try_join!(cx.store.size_bytes(), cx.store.oldest_event(), cx.store.bank_metrics()) };
    match read.await {
        Ok((bytes, oldest, metrics)) => {
            cx.board.store.set(bytes, oldest);
            cx.board.readiness.ready("store", "");
            let before = std::mem::replace(&mut *cx.metrics.lock().unwrap_or_else(PoisonError::into_inner), metrics);
            let changed = |bank: &Key| {
                let name = (bank.namespace.clone(), bank.name.clone());
                before.get(&name) != cx.metrics.lock().unwrap_or_else(PoisonError::into_inner).get(&name)
            };
            let banks = cx.world.banks.all();
            banks.iter().filter(|bank| changed(&bank.id.key)).for_each(|bank| cx.bank_shown(&bank.id.key));
        }
        Err(error) => {
            cx.board.store.count_error(error.reason());
            cx.board.readiness.pending("store", error.to_string());
            tracing::warn!(%error, "metrics of the store are those of before");
        }
    }
}

async fn retain(cx: &Context, leads: bool) {
    if !leads {
        return;
    }
    match cx.store.apply_retention(Timestamp::now(), &Limits::default()).await {
        Ok(removed) => tracing::debug!(?removed, "retention"),
        Err(error) => tracing::warn!(%error, "retention is tried again later"),
    }
}

impl Context {
    /// What the store counted of a bank at the last look.
    pub fn metrics_of(&self, bank: &BankName) -> BankMetrics {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner).get(bank).cloned().unwrap_or_default()
    }
}
