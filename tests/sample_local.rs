//! The main job from end to end, through the binary and its own store: a healthy sample has nothing to tell, and of a
//! damaged one exactly what was planted is found.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// A sample bank and what the guardian knows of it.
struct Sample {
    folder: TempDir,
    recipe: [String; 6],
}

impl Sample {
    fn new(seed: u32, generation: &str, memories: u32) -> Self {
        let recipe = ["--seed", &seed.to_string(), "--generation", generation, "--memories", &memories.to_string()];
        Self { folder: tempfile::tempdir().unwrap(), recipe: recipe.map(str::to_owned) }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The exit code and what was printed.
    fn run(arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_memorybank")).args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code().unwrap(), text.concat())
    }

    fn plant(&self, damage: &str) {
        let out = self.path("sample");
        let mut arguments = vec!["sample", "--out", &out, "--damage", damage];
        arguments.extend(self.recipe.iter().map(String::as_str));
        let (code, text) = Self::run(&arguments);
        assert_eq!(code, 0, "{text}");
    }

    fn local(&self, data: &str) -> (i32, String) {
        let (config, data) = (self.path("sample/config"), self.path(data));
        Self::run(&["local", "--config", &config, "--data", &data, "--once", "--now"])
    }

    /// Holds what is open against what was planted.
    fn judge(&self, data: &str) -> (i32, Value) {
        let (bank, data) = (self.path("sample"), self.path(data));
        let (code, text) = Self::run(&["eval", "sample", "--bank", &bank, "--data", &data, "-o", "json"]);
        (code, serde_json::from_str(&text).unwrap())
    }

    /// Looks at the healthy bank for the first time.
    fn learn(&self) {
        self.plant("none");
        let (code, text) = self.local("data");
        assert_eq!(code, 0, "{:?}: {text}", self.recipe);
        let (code, judgement) = self.judge("data");
        assert_eq!((code, count(&judgement, "found")), (0, 0), "{:?}: {judgement:#}", self.recipe);
    }
}

fn count(judgement: &Value, list: &str) -> usize {
    judgement[list].as_array().unwrap().len()
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn all_damage_is_found(generation: &str) {
    for (seed, memories) in [(21, 60), (22, 250), (23, 700)] {
        let sample = Sample::new(seed, generation, memories);
        sample.learn();
        // A second look at what has not changed.
        let (code, text) = sample.local("data");
        assert_eq!(code, 0, "{:?}: {text}", sample.recipe);
        sample.plant("all");
        let (code, text) = sample.local("data");
        assert_eq!(code, 1, "{:?}: {text}", sample.recipe);
        let (code, judgement) = sample.judge("data");
        assert_eq!((code, count(&judgement, "found")), (0, 28), "{:?}: {judgement:#}", sample.recipe);
        // All that was damaged is closed again where it is mended; the file that was added meanwhile is missed now.
        sample.plant("none");
        sample.local("data");
        let (_, judgement) = sample.judge("data");
        let open: Vec<_> = judgement["invented"].as_array().unwrap().iter().map(|told| &told["place"]).collect();
        assert_eq!(open, ["files/uploads: keys/deploy.pem"], "{:?}: {judgement:#}", sample.recipe);
    }
}

#[test]
fn all_damage_is_found_in_the_last_version() {
    all_damage_is_found("current");
}

#[test]
fn all_damage_is_found_in_a_migrated_bank() {
    all_damage_is_found("alembic");
}

#[test]
fn all_damage_is_found_in_the_fork() {
    all_damage_is_found("fork");
}

#[test]
fn each_damage_alone_is_found_and_nothing_else() {
    let sample = Sample::new(24, "current", 200);
    sample.learn();
    let learned = sample.folder.path().join("data");
    let (_, list) = Sample::run(&["sample", "--list"]);
    let names: Vec<_> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names.len(), 29, "{names:?}");
    for name in names {
        copy_all(&learned, &sample.folder.path().join(name));
        sample.plant(name);
        // What is of low severity is told and does not fail the run.
        let (code, text) = sample.local(name);
        assert!(matches!(code, 0 | 1), "{name}: {text}");
        let (code, judgement) = sample.judge(name);
        let lists = ["found", "missed", "invented"].map(|list| count(&judgement, list));
        assert_eq!(lists, [1, 0, 0], "{name}: {judgement:#}");
        assert_eq!(judgement["found"][0]["damage"], name);
        // A history without its last pages cannot be read: what is in it stays unknown, and that is told.
        assert_eq!((code == 0, count(&judgement, "unknown") == 0), (name != "history-truncated", code == 0), "{name}");
    }
}
