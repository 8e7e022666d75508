use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::CliError;

/// Cancels `stop` on SIGTERM and SIGINT. A second SIGINT ends the process at once: whatever it was doing is
/// done again by the next one.
pub(super) fn stop_on_signals(stop: CancellationToken) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::Internal(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping; once more ends at once"),
        }
        stop.cancel();
        interrupt.recv().await;
        std::process::exit(130);
    });
    Ok(())
}
