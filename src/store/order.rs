//! Which report is the newest: the one whose run began last, by a count that no clock can break.

use super::StoreError;
use super::db::Tx;
use super::value::args;

/// The next number. Until the transaction ends no other takes one, so the numbers rise in the order of
/// commits; a transaction that locks anything else but the audit log takes its number first.
pub(super) async fn next(tx: &mut Tx) -> Result<i64, StoreError> {
    let row = tx.row("UPDATE run_order SET last_seq = last_seq + 1 RETURNING last_seq", Vec::new()).await?;
    let row = row.ok_or_else(|| StoreError::damaged(tx.place(), "run_order has lost its row"))?;
    row.int("last_seq")
}

/// The number of a run; a run that is not known, or not from here, counts as begun with its report.
pub(super) async fn of_run(tx: &mut Tx, uid: &str) -> Result<i64, StoreError> {
    let known = tx.row("SELECT seq FROM runs WHERE uid = $1", args![uid]).await?;
    match known.map(|row| row.maybe_int("seq")).transpose()?.flatten() {
        Some(seq) => Ok(seq),
        None => next(tx).await,
    }
}
