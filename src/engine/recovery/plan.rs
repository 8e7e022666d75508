//! What is done about damage.

use std::collections::{BTreeMap, BTreeSet};

use super::points::{PointsKnown, Repair};
use super::server::{Beside, SWITCH, TableKnown};
use crate::domain::{CorruptionEvent, CorruptionType, RecoveryPlan, RecoveryStep, RepairAction, Severity};
use crate::engine::integrity::sqlite::structure::{FTS, FULL, QUICK};
use crate::engine::integrity::vectors::{VECTORS, check};

/// What is readable now and would not be there afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Rows of any table.
    pub rows: u64,
    /// Of these, memories.
    pub memories: u64,
}

/// What a salvage of readable rows gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// Rows.
    pub rows: u64,
    /// Every page and every row of each table could be read.
    pub whole: bool,
    /// Rows that the set has and it has not; none where there is no set.
    pub only_in_set: Option<u64>,
}

/// What can be done about one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseKnown {
    /// Its indexes, by name.
    pub indexes: BTreeSet<String>,
    /// Making the indexes of a copy anew left nothing damaged.
    pub reindex: bool,
    /// What is lost where the set's database takes its place; none where the set has no sound one.
    pub restore: Option<Loss>,
    /// What can be read of it; none where nothing can.
    pub salvage: Option<Salvaged>,
    /// What the set has of one on a server, which is never put in its place.
    pub beside: Option<Beside>,
}

/// What can be done about the collection of the memories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectionKnown {
    /// The server has one.
    pub there: bool,
    /// The points of the set's snapshot; none where the set has none.
    pub restore: Option<u64>,
    /// Points of now that are younger than the set; none where they could not all be read.
    pub younger: Option<u64>,
    /// Live memories that SQL says are younger than the set.
    pub younger_rows: u64,
}

/// What can be done about a bank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The newest verified set.
    pub set: Option<String>,
    /// By component: `database`, `history`.
    pub databases: BTreeMap<String, DatabaseKnown>,
    /// Where the bank has its points in Qdrant.
    pub collection: Option<CollectionKnown>,
    /// Where it has them in a table on a server: what the set would put back there, or why nothing.
    pub table: Option<Result<TableKnown, String>>,
    /// What can be done about single points there, or why nothing.
    pub points: Option<Result<PointsKnown, String>>,
    /// By component, the paths which the set has just as the manifest of the tree has them.
    pub trees: BTreeMap<String, BTreeSet<String>>,
}

impl Known {
    /// How many missing points the set gives back to a table.
    fn given(&self) -> u64 {
        self.table.as_ref().and_then(|table| table.as_ref().ok()).map_or(0, |table| table.missing)
    }

    /// Whether more points are missing than the set gives back to a table.
    fn lacks(&self, event: &CorruptionEvent) -> bool {
        let embeddable = |points: &PointsKnown| self.table.is_some() && points.embeddable_beside(self.given()) > 0;
        event.invariant.as_deref() == Some("I1")
            && self.points.as_ref().is_some_and(|p| p.as_ref().is_ok_and(embeddable))
    }
}

/// A plan, and which damage each step is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// What would be done.
    pub plan: RecoveryPlan,
    /// By the place of an event in what was given: the place of its step.
    pub cures: Vec<(usize, usize)>,
}

/// What an event needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Index,
    Structure,
    Points,
    File,
    Repair(Repair),
}

/// Plans what mends these events. The same events and knowledge give the same plan.
pub fn plan(events: &[CorruptionEvent], known: &Known) -> Planned {
    let mut needs: BTreeMap<(&str, Need), Vec<usize>> = BTreeMap::new();
    let mut open: Vec<(usize, String)> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        match need(event, known) {
            Some(need) => {
                needs.entry((&event.component, need)).or_default().push(at);
                if need == Need::Points && known.lacks(event) {
                    needs.entry((&event.component, Need::Repair(Repair::Embed))).or_default().push(at);
                }
            }
            None => open.push((at, format!("this version mends no such damage. {}", event.advice))),
        }
    }
    let mut steps: Vec<(RecoveryStep, Vec<usize>)> = Vec::new();
    for (component, facts) in &known.databases {
        let indexes = needs.remove(&(component.as_str(), Need::Index)).unwrap_or_default();
        let mut structure = needs.remove(&(component.as_str(), Need::Structure)).unwrap_or_default();
        if let Some(beside) = facts.beside.as_ref().filter(|_| !structure.is_empty()) {
            steps.push((beside.step(component), Vec::new()));
            open.extend(structure.drain(..).map(|at| (at, SWITCH.to_owned())));
        }
        let all = [indexes, structure.clone()].concat();
        if all.is_empty() {
            continue;
        }
        match of_database(component, facts, all.len(), structure.is_empty()) {
            Some(step) => steps.push((step, all)),
            None => open.extend(all.into_iter().map(|at| (at, NOTHING.to_owned()))),
        }
    }
    let mut restored = false;
    for ((component, need), at) in needs {
        let mut of = match (need, known.collection) {
            (Need::Points, _) if let Some(table) = &known.table => {
                let content = |at: &&usize| events[**at].invariant.as_deref() != Some("I1");
                let damaged = at.iter().filter(content).map(|at| events[*at].count).sum();
                table.as_ref().map(|table| vec![table.step(damaged)]).map_err(Clone::clone)
            }
            (Need::Points, Some(facts)) => of_collection(&facts).map(|step| vec![step]).ok_or(NOTHING.to_owned()),
            (Need::File, _) => Ok(vec![of_files(component, at.len())]),
            // Of a table only single points are put back: what they do not mend goes on after it.
            (Need::Repair(_), _) if restored && known.table.is_none() => {
                Err("recover again once the collection was put back".to_owned())
            }
            (Need::Repair(repair), _) => match &known.points {
                Some(Ok(points)) => repair.steps(points, known.given()),
                Some(Err(why)) => Err(why.clone()),
                None => Err(NOTHING.to_owned()),
            },
            _ => Err(NOTHING.to_owned()),
        };
        if need == Need::Repair(Repair::Embed)
            && let Some(Err(why)) = &known.table
        {
            // That the set would have been taken first.
            let more = format!("; the set gives nothing back: {why}");
            match &mut of {
                Ok(steps) => steps.iter_mut().for_each(|step| step.detail.push_str(&more)),
                Err(told) if told != why => told.push_str(&more),
                Err(_) => {}
            }
        }
        restored |= need == Need::Points && of.is_ok();
        match of {
            Ok(of) => steps.extend(of.into_iter().map(|step| (step, at.clone()))),
            Err(why) => open.extend(at.into_iter().map(|at| (at, why.clone()))),
        }
    }
    steps.sort_by(|a, b| (a.0.action, &a.0.target).cmp(&(b.0.action, &b.0.target)));
    for (_, at) in steps.split_off(steps.len().min(RecoveryPlan::MAX_STEPS)) {
        open.extend(at.into_iter().map(|at| (at, "the plan is full: recover again after it".to_owned())));
    }
    open.sort_unstable();
    let takes = |step: &RecoveryStep| {
        matches!(
            step.action,
            RepairAction::RestoreDatabase | RepairAction::RestoreFiles | RepairAction::RestoreCollection
        )
    };
    let set = known.set.clone().filter(|_| steps.iter().any(|(step, _)| takes(step)));
    let cures = steps.iter().enumerate().flat_map(|(step, (_, at))| at.iter().map(move |at| (*at, step))).collect();
    let plan =
        RecoveryPlan { set, unmended: told(events, open), steps: steps.into_iter().map(|(step, _)| step).collect() };
    Planned { plan, cures }
}

/// Where neither a set nor the readable rows help.
const NOTHING: &str = "no verified set has it whole, and it cannot be made anew from what can be read";
/// The most lines of what is not mended.
const LINES: usize = 20;

fn told(events: &[CorruptionEvent], open: Vec<(usize, String)>) -> Vec<String> {
    let more = open.len().saturating_sub(LINES);
    let mut lines: Vec<String> = open
        .into_iter()
        .take(LINES)
        .map(|(at, why)| format!("{} of {}: {why}", events[at].object, events[at].component))
        .collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

fn need(event: &CorruptionEvent, known: &Known) -> Option<Need> {
    let broken = event.corruption_type == CorruptionType::FileCorruption;
    let silent = event.corruption_type == CorruptionType::ChecksumMismatch;
    let id = event.check.as_str();
    if let Some(facts) = known.databases.get(&event.component) {
        return match id {
            FTS => Some(Need::Index),
            QUICK | FULL if broken && facts.indexes.contains(&event.object) => Some(Need::Index),
            "postgres-indexes" | "postgres-btrees" if facts.indexes.contains(&event.object) => Some(Need::Index),
            "postgres-heaps" | "postgres-schema" | "postgres-checksums"
                if facts.beside.is_some() && (broken || silent) =>
            {
                Some(Need::Structure)
            }
            QUICK | FULL | "sqlite-schema" if broken => Some(Need::Structure),
            "sqlite-copy" | "sqlite-file" | "sqlite-page-checksums" if event.severity >= Severity::High => {
                Some(Need::Structure)
            }
            _ => None,
        };
    }
    if event.component == VECTORS {
        if matches!(&known.table, Some(Ok(table)) if table.helps(event, broken || silent)) {
            return Some(Need::Points);
        }
        let Some(facts) = known.collection else {
            let repair = known.points.as_ref().and_then(|_| Repair::of(event)).map(Need::Repair);
            // Why the set puts nothing back is told, where that is all that would help.
            let why = (broken || silent) && matches!(known.table, Some(Err(_)));
            return repair.or(why.then_some(Need::Points));
        };
        let lost = event.invariant.as_deref() == Some("I1") && event.severity == Severity::Critical;
        let lost = lost && (facts.restore.is_some() || !facts.there);
        let absent = id == check::COLLECTION && !facts.there;
        if broken || silent || lost || absent {
            return Some(Need::Points);
        }
        return Repair::of(event).map(Need::Repair);
    }
    let tree = known.trees.get(&event.component)?;
    ((broken || silent) && tree.contains(&event.object)).then_some(Need::File)
}

/// Indexes are made anew where that is enough. Else the set's database takes its place where it has every readable row, or
/// the readable rows are taken where no row of the set is missing among them; and where each lacks something of the
/// other, that one which lacks less.
fn of_database(component: &str, facts: &DatabaseKnown, items: usize, indexes: bool) -> Option<RecoveryStep> {
    let step = |action, items, lossless, Loss { rows: lost_rows, memories: lost_memories }: Loss, detail: String| {
        let target = component.to_owned();
        let estimated_seconds = None;
        Some(RecoveryStep { action, target, items, lossless, lost_memories, lost_rows, estimated_seconds, detail })
    };
    if indexes && facts.reindex {
        let detail = "indexes are made anew from the tables, in one transaction".to_owned();
        return step(RepairAction::Reindex, items as u64, true, Loss::default(), detail);
    }
    let restore = |loss: Loss| {
        let detail = match loss.rows {
            0 => "every row that can be read now is in the set".to_owned(),
            rows => format!("{rows} rows that can be read now, {} of them memories, are not in the set", loss.memories),
        };
        step(RepairAction::RestoreDatabase, 1, loss.rows == 0, loss, detail)
    };
    let salvage = |salvaged: Salvaged| {
        let Salvaged { rows, whole, only_in_set } = salvaged;
        let lossless = whole || only_in_set == Some(0);
        let detail = match (whole, only_in_set) {
            (true, _) => format!("all {rows} rows can be read"),
            (false, None) => format!("partial: {rows} rows can be read; what else there was is lost"),
            (false, Some(0)) => format!("{rows} rows can be read, and the set has no other"),
            (false, Some(more)) => format!("partial: {rows} rows can be read; the set alone has {more} others"),
        };
        step(RepairAction::SalvageDatabase, rows, lossless, Loss::default(), detail)
    };
    match (facts.restore, facts.salvage) {
        (Some(loss), _) if loss.rows == 0 => restore(loss),
        (_, Some(salvaged)) if salvaged.whole => salvage(salvaged),
        (Some(loss), Some(salvaged)) if salvaged.only_in_set.is_none_or(|more| more > loss.rows) => restore(loss),
        (_, Some(salvaged)) => salvage(salvaged),
        (Some(loss), None) => restore(loss),
        (None, None) => None,
    }
}

fn of_collection(facts: &CollectionKnown) -> Option<RecoveryStep> {
    let points = facts.restore?;
    let lost = if facts.there { facts.younger.unwrap_or(facts.younger_rows) } else { 0 };
    let lossless = !facts.there || facts.younger == Some(0);
    let detail = match (facts.there, facts.younger) {
        (false, _) => "the server has no such collection: nothing of it can be lost".to_owned(),
        (true, Some(0)) => "no point is younger than the set".to_owned(),
        (true, Some(count)) => {
            format!("{count} points are younger than the set: embed these memories again afterwards")
        }
        (true, None) => format!(
            "not every point can be read; {} memories are younger than the set: embed these again afterwards",
            facts.younger_rows
        ),
    };
    Some(RecoveryStep {
        action: RepairAction::RestoreCollection,
        target: VECTORS.to_owned(),
        items: points,
        lossless,
        lost_memories: lost,
        lost_rows: lost,
        estimated_seconds: None,
        detail,
    })
}

fn of_files(component: &str, files: usize) -> RecoveryStep {
    RecoveryStep {
        action: RepairAction::RestoreFiles,
        target: component.to_owned(),
        items: files as u64,
        lossless: true,
        lost_memories: 0,
        lost_rows: 0,
        estimated_seconds: None,
        detail: "the set has these files just as the manifest of the tree has them".to_owned(),
    }
}

/// Whether what was approved allows what would be done now: a living bank changes its counts.
pub fn covers(approved: &RecoveryPlan, fresh: &RecoveryPlan) -> bool {
    approved.set == fresh.set
        && approved.steps.len() == fresh.steps.len()
        && approved.steps.iter().zip(&fresh.steps).all(|(approved, fresh)| {
            (approved.action, &approved.target) == (fresh.action, &fresh.target)
                && fresh.lost_memories <= approved.lost_memories
                && fresh.lost_rows <= approved.lost_rows
                && (fresh.lossless || !approved.lossless)
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::recovery::{Gone, Model};

    fn event(check: &str, component: &str, object: &str, kind: CorruptionType) -> CorruptionEvent {
        CorruptionEvent {
            check: check.to_owned(),
            component: component.to_owned(),
            corruption_type: kind,
            invariant: None,
            severity: Severity::High,
            object: object.to_owned(),
            count: 1,
            evidence: String::new(),
            advice: "Do it by hand.".to_owned(),
        }
    }

    fn events() -> impl Strategy<Value = Vec<CorruptionEvent>> {
        let checks = prop::sample::select(vec![
            QUICK,
            FULL,
            FTS,
            "sqlite-schema",
            "sqlite-dates",
            "vectors-values",
            "vectors-collection",
            "files-content",
            "consistency-missing",
            "consistency-orphans",
            "consistency-text",
        ]);
        let components = prop::sample::select(vec!["database", "history", "vectors", "files/uploads", "repository"]);
        let objects = prop::sample::select(vec![
            "ix_memories_state",
            "memories",
            "file",
            "a.txt",
            "b.txt",
            "points",
            "payload.data",
        ]);
        let kinds = prop::sample::select(CorruptionType::ALL.to_vec());
        let one = (checks, components, objects, kinds)
            .prop_map(|(check, component, object, kind)| event(check, component, object, kind));
        prop::collection::vec(one, 0..12)
    }

    fn database() -> impl Strategy<Value = DatabaseKnown> {
        let loss =
            prop::option::of((0..4_u64, 0..3_u64).prop_map(|(rows, some)| Loss { rows, memories: some.min(rows) }));
        let salvaged = (0..9_u64, any::<bool>(), prop::option::of(0..4_u64));
        let salvaged = salvaged.prop_map(|(rows, whole, only_in_set)| Salvaged { rows, whole, only_in_set });
        (any::<bool>(), loss, prop::option::of(salvaged)).prop_map(|(reindex, restore, salvage)| DatabaseKnown {
            indexes: BTreeSet::from(["ix_memories_state".to_owned()]),
            reindex,
            restore,
            salvage,
            beside: None,
        })
    }

    fn points() -> impl Strategy<Value = PointsKnown> {
        let model = prop::sample::select(vec![
            Model::Undeclared,
            Model::Unusable("away".to_owned()),
            Model::Unproven("m".to_owned()),
            Model::Proven("m".to_owned()),
        ]);
        let counts = prop::collection::vec(0..3_u64, 6);
        (model, counts).prop_map(|(model, counts)| PointsKnown {
            model,
            seconds_per_thousand: None,
            missing: counts[0] + counts[5],
            embeddable: counts[0],
            bytes: counts[0] * 9,
            originals: counts[1],
            others: counts[2],
            unhashed: counts[3],
            orphans: counts[4],
            broken: counts[5],
            rotten: false,
        })
    }

    fn known() -> impl Strategy<Value = Known> {
        let collection = (any::<bool>(), prop::option::of(0..9_u64), prop::option::of(0..3_u64), 0..3_u64);
        let collection = collection.prop_map(|(there, restore, younger, younger_rows)| CollectionKnown {
            there,
            restore,
            younger,
            younger_rows,
        });
        let gone = (any::<bool>(), 0..3_u64).prop_map(|(rows, rowless)| Gone { rowless, rows, ..Gone::default() });
        let table = (0..3_u64, 0..9_u64, prop::option::of(gone));
        let table = table.prop_map(|(changed, missing, gone)| TableKnown { changed, missing, gone });
        let store = prop_oneof![
            prop::option::of(collection).prop_map(|collection| (collection, None)),
            prop::option::of(table).prop_map(|table| (None, Some(table.ok_or_else(|| "no right".to_owned())))),
        ];
        let known = (database(), database(), store, prop::option::of(points()));
        known.prop_map(|(database, history, (collection, table), points)| Known {
            points: points.map(Ok),
            set: Some("set".to_owned()),
            databases: BTreeMap::from([("database".to_owned(), database), ("history".to_owned(), history)]),
            collection,
            table,
            trees: BTreeMap::from([("files/uploads".to_owned(), BTreeSet::from(["a.txt".to_owned()]))]),
        })
    }

    proptest! {
        #[test]
        fn every_damage_is_planned_for_or_told_and_nothing_lossy_is_called_lossless(events in events(), known in known()) {
            let planned = plan(&events, &known);
            prop_assert_eq!(&planned, &plan(&events, &known));
            let cured: BTreeSet<usize> = planned.cures.iter().map(|(event, _)| *event).collect();
            prop_assert!(cured.len() <= planned.cures.len());
            prop_assert_eq!(cured.len() + planned.plan.unmended.len(), events.len());
            let steps = &planned.plan.steps;
            prop_assert!(steps.is_sorted_by_key(|step| step.action));
            for step in steps {
                prop_assert!(!step.lossless || step.lost_memories == 0, "{:?}", step);
                let facts = known.databases.get(&step.target);
                match step.action {
                    RepairAction::RestoreDatabase => {
                        let loss = facts.unwrap().restore.unwrap();
                        prop_assert_eq!((step.lossless, step.lost_memories), (loss.rows == 0, loss.memories));
                    }
                    RepairAction::SalvageDatabase => {
                        let salvaged = facts.unwrap().salvage.unwrap();
                        prop_assert_eq!(step.lossless, salvaged.whole || salvaged.only_in_set == Some(0));
                    }
                    RepairAction::RestoreCollection => match (known.collection, &known.table) {
                        (Some(facts), _) => prop_assert_eq!(step.lossless, !facts.there || facts.younger == Some(0)),
                        (None, Some(Ok(table))) => {
                            let sure = |gone: &Gone| step.lossless == (gone.rows && gone.rowless == 0);
                            let right = table.gone.as_ref().is_none_or(sure);
                            prop_assert!(right, "{:?}", step);
                        }
                        _ => panic!("{step:?}"),
                    },
                    RepairAction::ReEmbed | RepairAction::SyncText => {
                        let Some(Ok(points)) = &known.points else { panic!("{step:?}") };
                        let proven = matches!(points.model, Model::Proven(_));
                        prop_assert!(proven || matches!(points.model, Model::Unproven(_)));
                        prop_assert_eq!(step.lossless, proven && step.lost_memories == 0);
                    }
                    RepairAction::DeleteOrphans => prop_assert!(!step.lossless && step.lost_memories == step.items),
                    _ => prop_assert!(step.lossless),
                }
            }
            prop_assert!(covers(&planned.plan, &planned.plan));
        }
    }

    #[test]
    fn a_healthy_bank_needs_nothing() {
        assert_eq!(plan(&[], &Known { set: Some("set".to_owned()), ..Known::default() }), Planned::default());
    }

    #[test]
    fn an_approval_is_of_what_may_be_lost() {
        let events = [event(QUICK, "database", "memories", CorruptionType::FileCorruption)];
        let with = |restore, salvage| {
            let facts = DatabaseKnown { restore, salvage, ..DatabaseKnown::default() };
            let databases = BTreeMap::from([("database".to_owned(), facts)]);
            plan(&events, &Known { set: Some("set".to_owned()), databases, ..Known::default() }).plan
        };
        let loses = |memories| with(Some(Loss { rows: memories, memories }), None);
        assert!(covers(&loses(3), &loses(2)) && covers(&loses(3), &loses(0)));
        assert!(!covers(&loses(3), &loses(4)) && !covers(&loses(0), &loses(1)));
        let salvage = with(None, Some(Salvaged { rows: 9, whole: false, only_in_set: None }));
        assert_eq!(salvage.steps[0].action, RepairAction::SalvageDatabase);
        assert!(!covers(&loses(3), &salvage));
        assert_eq!(salvage.set, None, "nothing is taken from a set");
    }
}
