use std::future::{Future, Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use crate::delivery::{Authority, AuthorityError};

/// How many connections are open at once; one more is closed.
const CONNECTIONS: usize = 256;
/// How long a connection may be open: the longest request and its answer.
const LIFE: Duration = Duration::from_mins(10);
/// How long a handshake, and the head of a request, may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_secs(10);
/// Open connections keep a stopping server no longer than this.
const DRAIN: Duration = Duration::from_secs(10);

/// The certificate that a running server shows. All clones are the same.
#[derive(Clone)]
pub struct Tls(RustlsConfig);

impl Tls {
    /// Shows this one.
    pub fn new(authority: &Authority) -> Result<Self, AuthorityError> {
        Ok(Self(RustlsConfig::from_config(Arc::new(authority.server_config()?))))
    }

    /// Shows this one from now on; connections that are open go on.
    pub fn show(&self, authority: &Authority) -> Result<(), AuthorityError> {
        self.0.reload_from_config(Arc::new(authority.server_config()?));
        Ok(())
    }
}

/// Serves over TLS until `stop` is done.
pub async fn serve_ingest(
    listener: TcpListener,
    tls: Tls,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let handle = Handle::new();
    let acceptor = RustlsAcceptor::new(tls.0).handshake_timeout(HANDSHAKE).acceptor(Limited::new());
    let mut server =
        Server::<SocketAddr>::from_listener(listener).acceptor(acceptor).handle(handle.clone()).http1_only();
    server.http_builder().http1().header_read_timeout(HEAD);
    let mut served = std::pin::pin!(server.serve(router.into_make_service()));
    tokio::select! {
        result = &mut served => return result,
        () = stop => handle.graceful_shutdown(Some(DRAIN)),
    }
    served.await
}

/// Takes so many connections, each for so long.
#[derive(Clone)]
struct Limited(Arc<Semaphore>);

impl Limited {
    fn new() -> Self {
        Self(Arc::new(Semaphore::new(CONNECTIONS)))
    }
}

impl<S> Accept<TcpStream, S> for Limited {
    type Stream = Connection;
    type Service = S;
    type Future = Ready<io::Result<(Connection, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(match Arc::clone(&self.0).try_acquire_owned() {
            Ok(place) => {
                let end = Box::pin(tokio::time::sleep(LIFE));
                Ok((Connection { stream, end, _place: place }, service))
            }
            Err(_) => Err(io::Error::other("too many connections")),
        })
    }
}

/// A connection that ends.
struct Connection {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// The stream, while the connection may be open. The clock wakes whoever waits for the other end.
    fn open(&mut self, cx: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        match self.end.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(Pin::new(&mut self.stream)),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.open(cx)?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.open(cx)?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open(cx)?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open(cx)?.poll_shutdown(cx)
    }
}
