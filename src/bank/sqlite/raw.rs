//! Reads the raw facts from a copy, before SQLite opens it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::pour::Stopped;
use super::scratch::Folder;
use super::set::{self, Part};
use crate::bank::Meter;
use crate::engine::integrity::sqlite::{
    Header, JournalFacts, JournalWalk, PageChecksums, Pairing, RawFacts, WalFacts, WalHeader, WalIndex, WalWalk,
    Wanted, pair_journal, pair_wal,
};

/// The files of the copy: the database under its name, side files with SQLite's suffixes.
pub(super) const NAME: &str = "bank.db";

/// The name of a part of the copy.
pub(super) fn name(part: Part) -> String {
    format!("{NAME}{}", part.suffix())
}

/// Reads them. `index`: what a live connection counts in the -wal.
pub(super) fn read(folder: &Folder, path: &str, index: Option<WalIndex>, meter: &Meter) -> Result<RawFacts, Stopped> {
    let database = folder.file(NAME)?;
    let size = set::size(&database)?;
    let mut facts = RawFacts::empty(path);
    facts.size = size;
    facts.index = index;
    let mut head = vec![0; Header::LEN.min(usize::try_from(size).unwrap_or(Header::LEN))];
    database.read_exact_at(&mut head, 0)?;
    facts.header = Header::parse(&head);
    let open = |part| match File::open(folder.path().join(name(part))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    };
    if let Some(wal) = open(Part::Wal)? {
        facts.wal = read_wal(&wal, facts.header.as_ref().ok().copied(), size, meter)?;
    }
    if let Some(journal) = open(Part::Journal)? {
        facts.journal = Some(read_journal(&journal, size, meter)?);
    }
    let applied = [pair_wal(&facts), pair_journal(&facts)].contains(&Pairing::Belongs);
    if let (Ok(header), false) = (&facts.header, applied)
        && header.reserved_bytes == PageChecksums::RESERVED
    {
        facts.page_checksums = Some(read_checksums(&database, size, header.page_size, meter)?);
    }
    Ok(facts)
}

fn read_wal(
    wal: &File,
    header: Option<Header>,
    database_size: u64,
    meter: &Meter,
) -> Result<Option<WalFacts>, Stopped> {
    let size = set::size(wal)?;
    let mut head = [0; WalHeader::LEN];
    let Some(body) = size.checked_sub(head.len() as u64) else { return Ok(None) };
    wal.read_exact_at(&mut head, 0)?;
    let mut walk = WalWalk::new(&head, header, database_size);
    let mut frame = vec![0; WalHeader::FRAME + walk.page_size() as usize];
    let step = frame.len() as u64;
    for number in 0..body / step {
        meter.check().map_err(|_| Stopped::Stopped)?;
        wal.read_exact_at(&mut frame, WalHeader::LEN as u64 + number * step)?;
        if let Some((head, page)) = frame.split_first_chunk() {
            walk.push(head, page);
        }
    }
    Ok(Some(walk.finish(body % step)))
}

fn read_journal(journal: &File, database_size: u64, meter: &Meter) -> Result<JournalFacts, Stopped> {
    /// The longest name of a super-journal is far below.
    const TAIL: u64 = 64 << 10;
    let size = set::size(journal)?;
    let mut walk = JournalWalk::new(size, database_size);
    let mut buffer = Vec::new();
    while let Some(Wanted { offset, len }) = walk.wanted() {
        meter.check().map_err(|_| Stopped::Stopped)?;
        buffer.resize(len, 0);
        journal.read_exact_at(&mut buffer, offset)?;
        walk.feed(&buffer);
    }
    let start = size.saturating_sub(TAIL);
    buffer.resize(usize::try_from(size - start).unwrap_or_default(), 0);
    journal.read_exact_at(&mut buffer, start)?;
    Ok(walk.finish(&buffer))
}

fn read_checksums(database: &File, size: u64, page_size: u32, meter: &Meter) -> Result<PageChecksums, Stopped> {
    let mut sums = PageChecksums::default();
    let mut page = vec![0; page_size as usize];
    for number in 0..size / u64::from(page_size) {
        meter.check().map_err(|_| Stopped::Stopped)?;
        database.read_exact_at(&mut page, number * u64::from(page_size))?;
        sums.push(&page);
    }
    Ok(sums)
}
