use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::compose::{Compose, Mount, Service, Values, unresolved};

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
    /// Volume and path of the Compose file, where a volume of the bank holds it.
    pub workload: Option<(String, String)>,
    /// The Compose file in which the bank was found.
    pub compose: Option<PathBuf>,
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

/// Why a file has no place on a volume.
enum Lost {
    /// A value on the way to it is not known: what is said of it.
    Unknown(String),
    /// Its path, which no volume holds.
    NoVolume(String),
}

/// Finds the bank of the Compose file at `path`; `read` gives the text of a file beside it.
pub(super) fn find(
    compose: &Compose,
    path: &Path,
    values: &Values,
    read: &dyn Fn(&str) -> Option<String>,
) -> Option<Stack> {
    let (service_name, service, flavor) = api_service(compose)?;
    let variables = service.variables(values, read);
    let mut stack = Stack { flavor, compose: Some(path.to_owned()), ..Stack::default() };
    let project = compose.name.as_deref().filter(|name| unresolved(name).is_none());
    stack.name = label(project.unwrap_or("openmemory"));
    for file in service.env_files().into_iter().filter(|file| read(file).is_none()) {
        stack.notes.push(format!(
            "environment: {file} of service {service_name} cannot be read; what it sets is taken as not set"
        ));
    }
    let port = if flavor == "OpenMemory" { 8765 } else { 8000 };
    stack.api = Some(format!("http://{service_name}:{port}"));
    stack.find_database(service_name, service, &variables);
    stack.find_history(service_name, service, &variables);
    stack.find_qdrant(compose, &variables);
    let folder = path.parent().unwrap_or(Path::new("."));
    for name in BACKUP_FOLDERS.into_iter().filter(|name| folder.join(name).is_dir()) {
        let volume = stack.volume(&format!("./{name}"));
        stack.backups.push((label(name), volume, ".".to_owned()));
    }
    stack.find_workload(path, folder);
    Some(stack)
}

/// The service that is the API of a bank, by its image, or by its name where it has none that is known.
fn api_service(compose: &Compose) -> Option<(&String, &Service, &'static str)> {
    let by = |part: &str, flavor| {
        let found = compose.services.iter().find(|(name, service)| {
            let image = service.image.as_deref().filter(|image| unresolved(image).is_none());
            image.unwrap_or(name.as_str()).contains(part)
        });
        found.map(|(name, service)| (name, service, flavor))
    };
    by("openmemory-mcp", "OpenMemory")
        .or_else(|| by("openmemory-api", "OpenMemory"))
        .or_else(|| by("mem0-api-server", "Mem0Server"))
}

/// What is said of a part that is left out because a value is not known.
fn unknown(part: &str, what: &str, reference: &str) -> String {
    format!("{part}: left out: {what} is {reference}, which has no value in .env; set it there, or add {part} by hand")
}

impl Stack {
    fn find_database(&mut self, service_name: &str, service: &Service, variables: &BTreeMap<String, String>) {
        if self.flavor == "Mem0Server" {
            self.database = Some(Database::Postgres);
            return;
        }
        let url = variables.get("DATABASE_URL").map_or("sqlite:///./openmemory.db", String::as_str);
        if let Some(reference) = unresolved(url) {
            self.notes.push(unknown("database", "DATABASE_URL", reference));
            return;
        }
        let Some(path) = url.strip_prefix("sqlite:///") else {
            // The URL is not told: it may hold a password.
            if url.starts_with("postgres") {
                self.database = Some(Database::Postgres);
            } else {
                self.notes.push("database: left out: DATABASE_URL is neither of SQLite nor of PostgreSQL".to_owned());
            }
            return;
        };
        let home = service.working_dir.as_deref().unwrap_or(OPENMEMORY_HOME);
        match self.locate("database", (service_name, service), home, path) {
            Ok((volume, path)) => self.database = Some(Database::Sqlite(volume, path)),
            Err(Lost::Unknown(note)) => self.notes.push(note),
            Err(Lost::NoVolume(path)) => self.notes.push(format!(
                "database: {path} of service {service_name} is on no volume: it is lost with its container, and nothing \
                 outside can look at it. Mount a volume there"
            )),
        }
    }

    fn find_history(&mut self, service_name: &str, service: &Service, variables: &BTreeMap<String, String>) {
        let home = variables.get("MEM0_DIR").map_or(MEM0_HOME, String::as_str);
        match self.locate("history", (service_name, service), home, "history.db") {
            Ok(place) => self.history = Some(place),
            Err(Lost::Unknown(note)) => self.notes.push(note),
            Err(Lost::NoVolume(path)) => self.notes.push(format!(
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
        if let Some((name, service)) = of_image {
            self.look_at_storage(name, service);
        }
        let host = variables.get("QDRANT_HOST").map(String::as_str).or(of_image.map(|(name, _)| name.as_str()));
        let Some(host) = host else {
            self.notes.push("vector store: no Qdrant service found; add `vectorStore` by hand".to_owned());
            return;
        };
        let port = variables.get("QDRANT_PORT").map_or("6333", String::as_str);
        for (what, value) in [("QDRANT_HOST", host), ("QDRANT_PORT", port)] {
            if let Some(reference) = unresolved(value) {
                self.notes.push(unknown("vectorStore", what, reference));
                return;
            }
        }
        self.qdrant = Some((format!("http://{host}:{port}"), "openmemory".to_owned()));
    }

    /// Says where Qdrant's storage is on no volume.
    fn look_at_storage(&mut self, name: &str, service: &Service) {
        let mounts = service.mounts();
        let kept = |mount: &Mount| {
            unresolved(&mount.target).is_some() || QDRANT_STORAGE.starts_with(mount.target.trim_end_matches('/'))
        };
        if mounts.iter().any(kept) {
            return;
        }
        let targets: Vec<_> = mounts.iter().map(|mount| mount.target.as_str()).collect();
        let found = if targets.is_empty() { "no volume".to_owned() } else { targets.join(", ") };
        self.notes.push(format!(
            "vector store: service {name} has {found}, but Qdrant writes to {QDRANT_STORAGE}: every vector is lost when its \
             container is made anew. Mount the volume at {QDRANT_STORAGE}"
        ));
    }

    /// The Compose file itself, where a folder that the bank mounts holds it.
    fn find_workload(&mut self, path: &Path, folder: &Path) {
        let file = path.canonicalize().ok();
        let within = |volume: &Volume| {
            let VolumeSource::Folder(source) = &volume.source else { return None };
            let mounted = folder.join(source).canonicalize().ok()?;
            let relative = file.as_ref()?.strip_prefix(mounted).ok()?.to_str()?;
            Some((volume.name.clone(), relative.to_owned()))
        };
        self.workload = self.volumes.iter().find_map(within);
        if self.workload.is_none() {
            self.notes.push(format!(
                "workload: left out: {} lies on no volume of the bank; to name it, declare its folder under `volumes` and \
                 add `workload: {{compose: {{volume: NAME, path: FILE}}}}`",
                path.display()
            ));
        }
    }

    /// The volume and the path within it of a file in a service's container.
    fn locate(
        &mut self,
        part: &str,
        (name, service): (&str, &Service),
        home: &str,
        path: &str,
    ) -> Result<(String, String), Lost> {
        let path = path.strip_prefix("./").unwrap_or(path);
        let path =
            if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", home.trim_end_matches('/')) };
        let not_known = |what: &str, reference| Lost::Unknown(unknown(part, what, reference));
        if let Some(reference) = unresolved(&path) {
            return Err(not_known(&format!("a part of its path in service {name}"), reference));
        }
        let mounts = service.mounts();
        // What is mounted at an unknown place may be mounted here.
        if let Some(reference) = mounts.iter().find_map(|mount| unresolved(&mount.target)) {
            return Err(not_known(&format!("a part of where service {name} mounts a volume"), reference));
        }
        let holding = |mount: &&Mount| inside(&path, &mount.target).is_some();
        let Some(mount) = mounts.iter().filter(holding).max_by_key(|mount| mount.target.len()) else {
            return Err(Lost::NoVolume(path));
        };
        if let Some(reference) = unresolved(&mount.source) {
            return Err(not_known(&format!("a part of the volume that service {name} mounts"), reference));
        }
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
