use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Logs to standard error: lines for people on a terminal, JSON in a log. `RUST_LOG` wins over `-v`.
pub(super) fn start(verbose: u8, quiet: bool) {
    let level = match (verbose, quiet) {
        (0, true) => "warn",
        (0, false) => "info",
        (1, _) => "debug",
        _ => "trace",
    };
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("warn,memorybank={level}")));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber is refused, which is no harm: the first stays.
    let _ = if std::io::stderr().is_terminal() {
        subscriber.with_target(false).try_init()
    } else {
        subscriber.json().try_init()
    };
}
