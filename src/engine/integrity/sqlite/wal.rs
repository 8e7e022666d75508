use std::collections::HashSet;

use thiserror::Error;

use super::header::{Header, is_page_size, number};

/// The first 32 bytes of a -wal: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalHeader {
    /// Whether the checksums count in big-endian words.
    big_endian: bool,
    /// Bytes of a page.
    pub page_size: u32,
    /// What every frame of this generation carries.
    pub salts: [u8; 8],
    checksum: (u32, u32),
}

/// Why SQLite takes nothing from a -wal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WalFault {
    /// Not one of the two magic numbers.
    #[error("bytes 0-3 are no magic number of a -wal")]
    Magic,
    /// A format of another time.
    #[error("bytes 4-7 hold the format version {0}, not 3007000")]
    Version(u32),
    /// No page size.
    #[error("bytes 8-11 hold the page size {0}, which SQLite does not have")]
    PageSize(u32),
    /// The header was changed.
    #[error("the checksum in bytes 24-31 is not that of bytes 0-23")]
    Checksum,
}

impl WalHeader {
    /// Its length in bytes.
    pub const LEN: usize = 32;
    /// The length of a frame's header.
    pub const FRAME: usize = 24;

    /// Reads a header of [`Self::LEN`] bytes.
    pub fn parse(bytes: &[u8; Self::LEN]) -> Result<Self, WalFault> {
        let big_endian = match number(bytes, 0) {
            0x377f_0682 => false,
            0x377f_0683 => true,
            _ => return Err(WalFault::Magic),
        };
        let page_size = number(bytes, 8);
        if number(bytes, 4) != 3_007_000 {
            return Err(WalFault::Version(number(bytes, 4)));
        }
        if !is_page_size(page_size) {
            return Err(WalFault::PageSize(page_size));
        }
        let checksum = (number(bytes, 24), number(bytes, 28));
        if checksum_of(big_endian, (0, 0), &bytes[..24]) != checksum {
            return Err(WalFault::Checksum);
        }
        Ok(Self { big_endian, page_size, salts: salts(bytes), checksum })
    }
}

/// Bytes 16 to 23 of a header.
fn salts(header: &[u8; WalHeader::LEN]) -> [u8; 8] {
    let mut salts = [0; 8];
    salts.copy_from_slice(&header[16..24]);
    salts
}

/// The running checksum of a -wal and of the header of a -shm.
pub(super) fn checksum_of(big_endian: bool, seed: (u32, u32), bytes: &[u8]) -> (u32, u32) {
    let (mut first, mut second) = seed;
    for pair in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let word = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
            if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        first = first.wrapping_add(word(0)).wrapping_add(second);
        second = second.wrapping_add(word(4)).wrapping_add(first);
    }
    (first, second)
}

/// What was found in a -wal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalFacts {
    /// Why its header counts for nothing.
    pub fault: Option<WalFault>,
    /// Bytes of a page.
    pub page_size: u32,
    /// Complete frames, whatever they hold.
    pub frames: u64,
    /// Frames up to the last commit of the unbroken chain: what SQLite takes.
    pub committed: u64,
    /// Transactions in them.
    pub commits: u64,
    /// The size in pages after the last of them.
    pub commit_pages: Option<u32>,
    /// The first frame, from 0, that does not continue the chain although it carries this generation's salts.
    pub broken_frame: Option<u64>,
    /// Commits of this generation behind it (all of them where the header is broken): acknowledged and lost.
    pub lost_commits: u64,
    /// Bytes after the last complete frame.
    pub partial_bytes: u64,
    /// The header of the database in the first page 1 of the committed frames.
    pub first_header: Option<Header>,
    /// The same in the last.
    pub last_header: Option<Header>,
    /// Whether the database file's own header is one of those.
    pub has_file_header: bool,
    /// Pages that the last commit counts, and neither the file nor the committed frames have.
    pub missing_pages: u64,
}

/// Walks a -wal frame by frame, as SQLite's recovery does, and on behind the first break.
///
/// A chain that breaks is no damage by itself: the tail of an older generation, or of a transaction that was rolled
/// back or not finished, lies behind every good end. A commit of the same generation behind the break is: SQLite
/// writes in order, so what was committed there came after what is broken.
#[derive(Debug)]
pub struct WalWalk {
    header: Option<WalHeader>,
    chain: Option<(u32, u32)>,
    salts: Option<[u8; 8]>,
    file: Option<Header>,
    file_pages: u64,
    /// Of the transaction that is being read.
    open: Vec<Header>,
    /// Pages behind the end of the file that frames have; none once there were too many to tell.
    beyond: Option<HashSet<u32>>,
    facts: WalFacts,
}

impl WalWalk {
    /// How many pages behind the end of the file are kept in mind (12 bytes each).
    const BEYOND: usize = 1 << 20;

    /// Begins with the header of the -wal, that of the database, and the database file's size in whole pages.
    pub fn new(bytes: &[u8; WalHeader::LEN], file: Option<Header>, file_bytes: u64) -> Self {
        let parsed = WalHeader::parse(bytes);
        let header = parsed.ok();
        let page_size = header.map(|h| h.page_size).or(file.map(|h| h.page_size)).unwrap_or(4096);
        Self {
            header,
            chain: header.map(|h| h.checksum),
            salts: header.map(|h| h.salts),
            file,
            file_pages: file_bytes / u64::from(page_size),
            open: Vec::new(),
            beyond: Some(HashSet::new()),
            facts: WalFacts {
                fault: parsed.err(),
                page_size,
                frames: 0,
                committed: 0,
                commits: 0,
                commit_pages: None,
                broken_frame: None,
                lost_commits: 0,
                partial_bytes: 0,
                first_header: None,
                last_header: None,
                has_file_header: false,
                missing_pages: 0,
            },
        }
    }

    /// Bytes of a page, to cut the frames by.
    pub const fn page_size(&self) -> u32 {
        self.facts.page_size
    }

    /// Takes the next complete frame.
    pub fn push(&mut self, head: &[u8; WalHeader::FRAME], page: &[u8]) {
        let at = self.facts.frames;
        self.facts.frames += 1;
        let (number_of_page, commit_pages) = (number(head, 0), number(head, 4));
        // Behind a broken header the first frame tells the generation.
        let same_salts = *self.salts.get_or_insert_with(|| frame_salts(head)) == frame_salts(head);
        if let (Some(header), Some(seed), true, true) = (self.header, self.chain, same_salts, number_of_page > 0) {
            let sum = checksum_of(header.big_endian, checksum_of(header.big_endian, seed, &head[..8]), page);
            if sum == (number(head, 16), number(head, 20)) {
                self.chain = Some(sum);
                self.take(number_of_page, commit_pages, page);
                return;
            }
        }
        self.chain = None;
        if same_salts {
            if self.facts.broken_frame.is_none() && self.header.is_some() {
                self.facts.broken_frame = Some(at);
            } else if commit_pages > 0 {
                self.facts.lost_commits += 1;
            }
        }
    }

    fn take(&mut self, number_of_page: u32, commit_pages: u32, page: &[u8]) {
        if number_of_page == 1 {
            self.open.extend(Header::parse(page));
        }
        if u64::from(number_of_page) > self.file_pages
            && let Some(beyond) = &mut self.beyond
        {
            beyond.insert(number_of_page);
            if beyond.len() > Self::BEYOND {
                self.beyond = None;
            }
        }
        if commit_pages == 0 {
            // A transaction that does not fit the cache can write page 1 many times: only the ends count.
            if self.open.len() > 2 {
                self.open.swap_remove(1);
            }
            return;
        }
        let facts = &mut self.facts;
        facts.committed = facts.frames;
        facts.commits += 1;
        facts.commit_pages = Some(commit_pages);
        for header in self.open.drain(..) {
            facts.first_header.get_or_insert(header);
            facts.last_header = Some(header);
            facts.has_file_header |= self.file == Some(header);
        }
    }

    /// Ends the walk: `partial_bytes` were left behind the last complete frame.
    pub fn finish(mut self, partial_bytes: u64) -> WalFacts {
        self.facts.partial_bytes = partial_bytes;
        if let (Some(pages), Some(beyond)) = (self.facts.commit_pages, &self.beyond) {
            // The page with the lock bytes, at 1 GiB, is never written.
            let lock_page = u64::from((1_u32 << 30) / self.facts.page_size + 1);
            let pages = u64::from(pages);
            let wanted =
                pages.saturating_sub(self.file_pages) - u64::from(lock_page > self.file_pages && lock_page <= pages);
            let there = beyond.iter().filter(|p| u64::from(**p) <= pages).count() as u64;
            self.facts.missing_pages = wanted.saturating_sub(there);
        }
        self.facts
    }
}

fn frame_salts(head: &[u8; WalHeader::FRAME]) -> [u8; 8] {
    let mut salts = [0; 8];
    salts.copy_from_slice(&head[8..16]);
    salts
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::header::tests::bytes as header_bytes;
    use super::*;

    type Frame = ([u8; WalHeader::FRAME], Vec<u8>);

    /// A -wal of 512-byte pages: each frame is (page, commit size, change counter where it is page 1).
    pub fn wal(salt: u8, frames: &[(u32, u32, u32)]) -> ([u8; WalHeader::LEN], Vec<Frame>) {
        let mut header = [salt; WalHeader::LEN];
        for (at, value) in [(0, 0x377f_0682_u32), (4, 3_007_000), (8, 512), (12, 0)] {
            header[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        let mut sum = checksum_of(false, (0, 0), &header[..24]);
        header[24..28].copy_from_slice(&sum.0.to_be_bytes());
        header[28..32].copy_from_slice(&sum.1.to_be_bytes());
        let frames = frames.iter().map(|&(page, commit, counter)| {
            let mut content = vec![u8::try_from(page % 251).unwrap(); 512];
            if page == 1 {
                content[..100].copy_from_slice(&header_bytes(512, commit.max(1), counter));
            }
            let mut head = [salt; WalHeader::FRAME];
            head[..4].copy_from_slice(&page.to_be_bytes());
            head[4..8].copy_from_slice(&commit.to_be_bytes());
            sum = checksum_of(false, checksum_of(false, sum, &head[..8]), &content);
            head[16..20].copy_from_slice(&sum.0.to_be_bytes());
            head[20..24].copy_from_slice(&sum.1.to_be_bytes());
            (head, content)
        });
        (header, frames.collect())
    }

    pub fn walk(header: &[u8; WalHeader::LEN], frames: &[Frame], file: Option<Header>, file_bytes: u64) -> WalFacts {
        let mut walk = WalWalk::new(header, file, file_bytes);
        for (head, page) in frames {
            walk.push(head, page);
        }
        walk.finish(0)
    }

    const FRAMES: [(u32, u32, u32); 6] = [(2, 0, 0), (1, 3, 5), (3, 3, 0), (2, 3, 0), (1, 4, 6), (4, 4, 0)];

    #[test]
    fn a_sound_wal_is_taken_whole() {
        let (header, frames) = wal(7, &FRAMES);
        let facts = walk(&header, &frames, None, 512 * 3);
        assert_eq!((facts.committed, facts.commits, facts.commit_pages), (6, 5, Some(4)));
        assert_eq!((facts.broken_frame, facts.lost_commits, facts.missing_pages), (None, 0, 0));
        assert_eq!(facts.first_header.unwrap().change_counter, 5);
        assert_eq!(facts.last_header.unwrap().change_counter, 6);
        let cut = walk(&header, &frames, None, 512);
        assert_eq!(cut.missing_pages, 0, "pages 2 to 4 are all in frames");
    }

    #[test]
    fn older_and_rolled_back_tails_are_no_damage() {
        let (header, mut frames) = wal(7, &FRAMES);
        frames.extend(wal(6, &FRAMES).1);
        frames.extend(wal(7, &[(9, 0, 0), (8, 0, 0)]).1);
        let facts = walk(&header, &frames, None, 512 * 4);
        assert_eq!((facts.committed, facts.lost_commits), (6, 0));
    }

    #[test]
    fn pages_that_nothing_has_are_missing() {
        let (header, frames) = wal(7, &[(1, 9, 2)]);
        assert_eq!(walk(&header, &frames, None, 512 * 3).missing_pages, 6);
    }

    #[test]
    fn a_broken_header_loses_every_commit() {
        let (mut header, frames) = wal(7, &FRAMES);
        header[18] ^= 1;
        let facts = walk(&header, &frames, Header::parse(&header_bytes(512, 3, 1)).ok(), 512 * 3);
        assert_eq!((facts.fault, facts.committed, facts.lost_commits), (Some(WalFault::Checksum), 0, 5));
    }

    proptest! {
        /// The last commit is not in it: behind it nothing proves that it had been whole.
        #[test]
        fn a_flipped_bit_before_the_last_commit_is_seen(frame in 0..5_usize, bit in 0..512 * 8_usize) {
            let (header, mut frames) = wal(7, &FRAMES);
            frames[frame].1[bit / 8] ^= 1 << (bit % 8);
            let facts = walk(&header, &frames, None, 512 * 3);
            prop_assert_eq!(facts.broken_frame, Some(frame as u64));
            prop_assert!(facts.lost_commits > 0);
            prop_assert!(facts.committed <= frame as u64);
        }

        #[test]
        fn noise_is_walked_to_its_end(header in any::<[u8; 32]>(), heads in proptest::collection::vec(any::<[u8; 24]>(), 0..9)) {
            let mut walk = WalWalk::new(&header, None, 0);
            let page = vec![1; walk.page_size() as usize];
            for head in &heads {
                walk.push(head, &page);
            }
            prop_assert_eq!(walk.finish(3).frames, heads.len() as u64);
        }
    }
}
