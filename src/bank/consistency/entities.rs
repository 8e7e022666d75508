//! The entities that mem0 keeps beside the memories, and the memories that they are linked to (I13).
//!
//! A link must lead to a memory that is not deleted: mem0 leaves the text of an entity behind whose memories are gone.
//! The rows of SQL stand for the points here; where the two differ, the comparison of both tells it.

use super::compare::{Settings, micros};
use super::points::{Points, after};
use super::rows::SqlSide;
use crate::bank::{Cancelled, Meter};
use crate::domain::{Check, CorruptionEvent, CorruptionType, Point, PointId, Severity};
use crate::engine::consistency::{Ascending, Clock};
use crate::engine::integrity::sqlite::directory::{Directory, Part};
use crate::engine::integrity::sqlite::tally::Rows;
use crate::engine::integrity::sqlite::uuid;

const CHECK: &str = "consistency-entities";
const VECTORS: &str = "vectors";
/// The most entities that are asked for at once.
const PAGE: usize = 512;

/// What the links of a bank's entities say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    /// The check `consistency-entities`.
    pub check: Check,
    /// The entities with a link that leads nowhere.
    pub corruption: Option<CorruptionEvent>,
}

impl Links {
    /// Of a bank whose store has no collection of entities.
    pub fn none() -> Self {
        Self { check: Check::passed(CHECK, VECTORS, "there are no entities"), corruption: None }
    }
}

/// Looks at every link of every entity. `entities` has the points of their collection; none where there is none.
///
/// # Errors
/// The meter is cancelled.
pub async fn check_links<P: Points>(
    side: &SqlSide,
    entities: Option<P>,
    settings: Settings,
    meter: &Meter,
) -> Result<Links, Cancelled> {
    let Some(mut entities) = entities else {
        return Ok(Links::none());
    };
    let looked = meter.unless_cancelled(look(side, &mut entities, settings)).await?;
    Ok(match looked {
        Err(why) => Links { check: Check::unknown(CHECK, VECTORS, why), corruption: None },
        Ok(Looked { links, stale }) => {
            let detail = format!("{links} links looked at");
            let sound = stale.count == 0;
            let check = if sound { Check::passed } else { Check::failed };
            Links { check: check(CHECK, VECTORS, detail), corruption: (!sound).then(|| event(&stale)) }
        }
    })
}

#[derive(Default)]
struct Looked {
    links: u64,
    /// The entities with links that lead nowhere, once for each part in which they have one.
    stale: Rows,
}

async fn look<P: Points>(side: &SqlSide, entities: &mut P, settings: Settings) -> Result<Looked, String> {
    let mut reader = side.open().await.map_err(|why| format!("the rows: {why}"))?;
    let clock = Clock { read: reader.at.as_microsecond(), grace: micros(settings.grace) };
    let mut looked = Looked::default();
    let memories = reader.count().await.map_err(|why| format!("the rows: {why}"))?;
    for part in Part::all(memories) {
        let mut live = Directory::new(part, memories);
        reader.live(|id| live.insert(id, ())).await.map_err(|why| format!("the rows: {why}"))?;
        let mut from = Some(PointId::Number(0));
        let mut order = Ascending::default();
        while let Some(begin) = from {
            let page = entities.page(begin, PAGE).await.map_err(|why| format!("the entities: {why}"))?;
            from = page.last().and_then(|last| after(last.id));
            for entity in page {
                order.next(entity.id).map_err(|error| format!("the entity {error}"))?;
                if !clock.is_young(&entity.payload) {
                    links(&entity, part, &mut live, &mut looked);
                }
            }
        }
    }
    reader.close().await;
    Ok(looked)
}

fn links(entity: &Point, part: Part, live: &mut Directory<()>, looked: &mut Looked) {
    let mut stale = false;
    // What is no id leads nowhere, and belongs to the first part.
    let ids = entity.payload.linked.iter().map(|link| uuid::any(link.as_bytes()));
    for id in ids.filter(|id| id.map_or(part.is_first(), |id| part.has_id(id))) {
        looked.links += 1;
        stale |= id.is_none_or(|id| live.get_mut(id).is_none());
    }
    if stale {
        looked.stale.add(|| entity.id.to_string());
    }
}

fn event(stale: &Rows) -> CorruptionEvent {
    CorruptionEvent {
        check: CHECK.to_owned(),
        component: VECTORS.to_owned(),
        corruption_type: CorruptionType::DataInconsistency,
        invariant: Some("I13".to_owned()),
        severity: Severity::Low,
        object: "payload.linked_memory_ids".to_owned(),
        count: stale.count,
        evidence: format!("entities linked to memories that are deleted or unknown; {}", stale.evidence()),
        advice:
            "Remove these links, and entities that have no other: their text stays readable after the memories are \
                 erased."
                .to_owned(),
    }
}
