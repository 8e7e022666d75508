use std::sync::Arc;

use tokio::sync::watch;

use crate::bank::Meter;

/// The step that a run is at, for whoever shows it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The task's name.
    pub task: String,
    /// Its place in the run, from 1, and how many there are.
    pub number: (usize, usize),
    /// Bytes done and to do.
    pub meter: Arc<Meter>,
}

/// Tells the present step of a run; nobody need listen.
#[derive(Debug)]
pub struct Progress(watch::Sender<Option<Step>>);

impl Progress {
    /// A progress and the end at which to follow it.
    pub fn new() -> (Self, watch::Receiver<Option<Step>>) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), receiver)
    }

    pub(super) fn enter(&self, step: Step) {
        self.0.send_replace(Some(step));
    }
}
