use std::collections::BTreeMap;

use serde::Deserialize;

/// The part of a Compose file that tells where a bank is.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Compose {
    pub name: Option<String>,
    #[serde(default)]
    pub services: BTreeMap<String, Service>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Service {
    pub image: Option<String>,
    pub working_dir: Option<String>,
    #[serde(default)]
    pub environment: Environment,
    #[serde(default)]
    pub env_file: EnvFiles,
    #[serde(default)]
    pub volumes: Vec<ServiceVolume>,
}

/// Values as JSON has them: a map's may be numbers, booleans, or missing.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Environment {
    Map(BTreeMap<String, serde_json::Value>),
    List(Vec<String>),
}

impl Default for Environment {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum EnvFiles {
    One(String),
    Many(Vec<EnvFile>),
}

impl Default for EnvFiles {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum EnvFile {
    Short(String),
    Long { path: String },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum ServiceVolume {
    Short(String),
    Long { source: Option<String>, target: String },
}

/// A volume of a service: what is mounted where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// A volume's name, or a path that begins with `.`, `/` or `~`.
    pub source: String,
    /// The path in the container.
    pub target: String,
}

/// Parses a Compose file; the error says what was expected.
pub(super) fn parse(text: &str) -> Result<Compose, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

impl Service {
    /// The environment, of files first and of the service after, with `${NAME:-default}` resolved to
    /// its default. `read` gives the text of a file beside the Compose file.
    pub fn variables(&self, read: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        let files: Vec<&str> = match &self.env_file {
            EnvFiles::One(path) => vec![path],
            EnvFiles::Many(paths) => paths
                .iter()
                .map(|file| match file {
                    EnvFile::Short(path) | EnvFile::Long { path } => path.as_str(),
                })
                .collect(),
        };
        for text in files.iter().filter_map(|path| read(path)) {
            variables.extend(text.lines().filter_map(assignment));
        }
        match &self.environment {
            Environment::List(list) => variables.extend(list.iter().filter_map(|line| assignment(line))),
            Environment::Map(map) => variables.extend(map.iter().filter_map(|(name, value)| {
                let value = match value {
                    serde_json::Value::Null => return None,
                    serde_json::Value::String(text) => resolve(text),
                    other => other.to_string(),
                };
                Some((name.clone(), value))
            })),
        }
        variables
    }

    /// The mounts, anonymous volumes left out: nobody else can mount those.
    pub fn mounts(&self) -> Vec<Mount> {
        self.volumes
            .iter()
            .filter_map(|volume| match volume {
                ServiceVolume::Short(text) => {
                    let resolved = resolve(text);
                    let (source, rest) = resolved.split_once(':')?;
                    let target = rest.split(':').next().unwrap_or(rest);
                    Some(Mount { source: source.to_owned(), target: target.to_owned() })
                }
                ServiceVolume::Long { source, target } => {
                    Some(Mount { source: resolve(source.as_ref()?), target: target.clone() })
                }
            })
            .collect()
    }
}

fn assignment(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    if line.starts_with('#') {
        return None;
    }
    let (name, value) = line.split_once('=')?;
    Some((name.trim().to_owned(), resolve(value.trim().trim_matches(['"', '\'']))))
}

/// Replaces `${NAME:-default}` and `${NAME-default}` by the default; a reference without one stays.
fn resolve(text: &str) -> String {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        resolved.push_str(&rest[..start]);
        let reference = &rest[start..=start + length];
        let default = reference[2..reference.len() - 1].split_once('-').map(|(_, default)| default);
        resolved.push_str(default.unwrap_or(reference));
        rest = &rest[start + length + 1..];
    }
    resolved.push_str(rest);
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_environment_and_volume_is_read() {
        let compose = parse(
            "services:\n  a:\n    environment: {PORT: 6333, DEBUG: true, EMPTY: null, HOST: \"${Q:-qdrant}\"}\n    volumes:\n      \
             - data:/usr/src/openmemory\n      - ./x:/y:ro\n      - /anonymous\n      - {type: bind, source: ./z, target: /z}\n  \
             b:\n    environment: [\"A=1\", \"B\"]\n    env_file: .env\n  c:\n    env_file: [{path: one.env}, two.env]\n",
        )
        .unwrap();
        let read = |name: &str| Some(format!("# c\nexport FROM={name}\nQ=\"quoted\"\n"));
        let a = &compose.services["a"];
        assert_eq!(a.variables(&read)["PORT"], "6333");
        assert_eq!(a.variables(&read)["HOST"], "qdrant");
        assert!(!a.variables(&read).contains_key("EMPTY"));
        let targets: Vec<_> = a.mounts().into_iter().map(|m| (m.source, m.target)).collect();
        let expected = [("data", "/usr/src/openmemory"), ("./x", "/y"), ("./z", "/z")];
        assert_eq!(targets, expected.map(|(s, t)| (s.to_owned(), t.to_owned())));
        assert_eq!(compose.services["b"].variables(&read)["FROM"], ".env");
        assert_eq!(compose.services["b"].variables(&read)["Q"], "quoted");
        assert_eq!(compose.services["c"].variables(&read)["FROM"], "two.env");
    }

    #[test]
    fn references_without_default_stay() {
        assert_eq!(resolve("a ${X} ${Y:-b} ${Z"), "a ${X} b ${Z");
    }
}
