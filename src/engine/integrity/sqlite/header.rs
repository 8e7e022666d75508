use thiserror::Error;

/// The first 100 bytes of a database: <https://www.sqlite.org/fileformat2.html#the_database_header>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are those of the format.
pub struct Header {
    pub page_size: u32,
    pub write_version: u8,
    pub read_version: u8,
    pub reserved_bytes: u8,
    pub payload_fractions: [u8; 3],
    pub change_counter: u32,
    pub page_count: u32,
    pub freelist_trunk: u32,
    pub freelist_pages: u32,
    pub schema_cookie: u32,
    pub schema_format: u32,
    pub largest_root: u32,
    pub encoding: u32,
    pub expansion_is_zero: bool,
    pub version_valid_for: u32,
    pub library_version: u32,
}

/// Why some bytes are no header of a database.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeaderFault {
    /// The file ends within it.
    #[error("the file has {0} bytes, its header alone needs 100")]
    Short(u64),
    /// The first 16 bytes are others.
    #[error("the first 16 bytes are not those of a SQLite database ({0})")]
    Magic(&'static str),
    /// Bytes 16 and 17 are no page size.
    #[error("bytes 16-17 hold the page size {0}, which SQLite does not have")]
    PageSize(u16),
}

/// The big-endian number at `at`; the callers have checked the length.
pub(super) fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

/// Whether SQLite has such a page size.
pub(super) const fn is_page_size(size: u32) -> bool {
    size.is_power_of_two() && size >= 512 && size <= 65_536
}

impl Header {
    /// Its length in bytes.
    pub const LEN: usize = 100;
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    /// SQLite 3.7.0, the first that kept "version-valid-for" and the page count.
    const FIRST_WITH_PAGE_COUNT: u32 = 3_007_000;

    /// Reads the header from the first bytes of a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let Some(bytes) = bytes.get(..Self::LEN) else { return Err(HeaderFault::Short(bytes.len() as u64)) };
        if &bytes[..16] != Self::MAGIC {
            return Err(HeaderFault::Magic(kind(&bytes[..16])));
        }
        let raw = u16::from_be_bytes([bytes[16], bytes[17]]);
        let page_size = if raw == 1 { 65_536 } else { u32::from(raw) };
        if !is_page_size(page_size) {
            return Err(HeaderFault::PageSize(raw));
        }
        Ok(Self {
            page_size,
            write_version: bytes[18],
            read_version: bytes[19],
            reserved_bytes: bytes[20],
            payload_fractions: [bytes[21], bytes[22], bytes[23]],
            change_counter: number(bytes, 24),
            page_count: number(bytes, 28),
            freelist_trunk: number(bytes, 32),
            freelist_pages: number(bytes, 36),
            schema_cookie: number(bytes, 40),
            schema_format: number(bytes, 44),
            largest_root: number(bytes, 52),
            encoding: number(bytes, 56),
            expansion_is_zero: bytes[72..92].iter().all(|b| *b == 0),
            version_valid_for: number(bytes, 92),
            library_version: number(bytes, 96),
        })
    }

    /// Whether the database is in WAL mode.
    pub const fn is_wal(&self) -> bool {
        self.read_version == 2
    }

    /// The page count, where the header has one that counts: it does only while the change counter is the one
    /// that it was written for.
    pub const fn valid_page_count(&self) -> Option<u32> {
        if self.page_count > 0 && self.change_counter == self.version_valid_for { Some(self.page_count) } else { None }
    }

    /// Fields for which SQLite refuses the file.
    pub fn refused(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !(1..=2).contains(&self.read_version) {
            faults.push(format!("byte 19 holds the read version {}, not 1 or 2", self.read_version));
        }
        if !(1..=2).contains(&self.write_version) {
            faults.push(format!("byte 18 holds the write version {}, not 1 or 2", self.write_version));
        }
        if self.payload_fractions != [64, 32, 32] {
            faults.push(format!("bytes 21-23 hold {:?}, not [64, 32, 32]", self.payload_fractions));
        }
        if self.page_size - u32::from(self.reserved_bytes) < 480 {
            faults.push(format!("byte 20 reserves {} bytes of a page, too many", self.reserved_bytes));
        }
        if self.schema_format > 4 {
            faults.push(format!("bytes 44-47 hold the schema format {}, not 1 to 4", self.schema_format));
        }
        if self.encoding > 3 || (self.encoding == 0 && self.schema_format != 0) {
            faults.push(format!("bytes 56-59 hold the text encoding {}, not 1 to 3", self.encoding));
        }
        faults
    }

    /// Fields that SQLite does not look at, and never writes so. `pages`: of the whole database.
    pub fn oddities(&self, pages: u64) -> Vec<String> {
        let mut faults = Vec::new();
        if self.change_counter != self.version_valid_for && self.library_version >= Self::FIRST_WITH_PAGE_COUNT {
            faults.push(format!(
                "the change counter (bytes 24-27) is {}, version-valid-for (bytes 92-95) is {}",
                self.change_counter, self.version_valid_for
            ));
        }
        if !self.expansion_is_zero {
            faults.push("bytes 72-91, kept for later, are not zero".to_owned());
        }
        let (trunk, free) = (u64::from(self.freelist_trunk), u64::from(self.freelist_pages));
        if (trunk == 0) != (free == 0) || trunk > pages || free >= pages.max(1) {
            faults.push(format!("the free list (bytes 32-39) has {free} of {pages} pages and begins at page {trunk}"));
        }
        faults
    }
}

/// What some bytes look like, without telling them.
fn kind(bytes: &[u8]) -> &'static str {
    if bytes.iter().all(|b| *b == 0) {
        "zeros"
    } else if bytes.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) {
        "text"
    } else {
        "other bytes"
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A sound header of `pages` pages.
    pub fn bytes(page_size: u32, pages: u32, counter: u32) -> Vec<u8> {
        let mut header = vec![0; Header::LEN];
        header[..16].copy_from_slice(Header::MAGIC);
        let raw = if page_size == 65_536 { 1 } else { u16::try_from(page_size).unwrap() };
        header[16..18].copy_from_slice(&raw.to_be_bytes());
        header[18..24].copy_from_slice(&[1, 1, 0, 64, 32, 32]);
        for (at, value) in [(24, counter), (28, pages), (44, 4), (56, 1), (92, counter), (96, 3_040_001)] {
            header[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        header
    }

    #[test]
    fn a_sound_header_has_no_fault_at_any_page_size() {
        for shift in 9..=16 {
            let header = Header::parse(&bytes(1 << shift, 7, 3)).unwrap();
            assert_eq!((header.page_size, header.valid_page_count()), (1 << shift, Some(7)));
            assert_eq!((header.refused(), header.oddities(7)), (vec![], vec![]));
        }
    }

    #[test]
    fn the_page_count_of_an_older_write_does_not_count() {
        let mut bytes = bytes(4096, 7, 3);
        bytes[27] = 9;
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(header.valid_page_count(), None);
        assert_eq!(header.oddities(7).len(), 1);
        // SQLite before 3.7 leaves it so.
        bytes[96..100].copy_from_slice(&3_006_000_u32.to_be_bytes());
        assert_eq!(Header::parse(&bytes).unwrap().oddities(7), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_header_is_told_without_its_content() {
        assert_eq!(Header::parse(b"my secret text, which is long"), Err(HeaderFault::Short(29)));
        assert_eq!(Header::parse(&[0; 100]), Err(HeaderFault::Magic("zeros")));
        assert_eq!(Header::parse(&[b'a'; 100]), Err(HeaderFault::Magic("text")));
        let mut odd = bytes(4096, 1, 1);
        odd[16] = 3;
        assert_eq!(Header::parse(&odd), Err(HeaderFault::PageSize(768)));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_header_or_a_fault(noise in proptest::collection::vec(any::<u8>(), 0..200), flip in 16..100_usize) {
            let _ = Header::parse(&noise).map(|h| (h.refused(), h.oddities(5)));
            let mut header = bytes(4096, 5, 1);
            header[flip] ^= noise.first().copied().unwrap_or(1);
            let _ = Header::parse(&header).map(|h| (h.refused(), h.oddities(5)));
        }
    }
}
