use std::collections::HashSet;

use super::header::{Header, is_page_size, number};

/// What was found in a rollback journal: <https://www.sqlite.org/fileformat2.html#the_rollback_journal>.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalFacts {
    /// Why it cannot be rolled back, though its first byte says that it must be.
    pub fault: Option<String>,
    /// Bytes of a page.
    pub page_size: u32,
    /// The size of the database in pages before the transaction.
    pub original_pages: u32,
    /// Sound records: pages as they were before.
    pub records: u64,
    /// The first unsound record, counted from 0, and its offset.
    pub broken_record: Option<(u64, u64)>,
    /// Records that the journal's headers count and that do not follow.
    pub missing_records: u64,
    /// The header of the database in page 1, where that was kept.
    pub original_header: Option<Header>,
    /// Pages that the database had before, and neither the file nor the records have.
    pub missing_pages: u64,
    /// The file name of the super-journal of a transaction over several databases.
    pub super_journal: Option<String>,
    /// Whether that super-journal is gone: then the transaction was committed in all its databases.
    pub committed: bool,
}

/// What a walk wants to be fed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where it begins in the journal.
    pub offset: u64,
    /// How many bytes.
    pub len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    Records { left: u64, synced: bool },
    Done,
}

/// Walks a hot journal as SQLite's rollback does: headers at sector boundaries, each with its count of records.
#[derive(Debug)]
pub struct JournalWalk {
    size: u64,
    file_pages: u64,
    file_bytes: u64,
    offset: u64,
    sector: u64,
    nonce: u32,
    state: State,
    beyond: Option<HashSet<u32>>,
    facts: JournalFacts,
}

impl JournalWalk {
    const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    const HEADER: usize = 28;
    const BEYOND: usize = 1 << 20;

    /// Begins with the size in bytes of the journal and of the database file.
    pub fn new(size: u64, file_bytes: u64) -> Self {
        Self {
            size,
            file_pages: 0,
            file_bytes,
            offset: 0,
            sector: 512,
            nonce: 0,
            state: State::Header,
            beyond: Some(HashSet::new()),
            facts: JournalFacts::default(),
        }
    }

    /// What to feed next; none at the end.
    pub fn wanted(&mut self) -> Option<Wanted> {
        let len = match self.state {
            State::Header => Self::HEADER,
            State::Records { .. } => self.facts.page_size as usize + 8,
            State::Done => return None,
        };
        if self.offset + len as u64 > self.size {
            self.end_early();
            return None;
        }
        Some(Wanted { offset: self.offset, len })
    }

    fn end_early(&mut self) {
        match self.state {
            State::Header if self.offset == 0 => self.facts.fault = Some("it ends within its header".to_owned()),
            State::Records { left, synced: true } => self.facts.missing_records = left,
            _ => {}
        }
        self.state = State::Done;
    }

    /// Takes the bytes that were wanted.
    pub fn feed(&mut self, bytes: &[u8]) {
        match self.state {
            State::Header => self.header(bytes),
            State::Records { left, synced } => self.record(bytes, left, synced),
            State::Done => {}
        }
    }

    fn header(&mut self, bytes: &[u8]) {
        self.state = State::Done;
        if bytes[..8] != Self::MAGIC {
            // Behind the last segment lies what an older, longer journal left.
            if self.offset == 0 {
                self.facts.fault = Some("bytes 0-7 are not those of a journal".to_owned());
            }
            return;
        }
        if self.offset == 0 {
            let (sector, page_size) = (number(bytes, 20), number(bytes, 24));
            if !is_page_size(page_size) || !(32..=65_536).contains(&sector) || !sector.is_power_of_two() {
                self.facts.fault = Some(format!("bytes 20-27 hold sectors of {sector} and pages of {page_size} bytes"));
                return;
            }
            self.sector = u64::from(sector);
            self.facts.page_size = page_size;
            self.facts.original_pages = number(bytes, 16);
            self.file_pages = self.file_bytes / u64::from(page_size);
        }
        self.nonce = number(bytes, 12);
        self.offset += self.sector;
        let record = u64::from(self.facts.page_size) + 8;
        let (left, synced) = match number(bytes, 8) {
            // Written without syncing: as many as fit.
            u32::MAX => (self.size.saturating_sub(self.offset) / record, false),
            count => (u64::from(count), true),
        };
        self.state = State::Records { left, synced };
        self.next_segment(left);
    }

    fn next_segment(&mut self, left: u64) {
        if left == 0 {
            self.offset = self.offset.next_multiple_of(self.sector);
            self.state = State::Header;
        }
    }

    fn record(&mut self, bytes: &[u8], left: u64, synced: bool) {
        let page_size = self.facts.page_size as usize;
        let (page_number, page) = (number(bytes, 0), &bytes[4..4 + page_size]);
        let lock_page = (1_u32 << 30) / self.facts.page_size + 1;
        let sum = (1..page_size.div_ceil(200))
            .fold(self.nonce, |sum, n| sum.wrapping_add(u32::from(page[page_size - 200 * n])));
        if page_number == 0 || page_number == lock_page || sum != number(bytes, 4 + page_size) {
            self.state = State::Done;
            // Without syncing the last record may be half written; and a super-journal's name has the lock page's number.
            if synced && page_number != lock_page {
                self.facts.broken_record = Some((self.facts.records, self.offset));
            }
            return;
        }
        self.facts.records += 1;
        if page_number == 1 {
            self.facts.original_header = self.facts.original_header.or(Header::parse(page).ok());
        }
        if u64::from(page_number) > self.file_pages
            && let Some(beyond) = &mut self.beyond
        {
            beyond.insert(page_number);
            if beyond.len() > Self::BEYOND {
                self.beyond = None;
            }
        }
        self.offset += page_size as u64 + 8;
        self.state = State::Records { left: left - 1, synced };
        self.next_segment(left - 1);
    }

    /// Ends the walk. `tail`: the last bytes of the journal, at most 64 KiB.
    pub fn finish(mut self, tail: &[u8]) -> JournalFacts {
        self.facts.super_journal = super_journal(tail);
        if let Some(beyond) = &self.beyond
            && self.facts.fault.is_none()
        {
            let pages = u64::from(self.facts.original_pages);
            let lock_page = u64::from((1_u32 << 30) / self.facts.page_size.max(512) + 1);
            let wanted =
                pages.saturating_sub(self.file_pages) - u64::from(lock_page > self.file_pages && lock_page <= pages);
            let there = beyond.iter().filter(|p| u64::from(**p) <= pages).count() as u64;
            self.facts.missing_pages = wanted.saturating_sub(there);
        }
        self.facts
    }
}

/// The file name (not the folder) of the super-journal that the end of a journal names, if it names one.
fn super_journal(tail: &[u8]) -> Option<String> {
    let (rest, magic) = tail.split_last_chunk::<8>()?;
    if *magic != JournalWalk::MAGIC || rest.len() < 8 {
        return None;
    }
    let (len, sum) = (number(rest, rest.len() - 8) as usize, number(rest, rest.len() - 4));
    let name = rest.get(rest.len().checked_sub(8)?.checked_sub(len)?..rest.len() - 8)?;
    // SQLite sums signed bytes.
    let found = name.iter().fold(0_u32, |sum, b| sum.wrapping_add(i32::from(b.cast_signed()).cast_unsigned()));
    let name = std::str::from_utf8(name).ok()?.rsplit('/').next()?;
    (found == sum && !name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::header::tests::bytes as header_bytes;
    use super::*;

    /// A journal of 512-byte pages and sectors with one record per page.
    pub fn journal(original: u32, count: u32, pages: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..8].copy_from_slice(&JournalWalk::MAGIC);
        for (at, value) in [(8, count), (12, 77), (16, original), (20, 512), (24, 512)] {
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        for page in pages {
            let mut content = vec![u8::try_from(page % 251).unwrap(); 512];
            if *page == 1 {
                content[..100].copy_from_slice(&header_bytes(512, original, 9));
            }
            let sum = 77 + u32::from(content[312]) + u32::from(content[112]);
            bytes.extend(page.to_be_bytes());
            bytes.extend(content);
            bytes.extend(sum.to_be_bytes());
        }
        bytes
    }

    pub fn walk(bytes: &[u8], file_bytes: u64) -> JournalFacts {
        let mut walk = JournalWalk::new(bytes.len() as u64, file_bytes);
        while let Some(Wanted { offset, len }) = walk.wanted() {
            let from = usize::try_from(offset).unwrap();
            walk.feed(&bytes[from..from + len]);
        }
        walk.finish(bytes)
    }

    #[test]
    fn a_hot_journal_tells_what_was_before() {
        let facts = walk(&journal(4, 2, &[1, 3]), 512 * 6);
        assert_eq!((facts.fault, facts.records, facts.broken_record, facts.missing_records), (None, 2, None, 0));
        assert_eq!((facts.original_pages, facts.original_header.unwrap().change_counter), (4, 9));
    }

    #[test]
    fn what_a_synced_header_counts_must_be_there() {
        let facts = walk(&journal(4, 3, &[1, 3]), 512 * 4);
        assert_eq!(facts.missing_records, 1);
        let mut flipped = journal(4, 2, &[1, 3]);
        flipped[512 + 4 + 312] ^= 1;
        assert_eq!(walk(&flipped, 512 * 4).broken_record, Some((0, 512)));
        let unsynced = walk(&journal(4, u32::MAX, &[1, 3])[..512 + 700], 512 * 4);
        assert_eq!((unsynced.records, unsynced.broken_record, unsynced.missing_records), (1, None, 0));
    }

    #[test]
    fn pages_cut_off_are_missing_unless_they_were_kept() {
        assert_eq!(walk(&journal(6, 2, &[1, 6]), 512 * 4).missing_pages, 1);
        assert_eq!(walk(&journal(6, 3, &[1, 6, 5]), 512 * 4).missing_pages, 0);
    }

    #[test]
    fn the_super_journal_is_named_by_its_file() {
        let mut bytes = journal(4, 1, &[1]);
        let name = b"/data/openmemory.db-mj0A1B2C3D";
        bytes.extend(name);
        bytes.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
        bytes.extend(name.iter().map(|b| u32::from(*b)).sum::<u32>().to_be_bytes());
        bytes.extend(JournalWalk::MAGIC);
        assert_eq!(walk(&bytes, 512 * 4).super_journal.as_deref(), Some("openmemory.db-mj0A1B2C3D"));
    }

    proptest! {
        #[test]
        fn any_journal_is_walked_to_an_end(
            flips in proptest::collection::vec((0..2000_usize, any::<u8>()), 0..9), cut in 0..2000_usize
        ) {
            let mut bytes = journal(4, 2, &[1, 3]);
            for (at, value) in flips {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            bytes.truncate(cut);
            let _ = walk(&bytes, 512 * 4);
        }
    }
}
