//! The clients of the API server: every request is counted and bounded in time, and a client that writes as the
//! leader refuses to write once the lease may have passed to another.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::{BoxError, Layer, Service};

use super::lease::Leadership;
use crate::board::Board;

/// How long a request may take until its answer begins; watches go on after that.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Makes a client. With `leader` it writes only while that leads.
pub fn client(mut config: Config, board: Arc<Board>, leader: Option<Arc<Leadership>>) -> Result<Client, kube::Error> {
    config.connect_timeout = Some(CONNECT);
    // What fails is tried again with the whole reconcile, which looks at the world anew.
    config.default_retry = false;
    Ok(ClientBuilder::try_from(config)?.with_layer(&Gate { board, leader }).build())
}

/// Why a request was not sent.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// Another replica may lead.
    #[error("not sent: this replica may no longer be the leader")]
    NotLeading,
    /// The API server did not answer.
    #[error("the API server did not answer within {} s", ANSWER.as_secs())]
    TimedOut,
}

#[derive(Clone)]
struct Gate {
    board: Arc<Board>,
    leader: Option<Arc<Leadership>>,
}

#[derive(Clone)]
struct Gated<S> {
    inner: S,
    gate: Gate,
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, gate: self.clone() }
    }
}

impl<S, B> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
        if writes && self.gate.leader.as_ref().is_some_and(|leader| !leader.leads()) {
            return Box::pin(async { Err(NotSent::NotLeading.into()) });
        }
        let verb = verb(request.method());
        let board = Arc::clone(&self.gate.board);
        let answer = self.inner.call(request);
        Box::pin(async move {
            match tokio::time::timeout(ANSWER, answer).await {
                Ok(Ok(response)) => {
                    board.operator.count_request(verb, response.status().as_str());
                    Ok(response)
                }
                Ok(Err(error)) => {
                    board.operator.count_request(verb, "error");
                    Err(error.into())
                }
                Err(_) => {
                    board.operator.count_request(verb, "timeout");
                    Err(NotSent::TimedOut.into())
                }
            }
        })
    }
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}
