//! `memorybank init` on the stacks that people really have: what it writes is accepted by `lint`, and
//! what is wrong with the stack is said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn memorybank(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_memorybank")).current_dir(folder).args(arguments).output().unwrap()
}

fn init(compose: &str) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("docker-compose.yml"), compose).unwrap();
    let output = memorybank(folder.path(), &["init", "--compose", "docker-compose.yml"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    (folder, text)
}

fn lints_clean(folder: &Path) {
    let output = memorybank(folder, &["lint", "memorybank"]);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The shape of the Compose file in OpenMemory's repository.
const REPOSITORY: &str = r#"
services:
  mem0_store:
    image: qdrant/qdrant
    ports: ["6333:6333"]
    volumes: ["mem0_storage:/mem0/storage"]
  openmemory-mcp:
    image: mem0/openmemory-mcp
    build: api/
    environment: [USER, API_KEY]
    env_file: [api/.env]
    depends_on: [mem0_store]
    ports: ["8765:8765"]
    volumes: ["./api:/usr/src/openmemory"]
    command: >
      sh -c "uvicorn main:app --host 0.0.0.0 --port 8765 --reload --workers 4"
  openmemory-ui:
    image: mem0/openmemory-ui:latest
    ports: ["3000:3000"]
volumes:
  mem0_storage:
"#;

#[test]
fn the_repository_stack_is_found_with_its_two_known_faults() {
    let (folder, said) = init(REPOSITORY);
    let resources = fs::read_to_string(folder.path().join("memorybank/memorybank.yaml")).unwrap();
    assert!(resources.contains("sqlite: {volume: api, path: \"openmemory.db\"}"), "{resources}");
    assert!(resources.contains("url: \"http://openmemory-mcp:8765\""), "{resources}");
    assert!(resources.contains("qdrant: {url: \"http://mem0_store:6333\""), "{resources}");
    assert!(!resources.contains("history:"), "a history that is on no volume is not declared: {resources}");
    assert!(said.contains("history: /root/.mem0/history.db of service openmemory-mcp is on no volume"), "{said}");
    assert!(said.contains("Qdrant writes to /qdrant/storage"), "{said}");
    let compose = fs::read_to_string(folder.path().join("compose.memorybank.yaml")).unwrap();
    assert!(compose.contains("\"./api:/banks/api:ro\""), "{compose}");
    assert!(compose.contains("--claim=api=/banks/api"), "{compose}");
    lints_clean(folder.path());
}

#[test]
fn named_volumes_environment_and_a_mounted_history_are_found() {
    let (folder, said) = init(
        "name: brain\nservices:\n  openmemory-mcp:\n    image: mem0/openmemory-mcp:latest\n    environment:\n      \
         MEM0_DIR: /usr/src/openmemory/.mem0\n      DATABASE_URL: sqlite:////var/lib/om/om.db\n      QDRANT_HOST: vectors\n      \
         QDRANT_PORT: 7333\n    volumes:\n      - openmemory_db:/usr/src/openmemory\n      - {type: volume, source: om, \
         target: /var/lib/om}\nvolumes: {openmemory_db: , om: }\n",
    );
    let resources = fs::read_to_string(folder.path().join("memorybank/memorybank.yaml")).unwrap();
    assert!(resources.contains("name: brain"), "{resources}");
    assert!(resources.contains("sqlite: {volume: om, path: \"om.db\"}"), "{resources}");
    assert!(resources.contains("history: {volume: openmemory-db, path: \".mem0/history.db\"}"), "{resources}");
    assert!(resources.contains("http://vectors:7333"), "{resources}");
    assert!(!said.contains("not found"), "{said}");
    lints_clean(folder.path());
}

#[test]
fn a_folder_with_the_files_of_a_bank_is_enough() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("openmemory.db"), "").unwrap();
    let output = memorybank(folder.path(), &["init"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let resources = fs::read_to_string(folder.path().join("memorybank/memorybank.yaml")).unwrap();
    assert!(resources.contains("folder: {path: \"..\"}"), "{resources}");
    assert!(!folder.path().join("compose.memorybank.yaml").exists());
    lints_clean(folder.path());
}

#[test]
fn what_is_there_is_not_written_over_and_no_bank_is_an_error() {
    let (folder, _) = init(REPOSITORY);
    let before = fs::read(folder.path().join("memorybank/memorybank.yaml")).unwrap();
    let again = memorybank(folder.path(), &["init", "--compose", "docker-compose.yml"]);
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(fs::read(folder.path().join("memorybank/memorybank.yaml")).unwrap(), before);

    for (name, text) in
        [("none.yaml", "services: {web: {image: nginx}}"), ("broken.yaml", "services: ["), ("list.yaml", "- a")]
    {
        fs::write(folder.path().join(name), text).unwrap();
        let output = memorybank(folder.path(), &["init", "--compose", name]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(name), "{name} is not named");
    }
}
