//! What the README shows is what the program prints: the commands of `make run`, run here, end with the
//! summary that the README holds.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn memorybank(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_memorybank")).args(arguments).output().unwrap()
}

#[test]
fn the_summary_in_the_readme_is_what_make_run_prints() {
    let folder = tempfile::TempDir::new().unwrap();
    let sample = folder.path().to_str().unwrap();
    let (config, data) = (format!("{sample}/config"), format!("{sample}/data"));
    let plant = |damage: &str| {
        let written = memorybank(&["sample", "--out", sample, "--damage", damage]);
        assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    };
    let look = || memorybank(&["local", "--config", &config, "--data", &data, "--once", "--now"]).status.code();
    plant("none");
    assert_eq!(look(), Some(0), "a healthy sample has nothing to tell");
    plant("all");
    assert_eq!(look(), Some(1), "a damaged sample is told");
    let summary = memorybank(&["eval", "sample", "--bank", sample, "--data", &data]);
    assert!(summary.status.success(), "{}", String::from_utf8_lossy(&summary.stdout));

    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let shown = String::from_utf8(summary.stdout).unwrap();
    assert!(readme.contains(shown.trim_end()), "the README does not show this:\n{shown}");
}
