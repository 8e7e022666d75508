//! The memories of a copy in the order of their ids, each with the name of its user, and their sums by range.

use std::path::Path;

use super::checks::size;
use super::query::{Reader, Stop, Trouble, cell};
use super::rows::readable;
use super::schema::Schema;
use super::table::{self, PACKED, ROWS, Wanted, bare, pack, text, unpack};
use crate::engine::consistency::{Content, Row, Stored, Sums, of};
use crate::engine::integrity::sqlite::cell::Cell;
use crate::engine::integrity::sqlite::schema::SchemaKind;
use crate::engine::integrity::sqlite::text::Encoding;
use crate::engine::integrity::sqlite::uuid;

const COLUMNS: [&str; 7] = ["id", "state", "user_id", "content", "created_at", "updated_at", "deleted_at"];
/// In the order of the index on `id`, which SQLite compares byte by byte: for ids of 32 hex digits the order of their
/// 128 bits. Both ends are texts that look like no number, or `id` would be compared with a number in their place.
const ORDERED: &str = "FROM (SELECT m.rowid AS rowid, m.id AS id, m.state AS state, m.user_id AS user_id, \
    m.content AS content, m.created_at AS created_at, m.updated_at AS updated_at, m.deleted_at AS deleted_at, \
    u.user_id AS owner FROM memories AS m LEFT JOIN users AS u ON u.id = m.user_id \
    WHERE m.id > ?1 AND m.id < ?2 ORDER BY m.id LIMIT ?3)";

/// What is left of some ids in a row.
#[derive(Clone, Debug)]
pub struct MemorySpan {
    after: String,
    before: String,
}

impl MemorySpan {
    /// From one id to another, both included.
    pub fn new(first: u128, last: u128) -> Self {
        // `!` comes before every digit.
        let after = first.checked_sub(1).map_or("!".to_owned(), |before| format!("{before:032x}!"));
        Self { after, before: format!("{last:032x}!") }
    }
}

/// Reads the memories of a private copy, which SQLite may recover and write to. Errors are words for people.
pub struct MemoryReader {
    reader: Reader,
    packed: String,
    exact: String,
    limit: i64,
    _stop: Stop,
}

impl MemoryReader {
    /// Opens a copy that has all that is compared.
    pub async fn open(copy: &Path) -> Result<Self, String> {
        let size = size(copy).map_err(|error| error.to_string())?;
        let stop = Stop::default();
        let told = |trouble: Trouble| trouble.words().to_owned();
        let mut reader = Reader::open(copy, size, &stop).await.map_err(told)?;
        let schema = Schema::read(&mut reader, SchemaKind::OpenMemory).await.map_err(told)?;
        if !schema.has("memories", &COLUMNS) || !schema.has("users", &["id", "user_id"]) {
            return Err("a table or column that is compared is missing".to_owned());
        }
        let wanted = ordered();
        let packed = format!("SELECT count(*), group_concat(p, '') FROM (SELECT {} AS p {ORDERED})", pack(&wanted));
        let exact = format!("SELECT +rowid{} {ORDERED}", bare(&wanted, Encoding::Utf8));
        Ok(Self { reader, packed, exact, limit: ROWS / 8, _stop: stop })
    }

    /// The number in the middle between the first row's and the last one's.
    pub async fn middle(&mut self) -> Result<i64, String> {
        // Each asked for alone takes one walk down the tree, both in one question a walk over all rows.
        let [first, last] = ["min", "max"].map(|end| format!("(SELECT {end}(rowid) FROM memories)"));
        let middle = self.reader.number(format!("SELECT coalesce({first} / 2 + {last} / 2, 0)")).await;
        middle.map_err(|trouble| trouble.words().to_owned())
    }

    /// The sums by range of the rows from one number to another, both included, read in the order of storage and by no
    /// index.
    pub async fn sums(&mut self, rows: (i64, i64)) -> Result<Sums, String> {
        let mut sums = Sums::default();
        let wanted = COLUMNS.map(text);
        table::rows_between(&mut self.reader, "memories", &wanted, Encoding::Utf8, rows, |_, cells| {
            let stored = stored(cells);
            let (live, digest) = stored.map_or((false, 0), |stored| stored.sum());
            sums.live += u64::from(live);
            match stored.and_then(|stored| sums.ranges.get_mut(of(stored.id))) {
                Some(sum) => sum.add(digest),
                None => sums.broken += 1,
            }
            Ok(())
        })
        .await
        .map_err(|trouble| trouble.words().to_owned())?;
        Ok(sums)
    }

    /// About how many memories there are, for the room that they take.
    pub async fn count(&mut self) -> Result<u64, String> {
        let count = self.reader.number("SELECT count(state) FROM memories NOT INDEXED").await;
        count.map(|count| u64::try_from(count).unwrap_or_default()).map_err(|trouble| trouble.words().to_owned())
    }

    /// Gives the id of each memory that is not deleted, in the order of storage.
    pub async fn live(&mut self, mut take: impl FnMut(u128)) -> Result<(), String> {
        table::rows(&mut self.reader, "memories", &[text("id"), text("state")], Encoding::Utf8, |_, cells| {
            if let (Some(id), Some(state)) = (readable(cells[0]), readable(cells[1]))
                && state != "deleted"
                && let Some(id) = uuid::plain(id.as_bytes())
            {
                take(id);
            }
            Ok(())
        })
        .await
        .map_err(|trouble| trouble.words().to_owned())
    }

    /// The next rows of a span in ascending order; none at its end. Rows whose id is none (I14) are passed over.
    pub async fn next(&mut self, span: &mut MemorySpan) -> Result<Vec<Row>, String> {
        loop {
            let (rows, seen) = self.window(span).await.map_err(|trouble| trouble.words().to_owned())?;
            if !rows.is_empty() || seen == 0 {
                return Ok(rows);
            }
        }
    }

    /// Some rows, and how many there were of which that is what can be compared.
    async fn window(&mut self, span: &mut MemorySpan) -> Result<(Vec<Row>, i64), Trouble> {
        let ends = (span.after.as_str(), span.before.as_str());
        let wanted = ordered();
        let (mut rows, mut seen, mut plain, mut size, mut last) = (Vec::new(), 0, false, 0, None);
        let mut take = |cells: &[Cell<'_>]| {
            seen += 1;
            last = cells.first().and_then(|cell| readable(*cell)).map(str::to_owned).or(last.take());
            if let (Some(stored), [.., owner]) = (stored(cells), cells) {
                rows.push(stored.row(readable(*owner).map(str::as_bytes)));
            }
        };
        let packed = self.reader.each_between(&self.packed, ends, self.limit, |row| {
            let count = if let Cell::Integer(count) = cell(row, 0) { count } else { 0 };
            let text = if let Cell::Text(text) = cell(row, 1) { text } else { &[] };
            let Some(cells) = unpack(text, count, &wanted) else { return Ok(()) };
            (plain, size) = (true, text.len());
            cells.chunks_exact(wanted.len() + 1).for_each(|cells| take(&cells[1..]));
            Ok(())
        });
        match packed.await {
            // Such as a text longer than SQLite can make; if it was something else, it will be told again.
            Err(Trouble::Unreadable(_)) if !plain => {}
            result => result?,
        }
        if !plain {
            self.reader
                .each_between(&self.exact, ends, self.limit, |row| {
                    take(&(1..=wanted.len()).map(|at| cell(row, at)).collect::<Vec<_>>());
                    Ok(())
                })
                .await?;
        }
        if let Some(last) = last {
            span.after = format!("{last}!");
        } else if seen > 0 {
            return Err(Trouble::Damaged("an id that is compared as text is none".to_owned()));
        }
        self.limit = if size > PACKED { (self.limit / 2).max(1) } else { (self.limit * 2).min(ROWS) };
        Ok((rows, seen))
    }

    /// Ends the connection.
    pub async fn close(self) {
        self.reader.close().await;
    }
}

/// The columns of the ordered reading.
fn ordered() -> Vec<Wanted<'static>> {
    COLUMNS.into_iter().chain(["owner"]).map(text).collect()
}

/// A row of which the id can be compared: 32 lower-case hex digits, the only form that OpenMemory finds again.
fn stored<'c>(cells: &[Cell<'c>]) -> Option<Stored<'c>> {
    let [id, state, user, content, created, updated, deleted, ..] = *cells else { return None };
    let bytes = |cell: Cell<'c>| if let Cell::Text(bytes) = cell { Some(bytes) } else { None };
    Some(Stored {
        id: uuid::plain(bytes(id)?)?,
        state: bytes(state),
        user: bytes(user),
        content: bytes(content).map_or(Content::Absent, Content::Text),
        created: bytes(created),
        updated: bytes(updated),
        deleted: bytes(deleted),
    })
}
