use super::compare::Shelf;
use crate::domain::Digest;
use crate::engine::consistency::baseline::{Entry, Index, segment_name};

/// The entries that earlier runs left, range by range in their order; one segment is in memory at a time.
pub(super) struct Old<'a, S> {
    shelf: &'a S,
    pub index: Index,
    /// How many segments were opened.
    opened: usize,
    bytes: Vec<u8>,
    at: usize,
}

impl<'a, S: Shelf> Old<'a, S> {
    pub fn new(shelf: &'a S, index: Index) -> Self {
        Self { shelf, index, opened: 0, bytes: Vec::new(), at: 0 }
    }

    /// The entries of the next range.
    pub async fn entries(&mut self, range: usize) -> Result<Vec<u8>, String> {
        let count = self.index.records.get(range).map_or(0, |record| record.entries as usize);
        if count == 0 {
            return Ok(Vec::new());
        }
        while let Some(segment) = self.index.segments.get(self.opened).filter(|next| next.first as usize <= range) {
            let name = segment_name(self.opened);
            let bytes = self.shelf.load(&name).await?;
            let bytes = bytes.filter(|bytes| Digest::of(bytes) == segment.digest);
            self.bytes = bytes.ok_or_else(|| format!("{name} is not there, or not the one that the baseline names"))?;
            self.opened += 1;
            self.at = 0;
        }
        let end = self.at + count * Entry::BYTES;
        let entries = self.bytes.get(self.at..end).ok_or("a segment of the baseline is cut")?;
        self.at = end;
        Ok(entries.to_vec())
    }
}
