use super::observed::{Amcheck, Answer, Checksums, Observed, Question, RowFault, TableFacts};
use crate::domain::{Check, CorruptionEvent, CorruptionType, Severity};
use crate::engine::integrity::sqlite::Judgement;
use crate::engine::integrity::sqlite::schema::{Declared, SchemaKind};
use crate::engine::integrity::sqlite::tally::{EXAMPLES, Rows, Rule};

const SCHEMA: &str = "postgres-schema";
const CHECKSUMS: &str = "postgres-checksums";
const INDEXES: &str = "postgres-indexes";
const AGE: &str = "postgres-age";
const BLOAT: &str = "postgres-bloat";
const BTREES: &str = "postgres-btrees";
const HEAPS: &str = "postgres-heaps";
const KEYS: &str = "postgres-foreign-keys";
const STATES: &str = "postgres-states";
const DUPLICATES: &str = "postgres-duplicates";

/// Five times the age at which autovacuum freezes a table whatever else it does (`autovacuum_freeze_max_age`,
/// 200 million): it does not keep up.
const OLD: u64 = 1_000_000_000;
/// The age at which PostgreSQL itself leaves out all else to freeze (`vacuum_failsafe_age`); at 2^31 it takes no
/// more transactions.
const VERY_OLD: u64 = 1_600_000_000;
/// Autovacuum begins at a fifth of dead rows (`autovacuum_vacuum_scale_factor`): twice that, of a table where it
/// matters, is told.
const DEAD_PERCENT: u64 = 40;
const DEAD_ROWS: u64 = 10_000;

/// The verdicts on all that was asked.
pub fn judge(component: &str, observed: &Observed) -> Judgement {
    let mut verdicts = Verdicts { component, judged: Judgement::default() };
    verdicts.close(SCHEMA, observed.tables.as_ref(), |tables| {
        (schema(component, tables), format!("{} known tables", tables.len()))
    });
    verdicts.close(CHECKSUMS, observed.checksums.as_ref(), |checksums| {
        (checksum_events(component, *checksums), "no page failed its checksum".to_owned())
    });
    verdicts.close(INDEXES, observed.invalid_indexes.as_ref(), |invalid| {
        let events = invalid.iter().map(|index| invalid_index(component, index)).collect();
        (events, "every index is valid".to_owned())
    });
    verdicts.close(AGE, observed.age.as_ref(), |age| {
        (age_event(component, *age).into_iter().collect(), format!("{age} transactions of 2147483647"))
    });
    verdicts.close(BLOAT, observed.tables.as_ref(), |tables| {
        let events = tables.iter().filter_map(|table| bloat(component, table)).collect();
        (events, "no table is full of dead rows".to_owned())
    });
    if let Some(amcheck) = &observed.amcheck {
        verdicts.amcheck(amcheck);
    }
    if let Some(rows) = &observed.rows {
        verdicts.rows(rows);
    }
    verdicts.judged
}

struct Verdicts<'a> {
    component: &'a str,
    judged: Judgement,
}

impl Verdicts<'_> {
    /// One check by the events that its answer makes, and what it says without any.
    fn close<T>(
        &mut self,
        id: &str,
        answer: Result<&T, &String>,
        judge: impl Fn(&T) -> (Vec<CorruptionEvent>, String),
    ) {
        match answer {
            Ok(answer) => {
                let (events, passed) = judge(answer);
                self.end(id, events, None, passed);
            }
            Err(why) => self.judged.checks.push(Check::unknown(id, self.component, why.clone())),
        }
    }

    /// What was seen is told, but where something was not looked at, more may be there.
    fn end(&mut self, id: &str, events: Vec<CorruptionEvent>, unread: Option<String>, passed: String) {
        self.judged.checks.push(match (unread, events.len()) {
            (Some(why), _) => Check::unknown(id, self.component, why),
            (None, 0) => Check::passed(id, self.component, passed),
            (None, kinds) => Check::failed(id, self.component, format!("{kinds} kinds of damage")),
        });
        self.judged.events.extend(events);
    }

    fn amcheck(&mut self, answer: &Answer<Amcheck>) {
        let component = self.component;
        let found = match answer {
            Ok(found) => found,
            Err(why) => {
                for id in [BTREES, HEAPS] {
                    self.judged.checks.push(Check::unknown(id, component, why.clone()));
                }
                return;
            }
        };
        let unread = |tables: bool| {
            let of = found.unread.iter().filter(|(object, _)| object.starts_with("table ") == tables);
            let all: Vec<_> = of.map(|(object, why)| format!("{object}: {why}")).collect();
            (!all.is_empty()).then(|| format!("not looked at: {}", all.join("; ")))
        };
        let damaged = found.damaged_indexes.iter().map(|(index, words)| CorruptionEvent {
            check: BTREES.to_owned(),
            component: component.to_owned(),
            corruption_type: CorruptionType::FileCorruption,
            invariant: None,
            severity: Severity::High,
            object: index.clone(),
            count: 1,
            evidence: words.clone(),
            advice:
                "Build it anew with REINDEX INDEX CONCURRENTLY; look for failing hardware, and for a change of the \
                     operating system's collation."
                    .to_owned(),
        });
        self.end(BTREES, damaged.collect(), unread(false), format!("{} b-trees are sound", found.indexes));
        let damaged = found.damaged_tables.iter().map(|(table, count, examples)| CorruptionEvent {
            check: HEAPS.to_owned(),
            component: component.to_owned(),
            corruption_type: CorruptionType::FileCorruption,
            invariant: None,
            severity: Severity::Critical,
            object: table.clone(),
            count: *count,
            evidence: examples.join("; "),
            advice: "Keep a copy of the data folder; restore the database from a verified backup into a new server."
                .to_owned(),
        });
        let passed = format!("{} tables are sound, as far as amcheck sees", found.tables);
        self.end(HEAPS, damaged.collect(), unread(true), passed);
    }

    fn rows(&mut self, faults: &[RowFault]) {
        for id in [KEYS, STATES, DUPLICATES] {
            let own = || faults.iter().filter(|fault| rule(fault.question).check == id);
            let unread: Vec<_> =
                own().filter_map(|fault| Some(format!("{}: {}", fault.object, fault.found.as_ref().err()?))).collect();
            let events = own().filter_map(|fault| {
                let (count, examples) = fault.found.as_ref().ok().filter(|(count, _)| *count > 0)?;
                let rows = Rows { count: *count, examples: examples.iter().take(EXAMPLES).cloned().collect() };
                Some(rule(fault.question).event(self.component, fault.object.as_str(), &rows))
            });
            let events = events.collect();
            let unread = (!unread.is_empty()).then(|| format!("not looked at: {}", unread.join("; ")));
            self.end(id, events, unread, "every row keeps to it".to_owned());
        }
    }
}

/// The same rules as of a SQLite bank, by the name of another check.
fn rule(question: Question) -> Rule {
    use crate::engine::integrity::sqlite::{duplicates::REPEATED, states::BROKEN_CHAIN, structure::ORPHANS};
    const SET: &str = "Set the column to updated_at.";
    let low = |what| Rule { check: STATES, invariant: Some("I12"), severity: Severity::Low, what, advice: SET };
    match question {
        Question::Orphans => Rule { check: KEYS, ..ORPHANS },
        Question::BrokenChain => Rule { check: STATES, ..BROKEN_CHAIN },
        Question::Repeated => Rule { check: DUPLICATES, ..REPEATED },
        Question::DeletedWithoutTime => low("deleted, but no time of it"),
        Question::ArchivedWithoutTime => low("archived, but no time of it"),
    }
}

fn schema(component: &str, tables: &[TableFacts]) -> Vec<CorruptionEvent> {
    let declared: Declared = tables.iter().map(|table| (table.name.clone(), table.columns.clone())).collect();
    let mut events = SchemaKind::OpenMemory.missing(component, &declared);
    for event in &mut events {
        SCHEMA.clone_into(&mut event.check);
    }
    events
}

fn checksum_events(component: &str, checksums: Checksums) -> Vec<CorruptionEvent> {
    let event = |corruption_type, severity, count, evidence: String, advice: &str| CorruptionEvent {
        check: CHECKSUMS.to_owned(),
        component: component.to_owned(),
        corruption_type,
        invariant: None,
        severity,
        object: "data files".to_owned(),
        count,
        evidence,
        advice: advice.to_owned(),
    };
    if !checksums.enabled {
        let evidence = "pages have no checksums: a changed bit in them is seen by nothing".to_owned();
        let advice = "Stop the server, run pg_checksums --enable on its data folder, and start it.";
        return vec![event(CorruptionType::DataInconsistency, Severity::Low, 1, evidence, advice)];
    }
    if checksums.failures == 0 {
        return Vec::new();
    }
    let evidence = format!("{} pages did not match their checksum when they were read", checksums.failures);
    let advice = "Look in the server's log for the files, keep a copy of the data folder, and restore the database from \
                  a verified backup into a new server. The server counts until pg_stat_reset() is called in the mended one.";
    vec![event(CorruptionType::ChecksumMismatch, Severity::Critical, checksums.failures, evidence, advice)]
}

fn told(
    component: &str,
    check: &str,
    severity: Severity,
    object: &str,
    evidence: String,
    advice: &str,
) -> CorruptionEvent {
    CorruptionEvent {
        check: check.to_owned(),
        component: component.to_owned(),
        corruption_type: CorruptionType::DataInconsistency,
        invariant: None,
        severity,
        object: object.to_owned(),
        count: 1,
        evidence,
        advice: advice.to_owned(),
    }
}

fn invalid_index(component: &str, index: &str) -> CorruptionEvent {
    let evidence = "not valid: its building broke off, and nothing is found by it".to_owned();
    let advice = "Build it anew with REINDEX INDEX CONCURRENTLY, or drop it.";
    told(component, INDEXES, Severity::Medium, index, evidence, advice)
}

fn age_event(component: &str, age: u64) -> Option<CorruptionEvent> {
    let severity = match age {
        VERY_OLD.. => Severity::High,
        OLD.. => Severity::Medium,
        _ => return None,
    };
    let evidence = format!("its oldest transaction is {age} transactions old: at 2147483647 the server takes no more");
    let advice = "Look for long transactions, prepared transactions and replication slots that hold it back, then VACUUM \
                  (FREEZE) the database.";
    Some(told(component, AGE, severity, "transaction ids", evidence, advice))
}

fn bloat(component: &str, table: &TableFacts) -> Option<CorruptionEvent> {
    let all = table.live.saturating_add(table.dead);
    if table.dead < DEAD_ROWS || table.dead.saturating_mul(100) < all.saturating_mul(DEAD_PERCENT) {
        return None;
    }
    let evidence = format!("about {} of {all} rows are dead and still take room", table.dead);
    let advice = "Look why autovacuum does not keep up, then VACUUM the table.";
    Some(told(component, BLOAT, Severity::Low, &table.name, evidence, advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Verdict;

    fn healthy() -> Observed {
        let tables = SchemaKind::OpenMemory.tables().iter().map(|table| TableFacts {
            name: table.name.to_owned(),
            columns: table.columns.iter().map(|column| column.name.to_owned()).collect(),
            live: 1_000_000,
            dead: 100_000,
        });
        Observed {
            checksums: Ok(Checksums { enabled: true, failures: 0 }),
            invalid_indexes: Ok(Vec::new()),
            age: Ok(150_000_000),
            tables: Ok(tables.collect()),
            amcheck: Some(Ok(Amcheck { indexes: 30, tables: 10, ..Amcheck::default() })),
            rows: Some(vec![RowFault {
                question: Question::Orphans,
                object: "memories.app_id".to_owned(),
                found: Ok((0, Vec::new())),
            }]),
        }
    }

    fn verdict(judged: &Judgement, id: &str) -> Option<Verdict> {
        judged.checks.iter().find(|check| check.id == id).map(|check| check.verdict)
    }

    #[test]
    fn a_healthy_server_passes_every_check() {
        let judged = judge("database", &healthy());
        assert!(judged.checks.iter().all(|check| check.verdict == Verdict::Passed), "{:?}", judged.checks);
        assert_eq!((judged.checks.len(), judged.events.len()), (10, 0));
        let quick = judge("database", &Observed { amcheck: None, rows: None, ..healthy() });
        assert_eq!(quick.checks.len(), 5);
    }

    #[test]
    fn each_fault_is_an_event_of_its_own_check() {
        let one = |id: &str, observed: Observed| {
            let judged = judge("database", &observed);
            assert_eq!(verdict(&judged, id), Some(Verdict::Failed), "{id}");
            assert_eq!(judged.events.len(), 1, "{:?}", judged.events);
            assert_eq!(judged.events[0].check, id);
            (judged.events[0].severity, judged.events[0].corruption_type)
        };
        let checksums = |enabled, failures| Observed { checksums: Ok(Checksums { enabled, failures }), ..healthy() };
        assert_eq!(one(CHECKSUMS, checksums(true, 3)), (Severity::Critical, CorruptionType::ChecksumMismatch));
        assert_eq!(one(CHECKSUMS, checksums(false, 0)).0, Severity::Low);
        let aged = |age| Observed { age: Ok(age), ..healthy() };
        assert_eq!(one(AGE, aged(OLD)).0, Severity::Medium);
        assert_eq!(one(AGE, aged(VERY_OLD)).0, Severity::High);
        let invalid = Observed { invalid_indexes: Ok(vec!["idx_memory_user_app".to_owned()]), ..healthy() };
        assert_eq!(one(INDEXES, invalid).0, Severity::Medium);
        let mut bloated = healthy();
        bloated.tables.as_mut().unwrap()[0].dead = 700_000;
        assert_eq!(one(BLOAT, bloated).0, Severity::Low);
        let mut cut = healthy();
        cut.tables.as_mut().unwrap().retain(|table| table.name != "memories");
        assert_eq!(one(SCHEMA, cut).0, Severity::Critical);
    }

    #[test]
    fn what_could_not_be_asked_is_unknown_and_what_was_seen_is_told() {
        let refused = Observed { amcheck: Some(Err("the extension amcheck is not installed".to_owned())), ..healthy() };
        let judged = judge("database", &refused);
        assert_eq!(verdict(&judged, BTREES), Some(Verdict::Unknown));
        assert_eq!(verdict(&judged, HEAPS), Some(Verdict::Unknown));
        let found = Amcheck {
            damaged_indexes: vec![("ix_a".to_owned(), "item order invariant violated".to_owned())],
            unread: vec![("index ix_b".to_owned(), "permission denied".to_owned())],
            ..Amcheck::default()
        };
        let judged = judge("database", &Observed { amcheck: Some(Ok(found)), ..healthy() });
        assert_eq!(verdict(&judged, BTREES), Some(Verdict::Unknown), "more may be damaged");
        assert_eq!(verdict(&judged, HEAPS), Some(Verdict::Passed));
        assert_eq!(judged.events.len(), 1);
    }

    #[test]
    fn rows_are_judged_as_those_of_sqlite_are() {
        let fault = |question, object: &str, found| RowFault { question, object: object.to_owned(), found };
        let ids = vec!["a".to_owned(); 9];
        let rows = vec![
            fault(Question::Orphans, "memories.app_id", Ok((9, ids))),
            fault(Question::BrokenChain, "memories.state", Err("took too long".to_owned())),
        ];
        let judged = judge("database", &Observed { rows: Some(rows), ..healthy() });
        assert_eq!(verdict(&judged, KEYS), Some(Verdict::Failed));
        assert_eq!(verdict(&judged, STATES), Some(Verdict::Unknown));
        assert_eq!(verdict(&judged, DUPLICATES), Some(Verdict::Passed));
        let event = &judged.events[0];
        assert_eq!((event.invariant.as_deref(), event.count), (Some("I7"), 9));
        assert!(event.evidence.ends_with("9 rows: a, a, a, a, a, ..."), "{}", event.evidence);
    }
}
