use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::table::Table;
use super::{Declared, SalvageError};
use crate::bank::Meter;
use crate::engine::recovery::{Geometry, LeafCell, Stored, TablePage, record};

/// The most pages of a file whose walk fits in memory, a bit for each: 4 TiB of 4 KiB pages take 128 MiB.
const MAX_PAGES: u64 = 1 << 30;
/// The deepest tree that is followed.
const MAX_DEPTH: u32 = 40;

/// What takes the payload and number of a row; whether it was one.
pub(super) type Take<'a> = &'a mut dyn FnMut(&[u8], i64) -> bool;

/// A walk over the pages of a file.
pub(super) struct Walk {
    file: File,
    path: PathBuf,
    geometry: Geometry,
    pages: u64,
    seen: Vec<u64>,
    /// Pages, pointers and rows that were none.
    pub broken: u64,
}

impl Walk {
    pub fn open(path: &Path, like: Option<&Path>) -> Result<Self, SalvageError> {
        let failed = |source| SalvageError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let head = |file: &File| {
            let mut bytes = [0; 100];
            file.read_exact_at(&mut bytes, 0).ok()?;
            Geometry::read(&bytes)
        };
        let other = || like.and_then(|like| head(&File::open(like).ok()?));
        let geometry = head(&file).or_else(other).ok_or(SalvageError::NoSchema)?;
        let pages = size / geometry.page as u64;
        if pages > MAX_PAGES {
            return Err(SalvageError::NoSchema);
        }
        let seen = vec![0; usize::try_from(pages / 64 + 1).unwrap_or_default()];
        Ok(Self { file, path: path.to_owned(), geometry, pages, seen, broken: 0 })
    }

    fn read(&self, page: u32) -> Result<Option<Vec<u8>>, SalvageError> {
        if page == 0 || u64::from(page) > self.pages {
            return Ok(None);
        }
        let mut bytes = vec![0; self.geometry.page];
        let at = u64::from(page - 1) * self.geometry.page as u64;
        match self.file.read_exact_at(&mut bytes, at) {
            Ok(()) => Ok(Some(bytes)),
            // A device that fails to give one page may give the others.
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => Ok(None),
            Err(source) => Err(SalvageError::Io { path: self.path.clone(), source }),
        }
    }

    /// Marks a page; whether it was not before.
    fn mark(&mut self, page: u32) -> bool {
        let Some(word) = self.seen.get_mut(page as usize / 64) else { return false };
        let bit = 1 << (page % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// The file's own schema, and whether all of it could be read.
    pub fn schema(&mut self, meter: &Meter) -> Result<(Vec<Declared>, bool), SalvageError> {
        let mut entries = Vec::new();
        self.table(
            1,
            &mut |payload, _| {
                let Some(values) = record(payload) else { return false };
                let text = |value: &Stored<'_>| match value {
                    Stored::Text(bytes) => std::str::from_utf8(bytes).ok().map(str::to_owned),
                    _ => None,
                };
                let [kind, name, _, root, sql] = &values[..] else { return false };
                let (Some(kind), Some(name)) = (text(kind), text(name)) else { return false };
                let root = if let Stored::Integer(root) = root { u32::try_from(*root).unwrap_or_default() } else { 0 };
                entries.push(Declared { kind, name, root, sql: text(sql).unwrap_or_default() });
                true
            },
            meter,
        )?;
        let whole = self.broken == 0;
        Ok((entries, whole))
    }

    /// Walks a table's tree from its root.
    pub fn table(&mut self, root: u32, take: Take<'_>, meter: &Meter) -> Result<(), SalvageError> {
        let mut left = vec![(root, 0)];
        while let Some((page, depth)) = left.pop() {
            meter.check()?;
            let bytes = if depth <= MAX_DEPTH && self.mark(page) { self.read(page)? } else { None };
            match bytes.as_deref().and_then(|bytes| self.geometry.table_page(bytes, page == 1)) {
                None => self.broken += 1,
                Some(TablePage::Interior(below, bad)) => {
                    self.broken += bad;
                    left.extend(below.into_iter().rev().map(|page| (page, depth + 1)));
                }
                Some(TablePage::Leaf(cells, bad)) => {
                    self.broken += bad;
                    for cell in cells {
                        match self.payload(bytes.as_deref().unwrap_or_default(), &cell)? {
                            Some(payload) if take(&payload, cell.row) => {}
                            _ => self.broken += 1,
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// All bytes of a row.
    fn payload(&mut self, page: &[u8], cell: &LeafCell) -> Result<Option<Vec<u8>>, SalvageError> {
        let mut payload = page[cell.local.clone()].to_vec();
        let size = usize::try_from(cell.size).unwrap_or(usize::MAX);
        let mut next = cell.overflow;
        while payload.len() < size {
            let Some(number) = next else { return Ok(None) };
            let Some(bytes) = self.read(number)? else { return Ok(None) };
            let left = size - payload.len();
            let Some((after, part)) = self.geometry.overflow(&bytes, left) else { return Ok(None) };
            payload.extend_from_slice(part);
            // A page of no content would be followed for ever.
            next = (after > 1 && !part.is_empty()).then_some(after);
            self.mark(number);
        }
        Ok(Some(payload))
    }

    /// Takes the leaves that no tree leads to any more, each for the one broken table that its rows fit. What is on the list
    /// of free pages was deleted, and stays so.
    pub fn strays(&mut self, tables: &mut [Table<'_>], meter: &Meter) -> Result<u64, SalvageError> {
        if !self.mark_free()? {
            return Ok(0);
        }
        let mut found = 0;
        for page in 2..=u32::try_from(self.pages).unwrap_or(u32::MAX) {
            meter.check()?;
            if !self.mark(page) {
                continue;
            }
            let Some(bytes) = self.read(page)? else { continue };
            let Some(TablePage::Leaf(cells, 0)) = self.geometry.table_page(&bytes, false) else { continue };
            let mut rows = Vec::with_capacity(cells.len());
            for cell in &cells {
                if let Some(payload) = self.payload(&bytes, cell)? {
                    rows.push((payload, cell.row));
                }
            }
            if rows.len() < cells.len() || rows.is_empty() {
                continue;
            }
            // Rows that are older than the newest columns of their table are shorter.
            let fitting = |fits: fn(&Table<'_>, usize) -> bool| -> Vec<usize> {
                let all = |table: &Table<'_>| {
                    rows.iter().all(|(row, _)| record(row).is_some_and(|values| fits(table, values.len())))
                };
                (0..tables.len()).filter(|at| all(&tables[*at])).collect()
            };
            let mut places = fitting(|table, columns| columns == table.columns);
            if places.is_empty() {
                places = fitting(|table, columns| columns <= table.columns);
            }
            if let [only] = places[..] {
                let table = &mut tables[only];
                found += rows.iter().filter(|(payload, row)| table.insert(payload, *row)).count() as u64;
            }
        }
        Ok(found)
    }

    /// Marks the free pages; false where their list cannot be followed to its end.
    fn mark_free(&mut self) -> Result<bool, SalvageError> {
        let Some(first) = self.read(1)? else { return Ok(false) };
        let [a, b, c, d] = first[32..36] else { return Ok(false) };
        let mut next = u32::from_be_bytes([a, b, c, d]);
        let mut trunks = BTreeSet::new();
        while next != 0 {
            if !trunks.insert(next) {
                return Ok(false);
            }
            let Some(bytes) = self.read(next)? else { return Ok(false) };
            let Some((after, free)) = self.geometry.trunk(&bytes) else { return Ok(false) };
            self.mark(next);
            for page in free {
                self.mark(page);
            }
            next = after;
        }
        Ok(true)
    }
}
