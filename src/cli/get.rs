use crate::cli::output::{out, outln};
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kind::{KINDS, Kind, Source};
use super::objects::objects;
use super::output::print_value;
use super::table::Table;
use super::{CliError, Exit, Format, Global};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Kinds, separated by commas: mbank, mpol, mrun, icheck, saudit, mrec or long names; all without it
    kind: Option<String>,
    /// Name of one object
    name: Option<String>,
    /// Data folder of `memorybank local`
    #[arg(long, env = "MEMORYBANK_DATA", default_value = ".memorybank")]
    data: PathBuf,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let kinds: Vec<&Kind> = match &args.kind {
        Some(list) => kinds(list)?,
        None => KINDS.iter().collect(),
    };
    let several = kinds.len() > 1;
    let mut found = Vec::new();
    for kind in kinds {
        let mut of_kind = objects(&args.data, kind.name).await?;
        if let Some(name) = &args.name {
            of_kind.retain(|object| object.pointer("/metadata/name").is_some_and(|n| n == name.as_str()));
        }
        found.push((kind, of_kind));
    }
    let any = found.iter().any(|(_, objects)| !objects.is_empty());
    if let (Some(name), false) = (&args.name, any) {
        return Err(CliError::Config(format!(
            "no {} {name} in {}",
            args.kind.unwrap_or_default(),
            args.data.display()
        )));
    }
    match global.output {
        Format::Table | Format::Wide if !any => outln!("No resources found in {}.", args.data.display()),
        Format::Table | Format::Wide => print_tables(&found, several, global.output == Format::Wide),
        Format::Json | Format::Yaml => {
            let mut items: Vec<Value> = found.into_iter().flat_map(|(_, objects)| objects).collect();
            let value = match (&args.name, items.len()) {
                (Some(_), 1) => items.remove(0),
                _ => json!({"apiVersion": "v1", "kind": "List", "items": items}),
            };
            print_value(&value, global.output)?;
        }
    }
    Ok(Exit::Good)
}

/// The kinds of a list such as `mbank,icheck`, in its order, each once.
fn kinds(list: &str) -> Result<Vec<&'static Kind>, CliError> {
    let mut kinds: Vec<&Kind> = Vec::new();
    for text in list.split(',') {
        let kind = Kind::find(text)?;
        if kinds.iter().all(|known| known.name != kind.name) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

/// One table per kind; with several kinds each name says its kind, as kubectl has it.
fn print_tables(found: &[(&Kind, Vec<Value>)], several: bool, wide: bool) {
    let now = Timestamp::now();
    let mut first = true;
    for (kind, objects) in found.iter().filter(|(_, objects)| !objects.is_empty()) {
        let columns: Vec<_> = kind.columns.iter().filter(|column| wide || !column.wide).collect();
        let mut headers = vec!["NAME"];
        headers.extend(columns.iter().map(|column| column.header));
        headers.push("AGE");
        let mut table = Table::new(&headers);
        for object in objects {
            let name = Source::Path("/metadata/name").of(object, now);
            let name = if several { format!("{}/{name}", kind.name.to_ascii_lowercase()) } else { name };
            let mut row = vec![name];
            row.extend(columns.iter().map(|column| column.source.of(object, now)));
            row.push(Source::Age("/metadata/creationTimestamp").of(object, now));
            table.row(row);
        }
        if !first {
            outln!();
        }
        first = false;
        out!("{}", table.render());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_kinds_is_read_as_kubectl_reads_it() {
        let names = |list| kinds(list).map(|kinds| kinds.iter().map(|kind| kind.name).collect::<Vec<_>>());
        assert_eq!(names("icheck,mbank,memorybanks").unwrap(), ["IntegrityCheck", "MemoryBank"]);
        assert!(names("mbank,").is_err(), "a comma too many is not passed over");
        assert!(names("mbank,pod").is_err());
    }
}
