//! The chart, the plain install, the alert rules and the image: rendered by the real Helm, judged as objects.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

#[path = "../common/control_plane.rs"]
mod control_plane;
#[path = "../common/guardian.rs"]
mod guardian;

mod accepted;
mod alerts;
mod helm;
mod image;
mod metrics;
mod network;
mod pods;
mod rendered;
mod rights;
mod values;

use std::path::{Path, PathBuf};

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of the repository.
fn text_of(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of the files of a folder of the repository, in order.
fn names_in(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(repository(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
