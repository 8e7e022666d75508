//! Where Jobs leave their reports and exchange what runs leave for later ones (docs/delivery.md).

mod answer;
mod body;
mod serve;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use tokio::time::timeout;

use crate::board::{Board, ReportResult};
use crate::delivery::{Admitted, Gate, MAX_OUTPUT, MAX_REPORT, MAX_TOKEN, Refusal, Refused, Route, What, Why};
use crate::domain::RunReport;
use crate::store::{Finish, Store, StoreError};
use answer::{bytes, json, refused};
use body::Room;

pub use serve::{Tls, serve_ingest};

/// Takes namespace and name of a run whose report is stored.
pub type Notify = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// How long a request may take, from its head to the head of its answer.
const BRIEF: Duration = Duration::from_mins(2);
const LONG: Duration = Duration::from_mins(5);
/// How long the gate may take.
const ADMISSION: Duration = Duration::from_secs(30);
/// What a report takes in memory while it is read and stored, in times its length.
const REPORT_GROWS: u64 = 4;

/// What takes reports.
pub struct Ingest<G> {
    store: Arc<Store>,
    board: Arc<Board>,
    gate: G,
    notify: Notify,
    room: Room,
}

impl<G: Gate> Ingest<G> {
    /// Keeps reports in a store, lets in whom the gate lets in, and tells of each report that is stored. It may tell
    /// of one twice.
    pub fn new(store: Arc<Store>, board: Arc<Board>, gate: G, notify: Notify) -> Self {
        board.ingest.start();
        Self { store, board, gate, notify, room: Room::new() }
    }

    /// All of it as a router.
    pub fn router(self) -> Router {
        Router::new().fallback(handle::<G>).with_state(Arc::new(self))
    }

    /// Lets the caller in, or says why not.
    async fn admit(&self, parts: &Parts, route: &Route) -> Result<Admitted, Refused> {
        let token = bearer(parts).ok_or_else(|| refuse(Why::Unauthenticated, "there is no bearer token"))?;
        match timeout(ADMISSION, self.gate.admit(token, &route.namespace, &route.run)).await {
            Ok(Ok(admitted)) => Ok(admitted),
            Ok(Err(refusal)) => Err(refuse(
                match refusal {
                    Refusal::Unauthenticated(_) => Why::Unauthenticated,
                    Refusal::Forbidden(_) => Why::Forbidden,
                    Refusal::UnknownRun(_) => Why::UnknownRun,
                    Refusal::Unavailable(_) => Why::Unavailable,
                },
                refusal.to_string(),
            )),
            Err(_) => Err(refuse(Why::Unavailable, "the caller could not be checked in time")),
        }
    }

    async fn answer(&self, parts: &Parts, route: &Route, body: &mut BodyDataStream) -> Result<Response, Refused> {
        let admitted = self.admit(parts, route).await?;
        match &route.what {
            What::Report => self.take_report(parts, route, &admitted, body).await,
            What::Input(name) => self.give_input(route, &admitted, name).await,
            What::Output(_) => self.take_output(parts, body).await,
            What::FingerprintKey => {
                let key = self.store.fingerprint_key(&route.namespace, &admitted.bank).await;
                let key = crate::domain::Digest::from_bytes(key.map_err(|error| self.unstored(&error))?);
                Ok(json(StatusCode::OK, &serde_json::json!({ "key": key })))
            }
        }
    }

    async fn take_report(
        &self,
        parts: &Parts,
        route: &Route,
        admitted: &Admitted,
        body: &mut BodyDataStream,
    ) -> Result<Response, Refused> {
        let length = body::length(parts, MAX_REPORT)?;
        let _room = self.room.take(length * REPORT_GROWS).await?;
        let bytes = body::read(body, length).await?;
        let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice::<RunReport>(&bytes)).await;
        let report = match parsed {
            Ok(Ok(report)) => report,
            Ok(Err(error)) => return Err(refuse(Why::Invalid, format!("it is no report: {error}"))),
            Err(error) => return Err(refuse(Why::Failed, error.to_string())),
        };
        let ours = [&admitted.uid, &route.namespace, &route.run, &admitted.bank];
        let its = [&report.uid, &report.namespace, &report.run, &report.bank];
        if let Some(at) = (0..ours.len()).find(|at| ours[*at] != its[*at]) {
            let what = ["uid", "namespace", "run", "bank"][at];
            return Err(refuse(Why::Mismatch, format!("its {what} is not that of the run {}", route.run)));
        }
        let finish = self.store.finish_run(&report).await.map_err(|error| self.unstored(&error))?;
        let (status, result) = match finish {
            Finish::Stored => (StatusCode::CREATED, ReportResult::Stored),
            Finish::Duplicate => (StatusCode::OK, ReportResult::Duplicate),
        };
        self.board.ingest.count(result);
        tracing::info!(namespace = route.namespace, run = route.run, uid = report.uid, ?finish, "report taken");
        // Of a duplicate too: whoever took the first may have ended before it told.
        (self.notify)(&route.namespace, &route.run);
        Ok(json(status, &serde_json::json!({})))
    }

    async fn give_input(&self, route: &Route, admitted: &Admitted, name: &str) -> Result<Response, Refused> {
        let unstored = |error: StoreError| self.unstored(&error);
        let outputs = self.store.outputs(&route.namespace, &admitted.bank).await.map_err(unstored)?;
        let Some(digest) = outputs.get(name) else {
            return Err(refuse(Why::NoInput, format!("bank {} has no output {name} yet", admitted.bank)));
        };
        let missing = || refuse(Why::Failed, format!("blob {digest} is missing from the store"));
        let size = self.store.blob_bytes(digest).await.map_err(unstored)?.ok_or_else(missing)?;
        let room = self.room.take(size).await?;
        let content = self.store.get_blob(digest).await.map_err(unstored)?.ok_or_else(missing)?;
        Ok(bytes(digest, content, room))
    }

    async fn take_output(&self, parts: &Parts, body: &mut BodyDataStream) -> Result<Response, Refused> {
        let length = body::length(parts, MAX_OUTPUT)?;
        let _room = self.room.take(length).await?;
        let bytes = body::read(body, length).await?;
        let digest = self.store.put_blob(bytes).await.map_err(|error| self.unstored(&error))?;
        Ok(json(StatusCode::OK, &serde_json::json!({ "digest": digest })))
    }

    fn unstored(&self, error: &StoreError) -> Refused {
        self.board.store.count_error(error.reason());
        let reason = match error {
            StoreError::TooLarge { .. } => Why::TooLarge,
            error if error.is_transient() => Why::Unavailable,
            _ => Why::Failed,
        };
        refuse(reason, error.to_string())
    }
}

async fn handle<G: Gate>(State(ingest): State<Arc<Ingest<G>>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = body.into_data_stream();
    let Some(route) = routed(&parts) else {
        return refused(&refuse(Why::NotFound, "there is nothing at this path for this method"));
    };
    let limit = if matches!(route.what, What::Input(_) | What::Output(_)) { LONG } else { BRIEF };
    let answered = timeout(limit, ingest.answer(&parts, &route, &mut body)).await;
    let refusal = match answered {
        Ok(Ok(response)) => return response,
        Ok(Err(refusal)) => refusal,
        Err(_) => refuse(Why::Unavailable, format!("it was not done within {} s", limit.as_secs())),
    };
    if refusal.reason != Why::NoInput {
        let (namespace, run) = (&route.namespace, &route.run);
        tracing::warn!(namespace, run, what = ?route.what, reason = ?refusal.reason, "{}", refusal.message);
    }
    let response = refused(&refusal);
    if route.what == What::Report {
        let failed = response.status().is_server_error();
        ingest.board.ingest.count(if failed { ReportResult::Failed } else { ReportResult::Refused });
    }
    body::drain(&parts, &mut body).await;
    response
}

/// What a request asks for, if it is something.
fn routed(parts: &Parts) -> Option<Route> {
    let route = Route::parse(parts.uri.path())?;
    let method = match &route.what {
        What::Report | What::Output(_) => Method::PUT,
        What::Input(_) | What::FingerprintKey => Method::GET,
    };
    (parts.method == method).then_some(route)
}

fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= MAX_TOKEN).then_some(token)
}

fn refuse(reason: Why, message: impl Into<String>) -> Refused {
    Refused { reason, message: message.into() }
}
