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

/// What `${NAME}` stands for: the assignments of the project's `.env`.
pub(super) type Values = BTreeMap<String, String>;

/// How deep a default may hold references of its own.
const MAX_DEPTH: u8 = 4;

/// Parses a Compose file and puts values in place of its references; one without a value stays, as `${NAME}`. The error
/// says what was expected.
pub(super) fn parse(text: &str, values: &Values) -> Result<Compose, String> {
    let mut compose: Compose = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let put = |text: &mut String| *text = resolve(text, values, 0);
    compose.name.iter_mut().for_each(put);
    for service in compose.services.values_mut() {
        service.image.iter_mut().chain(&mut service.working_dir).for_each(put);
        match &mut service.environment {
            Environment::List(list) => list.iter_mut().for_each(put),
            Environment::Map(map) => map.values_mut().for_each(|value| {
                if let serde_json::Value::String(text) = value {
                    put(text);
                }
            }),
        }
        match &mut service.env_file {
            EnvFiles::One(path) => put(path),
            EnvFiles::Many(paths) => paths.iter_mut().for_each(|file| match file {
                EnvFile::Short(path) | EnvFile::Long { path } => put(path),
            }),
        }
        for volume in &mut service.volumes {
            match volume {
                ServiceVolume::Short(text) => put(text),
                ServiceVolume::Long { source, target } => source.iter_mut().chain([target]).for_each(put),
            }
        }
    }
    Ok(compose)
}

impl Service {
    /// The files of the environment.
    pub fn env_files(&self) -> Vec<&str> {
        match &self.env_file {
            EnvFiles::One(path) => vec![path],
            EnvFiles::Many(paths) => paths
                .iter()
                .map(|file| match file {
                    EnvFile::Short(path) | EnvFile::Long { path } => path.as_str(),
                })
                .collect(),
        }
    }

    /// The environment, of files first and of the service after. A name without a value has that of `values`. `read`
    /// gives the text of a file beside the Compose file.
    pub fn variables(&self, values: &Values, read: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        for text in self.env_files().into_iter().filter_map(read) {
            variables.extend(text.lines().filter_map(|line| assignment(line, values)));
        }
        let of_project = |name: &str| Some((name.to_owned(), values.get(name)?.clone()));
        match &self.environment {
            Environment::List(list) => variables.extend(list.iter().filter_map(|line| match line.split_once('=') {
                Some((name, value)) => Some((name.to_owned(), value.to_owned())),
                None => of_project(line),
            })),
            Environment::Map(map) => variables.extend(map.iter().filter_map(|(name, value)| match value {
                serde_json::Value::Null => of_project(name),
                serde_json::Value::String(text) => Some((name.clone(), text.clone())),
                other => Some((name.clone(), other.to_string())),
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
                    let (source, rest) = text.split_once(':')?;
                    let target = rest.split(':').next().unwrap_or(rest);
                    Some(Mount { source: source.to_owned(), target: target.to_owned() })
                }
                ServiceVolume::Long { source, target } => {
                    Some(Mount { source: source.clone()?, target: target.clone() })
                }
            })
            .collect()
    }
}

/// The assignments of a `.env` file; later ones may refer to earlier ones.
pub(super) fn dotenv(text: &str) -> Values {
    let mut values = Values::new();
    for line in text.lines() {
        values.extend(assignment(line, &values));
    }
    values
}

fn assignment(line: &str, values: &Values) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    if line.starts_with('#') {
        return None;
    }
    let (name, value) = line.split_once('=')?;
    let value = value.trim();
    let quoted = |quote: char| value.strip_prefix(quote)?.split(quote).next();
    let value = match (quoted('\''), quoted('"')) {
        (Some(literal), _) => literal.to_owned(),
        (None, Some(text)) => resolve(text, values, 0),
        (None, None) => resolve(value.split(" #").next().unwrap_or(value).trim_end(), values, 0),
    };
    Some((name.trim().to_owned(), value))
}

/// Puts values in place of `${NAME}` and `$NAME`, or the default of `${NAME:-default}` and `${NAME-default}`; what has
/// neither stays, as `${NAME}`.
fn resolve(text: &str, values: &Values, depth: u8) -> String {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        resolved.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        let Some((name, default, after)) = reference(rest) else {
            // `$$` is a dollar sign; one before anything else is itself.
            resolved.push('$');
            rest = rest.strip_prefix('$').unwrap_or(rest);
            continue;
        };
        match (values.get(name), default) {
            (Some(value), _) if !value.is_empty() => resolved.push_str(value),
            (_, Some(default)) if depth < MAX_DEPTH => resolved.push_str(&resolve(default, values, depth + 1)),
            (Some(_), None) => {}
            _ => resolved.extend(["${", name, "}"]),
        }
        rest = after;
    }
    resolved.push_str(rest);
    resolved
}

/// Name, default and what follows of a reference whose dollar sign was read.
fn reference(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let name = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let Some(inner) = text.strip_prefix('{') else {
        let end = name(text);
        return (end > 0).then(|| (&text[..end], None, &text[end..]));
    };
    let mut open = 1_usize;
    let close = inner.find(|c: char| {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        open == 0
    })?;
    let (content, after) = (&inner[..close], &inner[close + 1..]);
    let end = name(content);
    let operator = &content[end..];
    let default = operator.strip_prefix(":-").or_else(|| operator.strip_prefix('-'));
    (end > 0).then_some((&content[..end], default, after))
}

/// The first reference that stayed in a text, such as `${NAME}`: its value is not known.
pub(super) fn unresolved(text: &str) -> Option<&str> {
    let start = text.find("${")?;
    let end = text[start..].find('}')?;
    Some(&text[start..=start + end])
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
            &Values::new(),
        )
        .unwrap();
        let read = |name: &str| Some(format!("# c\nexport FROM={name}\nQ=\"quoted\"\n"));
        let none = Values::new();
        let a = &compose.services["a"];
        assert_eq!(a.variables(&none, &read)["PORT"], "6333");
        assert_eq!(a.variables(&none, &read)["HOST"], "qdrant");
        assert!(!a.variables(&none, &read).contains_key("EMPTY"));
        let targets: Vec<_> = a.mounts().into_iter().map(|m| (m.source, m.target)).collect();
        let expected = [("data", "/usr/src/openmemory"), ("./x", "/y"), ("./z", "/z")];
        assert_eq!(targets, expected.map(|(s, t)| (s.to_owned(), t.to_owned())));
        assert_eq!(compose.services["b"].variables(&none, &read)["FROM"], ".env");
        assert_eq!(compose.services["b"].variables(&none, &read)["Q"], "quoted");
        assert_eq!(compose.services["c"].variables(&none, &read)["FROM"], "two.env");
    }

    #[test]
    fn references_have_the_values_of_the_project_or_their_default_or_stay() {
        let values = dotenv("A=one # note\nexport B=\"${A}/two\"\nC='${A}'\nEMPTY=\n# D=no\n");
        for (text, expected) in [
            ("${A}:$B:${C}", "one:one/two:${A}"),
            ("${A:-x} ${D:-x} ${D-x} ${EMPTY:-x}", "one x x x"),
            ("${D:-${A}} ${D:-${E:-y}}", "one y"),
            ("a ${D} ${D:?must be set} $D ${EMPTY}|", "a ${D} ${D} ${D} |"),
            ("5$ $$ ${A ${} $", "5$ $ ${A ${} $"),
        ] {
            assert_eq!(resolve(text, &values, 0), expected, "{text}");
        }
        assert_eq!(unresolved("http://${HOST}:1"), Some("${HOST}"));
        assert_eq!(unresolved("plain"), None);
        let deep = format!("{}{}", "${X:-".repeat(1_000), "}".repeat(1_000));
        assert_eq!(resolve(&deep, &values, 0), "${X}");
    }

    #[test]
    fn a_name_without_a_value_has_that_of_the_project() {
        let values = dotenv("HOST=h\n");
        let compose = parse("services: {a: {environment: [HOST, NONE]}, b: {environment: {HOST: , NONE: }}}", &values);
        for service in compose.unwrap().services.values() {
            let variables = service.variables(&values, &|_| None);
            assert_eq!(variables.into_iter().collect::<Vec<_>>(), [("HOST".to_owned(), "h".to_owned())]);
        }
    }
}
