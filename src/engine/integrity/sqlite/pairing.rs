use super::header::Header;
use super::journal::JournalFacts;
use super::raw::RawFacts;
use super::wal::WalFacts;

/// Whether a side file belongs to the database that it lies beside. SQLite does not ask: it applies what it finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// There is none.
    Absent,
    /// It holds nothing that SQLite would apply.
    Idle,
    /// Nothing speaks against it; SQLite applies it.
    Belongs,
    /// It cannot be this database's, for the reason given.
    Foreign(String),
}

/// Judges the -wal.
///
/// A -wal names no database, so the proof is by what SQLite cannot have written: it begins where the database file
/// left off. The file's page 1 is either the one before the first transaction of the -wal or, after a checkpoint, one
/// of those within; and only VACUUM, which raises the schema cookie, or auto-vacuum makes a database smaller.
pub fn pair_wal(facts: &RawFacts) -> Pairing {
    let Some(wal) = &facts.wal else { return Pairing::Absent };
    if wal.committed == 0 {
        return Pairing::Idle;
    }
    let Ok(file) = &facts.header else { return Pairing::Belongs };
    match wal_contradiction(file, wal) {
        Some(reason) => Pairing::Foreign(reason),
        None => Pairing::Belongs,
    }
}

fn wal_contradiction(file: &Header, wal: &WalFacts) -> Option<String> {
    if wal.page_size != file.page_size {
        return Some(format!("its pages have {} bytes, the database's {}", wal.page_size, file.page_size));
    }
    if !file.is_wal() {
        return Some(format!("it holds {} transactions, and the database is not in WAL mode", wal.commits));
    }
    if let (Some(first), Some(last)) = (&wal.first_header, &wal.last_header) {
        if let Some(reason) = other_kind(file, first) {
            return Some(reason);
        }
        if !wal.has_file_header
            && let Some(reason) = no_successor(file, first)
        {
            return Some(reason);
        }
        if last.schema_cookie < file.schema_cookie {
            return Some(format!(
                "its last schema cookie is {}, the database has {}",
                last.schema_cookie, file.schema_cookie
            ));
        }
    }
    let (Some(before), Some(after)) = (file.valid_page_count(), wal.commit_pages) else { return None };
    let vacuumed = wal.last_header.is_some_and(|last| last.schema_cookie != file.schema_cookie);
    if after < before && !vacuumed && file.largest_root == 0 {
        return Some(format!("it ends with {after} pages, the database has {before} and no vacuum made it smaller"));
    }
    if after > before && wal.last_header.is_none() {
        return Some(format!("it ends with {after} pages, the database has {before}, and no page 1 in it says so"));
    }
    (wal.missing_pages > 0 && !wal.has_file_header && after > before).then(|| {
        format!("it ends with {after} pages, of which {} are neither in it nor in the database", wal.missing_pages)
    })
}

/// Why `first`, the first page 1 of a -wal, was not written over the database's own.
fn no_successor(file: &Header, first: &Header) -> Option<String> {
    let told = |what: &str, theirs: u32, ours: u32| {
        Some(format!("its first page 1 has the {what} {theirs}, the database has {ours}"))
    };
    // SQLite counts the change counter up from what it read at most once a transaction.
    if first.change_counter.wrapping_sub(file.change_counter) > 1 {
        return told("change counter", first.change_counter, file.change_counter);
    }
    if first.schema_cookie < file.schema_cookie {
        return told("schema cookie", first.schema_cookie, file.schema_cookie);
    }
    if first.schema_cookie > file.schema_cookie {
        return None;
    }
    // No VACUUM yet, which alone switches auto-vacuum.
    if (first.largest_root == 0) != (file.largest_root == 0) {
        return told("largest root page", first.largest_root, file.largest_root);
    }
    if file.largest_root == 0 && file.valid_page_count().is_some_and(|before| first.page_count < before) {
        return told("page count", first.page_count, file.page_count);
    }
    None
}

/// Judges the rollback journal, which begins with the size of the database before the transaction, and mostly has its
/// page 1: the change counter is one behind the file's where the new page 1 was written already, else the same.
pub fn pair_journal(facts: &RawFacts) -> Pairing {
    let Some(journal) = &facts.journal else { return Pairing::Absent };
    if journal.fault.is_some() || journal.committed {
        return Pairing::Idle;
    }
    let Ok(file) = &facts.header else { return Pairing::Belongs };
    match journal_contradiction(file, journal) {
        Some(reason) => Pairing::Foreign(reason),
        None => Pairing::Belongs,
    }
}

fn journal_contradiction(file: &Header, journal: &JournalFacts) -> Option<String> {
    if journal.page_size != file.page_size {
        return Some(format!("its pages have {} bytes, the database's {}", journal.page_size, file.page_size));
    }
    if let Some(original) = &journal.original_header {
        if let Some(reason) = other_kind(file, original) {
            return Some(reason);
        }
        if file.change_counter.wrapping_sub(original.change_counter) > 1 {
            return Some(format!(
                "its page 1 has the change counter {}, the database has {}",
                original.change_counter, file.change_counter
            ));
        }
        // SQLite counts up whenever it writes page 1.
        if file.change_counter == original.change_counter && file != original {
            return Some(format!("its page 1 has the database's change counter {}, and differs", file.change_counter));
        }
    }
    if journal.original_pages == 0 && file.change_counter <= 1 {
        // The first transaction of a new database.
        return None;
    }
    let before = journal.original_header.unwrap_or(*file).valid_page_count()?;
    if before != journal.original_pages {
        return Some(format!("it begins with {} pages, the database had {before}", journal.original_pages));
    }
    (journal.missing_pages > 0).then(|| {
        format!("{} pages from before the transaction are neither in it nor in the database", journal.missing_pages)
    })
}

/// What never changes in the life of a database with tables.
fn other_kind(file: &Header, other: &Header) -> Option<String> {
    let unlike = |what: &str, ours: u32, theirs: u32| {
        (ours != theirs).then(|| format!("its {what} is {theirs}, the database has {ours}"))
    };
    if file.encoding != 0 && other.encoding != 0 {
        unlike("text encoding", file.encoding, other.encoding)
    } else {
        None
    }
    .or_else(|| unlike("page size", file.page_size, other.page_size))
    .or_else(|| unlike("count of reserved bytes", file.reserved_bytes.into(), other.reserved_bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::super::header::tests::bytes;
    use super::super::journal::tests as journal;
    use super::super::wal::tests as wal;
    use super::*;

    fn file(pages: u32, counter: u32, is_wal: bool) -> Header {
        let mut bytes = bytes(512, pages, counter);
        bytes[18..20].fill(if is_wal { 2 } else { 1 });
        Header::parse(&bytes).unwrap()
    }

    fn beside(file: Header, frames: &[(u32, u32, u32)]) -> Pairing {
        let (header, frames) = wal::wal(7, frames);
        let size = u64::from(file.page_count) * 512;
        let wal = wal::walk(&header, &frames, Some(file), size);
        pair_wal(&RawFacts { size, header: Ok(file), wal: Some(wal), ..RawFacts::empty("bank.db") })
    }

    #[test]
    fn a_wal_that_goes_on_from_the_file_belongs() {
        for frames in
            [&[(1, 4, 5), (4, 4, 0)][..], &[(1, 3, 6), (2, 3, 0)], &[(2, 3, 0)], &[(1, 5, 6), (4, 5, 0), (5, 5, 0)]]
        {
            assert_eq!(beside(file(3, 5, true), frames), Pairing::Belongs, "{frames:?}");
        }
        assert_eq!(beside(file(3, 5, true), &[(2, 0, 0)]), Pairing::Idle);
    }

    #[test]
    fn a_wal_of_another_history_is_foreign() {
        for (header, frames) in [
            (file(3, 5, false), &[(2, 3, 0)][..]),
            (file(3, 5, true), &[(1, 3, 9)]),
            (file(3, 5, true), &[(1, 3, 2)]),
            (file(9, 5, true), &[(1, 3, 6)]),
            (file(3, 5, true), &[(2, 4, 0), (4, 4, 0)]),
            (file(3, 5, true), &[(1, 9, 6)]),
        ] {
            assert!(matches!(beside(header, frames), Pairing::Foreign(_)), "{frames:?}");
        }
    }

    #[test]
    fn a_journal_is_held_against_size_and_change_counter() {
        let pair = |file: Header, pages: u64, original: u32, kept: &[u32]| {
            let bytes = journal::journal(original, u32::try_from(kept.len()).unwrap(), kept);
            let facts = journal::walk(&bytes, pages * 512);
            pair_journal(&RawFacts {
                size: pages * 512,
                header: Ok(file),
                journal: Some(facts),
                ..RawFacts::empty("bank.db")
            })
        };
        // The kept page 1 has the change counter 9.
        assert_eq!(pair(file(4, 9, false), 4, 4, &[1, 2]), Pairing::Belongs);
        assert_eq!(pair(file(6, 10, false), 6, 4, &[1, 2]), Pairing::Belongs);
        assert_eq!(pair(file(4, 5, false), 4, 4, &[2]), Pairing::Belongs);
        for foreign in [
            pair(file(4, 12, false), 4, 4, &[1, 2]),
            pair(file(5, 9, false), 5, 4, &[1, 2]),
            pair(file(4, 8, false), 4, 4, &[1, 2]),
            pair(file(7, 5, false), 7, 4, &[2]),
            pair(file(4, 9, false), 3, 4, &[1, 2]),
        ] {
            assert!(matches!(foreign, Pairing::Foreign(_)), "{foreign:?}");
        }
    }
}
