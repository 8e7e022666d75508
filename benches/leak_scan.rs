//! Speed of the leak scan on one thread, beside ripgrep with the same patterns in the same run.
//!
//! `cargo bench --bench leak_scan` (with `-- MIB` for another size than 256). The texts are made from a seed: prose
//! with dates and numbers and no hit, and a text with a secret or a person's data in every second line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

use std::fs;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use memorybank::engine::audit::leak::{Scanner, rules};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ROUNDS: usize = 3;
const MIB: usize = 1 << 20;

const WORDS: &str = "the of and to in is that it was for on are as with his they at be this from have or by one had not but what all were \
    when we there can an your which their said if do will each about how up out them then she many some so these would other into has more \
    her two like him see time could no make than first been its who now people my made over did down only way find use may water long little \
    very after words called just where most know memory user prefers coffee morning meeting project deadline remember travel Berlin Lisbon \
    garden weather kitchen recipe well-known state-of-the-art internationalization self-explanatory house mountain-climbing language sister";

fn main() {
    let size = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(256_usize) * MIB;
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let prose = text(&mut random, size, sentence);
    let dense = text(&mut random, size / 16, |random, line| {
        sentence(random, line);
        if random.random_bool(0.5) {
            leak(random, line);
        }
    });
    println!("text           size MiB     hits   MB/s wall  MB/s CPU   rg MB/s wall  rg MB/s CPU   ours / rg (CPU)");
    compare("prose", &prose);
    compare("hit-dense", &dense);
}

fn text(random: &mut ChaCha8Rng, size: usize, line: impl Fn(&mut ChaCha8Rng, &mut String)) -> Vec<u8> {
    let mut text = String::with_capacity(size + 1024);
    while text.len() < size {
        line(random, &mut text);
        text.push('\n');
    }
    text.into_bytes()
}

fn sentence(random: &mut ChaCha8Rng, line: &mut String) {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    for place in 0..random.random_range(8..24) {
        if place > 0 {
            line.push(' ');
        }
        let part = match random.random_range(0..24) {
            0 => {
                let (year, month, day) =
                    (random.random_range(1990..2030), random.random_range(1..13), random.random_range(1..29));
                format!("{year}-{month:02}-{day:02}")
            }
            1 => {
                let (hour, minute, second) =
                    (random.random_range(0..24), random.random_range(0..60), random.random_range(0..60));
                format!("{hour:02}:{minute:02}:{second:02}")
            }
            2 => random.random_range(0..100_000).to_string(),
            3 => format!("{}.{:02} EUR,", random.random_range(0..900), random.random_range(0..100)),
            _ => words[random.random_range(0..words.len())].to_owned(),
        };
        line.push_str(&part);
    }
    line.push('.');
}

fn leak(random: &mut ChaCha8Rng, line: &mut String) {
    let mut token = |alphabet: &[u8], length: usize| -> String {
        (0..length).map(|_| char::from(alphabet[random.random_range(0..alphabet.len())])).collect()
    };
    let body = token(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 36);
    let name = token(b"abcdefghijklmnopqrstuvwxyz", 9);
    let leak = match random.random_range(0..5) {
        0 => format!(" ghp_{body}"),
        1 => format!(" my password is {}!7", &body[..12]),
        2 => format!(" SERVICE_API_KEY={body}"),
        3 => format!(" write to {name}@{name}.org"),
        _ => format!(" postgresql://{name}:{}@db:5432/bank", &body[..14]),
    };
    line.push_str(&leak);
}

fn compare(name: &str, text: &[u8]) {
    let scanner = Scanner::new(&[7; 32]);
    let size = megabytes(text.len());
    let mut hits = 0_u64;
    let (mut wall, mut cpu) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let (begun, before) = (Instant::now(), own_seconds());
        hits = 0;
        scanner.scan(black_box(text), |_| hits += 1);
        cpu = cpu.min(own_seconds() - before);
        wall = wall.min(begun.elapsed().as_secs_f64());
    }
    assert!(name != "prose" || hits == 0, "the prose must have no hit, and has {hits}");
    print!("{name:<12} {:>10} {hits:>8} {:>11.0} {:>9.0}", text.len() / MIB, size / wall, size / cpu);
    match ripgrep(text) {
        Some((rg_wall, rg_cpu)) => {
            println!(" {:>14.0} {:>12.0} {:>17.2}", size / rg_wall, size / rg_cpu, rg_cpu / cpu);
        }
        None => println!("    rg is not installed: no comparison"),
    }
}

fn megabytes(bytes: usize) -> f64 {
    u32::try_from(bytes).map_or(f64::NAN, f64::from) / 1e6
}

/// The best wall and CPU seconds of ripgrep over the text, less those that it takes to start and compile.
fn ripgrep(text: &[u8]) -> Option<(f64, f64)> {
    Command::new("rg").arg("--version").stdout(Stdio::null()).status().ok()?;
    let folder = tempfile::tempdir().ok()?;
    let (patterns, full, empty) =
        (folder.path().join("patterns"), folder.path().join("text"), folder.path().join("empty"));
    let lines: Vec<&str> = rules().map(|r| r.pattern).collect();
    fs::write(&patterns, lines.join("\n") + "\n").ok()?;
    fs::write(&full, text).ok()?;
    fs::File::create(&empty).ok()?.write_all(b"\n").ok()?;
    let best = |file: &Path| {
        (0..ROUNDS)
            .filter_map(|_| search(&patterns, file))
            .fold((f64::MAX, f64::MAX), |a, b| (a.0.min(b.0), a.1.min(b.1)))
    };
    let (start, run) = (best(&empty), best(&full));
    Some((run.0 - start.0, run.1 - start.1))
}

fn search(patterns: &Path, file: &Path) -> Option<(f64, f64)> {
    let (begun, before) = (Instant::now(), child_seconds());
    let status = Command::new("rg")
        .args(["-j1", "--count", "--text", "--no-unicode", "--no-config", "--no-messages", "-f"])
        .arg(patterns)
        .arg(file)
        .stdout(Stdio::null())
        .status()
        .ok()?;
    assert!(status.code().is_some_and(|code| code < 2), "rg refused a pattern");
    Some((begun.elapsed().as_secs_f64(), child_seconds() - before))
}

/// CPU seconds of this thread, to the nanosecond (proc(5), schedstat).
fn own_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e9
}

/// CPU seconds of the children that ended, in ticks of 10 ms (proc(5), stat).
fn child_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> =
        text.rsplit(')').next().unwrap_or_default().split_whitespace().map(|n| n.parse().unwrap_or(0.0)).collect();
    fields.get(13..15).map_or(f64::NAN, |f| f.iter().sum::<f64>() / 100.0)
}
