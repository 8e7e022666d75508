//! Every row of the known tables, read once in the order of storage, and what must be compared across rows.

use super::query::{Reader, Trouble};
use super::scan::{Across, Scan};
use super::schema::Schema;
use super::table::{self, text};
use crate::domain::CorruptionEvent;
use crate::engine::integrity::sqlite::cell::{Cell, Judge};
use crate::engine::integrity::sqlite::directory::Part;
use crate::engine::integrity::sqlite::duplicates::REPEATED;
use crate::engine::integrity::sqlite::schema::SchemaKind;
use crate::engine::integrity::sqlite::states::BROKEN_CHAIN;
use crate::engine::integrity::sqlite::tally::{Rows, Tally};
use crate::engine::integrity::sqlite::text::Encoding;
use crate::engine::integrity::sqlite::uuid;

/// The tables that are compared with each other, memories first.
const COMPARED: [&str; 2] = ["memories", "memory_status_history"];

/// What the rows of a database say.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) events: Vec<CorruptionEvent>,
    /// Rows read.
    pub(super) rows: u64,
    /// Memories that are not deleted, where they could be counted.
    pub(super) live: Option<u64>,
    /// What could not be read to its end.
    pub(super) unread: Vec<(&'static str, Trouble)>,
}

/// Reads and judges all rows.
pub(super) async fn judge(
    reader: &mut Reader,
    component: &str,
    kind: SchemaKind,
    schema: &Schema,
    judge: Judge,
) -> Judged {
    let mut judged = Judged::default();
    let mut tally = Tally::default();
    let (mut broken, mut repeated) = (Rows::default(), Rows::default());
    let memories = memories(reader, schema).await;
    for (pass, part) in Part::all(memories).enumerate() {
        let mut across = Across::new(part, memories);
        for table in kind.tables().iter().filter(|table| schema.known.contains_key(table.name)) {
            // A bank of one part, as nearly all are, is read once.
            let first = pass == 0;
            if !first && !COMPARED.contains(&table.name) {
                continue;
            }
            let mut scan = Scan::new(table, schema, judge);
            if let Err(trouble) = scan.run(reader, first.then_some(&mut tally), &mut across).await {
                judged.unread.push((table.name, trouble));
            }
            if first {
                judged.rows += scan.rows;
            }
            if first && table.name == "memories" && schema.has(table.name, &["state"]) {
                judged.live = Some(scan.live);
            }
        }
        if judged.unread.iter().any(|(table, _)| COMPARED.contains(table)) {
            break;
        }
        if let Err(trouble) = name_broken(reader, &mut across, &mut broken).await {
            judged.unread.push(("memories", trouble));
        }
        across.duplicates.repeats().for_each(|row| repeated.add(|| format!("row {row}")));
    }
    judged.events = tally.events(component);
    if broken.count > 0 {
        judged.events.push(BROKEN_CHAIN.event(component, "memories.state", &broken));
    }
    if repeated.count > 0 {
        judged.events.push(REPEATED.event(component, "memories.content", &repeated));
    }
    judged
}

/// How many memories there are, for the room that they take. Where they cannot be counted, reading them
/// will tell why.
async fn memories(reader: &mut Reader, schema: &Schema) -> u64 {
    if !schema.has("memories", &["state"]) {
        return 0;
    }
    let count = reader.number("SELECT count(state) FROM memories NOT INDEXED").await;
    count.ok().and_then(|count| u64::try_from(count).ok()).unwrap_or_default()
}

/// Finds the ids of memories whose status history ends elsewhere.
async fn name_broken(reader: &mut Reader, across: &mut Across, broken: &mut Rows) -> Result<(), Trouble> {
    if !across.chains.any_broken() {
        return Ok(());
    }
    table::rows(reader, "memories", &[text("id")], Encoding::Utf8, |_, cells| {
        if let Some(id) = id(cells[0]).filter(|id| across.chains.broken(*id)) {
            broken.add(|| format!("{id:032x}"));
        }
        Ok(())
    })
    .await
}

/// The text of a cell.
pub(super) fn readable(cell: Cell<'_>) -> Option<&str> {
    if let Cell::Text(bytes) = cell { std::str::from_utf8(bytes).ok() } else { None }
}

/// The id in a cell.
pub(super) fn id(cell: Cell<'_>) -> Option<u128> {
    uuid::any(readable(cell)?.as_bytes())
}
