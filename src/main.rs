//! The binary: installs logging, parses arguments, dispatches.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use memorybank::cli::Cli;

/// Work that did not end when it was told to (a read that hangs on a dead network share) does not keep the
/// process: what it leaves is wiped by the next one.
const LINGER: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The one TLS provider; a second installation is refused, and there is none.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(cli.execute());
            runtime.shutdown_timeout(LINGER);
            code
        }
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            ExitCode::from(4)
        }
    }
}
