//! What `get` and `describe` print beside a running `local`.

use kube::core::CustomResourceExt;
use memorybank::resources::{IntegrityCheck, MaintenancePolicy, MaintenanceRun, MemoryBank, SecurityAudit};

use crate::guardian::{Bed, memorybank, text, wait_for};

/// The columns of a kind's definition: all, or those of priority 0.
fn columns<K: CustomResourceExt>(wide: bool) -> Vec<String> {
    let definition = K::crd();
    let columns = definition.spec.versions[0].additional_printer_columns.clone().unwrap();
    let shown = columns.into_iter().filter(|column| wide || column.priority.unwrap_or(0) == 0);
    std::iter::once("NAME".to_owned()).chain(shown.map(|column| column.name.to_uppercase())).collect()
}

fn get(bed: &Bed, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = memorybank().args(arguments).arg("--data").arg(bed.data()).output().unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The headers of a table: three blanks part them, one is part of a name.
fn headers(table: &str) -> Vec<String> {
    let first = table.lines().next().unwrap_or_default();
    first.split("   ").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
fn tables_have_the_columns_of_the_definitions() {
    let bed = Bed::new(60);
    let served = bed.watch(&["--now"]);
    wait_for("every status", || {
        let seen = |kind, name| bed.status(kind, name);
        seen("MemoryBank", "sample")?;
        seen("SecurityAudit", "sample-audit")?;
        (bed.query("SELECT run FROM reports").len() >= 3).then_some(())
    });
    for wide in [false, true] {
        let printed = |kind: &str| {
            let format: &[&str] = if wide { &["-o", "wide"] } else { &[] };
            let (code, table, said) = get(&bed, &[&["get", kind], format].concat());
            assert_eq!(code, Some(0), "{said}");
            headers(&table)
        };
        assert_eq!(printed("mbank"), columns::<MemoryBank>(wide));
        assert_eq!(printed("mpol"), columns::<MaintenancePolicy>(wide));
        assert_eq!(printed("mrun"), columns::<MaintenanceRun>(wide));
        assert_eq!(printed("icheck"), columns::<IntegrityCheck>(wide));
        assert_eq!(printed("saudit"), columns::<SecurityAudit>(wide));
    }
    let (_, all, _) = get(&bed, &["get"]);
    for line in ["memorybank/sample", "maintenancepolicy/standard", "integritycheck/sample-full"] {
        assert!(all.contains(line), "{all}");
    }
    assert!(served.stop().success());
}

#[test]
fn one_object_is_printed_whole_and_unknown_ones_are_2() {
    let bed = Bed::new(60);
    bed.sample(&["--damage", "all"]);
    bed.once_ends(&["--now"], 1);
    let (code, yaml, _) = get(&bed, &["get", "memorybanks", "sample", "-o", "yaml"]);
    assert_eq!(code, Some(0));
    let bank: MemoryBank = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(bank.metadata.name.as_deref(), Some("sample"));
    let (_, json, _) = get(&bed, &["get", "MemoryBank", "sample", "-o", "json"]);
    let same: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&yaml).unwrap(), same);
    assert_eq!(bed.get(&["get", "mrun"])["kind"], "List");

    for wrong in [&["get", "pods"][..], &["get", "mbank", "nobody"], &["describe", "mbank", "nobody"]] {
        let (code, out, said) = get(&bed, wrong);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{wrong:?}: {said}");
        assert!(said.starts_with("error: no "), "{said}");
    }
    let nowhere = memorybank().args(["get", "--data", "/nonexistent"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(2), "{}", text(&nowhere.stderr));

    let (code, told, _) = get(&bed, &["describe", "mbank", "sample"]);
    assert_eq!(code, Some(0));
    for part in
        ["Name:       sample", "Conditions:", "Intact", "Damage:", "Findings:", "to do:", "sqlite-foreign-keys I7"]
    {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let (code, told, _) = get(&bed, &["describe", "icheck", "sample-full"]);
    assert!(code == Some(0) && told.contains("verdict: Damaged"), "{told}");
}

#[test]
fn a_closed_pipe_ends_a_command_without_a_word() {
    use std::process::Stdio;
    let bed = Bed::new(60);
    bed.once_ends(&["--now"], 0);
    let mut child = memorybank()
        .args(["get", "-o", "yaml", "--data"])
        .arg(bed.data())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
}
