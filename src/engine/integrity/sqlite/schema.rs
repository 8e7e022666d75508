//! The tables of OpenMemory and of mem0's history, over all the generations that are in use: made by
//! the application (`create_all`), by its migrations (alembic), by the MemoryBank fork, and by the last
//! version. They differ in indexes and in whether `configs` exists, not in what is listed here.

use std::collections::BTreeMap;

use crate::domain::{CorruptionEvent, CorruptionType, Severity};

/// Which of the two databases of a bank a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaKind {
    /// OpenMemory's own.
    OpenMemory,
    /// mem0's `history.db`.
    Mem0History,
}

/// What the cells of a column hold; every one may be NULL as far as this goes (the file's own `NOT NULL`
/// is SQLite's to check).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// An id of 32 hex digits.
    Uuid,
    /// An id with dashes or without.
    AnyUuid,
    /// Text.
    Text,
    /// JSON as text. A bare number is stored as a number, for the column has numeric affinity.
    Json,
    /// A date as text.
    Date,
    /// The state of a memory.
    State,
    /// What happened to a memory, in mem0's history.
    Event,
    /// 0 or 1.
    Boolean,
    /// An integer.
    Integer,
    /// Anything; where it is text it must be readable.
    Any,
}

/// A column that is known.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
}

/// A table that is known.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// How bad its absence is; `None` where a generation does without it.
    pub required: Option<Severity>,
    /// Its columns. In the history only the first six are required: older versions have no others.
    pub columns: &'static [Column],
}

/// A column that names a row of another table by its `id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The table that refers.
    pub table: &'static str,
    /// Its column.
    pub column: &'static str,
    /// The table that is referred to.
    pub parent: &'static str,
}

macro_rules! columns {
    ($($name:ident $kind:ident),* $(,)?) => {
        &[$(Column { name: stringify!($name), kind: ColumnKind::$kind }),*]
    };
}

const fn table(name: &'static str, required: Option<Severity>, columns: &'static [Column]) -> Table {
    Table { name, required, columns }
}

const OPEN_MEMORY: [Table; 10] = [
    table(
        "users",
        Some(Severity::Critical),
        columns![id Uuid, user_id Text, name Text, email Text, metadata Json, created_at Date, updated_at Date],
    ),
    table(
        "apps",
        Some(Severity::Critical),
        columns![id Uuid, owner_id Uuid, name Text, description Text, metadata Json, is_active Boolean,
            created_at Date, updated_at Date],
    ),
    table("configs", None, columns![id Uuid, key Text, value Json, created_at Date, updated_at Date]),
    table(
        "memories",
        Some(Severity::Critical),
        columns![id Uuid, user_id Uuid, app_id Uuid, content Text, vector Any, metadata Json, state State,
            created_at Date, updated_at Date, archived_at Date, deleted_at Date],
    ),
    table(
        "categories",
        Some(Severity::High),
        columns![id Uuid, name Text, description Text, created_at Date, updated_at Date],
    ),
    table("memory_categories", Some(Severity::High), columns![memory_id Uuid, category_id Uuid]),
    table(
        "access_controls",
        Some(Severity::High),
        columns![id Uuid, subject_type Text, subject_id Uuid, object_type Text, object_id Uuid, effect Text,
            created_at Date],
    ),
    table(
        "archive_policies",
        Some(Severity::High),
        columns![id Uuid, criteria_type Text, criteria_id Uuid, days_to_archive Integer, created_at Date],
    ),
    table(
        "memory_status_history",
        Some(Severity::High),
        columns![id Uuid, memory_id Uuid, changed_by Uuid, old_state State, new_state State, changed_at Date],
    ),
    table(
        "memory_access_logs",
        Some(Severity::High),
        columns![id Uuid, memory_id Uuid, app_id Uuid, accessed_at Date, access_type Text, metadata Json],
    ),
];

const MEM0_HISTORY: [Table; 2] = [
    table(
        "history",
        Some(Severity::High),
        columns![id AnyUuid, memory_id AnyUuid, old_memory Text, new_memory Text, event Event, created_at Date,
            updated_at Date, is_deleted Boolean, actor_id Text, role Text],
    ),
    table("messages", None, columns![id Text, session_scope Text, role Text, content Text, name Text, created_at Date]),
];

/// How many of the columns of `history` every version of mem0 has.
const HISTORY_CORE: usize = 6;

const REFERENCES: [Reference; 9] = [
    reference("apps", "owner_id", "users"),
    reference("memories", "user_id", "users"),
    reference("memories", "app_id", "apps"),
    reference("memory_categories", "memory_id", "memories"),
    reference("memory_categories", "category_id", "categories"),
    reference("memory_status_history", "memory_id", "memories"),
    reference("memory_status_history", "changed_by", "users"),
    reference("memory_access_logs", "memory_id", "memories"),
    reference("memory_access_logs", "app_id", "apps"),
];

const fn reference(table: &'static str, column: &'static str, parent: &'static str) -> Reference {
    Reference { table, column, parent }
}

/// The tables of a database and their columns, as the file declares them.
pub type Declared = BTreeMap<String, Vec<String>>;

impl SchemaKind {
    /// The tables that are known.
    pub const fn tables(self) -> &'static [Table] {
        match self {
            Self::OpenMemory => &OPEN_MEMORY,
            Self::Mem0History => &MEM0_HISTORY,
        }
    }

    /// The references that must hold (I7), whether or not a generation declares them as foreign keys.
    pub const fn references(self) -> &'static [Reference] {
        match self {
            Self::OpenMemory => &REFERENCES,
            Self::Mem0History => &[],
        }
    }

    /// Who made the schema, as far as it tells.
    pub fn generation(self, declared: &Declared) -> &'static str {
        match self {
            Self::OpenMemory if declared.contains_key("alembic_version") => "OpenMemory, made by its migrations",
            Self::OpenMemory if declared.contains_key("configs") => "OpenMemory, made by the application",
            Self::OpenMemory => "OpenMemory of a version before configs",
            Self::Mem0History if declared.contains_key("messages") => "mem0 history with messages",
            Self::Mem0History => "mem0 history",
        }
    }

    /// What is missing of the tables and columns that every generation has. Others are tolerated.
    pub fn missing(self, component: &str, declared: &Declared) -> Vec<CorruptionEvent> {
        let event = |object: String, severity, evidence: &str| CorruptionEvent {
            check: "sqlite-schema".to_owned(),
            component: component.to_owned(),
            corruption_type: CorruptionType::DataInconsistency,
            invariant: None,
            severity,
            object,
            count: 1,
            evidence: evidence.to_owned(),
            advice: "Restore the database from a verified backup; check first that the path names the right file."
                .to_owned(),
        };
        if !self.tables().iter().any(|table| declared.contains_key(table.name)) {
            return vec![CorruptionEvent {
                corruption_type: CorruptionType::FileCorruption,
                ..event(
                    "file".to_owned(),
                    Severity::Critical,
                    "not one table of such a database: empty, or another file",
                )
            }];
        }
        let mut events = Vec::new();
        for table in self.tables() {
            match (declared.get(table.name), table.required) {
                (Some(columns), _) => events.extend(
                    self.core(table).iter().filter(|column| !columns.iter().any(|name| name == column.name)).map(
                        |column| event(format!("{}.{}", table.name, column.name), Severity::High, "no such column"),
                    ),
                ),
                (None, Some(severity)) => events.push(event(table.name.to_owned(), severity, "no such table")),
                (None, None) => {}
            }
        }
        events
    }

    fn core(self, table: &Table) -> &'static [Column] {
        match self {
            Self::OpenMemory => table.columns,
            Self::Mem0History if table.required.is_some() => &table.columns[..HISTORY_CORE],
            Self::Mem0History => &[],
        }
    }
}

impl Table {
    /// The kind of a column; one that is not known may hold anything readable.
    pub fn kind(&self, column: &str) -> ColumnKind {
        self.columns.iter().find(|known| known.name == column).map_or(ColumnKind::Any, |known| known.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(kind: SchemaKind) -> Declared {
        let names = |table: &Table| table.columns.iter().map(|column| column.name.to_owned()).collect();
        kind.tables().iter().map(|table| (table.name.to_owned(), names(table))).collect()
    }

    #[test]
    fn a_whole_schema_misses_nothing_and_more_is_tolerated() {
        for kind in [SchemaKind::OpenMemory, SchemaKind::Mem0History] {
            let mut declared = whole(kind);
            declared.insert("alembic_version".to_owned(), vec!["version_num".to_owned()]);
            for columns in declared.values_mut() {
                columns.push("invented".to_owned());
            }
            assert_eq!(kind.missing("database", &declared), []);
        }
    }

    #[test]
    fn configs_and_newer_history_columns_may_be_absent() {
        let mut declared = whole(SchemaKind::OpenMemory);
        declared.remove("configs");
        assert_eq!(SchemaKind::OpenMemory.missing("database", &declared), []);
        let mut declared = whole(SchemaKind::Mem0History);
        declared.remove("messages");
        declared.get_mut("history").unwrap().truncate(6);
        assert_eq!(SchemaKind::Mem0History.missing("history", &declared), []);
    }

    #[test]
    fn what_every_generation_has_is_missed_by_name() {
        let mut declared = whole(SchemaKind::OpenMemory);
        declared.remove("memories");
        declared.get_mut("users").unwrap().retain(|name| name != "user_id");
        let objects: Vec<_> = SchemaKind::OpenMemory.missing("database", &declared);
        let objects: Vec<_> = objects.iter().map(|event| (event.object.as_str(), event.severity)).collect();
        assert_eq!(objects, [("users.user_id", Severity::High), ("memories", Severity::Critical)]);
    }

    #[test]
    fn an_empty_database_is_one_event() {
        for kind in [SchemaKind::OpenMemory, SchemaKind::Mem0History] {
            let events = kind.missing("database", &Declared::new());
            assert_eq!(events.len(), 1);
            assert_eq!((events[0].object.as_str(), events[0].severity), ("file", Severity::Critical));
        }
    }

    #[test]
    fn references_name_columns_that_exist() {
        let declared = whole(SchemaKind::OpenMemory);
        for reference in SchemaKind::OpenMemory.references() {
            assert!(declared[reference.table].iter().any(|name| name == reference.column), "{reference:?}");
            assert!(declared.contains_key(reference.parent), "{reference:?}");
        }
    }
}
