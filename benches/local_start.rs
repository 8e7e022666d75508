//! Start of local mode with 1,000 banks configured, and what it costs while nothing is due: from the start
//! of the process to the first good `/readyz`, CPU over half a minute, memory. Run with
//! `cargo bench --bench local_start`; it fails where a bound is not kept.

#![allow(clippy::unwrap_used, clippy::panic)] // A bench that cannot measure ends.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const BANKS: usize = 1_000;
const IDLE: Duration = Duration::from_secs(30);
/// Ticks of a second in /proc, on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// What must be kept: seconds to readiness, per cent of a core while idle, MB of memory.
const BOUNDS: (f64, f64, f64) = (1.0, 1.0, 100.0);

const POLICY: &str = "\
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {name: standard}
spec:
  bankSelector: {}
  schedules:
  - name: daily
    cron: \"0 6 * * *\"
    tasks:
    - {task: IntegrityCheck, level: Quick}
    - {task: SecurityAudit, scopes: [Leaks, Erasure]}
";

fn bank(number: usize) -> String {
    format!(
        "apiVersion: memorybank.dev/v1alpha1\nkind: MemoryBank\nmetadata: {{name: bank-{number:04}, labels: {{tier: \
         gold}}}}\nspec:\n  database:\n    sqlite: {{volume: data, path: openmemory.db}}\n  history: {{volume: data, \
         path: .mem0/history.db}}\n  volumes:\n  - {{name: data, folder: {{path: ../banks/{number:04}}}}}\n  files:\n  \
         - {{name: uploads, volume: data, path: uploads, mutable: Append}}\n"
    )
}

fn write(config: &Path, one_file: bool) {
    fs::create_dir(config).unwrap();
    fs::write(config.join("policy.yaml"), POLICY).unwrap();
    let mut all = String::new();
    for number in 0..BANKS {
        if one_file {
            write!(all, "---\n{}", bank(number)).unwrap();
        } else {
            fs::write(config.join(format!("bank-{number:04}.yaml")), bank(number)).unwrap();
        }
    }
    if one_file {
        fs::write(config.join("banks.yaml"), all).unwrap();
    }
}

struct Measured {
    ready: f64,
    settled: f64,
    idle: f64,
    memory: f64,
    peak: f64,
}

fn measure(folder: &Path) -> Measured {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_memorybank"))
        .arg("local")
        .arg("--config")
        .arg(folder.join("config"))
        .arg("--data")
        .arg(folder.join("data"))
        .args(["--listen", &address.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !page(address, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was ready");
        thread::sleep(Duration::from_millis(1));
    }
    let ready = begun.elapsed().as_secs_f64();
    let all_shown = || {
        let text = page(address, "/metrics").unwrap_or_default();
        text.matches("memorybank_schedule_next_run_timestamp_seconds{").count() == BANKS
    };
    while !all_shown() {
        thread::sleep(Duration::from_millis(20));
    }
    let settled = begun.elapsed().as_secs_f64();
    let before = cpu(&child);
    thread::sleep(IDLE);
    let idle = 100.0 * (cpu(&child) - before) / IDLE.as_secs_f64();
    let measured =
        Measured { ready, settled, idle, memory: kilobytes(&child, "VmRSS:"), peak: kilobytes(&child, "VmHWM:") };
    child.kill().unwrap();
    child.wait().unwrap();
    measured
}

fn page(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Seconds of CPU that the process has used.
fn cpu(child: &Child) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS
}

/// A line of the process's memory, in MB.
fn kilobytes(child: &Child, name: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn main() -> ExitCode {
    println!("{BANKS} banks                         ready     all shown   idle CPU   memory    peak");
    let mut kept = true;
    for (what, one_file) in [("a file each", false), ("all in one file", true)] {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("config"), one_file);
        for start in ["first start", "next start"] {
            let Measured { ready, settled, idle, memory, peak } = measure(folder.path());
            println!(
                "{what:<16} {start:<12} {ready:8.3} s {settled:10.3} s {idle:8.2} % {memory:6.1} MB {peak:6.1} MB"
            );
            kept &= ready < BOUNDS.0 && idle < BOUNDS.1 && peak < BOUNDS.2;
        }
    }
    println!("bounds: ready in {} s, idle under {} %, memory under {} MB", BOUNDS.0, BOUNDS.1, BOUNDS.2);
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
