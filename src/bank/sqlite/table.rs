//! The rows of one table in the order of storage, with their cells as stored.
//!
//! A row of its own costs sqlx two allocations for each cell, behind the one lock of SQLite's allocator, and
//! a hand-over from thread to thread: several times what reading it costs. So SQLite packs some hundred rows
//! into one text. Where that text cannot tell exactly what is stored (bytes, numbers where text belongs, a
//! NUL, another encoding), the same rows are read one by one: rare in a sound bank, and the same answer.

use std::ffi::CStr;

use super::query::{Reader, Trouble, cell, quoted};
use crate::engine::integrity::sqlite::cell::Cell;
use crate::engine::integrity::sqlite::text::Encoding;

/// What a packed text is to hold, in bytes: within the second-level cache.
pub(super) const PACKED: usize = 256 << 10;
/// The most rows in one text.
pub(super) const ROWS: i64 = 1_024;

/// A column to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    /// Whether it holds numbers; others hold text.
    pub(super) number: bool,
}

/// A column of text.
pub(super) const fn text(name: &str) -> Wanted<'_> {
    Wanted { name, number: false }
}

/// Gives each row of a table to `take`, by number and cells. Text comes in the encoding that is given: that of
/// the database, to see it as it is stored, or UTF-8, to which SQLite converts and mends it.
pub(super) async fn rows(
    reader: &mut Reader,
    table: &str,
    columns: &[Wanted<'_>],
    encoding: Encoding,
    take: impl FnMut(i64, &[Cell<'_>]) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    rows_between(reader, table, columns, encoding, (i64::MIN, i64::MAX), take).await
}

/// The same of the rows from one number to another, both included.
pub(super) async fn rows_between(
    reader: &mut Reader,
    table: &str,
    columns: &[Wanted<'_>],
    encoding: Encoding,
    (first, until): (i64, i64),
    mut take: impl FnMut(i64, &[Cell<'_>]) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let source =
        format!("FROM {} NOT INDEXED WHERE rowid >= ?1 AND rowid <= {until} ORDER BY rowid LIMIT ?2", quoted(table));
    let packed = format!("SELECT count(*), group_concat(p, '') FROM (SELECT {} AS p {source})", pack(columns));
    let exact = format!("SELECT +rowid{} {source}", bare(columns, encoding));
    let (mut from, mut limit) = (first, ROWS / 8);
    loop {
        let mut last = None;
        // A table is stored in the order of its row numbers. Where it is not, pages point at each other in a
        // circle, and reading on would never end.
        let mut next = |row: i64, cells: &[Cell<'_>]| {
            if row < from || last.replace(row).is_some_and(|last| last >= row) {
                return Err(Trouble::Damaged(format!("row {row} comes out of order")));
            }
            take(row, cells)
        };
        let mut plain = encoding == Encoding::Utf8;
        let mut size = 0;
        if plain {
            plain = false;
            let result = reader
                .each_from(&packed, from, limit, |row| {
                    let count = if let Cell::Integer(count) = cell(row, 0) { count } else { 0 };
                    let text = if let Cell::Text(text) = cell(row, 1) { text } else { &[] };
                    let Some(rows) = unpack(text, count, columns) else { return Ok(()) };
                    plain = true;
                    size = text.len();
                    rows.chunks_exact(columns.len() + 1).try_for_each(|cells| match cells {
                        [Cell::Integer(row), cells @ ..] => next(*row, cells),
                        _ => Ok(()),
                    })
                })
                .await;
            match result {
                // Such as a text longer than SQLite can make; if it was something else, it will be told again.
                Err(Trouble::Unreadable(_)) if !plain => {}
                result => result?,
            }
        }
        if !plain {
            reader
                .each_from(&exact, from, limit, |row| {
                    let Cell::Integer(number) = cell(row, 0) else { return Ok(()) };
                    let cells = (1..=columns.len()).map(|at| match cell(row, at) {
                        Cell::Blob(bytes) if encoding != Encoding::Utf8 => Cell::Text(bytes),
                        cell => cell,
                    });
                    next(number, &cells.collect::<Vec<_>>())
                })
                .await?;
        }
        match last.and_then(|last: i64| last.checked_add(1)) {
            Some(next) => from = next,
            None => return Ok(()),
        }
        limit = if size > PACKED {
            (limit / 2).max(1)
        } else if size < PACKED / 2 {
            (limit * 2).min(ROWS)
        } else {
            limit
        };
    }
}

/// The expressions of the cells as stored. Unary plus makes them expressions, of which sqlx reads no name
/// and no type from the schema: it panics where a damaged schema holds no text there.
pub(super) fn bare(columns: &[Wanted<'_>], encoding: Encoding) -> String {
    let column = |column: &Wanted<'_>| match (encoding, quoted(column.name)) {
        (Encoding::Utf8, name) => format!(", +{name}"),
        (_, name) => format!(", CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"),
    };
    columns.iter().map(column).collect::<Vec<_>>().concat()
}

/// The expression that packs one row: its number, then each cell's text, a NUL, and `n` for NULL or `v`. A row
/// that has a cell of another type begins with `!`. In SQLite's order numbers are less than text, and bytes
/// greater, so that a comparison tells the type, and without the price of calling `typeof`.
pub(super) fn pack(columns: &[Wanted<'_>]) -> String {
    let odd = |column: &Wanted<'_>| match (quoted(column.name), column.number) {
        (name, true) => format!("+{name} >= ''"),
        (name, false) => format!("+{name} < '' OR +{name} >= x''"),
    };
    let value = |column: &Wanted<'_>| {
        let name = quoted(column.name);
        format!(", +{name}, char(0), CASE WHEN {name} IS NULL THEN 'n' ELSE 'v' END")
    };
    let odd = columns.iter().map(odd).collect::<Vec<_>>().join(" OR ");
    let values = columns.iter().map(value).collect::<Vec<_>>().concat();
    format!("concat(CASE WHEN {odd} THEN '!' ELSE '' END, rowid, char(0){values})")
}

/// The row numbers and cells of a packed text; none where it does not tell all exactly. A NUL within a cell
/// makes one cell too many, which nothing else can make good.
pub(super) fn unpack<'t>(mut text: &'t [u8], rows: i64, columns: &[Wanted<'_>]) -> Option<Vec<Cell<'t>>> {
    let rows = usize::try_from(rows).ok()?;
    let mut cells = Vec::with_capacity(rows.checked_mul(columns.len() + 1)?);
    for _ in 0..rows {
        cells.push(Cell::Integer(number(until_nul(&mut text)?)?));
        for column in columns {
            let value = until_nul(&mut text)?;
            let tag = text.split_off_first()?;
            cells.push(match tag {
                b'n' => Cell::Null,
                b'v' if column.number => Cell::Integer(number(value)?),
                b'v' => Cell::Text(value),
                _ => return None,
            });
        }
    }
    text.is_empty().then_some(cells)
}

fn until_nul<'t>(text: &mut &'t [u8]) -> Option<&'t [u8]> {
    let value = CStr::from_bytes_until_nul(text).ok()?.to_bytes();
    *text = &text[value.len() + 1..];
    Some(value)
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Wanted<'_>; 2] = [Wanted { name: "a", number: false }, Wanted { name: "b", number: true }];

    #[test]
    fn a_packed_text_tells_rows_and_nulls() {
        let cells = unpack(b"7\0tea\0v1\0v9\0\0n\0n", 2, &COLUMNS).unwrap();
        let tea = [Cell::Integer(7), Cell::Text(b"tea"), Cell::Integer(1)];
        assert_eq!(cells, [&tea[..], &[Cell::Integer(9), Cell::Null, Cell::Null]].concat());
        assert_eq!(unpack(b"", 0, &COLUMNS), Some(Vec::new()));
    }

    #[test]
    fn what_is_not_exact_is_refused() {
        for text in [
            &b"!7\0tea\0v1\0v"[..],
            b"7\0te\0a\0v1\0v",
            b"7\0te\0va\0v1\0v",
            b"7\0tea\0v1.5\0v",
            b"7\0tea\0v1\0v8",
            b"7\0tea\0v1\0",
            b"",
        ] {
            assert_eq!(unpack(text, 1, &COLUMNS), None, "{:?}", text.escape_ascii().to_string());
        }
    }
}
