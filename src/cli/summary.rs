use crate::cli::output::{out, outln};
use serde_json::{Value, json};

use super::output::print_value;
use super::table::Table;
use super::{CliError, Format, Global};
use crate::local::{BankSummary, Summary};

/// Prints what a look at everything found: per bank its conditions, then damage and findings with the place
/// and what to do.
pub(super) fn print_summary(summary: &Summary, global: &Global) -> Result<(), CliError> {
    if matches!(global.output, Format::Json | Format::Yaml) {
        return print_value(&value(summary), global.output);
    }
    for bank in &summary.banks {
        print_bank(bank, global.output == Format::Wide);
    }
    for (run, why) in &summary.unmeasured {
        outln!("not measured: run {run}: {why}");
    }
    Ok(())
}

fn value(summary: &Summary) -> Value {
    let banks: Vec<Value> = summary
        .banks
        .iter()
        .map(|bank| {
            json!({
                "name": bank.name,
                "status": bank.status,
                "corruption": {"open": bank.corruption.0, "worst": bank.corruption.1},
                "findings": {
                    "open": bank.findings.0,
                    "worst": bank.findings.1.iter().map(|(state, finding)| {
                        let mut value = json!(finding);
                        value["state"] = json!(state);
                        value
                    }).collect::<Vec<_>>(),
                },
            })
        })
        .collect();
    let unmeasured: Vec<Value> =
        summary.unmeasured.iter().map(|(run, why)| json!({"run": run, "message": why})).collect();
    json!({"banks": banks, "unmeasured": unmeasured})
}

fn print_bank(bank: &BankSummary, wide: bool) {
    let health = bank.status.health.as_ref();
    let score = health.and_then(|health| health.score).map_or_else(|| "unknown".to_owned(), |score| score.to_string());
    outln!("bank {}: health {score}", bank.name);
    let mut table = Table::new(&["  CONDITION", "STATUS", "REASON", "MESSAGE"]);
    for condition in &bank.status.conditions {
        table.row(vec![
            format!("  {}", condition.type_),
            condition.status.clone(),
            condition.reason.clone(),
            shortened(&condition.message, wide),
        ]);
    }
    out!("{}", table.render());
    if bank.corruption.0 > 0 {
        let mut table = Table::new(&["  DAMAGE", "SEVERITY", "COMPONENT", "OBJECT", "COUNT", "WHAT TO DO"]);
        for event in &bank.corruption.1 {
            let invariant = event.invariant.as_ref().map_or_else(String::new, |invariant| format!(" ({invariant})"));
            table.row(vec![
                format!("  {}{invariant}", event.check),
                event.severity.name().to_owned(),
                event.component.clone(),
                event.object.clone(),
                event.count.to_string(),
                shortened(&event.advice, wide),
            ]);
        }
        outln!("\n  {} damages are open", bank.corruption.0);
        out!("{}", table.render());
    }
    if bank.findings.0 > 0 {
        let mut table = Table::new(&["  FINDING", "SEVERITY", "STATE", "PLACE", "EXCERPT", "WHAT TO DO"]);
        for (state, finding) in &bank.findings.1 {
            table.row(vec![
                format!("  {}", finding.rule),
                finding.severity.name().to_owned(),
                state.name().to_owned(),
                format!("{}: {}", finding.component, finding.place),
                finding.excerpt.clone(),
                shortened(&finding.advice, wide),
            ]);
        }
        outln!("\n  {} findings are open", bank.findings.0);
        out!("{}", table.render());
    }
    outln!();
}

/// A message for a narrow table.
fn shortened(text: &str, wide: bool) -> String {
    const WIDTH: usize = 72;
    if wide || text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    text.chars().take(WIDTH - 1).chain(['…']).collect()
}
