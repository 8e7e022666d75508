use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::local::Follow;
use crate::runner::Step;

/// How often a bar is drawn.
const DRAW: Duration = Duration::from_millis(100);

/// A bar per run where a person watches; nothing in a log.
pub(super) fn follower() -> Follow {
    if !std::io::stderr().is_terminal() {
        return Follow(Arc::new(|_, _| {}));
    }
    let bars = MultiProgress::new();
    Follow(Arc::new(move |run, steps| {
        let bar = bars.add(ProgressBar::new(0));
        if let Ok(style) = ProgressStyle::with_template("{prefix} {msg} [{bar:30}] {bytes}/{total_bytes} {eta}") {
            bar.set_style(style);
        }
        bar.set_prefix(run.to_owned());
        tokio::spawn(draw(bar, steps));
    }))
}

/// Draws until the run ends, which closes the channel.
async fn draw(bar: ProgressBar, mut steps: watch::Receiver<Option<Step>>) {
    let mut tick = tokio::time::interval(DRAW);
    loop {
        let ended = tokio::select! {
            _ = tick.tick() => false,
            changed = steps.changed() => changed.is_err(),
        };
        if ended {
            bar.finish_and_clear();
            return;
        }
        if let Some(step) = steps.borrow().as_ref() {
            let (done, total) = step.meter.progress();
            bar.set_message(format!("{} ({}/{})", step.task, step.number.0, step.number.1));
            bar.set_length(total);
            bar.set_position(done);
        }
    }
}
