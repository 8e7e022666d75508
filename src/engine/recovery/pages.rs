//! The leaves of a SQLite table, read from their bytes: <https://www.sqlite.org/fileformat2.html>. Nothing of a damaged
//! page is believed that does not fit within it.

/// The largest row that is read: what SQLite itself allows by default is 1 GB.
const MAX_ROW: u64 = 256 << 20;
/// The first bytes of every database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// How a file is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of a page.
    pub page: usize,
    /// Of these, what holds content.
    pub usable: usize,
}

/// A page of a table's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TablePage {
    /// Rows, and how many cells were none.
    Leaf(Vec<LeafCell>, u64),
    /// The pages below, in order, and how many pointers were none.
    Interior(Vec<u32>, u64),
}

/// A row within a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafCell {
    /// Its number.
    pub row: i64,
    /// Bytes of it in all.
    pub size: u64,
    /// Where its first bytes are in the page.
    pub local: std::ops::Range<usize>,
    /// The page that has the next ones, where these are not all.
    pub overflow: Option<u32>,
}

/// A value as it is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Stored<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

impl Geometry {
    /// Of the first 100 bytes of a file; none where they are no header, or text is not UTF-8.
    pub fn read(header: &[u8]) -> Option<Self> {
        let header: &[u8; 100] = header.first_chunk()?;
        let page = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            size => usize::from(size),
        };
        let encoding = u32::from_be_bytes([header[56], header[57], header[58], header[59]]);
        let sound = header.starts_with(MAGIC) && page.is_power_of_two() && page >= 512 && encoding <= 1;
        let usable = page.checked_sub(usize::from(header[20])).filter(|usable| *usable >= 480)?;
        sound.then_some(Self { page, usable })
    }

    /// Reads a page of a table's tree; none where it is something else. `first` is the page with the file's header.
    pub fn table_page(&self, bytes: &[u8], first: bool) -> Option<TablePage> {
        let at = if first { 100 } else { 0 };
        let bytes = bytes.get(..self.usable)?;
        let (kind, count) = (*bytes.get(at)?, usize::from(be16(bytes, at + 3)?));
        let head = match kind {
            0x0d => 8,
            0x05 => 12,
            _ => return None,
        };
        let pointer = |cell: usize| be16(bytes, at + head + 2 * cell).map(usize::from);
        let mut bad = 0;
        if kind == 0x05 {
            let mut below = Vec::with_capacity(count.min(self.usable / 2) + 1);
            for cell in 0..count {
                match pointer(cell).and_then(|at| be32(bytes, at)).filter(|page| *page > 1) {
                    Some(page) => below.push(page),
                    None => bad += 1,
                }
            }
            match be32(bytes, at + 8).filter(|page| *page > 1) {
                Some(page) => below.push(page),
                None => bad += 1,
            }
            return Some(TablePage::Interior(below, bad));
        }
        let mut cells = Vec::with_capacity(count.min(self.usable / 4));
        for cell in 0..count {
            match pointer(cell).filter(|start| *start >= at + head).and_then(|start| self.cell(bytes, start)) {
                Some(cell) => cells.push(cell),
                None => bad += 1,
            }
        }
        Some(TablePage::Leaf(cells, bad))
    }

    fn cell(&self, bytes: &[u8], start: usize) -> Option<LeafCell> {
        let (size, after) = varint(bytes, start)?;
        let (row, after) = varint(bytes, after)?;
        let size = u64::try_from(size).ok().filter(|size| *size <= MAX_ROW)?;
        let (whole, usable) = (usize::try_from(size).ok()?, self.usable);
        let most = usable - 35;
        if whole <= most {
            let local = after..after.checked_add(whole)?;
            return (local.end <= bytes.len()).then_some(LeafCell { row, size, local, overflow: None });
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let fitting = least + (whole - least) % (usable - 4);
        let kept = if fitting <= most { fitting } else { least };
        let local = after..after.checked_add(kept)?;
        let overflow = be32(bytes, local.end).filter(|page| *page > 1)?;
        Some(LeafCell { row, size, local, overflow: Some(overflow) })
    }

    /// The next page of a row and the bytes of it that are in this one.
    pub fn overflow<'a>(&self, page: &'a [u8], left: usize) -> Option<(u32, &'a [u8])> {
        let page = page.get(..self.usable)?;
        Some((be32(page, 0)?, &page[4..4 + left.min(self.usable - 4)]))
    }

    /// The next trunk of the list of free pages, and the pages that this one lists.
    pub fn trunk(&self, page: &[u8]) -> Option<(u32, Vec<u32>)> {
        let page = page.get(..self.usable)?;
        let count = usize::try_from(be32(page, 4)?).ok().filter(|count| *count <= self.usable / 4 - 2)?;
        Some((be32(page, 0)?, (0..count).filter_map(|at| be32(page, 8 + 4 * at)).collect()))
    }
}

/// The values of a row; none where its bytes do not add up.
pub fn record(payload: &[u8]) -> Option<Vec<Stored<'_>>> {
    let (head, mut at) = varint(payload, 0)?;
    let head = usize::try_from(head).ok().filter(|head| *head <= payload.len())?;
    let (mut body, mut values) = (head, Vec::new());
    while at < head {
        let (kind, after) = varint(payload, at)?;
        at = after;
        let kind = u64::try_from(kind).ok()?;
        let size = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => (kind - 12) / 2,
        };
        let end = body.checked_add(usize::try_from(size).ok()?)?;
        let bytes = payload.get(body..end)?;
        body = end;
        values.push(match kind {
            0 => Stored::Null,
            8 => Stored::Integer(0),
            9 => Stored::Integer(1),
            7 => Stored::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
            1..=6 => Stored::Integer(integer(bytes)),
            _ if kind % 2 == 0 => Stored::Blob(bytes),
            _ => Stored::Text(bytes),
        });
    }
    (at == head && body == payload.len()).then_some(values)
}

fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|first| *first >= 0x80) { -1 } else { 0 };
    bytes.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte))
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A number of one to nine bytes, and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let mut number = 0_u64;
    for step in 0..8 {
        let byte = *bytes.get(at + step)?;
        number = number << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((number.cast_signed(), at + step + 1));
        }
    }
    Some(((number << 8 | u64::from(*bytes.get(at + 8)?)).cast_signed(), at + 9))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_and_values_are_read_as_they_are_stored() {
        assert_eq!(varint(&[0x7f], 0), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00], 0), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9], 0), Some((-1, 9)));
        assert_eq!(varint(&[0x80], 0), None);
        let row = [5, 0, 1, 17, 9, 0xfe, b't', b'e'];
        let values = [Stored::Null, Stored::Integer(-2), Stored::Text(b"te"), Stored::Integer(1)];
        assert_eq!(record(&row).unwrap(), values);
        assert_eq!(record(&row[..7]), None, "a row that is cut is none");
        assert_eq!(record(&[&row[..], &[0]].concat()), None, "nor one that is too long");
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_nothing_leads_out_of_them(bytes in prop::collection::vec(any::<u8>(), 512)) {
            let geometry = Geometry { page: 512, usable: 512 };
            for kind in [0x0d, 0x05, bytes[0]] {
                let mut bytes = bytes.clone();
                bytes[0] = kind;
                if let Some(TablePage::Leaf(cells, _)) = geometry.table_page(&bytes, false) {
                    prop_assert!(cells.iter().all(|cell| cell.local.end <= 512));
                }
            }
            let _ = (record(&bytes), geometry.trunk(&bytes), Geometry::read(&bytes), geometry.overflow(&bytes, 600));
        }
    }
}
