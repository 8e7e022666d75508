//! What is done on a bank's PostgreSQL server.

use crate::domain::{CorruptionEvent, RecoveryStep, RepairAction};
use crate::engine::integrity::vectors::{VECTORS, check};

/// What a set would put back into the table of the points. What is overwritten is kept, and has the times of what the set
/// has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableKnown {
    /// Points that are others than in the set though no time of theirs changed, or that have no time.
    pub changed: u64,
    /// Points of the set that are gone though their memories live, with the same text; where the table itself is gone, all
    /// that would be in it.
    pub missing: u64,
    /// Where there is no such table.
    pub gone: Option<Gone>,
}

/// What is known of a table that is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// How many points the set has.
    pub points: u64,
    /// Of those that come back, how many have no row now and had none in the set.
    pub rowless: u64,
    /// Whether the bank has rows, which tell what memories were deleted since the set was made.
    pub rows: bool,
    /// An extension that the table needs is gone, too, and is made.
    pub extension: bool,
    /// Tables of the same name in other schemas, as words.
    pub elsewhere: Option<String>,
}

/// What a set has of a database that can be restored beside the living one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// What the new database would be called.
    pub name: String,
    /// How many rows the set has.
    pub rows: u64,
}

/// Why a damage stays though the plan has a step for it.
pub(super) const SWITCH: &str = "the living database stays as it is: a person has to look at the one that is restored \
    beside it, give the bank's roles their rights there, and switch the bank to it";

impl TableKnown {
    /// Whether it is of use against a damage; `content` where that is in points that are there.
    pub(super) fn helps(&self, event: &CorruptionEvent, content: bool) -> bool {
        content && self.changed > 0
            || event.invariant.as_deref() == Some("I1") && self.missing > 0
            || event.check == check::COLLECTION && self.gone.is_some()
    }

    /// The step for damage in the content of so many points; of none, what is there stays. Where more points changed than
    /// are damaged, the others may be as somebody wants them.
    pub(super) fn step(&self, damaged: u64) -> RecoveryStep {
        let missing = self.missing;
        if let Some(gone) = &self.gone {
            return gone.step(missing);
        }
        let changed = if damaged == 0 { 0 } else { self.changed };
        let mut detail = format!(
            "{changed} points that are others than in the set though no time changed, and {missing} that are gone, as the \
             set has them; no other is touched"
        );
        let lost = if changed > damaged { changed } else { 0 };
        if lost > 0 {
            detail.push_str("; more changed than are damaged: another model, or a program that writes no times?");
        }
        let step = step(RepairAction::RestoreCollection, VECTORS, changed.saturating_add(missing), detail);
        RecoveryStep { lossless: lost == 0, lost_memories: lost, lost_rows: lost, ..step }
    }
}

impl Gone {
    /// The step that makes it anew with so many points. It loses nothing where it is known that no deleted memory comes back
    /// by it, and where the table is not somewhere else.
    fn step(&self, missing: u64) -> RecoveryStep {
        let mut doubts = Vec::new();
        match (self.rows, self.rowless) {
            (false, _) => doubts.push(
                "without rows what was deleted since the set was made comes back, but for what mem0's history tells"
                    .to_owned(),
            ),
            (true, 1..) => doubts.push(format!(
                "{} of them had no row in the set either: what was removed of these since comes back",
                self.rowless
            )),
            (true, 0) => {}
        }
        if self.extension {
            doubts.push(
                "an extension that it needs is gone from the database, too, and is made: is it the right one?"
                    .to_owned(),
            );
        }
        if let Some(others) = &self.elsewhere {
            doubts.push(format!("the database has {others}: was the table moved?"));
        }
        let mut detail = format!(
            "the table is gone: it is made anew with {missing} of the {} points that the set has; memories of the others were \
             deleted since, or have another text. It belongs to the role of the bank's url: rights of other roles and row \
             security policies are not in a set",
            self.points
        );
        for doubt in &doubts {
            detail.extend(["; ", doubt]);
        }
        let step = step(RepairAction::RestoreCollection, VECTORS, missing, detail);
        RecoveryStep { lossless: doubts.is_empty(), ..step }
    }
}

impl Beside {
    pub(super) fn step(&self, component: &str) -> RecoveryStep {
        let Self { name, rows } = self;
        let detail = format!("{rows} rows, into a new database {name} on the same server; {SWITCH}");
        step(RepairAction::RestoreDatabase, component, 1, detail)
    }
}

fn step(action: RepairAction, target: &str, items: u64, detail: String) -> RecoveryStep {
    RecoveryStep {
        action,
        target: target.to_owned(),
        items,
        lossless: true,
        lost_memories: 0,
        lost_rows: 0,
        estimated_seconds: None,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::domain::{CorruptionType, Severity};
    use crate::engine::recovery::{DatabaseKnown, Known, Model, PointsKnown, plan};

    fn event(check: &str, component: &str, object: &str, kind: CorruptionType) -> CorruptionEvent {
        CorruptionEvent {
            check: check.to_owned(),
            component: component.to_owned(),
            corruption_type: kind,
            invariant: (check == "consistency-missing").then(|| "I1".to_owned()),
            severity: Severity::High,
            object: object.to_owned(),
            count: 1,
            evidence: String::new(),
            advice: "Do it by hand.".to_owned(),
        }
    }

    #[test]
    fn points_are_put_back_where_the_set_has_what_is_wrong() {
        let zero = event("vectors-values", VECTORS, "vector/zero", CorruptionType::FileCorruption);
        let gone = event("consistency-missing", VECTORS, "points", CorruptionType::DataInconsistency);
        for (changed, missing, cured) in [(0, 0, vec![]), (1, 0, vec![0]), (0, 3, vec![1]), (1, 3, vec![0, 1])] {
            let table = Some(Ok(TableKnown { changed, missing, gone: None }));
            let known = Known { set: Some("set".to_owned()), table, ..Known::default() };
            let planned = plan(&[zero.clone(), gone.clone()], &known);
            assert_eq!(planned.cures.iter().map(|(event, _)| *event).collect::<Vec<_>>(), cured);
            assert_eq!(planned.plan.unmended.len(), 2 - cured.len());
            assert_eq!(planned.plan.set.is_some(), !cured.is_empty());
            assert!(planned.plan.steps.iter().all(|step| step.lossless && step.items == changed + missing));
        }
    }

    #[test]
    fn what_the_set_does_not_give_back_is_embedded_after_it() {
        let gone = event("consistency-missing", VECTORS, "points", CorruptionType::DataInconsistency);
        let orphan = event("consistency-orphans", VECTORS, "points", CorruptionType::DataInconsistency);
        let known = |missing, points| Known {
            set: Some("set".to_owned()),
            table: Some(Ok(TableKnown { changed: 0, missing, gone: None })),
            points: Some(points),
            ..Known::default()
        };
        let points = PointsKnown {
            model: Model::Proven("m".to_owned()),
            seconds_per_thousand: None,
            missing: 5,
            embeddable: 5,
            bytes: 50,
            originals: 0,
            others: 0,
            unhashed: 0,
            orphans: 7,
            broken: 0,
            rotten: false,
        };
        let events = [gone, orphan];
        let orphans = (RepairAction::DeleteOrphans, 7);
        for (missing, expected) in [
            (0, vec![(RepairAction::ReEmbed, 5), orphans]),
            (3, vec![(RepairAction::RestoreCollection, 3), (RepairAction::ReEmbed, 2), orphans]),
            (5, vec![(RepairAction::RestoreCollection, 5), orphans]),
        ] {
            let planned = plan(&events, &known(missing, Ok(points.clone())));
            let steps: Vec<_> = planned.plan.steps.iter().map(|step| (step.action, step.items)).collect();
            assert_eq!((steps, planned.plan.unmended.len()), (expected, 0));
        }
        // Of eight, three cannot be embedded: the set may have those as well as others.
        for (given, expected) in [(2, vec![5]), (5, vec![3]), (8, vec![])] {
            let planned = plan(&events, &known(given, Ok(PointsKnown { missing: 8, ..points.clone() })));
            let embeds = planned.plan.steps.iter().filter(|step| step.action == RepairAction::ReEmbed);
            assert_eq!(embeds.map(|step| step.items).collect::<Vec<_>>(), expected);
        }
        let undeclared = PointsKnown { model: Model::Undeclared, ..points };
        let planned = plan(&events, &known(3, Ok(undeclared)));
        assert_eq!((planned.plan.steps.len(), planned.plan.unmended.len()), (2, 1), "what is left is told");
        let planned = plan(&events, &known(3, Err("no right".to_owned())));
        assert_eq!(planned.plan.steps.len(), 1);
        assert!(planned.plan.unmended[0].contains("no right"), "{:?}", planned.plan.unmended);
    }

    #[test]
    fn more_changed_points_than_are_damaged_are_no_damage_by_themselves() {
        let known = TableKnown { changed: 40, missing: 3, gone: None };
        let told = |damaged| {
            let step = known.step(damaged);
            (step.items, step.lossless, step.lost_memories)
        };
        assert_eq!((told(40), told(39), told(0)), ((43, true, 0), (43, false, 40), (3, true, 0)));
    }

    #[test]
    fn a_table_that_is_gone_is_made_anew_or_it_is_told_why_not() {
        let gone = event(check::COLLECTION, VECTORS, "collection", CorruptionType::FileCorruption);
        let missing = event("consistency-missing", VECTORS, "points", CorruptionType::DataInconsistency);
        let events = [gone, missing];
        let known = |table: Result<TableKnown, String>| {
            let points = Some(Err(table.as_ref().err().cloned().unwrap_or_else(|| "later".to_owned())));
            Known { set: Some("set".to_owned()), table: Some(table), points, ..Known::default() }
        };
        let sure = Gone { points: 9, rows: true, ..Gone::default() };
        for (missing, cures) in [(0, vec![(0, 0)]), (7, vec![(0, 0), (1, 0)])] {
            let planned = plan(&events, &known(Ok(TableKnown { changed: 0, missing, gone: Some(sure.clone()) })));
            let steps: Vec<_> =
                planned.plan.steps.iter().map(|step| (step.action, step.items, step.lossless)).collect();
            assert_eq!(steps, [(RepairAction::RestoreCollection, missing, true)]);
            assert_eq!((planned.cures.len() + planned.plan.unmended.len(), planned.cures), (2, cures));
        }
        let planned = plan(&events, &known(Err("no right".to_owned())));
        assert_eq!((planned.plan.steps.len(), planned.plan.set), (0, None));
        assert_eq!(planned.plan.unmended.len(), 2);
        assert!(planned.plan.unmended.iter().all(|line| line.ends_with(": no right")), "{:?}", planned.plan.unmended);
    }

    #[test]
    fn a_table_that_may_bring_back_what_was_deleted_or_moved_is_not_lossless() {
        let sure = Gone { points: 9, rows: true, ..Gone::default() };
        for (gone, doubt) in [
            (sure.clone(), None),
            (Gone { rows: false, rowless: 7, ..sure.clone() }, Some("without rows what was deleted")),
            (Gone { rowless: 2, ..sure.clone() }, Some("2 of them had no row in the set either")),
            (Gone { extension: true, ..sure.clone() }, Some("an extension that it needs is gone")),
            (Gone { elsewhere: Some("old.points".to_owned()), ..sure }, Some("the database has old.points")),
        ] {
            let step = TableKnown { changed: 0, missing: 7, gone: Some(gone) }.step(0);
            assert!(step.detail.contains("7 of the 9 points"), "{step:#?}");
            assert_eq!((step.lossless, step.lost_memories), (doubt.is_none(), 0), "{step:#?}");
            assert!(doubt.is_none_or(|doubt| step.detail.contains(doubt)), "{step:#?}");
        }
    }

    #[test]
    fn why_the_set_gives_nothing_back_is_told_where_points_are_embedded() {
        let gone = event("consistency-missing", VECTORS, "points", CorruptionType::DataInconsistency);
        let points = |model| PointsKnown {
            model,
            seconds_per_thousand: None,
            missing: 5,
            embeddable: 5,
            bytes: 50,
            originals: 0,
            others: 0,
            unhashed: 0,
            orphans: 0,
            broken: 0,
            rotten: false,
        };
        let planned = |model| {
            let (table, points) = (Some(Err("another table".to_owned())), Some(Ok(points(model))));
            plan(std::slice::from_ref(&gone), &Known { table, points, ..Known::default() }).plan
        };
        let embedded = planned(Model::Proven("m".to_owned()));
        assert!(embedded.steps[0].detail.ends_with("the set gives nothing back: another table"), "{embedded:#?}");
        let undeclared = planned(Model::Undeclared);
        assert!(undeclared.unmended[0].ends_with("the set gives nothing back: another table"), "{undeclared:#?}");
    }

    #[test]
    fn a_table_is_restored_beside_and_stays_damaged_and_its_indexes_are_made_anew() {
        let heap = event("postgres-heaps", "database", "memories", CorruptionType::FileCorruption);
        let btree = event("postgres-btrees", "database", "memories_pkey", CorruptionType::FileCorruption);
        let other = event("postgres-btrees", "database", "of_another", CorruptionType::FileCorruption);
        let facts = DatabaseKnown {
            indexes: BTreeSet::from(["memories_pkey".to_owned()]),
            reindex: true,
            beside: Some(Beside { name: "bank_restore".to_owned(), rows: 9 }),
            ..DatabaseKnown::default()
        };
        let databases = BTreeMap::from([("database".to_owned(), facts)]);
        let known = Known { set: Some("set".to_owned()), databases, ..Known::default() };
        let planned = plan(&[heap, btree, other], &known);
        let steps: Vec<_> = planned.plan.steps.iter().map(|step| step.action).collect();
        assert_eq!(steps, [RepairAction::Reindex, RepairAction::RestoreDatabase]);
        assert_eq!(planned.cures, [(1, 0)]);
        assert_eq!(planned.plan.unmended.len(), 2);
        assert!(planned.plan.unmended[0].contains("switch the bank to it"), "{:?}", planned.plan.unmended);
    }
}
