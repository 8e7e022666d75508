use std::collections::HashSet;
use std::ops::Range;

/// The pages of a SQLite file, as the file format lays them out (sqlite.org/fileformat2.html).
#[derive(Debug)]
pub struct Pages<'a> {
    bytes: &'a [u8],
    size: usize,
    free: HashSet<usize>,
    trunks: Vec<usize>,
}

/// What a page of a tree holds; the numbers are those of the file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    TableLeaf,
    IndexLeaf,
    Inner,
}

impl<'a> Pages<'a> {
    /// Reads the page size and the list of free pages; none for a file that has no header.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let size = match u16::from_be_bytes([*bytes.get(16)?, *bytes.get(17)?]) {
            1 => 65_536,
            size => usize::from(size),
        };
        let mut pages = Self { bytes, size, free: HashSet::new(), trunks: Vec::new() };
        let mut trunk = pages.number(32)?;
        while trunk != 0 && pages.free.insert(trunk) {
            pages.trunks.push(trunk);
            let start = pages.range(trunk).start;
            for leaf in 0..pages.number(start + 4)?.min(size / 4) {
                pages.free.insert(pages.number(start + 8 + 4 * leaf)?);
            }
            trunk = pages.number(start)?;
        }
        Some(pages)
    }

    /// Bytes of a page.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// How many pages the file has.
    pub const fn count(&self) -> usize {
        self.bytes.len() / self.size
    }

    /// Where a page lies; the first has number 1.
    pub const fn range(&self, page: usize) -> Range<usize> {
        (page - 1) * self.size..page * self.size
    }

    /// The trunk pages of the list of free pages.
    pub fn trunks(&self) -> &[usize] {
        &self.trunks
    }

    /// The pages of trees but the first page, which also holds the file's header.
    pub fn trees(&self) -> Vec<(usize, Tree)> {
        let used = (2..=self.count()).filter(|page| !self.free.contains(page));
        used.filter_map(|page| Some((page, self.tree(page)?))).collect()
    }

    /// Offsets of the cells of a page of a tree.
    pub fn cells(&self, page: usize) -> Vec<usize> {
        let start = self.range(page).start;
        let head = start + if page == 1 { 100 } else { 0 };
        let inner = matches!(self.bytes.get(head), Some(2 | 5));
        let array = head + if inner { 12 } else { 8 };
        let count = self.short(head + 3).unwrap_or(0).min(self.size / 4);
        (0..count).filter_map(|cell| Some(start + self.short(array + 2 * cell)?)).collect()
    }

    /// The children of an inner page but the last; none of a leaf.
    pub fn children(&self, page: usize) -> Vec<usize> {
        let head = self.range(page).start + if page == 1 { 100 } else { 0 };
        match self.bytes.get(head) {
            Some(2 | 5) => self.cells(page).into_iter().filter_map(|cell| self.number(cell)).collect(),
            _ => Vec::new(),
        }
    }

    fn tree(&self, page: usize) -> Option<Tree> {
        match self.bytes.get(self.range(page).start)? {
            13 => Some(Tree::TableLeaf),
            10 => Some(Tree::IndexLeaf),
            2 | 5 => Some(Tree::Inner),
            _ => None,
        }
    }

    fn number(&self, at: usize) -> Option<usize> {
        let four: [u8; 4] = self.bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(four) as usize)
    }

    fn short(&self, at: usize) -> Option<usize> {
        let two: [u8; 2] = self.bytes.get(at..at + 2)?.try_into().ok()?;
        Some(usize::from(u16::from_be_bytes(two)))
    }
}
