use std::fs;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, query_scalar};

use super::Site;
use crate::sample::damage::Damage;
use crate::sample::error::SampleError;
use crate::sample::planted::{Expected, Planted};
use crate::sample::{timeline, tree};

const INDEX: &str = "ix_memory_access_logs_accessed_at";

/// Changes the last digit of a time in a leaf of an index: its order still holds, so that only a comparison
/// with the table tells that a row is missing from it.
pub async fn plant(site: &Site) -> Result<Planted, SampleError> {
    let path = site.database();
    let options = SqliteConnectOptions::new().filename(&path).read_only(true);
    let mut connection = options.connect().await.map_err(SampleError::sqlite(&path))?;
    let root: Option<i64> = query_scalar("SELECT rootpage FROM sqlite_schema WHERE name = ?")
        .bind(INDEX)
        .fetch_optional(&mut connection)
        .await
        .map_err(SampleError::sqlite(&path))?;
    connection.close().await.map_err(SampleError::sqlite(&path))?;

    let mut bytes = fs::read(&path).map_err(SampleError::io(&path))?;
    let root = root.and_then(|page| u32::try_from(page).ok()).ok_or_else(|| site.too_small(Damage::IndexDamage))?;
    let digit = leaf(&bytes, root).and_then(|page| last_digit(&bytes, page));
    let digit = digit.and_then(|at| bytes.get_mut(at)).ok_or_else(|| site.too_small(Damage::IndexDamage))?;
    *digit ^= 1;
    tree::write(&path, &bytes, timeline::end())?;
    Ok(Planted::of(Damage::IndexDamage, vec![Expected::corruption("sqlite-integrity-check", "database", INDEX, None)]))
}

/// The first byte of the leftmost leaf below a page of an index.
fn leaf(bytes: &[u8], root: u32) -> Option<usize> {
    let page_size = usize::from(u16::from_be_bytes([*bytes.get(16)?, *bytes.get(17)?]));
    let mut page = root;
    // A tree of more levels than this would need more pages than SQLite has.
    for _ in 0..20 {
        let start = (page as usize - 1) * page_size;
        // Page types: 10 is a leaf of an index, 2 an inner page, whose cells begin with their left child.
        match bytes.get(start)? {
            10 => return Some(start),
            2 => {
                let cell = start + usize::from(u16::from_be_bytes([*bytes.get(start + 12)?, *bytes.get(start + 13)?]));
                page = u32::from_be_bytes(bytes.get(cell..cell + 4)?.try_into().ok()?);
            }
            _ => return None,
        }
    }
    None
}

/// Where the time of the first cell of a leaf ends.
fn last_digit(bytes: &[u8], page: usize) -> Option<usize> {
    let cell = page + usize::from(u16::from_be_bytes([*bytes.get(page + 8)?, *bytes.get(page + 9)?]));
    let text = bytes.get(cell..cell + 40)?;
    let start = text.windows(5).position(|five| five == b"2025-")?;
    Some(cell + start + "2025-06-02 07:00:00.000000".len() - 1)
}
