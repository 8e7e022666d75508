use std::collections::BTreeMap;
use std::path::Path;

use super::compose::{Compose, Mount, Service};

/// Where OpenMemory's image keeps its application and, by default, its database.
const OPENMEMORY_HOME: &str = "/usr/src/openmemory";
/// mem0's folder when MEM0_DIR is not set; the images run as root.
const MEM0_HOME: &str = "/root/.mem0";
/// Where Qdrant writes; a volume mounted elsewhere stays empty, and every vector goes with the container.
const QDRANT_STORAGE: &str = "/qdrant/storage";
/// Folders of backups that people keep beside their Compose file.
const BACKUP_FOLDERS: [&str; 3] = ["backups", "backup", "enhanced_backups"];

/// A bank as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// The bank's name: a DNS label.
    pub name: String,
    /// `OpenMemory` or `Mem0Server`.
    pub flavor: &'static str,
    /// The API's URL.
    pub api: Option<String>,
    /// The database.
    pub database: Option<Database>,
    /// Volume and path of mem0's history.
    pub history: Option<(String, String)>,
    /// URL and collection of Qdrant.
    pub qdrant: Option<(String, String)>,
    /// Volumes of which a part is known.
    pub volumes: Vec<Volume>,
    /// Name, volume and path of folders with backups.
    pub backups: Vec<(String, String, String)>,
    /// The Compose file's name, where there is one.
    pub compose: bool,
    /// What could not be found, or was found wrong, for people.
    pub notes: Vec<String>,
}

/// The SQL database of a bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file: volume and path.
    Sqlite(String, String),
    /// A server, by a URL that is kept as a secret.
    Postgres,
}

/// A volume that the guardian needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name in the MemoryBank.
    pub name: String,
    /// What it is.
    pub source: VolumeSource,
}

/// What a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeSource {
    /// A named volume of the Compose project.
    Named(String),
    /// A folder, relative to the Compose file or absolute.
    Folder(String),
}

/// Finds the bank of a Compose file; `read` gives the text of a file beside it.
pub(super) fn find(compose: &Compose, folder: &Path, read: &dyn Fn(&str) -> Option<String>) -> Option<Stack> {
    let (service_name, service, flavor) = api_service(compose)?;
    let variables = service.variables(read);
    let mut stack = Stack { flavor, compose: true, ..Stack::default() };
    stack.name = label(compose.name.as_deref().unwrap_or("openmemory"));
    let port = if flavor == "OpenMemory" { 8765 } else { 8000 };
    stack.api = Some(format!("http://{service_name}:{port}"));
    stack.find_database(service_name, service, &variables);
    stack.find_history(service_name, service, &variables);
    stack.find_qdrant(compose, &variables);
    for name in BACKUP_FOLDERS.into_iter().filter(|name| folder.join(name).is_dir()) {
        let volume = stack.volume(&format!("./{name}"));
        stack.backups.push((label(name), volume, ".".to_owned()));
    }
    Some(stack)
}

/// The service that is the API of a bank, by its image.
fn api_service(compose: &Compose) -> Option<(&String, &Service, &'static str)> {
    let by = |part: &str, flavor| {
        let found = compose
            .services
            .iter()
            .find(|(name, service)| service.image.as_deref().unwrap_or(name.as_str()).contains(part));
        found.map(|(name, service)| (name, service, flavor))
    };
    by("openmemory-mcp", "OpenMemory")
        .or_else(|| by("openmemory-api", "OpenMemory"))
        .or_else(|| by("mem0-api-server", "Mem0Server"))
}

impl Stack {
    fn find_database(&mut self, service_name: &str, service: &Service, variables: &BTreeMap<String, String>) {
        if self.flavor == "Mem0Server" {
            self.database = Some(Database::Postgres);
            return;
        }
        let url = variables.get("DATABASE_URL").map_or("sqlite:///./openmemory.db", String::as_str);
        let Some(path) = url.strip_prefix("sqlite:///") else {
            self.database = Some(Database::Postgres);
            return;
        };
        let home = service.working_dir.as_deref().unwrap_or(OPENMEMORY_HOME);
        match self.locate(service, home, path) {
            Ok((volume, path)) => self.database = Some(Database::Sqlite(volume, path)),
            Err(path) => self.notes.push(format!(
                "database: {path} of service {service_name} is on no volume: it is lost with its container, and nothing \
                 outside can look at it. Mount a volume there"
            )),
        }
    }

    fn find_history(&mut self, service_name: &str, service: &Service, variables: &BTreeMap<String, String>) {
        let home = variables.get("MEM0_DIR").map_or(MEM0_HOME, String::as_str);
        match self.locate(service, home, "history.db") {
            Ok(place) => self.history = Some(place),
            Err(path) => self.notes.push(format!(
                "history: {path} of service {service_name} is on no volume: it is lost with its container. Set MEM0_DIR to \
                 a folder on a volume, or mount one at {home}"
            )),
        }
    }

    fn find_qdrant(&mut self, compose: &Compose, variables: &BTreeMap<String, String>) {
        let of_image = compose
            .services
            .iter()
            .find(|(_, service)| service.image.as_deref().is_some_and(|image| image.contains("qdrant/qdrant")));
        let host = variables.get("QDRANT_HOST").map(String::as_str).or(of_image.map(|(name, _)| name.as_str()));
        let Some(host) = host else {
            self.notes.push("vector store: no Qdrant service found; add `vectorStore` by hand".to_owned());
            return;
        };
        let port = variables.get("QDRANT_PORT").map_or("6333", String::as_str);
        self.qdrant = Some((format!("http://{host}:{port}"), "openmemory".to_owned()));
        if let Some((name, service)) = of_image {
            let mounts = service.mounts();
            if !mounts.iter().any(|mount| QDRANT_STORAGE.starts_with(mount.target.trim_end_matches('/'))) {
                let targets: Vec<_> = mounts.iter().map(|mount| mount.target.as_str()).collect();
                let found = if targets.is_empty() { "no volume".to_owned() } else { targets.join(", ") };
                self.notes.push(format!(
                    "vector store: service {name} has {found}, but Qdrant writes to {QDRANT_STORAGE}: every vector is lost \
                     when its container is made anew. Mount the volume at {QDRANT_STORAGE}"
                ));
            }
        }
    }

    /// The volume and the path within it of a file in a service's container, or the file's path where
    /// no volume holds it.
    fn locate(&mut self, service: &Service, home: &str, path: &str) -> Result<(String, String), String> {
        let path = path.strip_prefix("./").unwrap_or(path);
        let path =
            if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", home.trim_end_matches('/')) };
        let mounts = service.mounts();
        let holding = |mount: &&Mount| inside(&path, &mount.target).is_some();
        let Some(mount) = mounts.iter().filter(holding).max_by_key(|mount| mount.target.len()) else {
            return Err(path);
        };
        let relative = inside(&path, &mount.target).unwrap_or_default().to_owned();
        Ok((self.volume(&mount.source), relative))
    }

    /// The name of the volume with this source, declared if it is new.
    fn volume(&mut self, source: &str) -> String {
        let folder = source.starts_with(['.', '/', '~']);
        let source =
            if folder { VolumeSource::Folder(source.to_owned()) } else { VolumeSource::Named(source.to_owned()) };
        if let Some(known) = self.volumes.iter().find(|volume| volume.source == source) {
            return known.name.clone();
        }
        let text = match &source {
            VolumeSource::Named(name) => name.as_str(),
            VolumeSource::Folder(path) => path.trim_end_matches('/').rsplit('/').next().unwrap_or(path),
        };
        let base = label(text);
        let mut name = base.clone();
        let mut number = 2;
        while self.volumes.iter().any(|volume| volume.name == name) {
            name = format!("{base}-{number}");
            number += 1;
        }
        self.volumes.push(Volume { name: name.clone(), source });
        name
    }
}

/// The part of `path` below `folder`.
fn inside<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    path.strip_prefix(folder.trim_end_matches('/'))?.strip_prefix('/')
}

/// A DNS label made of a text: what is not a letter, digit or dash becomes a dash; at most 40 characters.
pub(super) fn label(text: &str) -> String {
    let dashed: String =
        text.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    let trimmed = dashed.trim_matches('-');
    if trimmed.is_empty() { "bank".to_owned() } else { trimmed.to_owned() }
}
