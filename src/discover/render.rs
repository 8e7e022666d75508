use std::fmt::Write as _;

use super::stack::{Database, Stack, VolumeSource};

/// The files of a starting configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The MemoryBank and a policy: to be a file of the configuration folder.
    pub resources: String,
    /// The Compose override with the guardian's service; none for a bank without a Compose file.
    pub compose: Option<String>,
}

/// Writes the configuration for a bank that was found. `config` is the configuration folder as seen
/// from the Compose file (or from the bank's folder), such as `memorybank`.
pub fn render(stack: &Stack, config: &str) -> Written {
    Written { resources: resources(stack, config), compose: stack.compose.as_ref().map(|_| compose(stack, config)) }
}

/// A text as a YAML scalar: JSON strings are YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

// Writing to a String cannot fail, so the results of `write!` are not looked at here.

fn resources(stack: &Stack, config: &str) -> String {
    let name = &stack.name;
    let mut out = format!(
        "apiVersion: memorybank.dev/v1alpha1\nkind: MemoryBank\nmetadata:\n  name: {name}\nspec:\n  flavor: {}\n",
        stack.flavor
    );
    if let Some(url) = &stack.api {
        let _ = writeln!(out, "  api:\n    url: {}", quoted(url));
    }
    match &stack.database {
        Some(Database::Sqlite(volume, path)) => {
            let _ = writeln!(out, "  database:\n    sqlite: {{volume: {volume}, path: {}}}", quoted(path));
        }
        Some(Database::Postgres) => out.push_str(
            "  database:\n    # Put the URL into the file secrets/database/url of this folder.\n    \
             postgres: {urlSecretRef: {name: database, key: url}}\n",
        ),
        None => {}
    }
    if let Some((volume, path)) = &stack.history {
        let _ = writeln!(out, "  history: {{volume: {volume}, path: {}}}", quoted(path));
    }
    if let Some((url, collection)) = &stack.qdrant {
        let _ = writeln!(out, "  vectorStore:\n    qdrant: {{url: {}, collection: {collection}}}", quoted(url));
    }
    if !stack.volumes.is_empty() {
        out.push_str("  volumes:\n");
    }
    for volume in &stack.volumes {
        // Under Compose every volume is a claim, mounted by the override; alone it is the folder itself.
        let source = match (&volume.source, stack.compose.is_some()) {
            (VolumeSource::Folder(path), false) => format!("folder: {{path: {}}}", quoted(&from_config(path, config))),
            _ => format!("persistentVolumeClaim: {{claimName: {}}}", volume.name),
        };
        let _ = writeln!(out, "  - {{name: {}, {source}}}", volume.name);
    }
    if !stack.backups.is_empty() {
        out.push_str("  backups:\n");
    }
    for (name, volume, path) in &stack.backups {
        let _ = writeln!(out, "  - {{name: {name}, volume: {volume}, path: {}}}", quoted(path));
    }
    if let Some((volume, path)) = &stack.workload {
        let _ = writeln!(out, "  workload:\n    compose: {{volume: {volume}, path: {}}}", quoted(path));
    }
    out.push_str(&policy(stack));
    out
}

/// A path of the bank's folder as seen from the configuration folder within it.
fn from_config(path: &str, config: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let up = "../".repeat(config.split('/').filter(|part| !part.is_empty() && *part != ".").count());
    let path = path.strip_prefix("./").unwrap_or(path);
    if path == "." { up.trim_end_matches('/').to_owned() } else { format!("{up}{path}") }
}

/// A daily and a weekly schedule of what can be measured of this bank today.
fn policy(stack: &Stack) -> String {
    let sqlite = matches!(stack.database, Some(Database::Sqlite(..))) || stack.history.is_some();
    let check = |level: &str| format!("    - {{task: IntegrityCheck, level: {level}, scopes: [Database]}}\n");
    let (mut daily, mut weekly) = (String::new(), String::new());
    if sqlite {
        daily.push_str(&check("Quick"));
        weekly.push_str(&check("Full"));
    }
    let erasure = if sqlite { ", Erasure" } else { "" };
    let audit = format!("    - {{task: SecurityAudit, scopes: [Leaks{erasure}]}}\n");
    daily.push_str(&audit);
    weekly.push_str(&audit);
    format!(
        "---\napiVersion: memorybank.dev/v1alpha1\nkind: MaintenancePolicy\nmetadata:\n  name: standard\nspec:\n  \
         bankSelector: {{}}\n  schedules:\n  - name: daily\n    cron: \"0 6 * * *\"\n    tasks:\n{daily}  - name: weekly\n    \
         cron: \"0 2 * * 0\"\n    tasks:\n{weekly}"
    )
}

fn compose(stack: &Stack, config: &str) -> String {
    let mut claims = String::new();
    let mut mounts = String::new();
    for volume in &stack.volumes {
        let source = match &volume.source {
            VolumeSource::Named(name) => name,
            VolumeSource::Folder(path) => path,
        };
        let _ = writeln!(claims, "      - --claim={0}=/banks/{0}", volume.name);
        let _ = writeln!(mounts, "      - {}", quoted(&format!("{source}:/banks/{}:ro", volume.name)));
    }
    format!(
        "# The guardian beside this stack: docker compose -f YOUR_FILE -f THIS_FILE up -d memorybank\n\
         # Every mount of the bank is read-only: it looks, and never writes.\n\
         services:\n  memorybank:\n    # Published nowhere: made by `docker build -t memorybank .` in memorybank's repository.\n    \
         image: memorybank:latest\n    command:\n      - local\n      - --config=/config\n      \
         - --data=/data\n      - --listen=0.0.0.0:9464\n{claims}    \
         # Root with one capability reads the files of every user, and changes none: the mounts are read-only.\n    user: \"0:0\"\n    \
         read_only: true\n    cap_drop: [ALL]\n    cap_add: [DAC_READ_SEARCH]\n    security_opt: [\"no-new-privileges:true\"]\n    \
         tmpfs: [\"/tmp:mode=0700\"]\n    restart: unless-stopped\n    ports: [\"127.0.0.1:9464:9464\"]\n    volumes:\n      \
         - {}\n      - memorybank-data:/data\n{mounts}volumes:\n  memorybank-data: {{}}\n",
        quoted(&format!("./{config}:/config:ro"))
    )
}
