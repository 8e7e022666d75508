//! What a private copy holds, and whether it is sound: what a backup is proven by.

use std::collections::BTreeMap;
use std::path::Path;

use super::checks::size;
use super::query::{Reader, SqliteError, Stop, Trouble, quoted, text};
use super::schema::Schema;
use crate::bank::Meter;
use crate::engine::integrity::sqlite::schema::SchemaKind;
use crate::engine::integrity::sqlite::structure::words;

/// What a database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// Rows that refer to rows which do not exist (`PRAGMA foreign_key_check`).
    pub orphans: u64,
    /// What is damaged: SQLite's own words.
    pub damage: Option<String>,
}

/// Lets SQLite recover the copy, write its log back, check it and count its rows.
///
/// # Errors
/// There is no copy, it cannot be read for another reason than damage, or the meter is cancelled.
pub async fn take_stock(copy: &Path, meter: &Meter) -> Result<Stock, SqliteError> {
    let size = size(copy)?;
    meter.grow(size);
    let stock = meter.unless_cancelled(count(copy, size)).await?.map_err(SqliteError::Unreadable)?;
    meter.advance(size);
    Ok(stock)
}

async fn count(copy: &Path, size: u64) -> Result<Stock, String> {
    let stop = Stop::default();
    let mut stock = Stock::default();
    let counted = match Reader::open(copy, size, &stop).await {
        Ok(mut reader) => {
            let counted = fill(&mut reader, &mut stock).await;
            reader.close().await;
            counted
        }
        Err(trouble) => Err(trouble),
    };
    match counted {
        Ok(()) => {}
        Err(Trouble::Damaged(words)) => {
            stock.damage.get_or_insert(words);
        }
        Err(Trouble::Unreadable(words)) => return Err(words),
    }
    Ok(stock)
}

async fn fill(reader: &mut Reader, stock: &mut Stock) -> Result<(), Trouble> {
    reader.each("PRAGMA wal_checkpoint(TRUNCATE)", |_| Ok(())).await?;
    reader
        .each("PRAGMA integrity_check(1)", |row| {
            let line = text(row, 0);
            stock.damage = (line != "ok").then(|| words(&line));
            Ok(())
        })
        .await?;
    let mut orphans = 0;
    let keys = reader.each("PRAGMA foreign_key_check", |_| {
        orphans += 1;
        Ok(())
    });
    match keys.await {
        Err(Trouble::Damaged(words)) => return Err(Trouble::Damaged(words)),
        // A schema whose references fit no table: SQLite refuses to look, and would on the bank's own file.
        Err(Trouble::Unreadable(_)) | Ok(()) => stock.orphans = orphans,
    }
    let tables = Schema::read(reader, SchemaKind::OpenMemory).await?.tables;
    for table in tables {
        let rows = reader.number(format!("SELECT count(*) FROM {} NOT INDEXED", quoted(&table))).await?;
        stock.rows.insert(table, u64::try_from(rows).unwrap_or_default());
    }
    Ok(())
}
