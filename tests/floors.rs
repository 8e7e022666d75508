//! The floors of docs/architecture.md hold: a module imports only from floors below its own, and the
//! pure floors use no crate that has effects.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module with its floor. `plan` stands on `resources`: it plans over their types.
const FLOORS: [(&str, u8); 16] = [
    ("domain", 0),
    ("engine", 1),
    ("resources", 2),
    ("plan", 3),
    ("bank", 4),
    ("board", 4),
    ("delivery", 4),
    ("discover", 4),
    ("store", 4),
    ("sample", 4),
    ("runner", 5),
    ("sampler", 5),
    ("local", 6),
    ("operator", 6),
    ("server", 6),
    ("cli", 7),
];

/// Crates that act on the world, and so stay out of the pure floors.
const EFFECTS: [&str; 9] = ["tokio", "tokio_util", "sqlx", "kube", "axum", "nix", "indicatif", "clap", "k8s_openapi"];
/// What reaches for a clock or a file in the standard library, or for the clock in jiff.
const IMPURE: [&str; 7] =
    ["std::fs", "std::net", "std::process", "SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file without its comments and its tests: those may use what they like.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]")
        .next()
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn modules_import_only_from_floors_below() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (module, floor) in FLOORS {
        let mut files = Vec::new();
        sources(&root.join(module), &mut files);
        assert!(!files.is_empty(), "{module} has no source");
        for file in files {
            let code = code(&file);
            for (other, its_floor) in FLOORS {
                let imports = code.contains(&format!("crate::{other}::")) || code.contains(&format!("crate::{other};"));
                if other != module && its_floor >= floor && imports {
                    wrong.push(format!("{} imports {other}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_floors_have_no_effects() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut files = Vec::new();
    sources(&root.join("domain"), &mut files);
    sources(&root.join("engine"), &mut files);
    for file in files {
        let code = code(&file);
        for name in EFFECTS {
            if code.contains(&format!("{name}::")) {
                wrong.push(format!("{} uses {name}", file.display()));
            }
        }
        for name in IMPURE {
            if code.contains(name) {
                wrong.push(format!("{} uses {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_a_floor() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            let name = entry.file_name().into_string().unwrap();
            assert!(FLOORS.iter().any(|(module, _)| *module == name), "{name} stands on no floor");
        }
    }
}
