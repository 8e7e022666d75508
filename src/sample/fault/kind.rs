use super::base::{Base, State};
use super::set::Part;
use super::{bytes, rows, side};
use crate::sample::random::Random;

/// A kind of damage.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Its name in tables.
    pub name: &'static str,
    /// Where it strikes.
    pub group: Group,
    /// Whether it is damage even where every row and index entry is as before, because SQLite's own
    /// bookkeeping is wrong and later writes go astray.
    pub(super) bookkeeping: bool,
    /// How often it strikes each base: once where all is given, twice where chance decides on the place, and
    /// where it matters whether the writer is alive.
    pub(super) draws: usize,
    pub(super) make: fn(&Base, &mut Random) -> Option<Change>,
}

/// Where a kind of damage strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// A bit, a sector or a page of the database file.
    Pages,
    /// The file as a whole.
    File,
    /// The write-ahead log.
    Wal,
    /// A hot rollback journal.
    Journal,
    /// Rows, changed through SQL.
    Rows,
}

/// What a kind of damage does to a copy of a base.
#[derive(Clone, Debug)]
pub enum Change {
    /// A file of the set in this state gets other bytes, or goes.
    File(State, Part, Option<Vec<u8>>),
    /// A statement is executed; every number in `{}` is replaced before.
    Sql(String),
}

const fn of(name: &'static str, group: Group, make: fn(&Base, &mut Random) -> Option<Change>) -> Fault {
    Fault { name, group, bookkeeping: false, draws: 2, make }
}

const fn once(fault: Fault) -> Fault {
    Fault { draws: 1, ..fault }
}

const fn always(fault: Fault) -> Fault {
    Fault { bookkeeping: true, ..fault }
}

impl Fault {
    /// Every kind, in the order of the documentation.
    pub const ALL: &[Self] = &[
        of("page-header-bit", Group::Pages, bytes::page_header_bit),
        of("cell-pointer-bit", Group::Pages, bytes::cell_pointer_bit),
        of("record-header-bit", Group::Pages, bytes::record_header_bit),
        of("content-bit", Group::Pages, bytes::content_bit),
        of("date-digit", Group::Pages, bytes::date_digit),
        of("metadata-bit", Group::Pages, bytes::metadata_bit),
        once(of("number-bit", Group::Pages, bytes::number_bit)),
        of("uuid-bit", Group::Pages, bytes::uuid_bit),
        always(of("freelist-bit", Group::Pages, bytes::freelist_bit)),
        of("index-page-bit", Group::Pages, bytes::index_page_bit),
        of("schema-page-bit", Group::Pages, bytes::schema_page_bit),
        of("any-bit", Group::Pages, bytes::any_bit),
        of("sector-zeroed", Group::Pages, bytes::sector_zeroed),
        of("sector-noise", Group::Pages, bytes::sector_noise),
        of("page-zeroed", Group::Pages, bytes::page_zeroed),
        of("pages-swapped", Group::Pages, bytes::pages_swapped),
        of("page-duplicated", Group::Pages, bytes::page_duplicated),
        of("write-lost", Group::Pages, bytes::write_lost),
        always(of("header-page-count", Group::File, bytes::header_page_count)),
        of("header-bit", Group::File, bytes::header_bit),
        once(of("header-overwritten", Group::File, bytes::header_overwritten)),
        always(of("change-counter", Group::File, bytes::change_counter)),
        of("truncated-at-page", Group::File, bytes::truncated_at_page),
        of("truncated-in-page", Group::File, bytes::truncated_in_page),
        once(of("emptied", Group::File, bytes::emptied)),
        always(of("garbage-tail", Group::File, bytes::garbage_tail)),
        of("wal-frame-bit", Group::Wal, side::wal_frame_bit),
        of("wal-salt", Group::Wal, side::wal_salt),
        of("wal-header", Group::Wal, side::wal_header),
        of("wal-cut", Group::Wal, side::wal_cut),
        of("wal-frame-lost", Group::Wal, side::wal_frame_lost),
        of("wal-frame-zeroed", Group::Wal, side::wal_frame_zeroed),
        of("wal-deleted", Group::Wal, side::wal_deleted),
        of("wal-foreign", Group::Wal, side::wal_foreign),
        of("wal-stale", Group::Wal, side::wal_stale),
        of("journal-cut", Group::Journal, side::journal_cut),
        of("journal-bit", Group::Journal, side::journal_bit),
        once(of("journal-foreign", Group::Journal, side::journal_foreign)),
        once(of("journal-deleted", Group::Journal, side::journal_deleted)),
        once(of("memory-vanished", Group::Rows, rows::memory_vanished)),
        once(of("row-vanished", Group::Rows, rows::row_vanished)),
        once(of("row-added", Group::Rows, rows::row_added)),
        once(of("number-changed", Group::Rows, rows::number_changed)),
        once(of("text-changed", Group::Rows, rows::text_changed)),
        once(of("orphan", Group::Rows, rows::orphan)),
        once(of("invalid-utf8", Group::Rows, rows::invalid_utf8)),
        once(of("nul-in-text", Group::Rows, rows::nul_in_text)),
        once(of("bad-state", Group::Rows, rows::bad_state)),
        once(of("bad-json", Group::Rows, rows::bad_json)),
        once(of("bad-date", Group::Rows, rows::bad_date)),
        once(of("numeric-uuid", Group::Rows, rows::numeric_uuid)),
        once(of("time-missing", Group::Rows, rows::time_missing)),
        once(of("full-text-entry-lost", Group::Rows, rows::full_text_entry_lost)),
    ];
}

impl Group {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pages => "pages",
            Self::File => "file",
            Self::Wal => "wal",
            Self::Journal => "journal",
            Self::Rows => "rows",
        }
    }
}
