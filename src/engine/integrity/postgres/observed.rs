/// What was asked of a server, or for people why there is no answer.
pub type Answer<T> = Result<T, String>;

/// What a server says of one database and of the schema with OpenMemory's tables in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// What the checksums of pages tell.
    pub checksums: Answer<Checksums>,
    /// Indexes of the schema that are not valid: built `CONCURRENTLY` and broken off, so that nothing uses them.
    pub invalid_indexes: Answer<Vec<String>>,
    /// How old the oldest transaction is that the database must still tell apart, in transactions.
    pub age: Answer<u64>,
    /// The tables of the schema that are known, with what the statistics count.
    pub tables: Answer<Vec<TableFacts>>,
    /// What amcheck says; none where the level does not ask.
    pub amcheck: Option<Answer<Amcheck>>,
    /// The rows that break an invariant; none where the level does not ask.
    pub rows: Option<Vec<RowFault>>,
}

/// What `pg_stat_database` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// Whether pages have checksums at all.
    pub enabled: bool,
    /// Pages that were read and did not match theirs since the statistics were reset.
    pub failures: u64,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFacts {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// Rows that are there, and rows that wait to be removed, as the statistics estimate them.
    pub live: u64,
    /// See `live`.
    pub dead: u64,
}

/// What amcheck found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amcheck {
    /// The b-trees that were looked at.
    pub indexes: usize,
    /// The tables that were looked at.
    pub tables: usize,
    /// Each index that is damaged, with the server's words.
    pub damaged_indexes: Vec<(String, String)>,
    /// Each table that is damaged: how many faults, and where some of them are.
    pub damaged_tables: Vec<(String, u64, Vec<String>)>,
    /// What could not be looked at, and why.
    pub unread: Vec<(String, String)>,
}

/// The rows that break one invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// Which.
    pub question: Question,
    /// `table.column`.
    pub object: String,
    /// How many rows, and the ids of some.
    pub found: Answer<(u64, Vec<String>)>,
}

/// What is asked of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// Which refer to rows that do not exist (I7)?
    Orphans,
    /// Which are deleted without a time of it (I12)?
    DeletedWithoutTime,
    /// Which are archived without a time of it (I12)?
    ArchivedWithoutTime,
    /// Which have a status history that ends in another state (I12)?
    BrokenChain,
    /// Which repeat the text of another of the same user (I15)?
    Repeated,
}
