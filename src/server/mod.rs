//! HTTP for machines: `/metrics`, `/livez` and `/readyz`, which read the board and change nothing; and [`Ingest`], over
//! TLS, where Jobs leave their reports.

mod exposition;
mod ingest;
mod text;

use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::board::Board;

pub use ingest::{Ingest, Notify, Tls, serve_ingest};

/// Open connections keep a stopping server no longer than this.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves until `stop` is done.
pub async fn serve(
    listener: TcpListener,
    board: Arc<Board>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(board);
    let (stopped, drain) = tokio::sync::oneshot::channel::<()>();
    let served = axum::serve(listener, app).with_graceful_shutdown(async move {
        stop.await;
        let _ = stopped.send(());
    });
    tokio::select! {
        result = async { served.await } => result,
        () = async { let _ = drain.await; tokio::time::sleep(DRAIN).await } => Ok(()),
    }
}

async fn metrics(State(board): State<Arc<Board>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], exposition::render(&board))
}

/// The process answers: that is all that liveness asks.
async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(board): State<Arc<Board>>) -> impl IntoResponse {
    let parts = board.readiness.parts();
    let ready = !parts.is_empty() && parts.iter().all(|(_, ready, _)| *ready);
    let mut text = String::new();
    for (name, ready, note) in parts {
        let word = if ready { "ok" } else { "pending" };
        let colon = if note.is_empty() { "" } else { ": " };
        let _ = writeln!(text, "{name} {word}{colon}{note}"); // Writing to a String cannot fail.
    }
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}
