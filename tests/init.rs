//! `memorybank init` on the stacks that people really have: what it writes is accepted by `lint`, and
//! what is wrong with the stack is said.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

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
    // Root without it cannot read a file of another user that only its owner may read.
    assert!(compose.contains("cap_drop: [ALL]\n    cap_add: [DAC_READ_SEARCH]"), "{compose}");
    assert!(said.contains("docker build -t memorybank ."), "{said}");
    assert!(said.contains("note: files: none declared"), "{said}");
    assert!(said.contains("note: workload: left out"), "{said}");
    assert!(!resources.contains("workload"), "{resources}");
    assert!(said.contains("or without Docker: memorybank local --config memorybank --data ../"), "{said}");
    assert!(said.contains(".memorybank --claim api=api\n"), "{said}");
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
    for part in ["database", "history", "vector"] {
        assert!(!said.contains(&format!("note: {part}")), "{said}");
    }
    assert!(said.contains("without Docker it needs a folder for each volume"), "{said}");
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
    // Within the bank's own volume every leak scan would read the guardian's records.
    let said = String::from_utf8(output.stdout).unwrap();
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    assert!(said.contains(&format!("--data ../{name}.memorybank\n")), "{said}");
    let from_above = memorybank(folder.path().parent().unwrap(), &["init", "--force", name]);
    let said = String::from_utf8(from_above.stdout).unwrap();
    assert!(said.contains(&format!("--config {name}/memorybank --data {name}/../{name}.memorybank\n")), "{said}");
}

#[test]
fn the_next_step_names_the_compose_file_that_a_folder_has() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("docker-compose.yml"), REPOSITORY).unwrap();
    let output = memorybank(folder.path().parent().unwrap(), &["init", folder.path().to_str().unwrap()]);
    let said = String::from_utf8(output.stdout).unwrap();
    let here = folder.path().display();
    let next =
        format!("docker compose -f {here}/docker-compose.yml -f {here}/compose.memorybank.yaml up -d memorybank");
    assert!(said.contains(&next), "{said}");
}

/// A stack that is configured by the project's `.env`.
const CONFIGURED: &str = "services:\n  openmemory-mcp:\n    image: mem0/openmemory-mcp\n    environment:\n      \
     - DATABASE_URL=${DATABASE_URL}\n      - QDRANT_HOST=${QHOST}\n      - MEM0_DIR=${HISTORY:-/data/mem0}\n    \
     volumes: [\"${DATA}:/data\", \".:/stack\"]\n";

#[test]
fn what_the_environment_of_the_project_sets_is_used() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("compose.yaml"), CONFIGURED).unwrap();
    fs::create_dir(folder.path().join("stack")).unwrap();
    fs::write(
        folder.path().join(".env"),
        "DATA=.\nDATABASE_URL='sqlite:////data/om.db' # here\nexport QHOST=\"vectors\"\n",
    )
    .unwrap();
    let output = memorybank(folder.path(), &["init"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let resources = fs::read_to_string(folder.path().join("memorybank/memorybank.yaml")).unwrap();
    assert!(resources.contains("path: \"om.db\"}"), "{resources}");
    assert!(resources.contains("path: \"mem0/history.db\"}"), "{resources}");
    assert!(resources.contains("http://vectors:6333"), "{resources}");
    assert!(resources.contains("workload:\n    compose: {volume: "), "{resources}");
    assert!(resources.contains("path: \"compose.yaml\"}"), "{resources}");
    assert!(!said.contains("left out"), "{said}");
    lints_clean(folder.path());
}

#[test]
fn what_depends_on_an_unknown_value_is_left_out_and_named() {
    let (folder, said) = init(CONFIGURED);
    let resources = fs::read_to_string(folder.path().join("memorybank/memorybank.yaml")).unwrap();
    assert!(!resources.contains("postgres") && !resources.contains("${"), "{resources}");
    for note in [
        "note: database: left out: DATABASE_URL is ${DATABASE_URL},",
        "note: history: left out: a part of the volume that service openmemory-mcp mounts is ${DATA},",
        "note: vectorStore: left out: QDRANT_HOST is ${QHOST},",
    ] {
        assert!(said.contains(note), "{note} is not in {said}");
    }
    let (_, said) = init(&CONFIGURED.replace("${DATABASE_URL}", "mysql://u:hunter2@db/om"));
    assert!(said.contains("neither of SQLite nor of PostgreSQL") && !said.contains("hunter2"), "{said}");
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
