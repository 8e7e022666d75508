//! Stands between a run and its server, and cuts a connection once in the middle.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::thread;

/// Ends with its process.
pub struct Proxy {
    pub url: String,
    up: Arc<Cut>,
    down: Arc<Cut>,
}

/// A budget of bytes, after which a connection is cut.
struct Cut {
    left: AtomicI64,
    cuts: AtomicUsize,
}

impl Cut {
    fn new() -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(i64::MAX), cuts: AtomicUsize::new(0) })
    }

    /// Whether so many bytes may pass.
    fn passes(&self, bytes: usize) -> bool {
        let bytes = i64::try_from(bytes).unwrap();
        let cut = self.left.fetch_sub(bytes, Ordering::Relaxed) < bytes;
        if cut {
            self.left.store(i64::MAX, Ordering::Relaxed);
            self.cuts.fetch_add(1, Ordering::Relaxed);
        }
        !cut
    }
}

impl Proxy {
    pub fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (up, down) = (Cut::new(), Cut::new());
        let server = server.replace("http://", "");
        let cuts = (Arc::clone(&up), Arc::clone(&down));
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let (up, down) = (Arc::clone(&cuts.0), Arc::clone(&cuts.1));
                thread::spawn(move || pass(client, server, &up));
                thread::spawn(move || pass(back.0, back.1, &down));
            }
        });
        Self { url, up, down }
    }

    /// Cuts a connection once after so many more bytes to the server.
    pub fn cut_up(&self, bytes: i64) {
        self.up.left.store(bytes, Ordering::Relaxed);
    }

    /// The same of what comes from it.
    pub fn cut_down(&self, bytes: i64) {
        self.down.left.store(bytes, Ordering::Relaxed);
    }

    /// How often a connection was cut, each way.
    pub fn cuts(&self) -> (usize, usize) {
        (self.up.cuts.load(Ordering::Relaxed), self.down.cuts.load(Ordering::Relaxed))
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, cut: &Cut) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 || !cut.passes(read) || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
