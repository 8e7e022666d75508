//! Stands between the operator and the API server, and answers badly while it is told to.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::{StreamExt as _, stream};
use http::{Method, StatusCode, header};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// No request of the operator is larger.
const MAX_BODY: usize = 16 << 20;
/// Of 100 requests so many are answered badly, while faults are on.
const BAD: u32 = 30;

/// What is done to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is not passed on, and the answer breaks off.
    Drop,
    /// It is passed on, and its answer is lost.
    Lose,
    Delay,
    /// 429 with Retry-After.
    Throttle,
    /// 500.
    Break,
    /// 409, of what writes.
    Conflict,
    /// A watch is cut.
    Cut,
    /// A watch is told that what it goes by is too old: 410.
    Expire,
}

impl Fault {
    pub const ALL: [Self; 8] =
        [Self::Drop, Self::Lose, Self::Delay, Self::Throttle, Self::Break, Self::Conflict, Self::Cut, Self::Expire];
}

struct Shared {
    upstream: Client,
    on: AtomicBool,
    random: Mutex<StdRng>,
    done: Mutex<BTreeMap<Fault, usize>>,
}

/// The running proxy.
pub struct Proxy {
    shared: Arc<Shared>,
    kubeconfig: PathBuf,
    task: JoinHandle<std::io::Result<()>>,
}

impl Proxy {
    /// Passes everything on as who has this kubeconfig.
    pub async fn start(upstream: &Path, folder: &Path, seed: u64) -> Self {
        let read = Kubeconfig::read_from(upstream).unwrap();
        let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
        config.read_timeout = None;
        config.default_retry = false;
        let shared = Arc::new(Shared {
            upstream: Client::try_from(config).unwrap(),
            on: AtomicBool::new(false),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            done: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        let kubeconfig = folder.join("proxy.kubeconfig");
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        Self { shared, kubeconfig, task }
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    /// Begins or ends to answer badly.
    pub fn faults(&self, on: bool) {
        self.shared.on.store(on, Ordering::Relaxed);
    }

    /// How often each was done.
    pub fn done(&self) -> BTreeMap<Fault, usize> {
        self.shared.done.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// What is done to a request, and a time for it.
    fn draw(&self, request: &Request) -> Option<(Fault, Duration)> {
        if !self.on.load(Ordering::Relaxed) {
            return None;
        }
        let watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let writes = !matches!(*request.method(), Method::GET);
        let mut random = self.random.lock().unwrap();
        let time = Duration::from_millis(random.random_range(50..3000));
        let fault = match random.random_range(0..6) {
            // A watch goes on for minutes: it always ends before.
            0 if watch => Fault::Expire,
            _ if watch => Fault::Cut,
            _ if random.random_range(0..100) >= BAD => return None,
            0 => Fault::Drop,
            1 => Fault::Lose,
            2 => Fault::Delay,
            3 => Fault::Throttle,
            4 if writes => Fault::Conflict,
            _ => Fault::Break,
        };
        *self.done.lock().unwrap().entry(fault).or_default() += 1;
        Some((fault, time))
    }

    async fn pass(&self, request: Request) -> Result<Response, kube::Error> {
        let (mut parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, MAX_BODY).await.map_err(|error| kube::Error::Service(error.into()))?;
        parts.headers.remove(header::HOST);
        let answer = self.upstream.send(http::Request::from_parts(parts, body.to_vec().into())).await?;
        let (mut parts, body) = answer.into_parts();
        parts.headers.remove(header::TRANSFER_ENCODING);
        parts.headers.remove(header::CONNECTION);
        Ok(Response::from_parts(parts, Body::new(body)))
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Infallible> {
    let fault = shared.draw(&request);
    Ok(match fault {
        Some((Fault::Drop, _)) => broken(),
        Some((Fault::Lose, _)) => {
            let _unheard = shared.pass(request).await;
            broken()
        }
        Some((Fault::Throttle, _)) => refused(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
        Some((Fault::Break, _)) => refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        Some((Fault::Conflict, _)) => refused(StatusCode::CONFLICT, "Conflict"),
        Some((Fault::Delay, time)) => {
            tokio::time::sleep(time).await;
            passed(shared.pass(request).await)
        }
        Some((Fault::Cut, time)) => {
            let (parts, body) = passed(shared.pass(request).await).into_parts();
            let some = body.into_data_stream().take_until(tokio::time::sleep(time));
            Response::from_parts(parts, Body::from_stream(some.chain(stream::once(async { Err(cut()) }))))
        }
        Some((Fault::Expire, time)) => {
            tokio::time::sleep(time).await;
            let event = json!({"type": "ERROR", "object": status(StatusCode::GONE, "Expired")});
            Response::new(Body::from(format!("{event}\n")))
        }
        None => passed(shared.pass(request).await),
    })
}

fn cut() -> axum::Error {
    axum::Error::new(std::io::Error::other("cut by the test"))
}

/// An answer that breaks off before its end.
fn broken() -> Response {
    Response::new(Body::from_stream(stream::once(async { Err::<Vec<u8>, _>(cut()) })))
}

fn passed(answer: Result<Response, kube::Error>) -> Response {
    answer.unwrap_or_else(|error| refused(StatusCode::BAD_GATEWAY, &error.to_string()))
}

fn status(code: StatusCode, reason: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "metadata": {},
        "message": "said by the test", "reason": reason, "code": code.as_u16(),
    })
}

/// An answer as the API server words it.
fn refused(code: StatusCode, reason: &str) -> Response {
    let mut response = Response::new(Body::from(status(code, reason).to_string()));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if code == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}
