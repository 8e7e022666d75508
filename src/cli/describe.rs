use crate::cli::output::{out, outln};
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::Value;

use super::kind::{Kind, age};
use super::objects::open;
use super::output::print_value;
use super::table::Table;
use super::{CliError, Exit, Format, Global};
use crate::store::Store;

/// How many damages and findings are described.
const MAX_EVENTS: u32 = 200;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Kind: mbank, mpol, mrun, icheck, saudit, mrec or a long name
    kind: String,
    /// Name of the object
    name: String,
    /// Data folder of `memorybank local`
    #[arg(long, env = "MEMORYBANK_DATA", default_value = ".memorybank")]
    data: PathBuf,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let kind = Kind::find(&args.kind)?;
    let store = open(&args.data).await?;
    let objects = store.objects(kind.name).await?;
    let Some(object) = objects.into_iter().find(|object| object.name == args.name) else {
        return Err(CliError::Config(format!("no {} {} in {}", kind.name, args.name, args.data.display())));
    };
    if matches!(global.output, Format::Json | Format::Yaml) {
        print_value(&object.status, global.output)?;
        return Ok(Exit::Good);
    }
    describe(kind, &object.status)?;
    if kind.name == "MemoryBank" {
        describe_events(&store, &object.namespace, &object.name).await?;
    }
    Ok(Exit::Good)
}

fn describe(kind: &Kind, object: &Value) -> Result<(), CliError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("<none>").to_owned();
    outln!("Name:       {}", text("/metadata/name"));
    outln!("Namespace:  {}", text("/metadata/namespace"));
    outln!("Kind:       {}", kind.name);
    outln!("Generation: {}", object.pointer("/metadata/generation").map_or_else(String::new, Value::to_string));
    outln!("Created:    {}", text("/metadata/creationTimestamp"));
    for part in ["spec", "status"] {
        let Some(value) = object.get(part).and_then(Value::as_object) else { continue };
        let mut shown = value.clone();
        shown.remove("conditions");
        let yaml = serde_saphyr::to_string(&shown).map_err(|error| CliError::Internal(error.to_string()))?;
        outln!("{}{}:", part[..1].to_ascii_uppercase(), &part[1..]);
        for line in yaml.lines() {
            outln!("  {line}");
        }
    }
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    if !conditions.is_empty() {
        let now = Timestamp::now();
        let mut table = Table::new(&["  TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"]);
        for condition in &conditions {
            let field = |name: &str| condition.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let since = field("lastTransitionTime").parse::<Timestamp>();
            let since = since.map_or_else(|_| "<none>".to_owned(), |time| age(now.as_second() - time.as_second()));
            table.row(vec![format!("  {}", field("type")), field("status"), since, field("reason"), field("message")]);
        }
        outln!("Conditions:");
        out!("{}", table.render());
    }
    Ok(())
}

async fn describe_events(store: &Store, namespace: &str, bank: &str) -> Result<(), CliError> {
    let corruption = store.open_corruption(namespace, bank, MAX_EVENTS).await?;
    if !corruption.is_empty() {
        outln!("Damage:");
    }
    for event in corruption {
        let invariant = event.invariant.as_ref().map_or_else(String::new, |invariant| format!(" {invariant}"));
        outln!("  {} {}{invariant}: {} in {}", event.severity.name(), event.check, event.object, event.component);
        outln!("    evidence: {}", event.evidence);
        outln!("    to do:    {}", event.advice);
    }
    let findings = store.open_findings(namespace, bank, MAX_EVENTS).await?;
    if !findings.is_empty() {
        outln!("Findings:");
    }
    for (state, finding) in findings {
        outln!(
            "  {} {} ({}): {} at {}",
            finding.severity.name(),
            finding.rule,
            state.name(),
            finding.component,
            finding.place
        );
        if !finding.excerpt.is_empty() {
            outln!("    excerpt:  {}", finding.excerpt);
        }
        outln!("    to do:    {}", finding.advice);
    }
    Ok(())
}
