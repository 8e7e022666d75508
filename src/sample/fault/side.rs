//! Damage to the write-ahead log and to a hot rollback journal.
#![allow(clippy::unnecessary_wraps, reason = "one type for all kinds")]

use super::base::{Base, State};
use super::kind::Change;
use super::pages::Pages;
use super::set::Part;
use crate::sample::random::Random;

/// Bytes of the header of a write-ahead log, and of each of its frames.
const WAL_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

fn wal(bytes: Vec<u8>) -> Change {
    Change::File(State::Wal, Part::Wal, Some(bytes))
}

fn journal(bytes: Vec<u8>) -> Change {
    Change::File(State::Hot, Part::Journal, Some(bytes))
}

/// Bytes of a frame with its header, and how many there are.
fn frames(base: &Base) -> Option<(usize, usize)> {
    let frame = FRAME_HEADER + Pages::of(&base.database)?.size();
    Some((frame, (base.wal.len() - WAL_HEADER) / frame))
}

pub fn wal_frame_bit(base: &Base, random: &mut Random) -> Option<Change> {
    let (frame, count) = frames(base)?;
    let mut bytes = base.wal.clone();
    let at = WAL_HEADER + frame * random.below(count) + FRAME_HEADER + random.below(frame - FRAME_HEADER);
    *bytes.get_mut(at)? ^= 1 << random.below(8);
    Some(wal(bytes))
}

/// A frame has the salt of an earlier log, as one that was never overwritten.
pub fn wal_salt(base: &Base, random: &mut Random) -> Option<Change> {
    let (frame, count) = frames(base)?;
    let mut bytes = base.wal.clone();
    *bytes.get_mut(WAL_HEADER + frame * random.below(count) + 8 + 3)? ^= 1;
    Some(wal(bytes))
}

pub fn wal_header(base: &Base, random: &mut Random) -> Option<Change> {
    let mut bytes = base.wal.clone();
    *bytes.get_mut(random.below(WAL_HEADER))? ^= 1 << random.below(8);
    Some(wal(bytes))
}

pub fn wal_cut(base: &Base, random: &mut Random) -> Option<Change> {
    let cut = random.below(base.wal.len());
    Some(wal(base.wal.get(..cut)?.to_vec()))
}

pub fn wal_frame_lost(base: &Base, random: &mut Random) -> Option<Change> {
    let (frame, count) = frames(base)?;
    let start = WAL_HEADER + frame * random.below(count - 1);
    let mut bytes = base.wal.clone();
    bytes.drain(start..start + frame);
    Some(wal(bytes))
}

pub fn wal_frame_zeroed(base: &Base, random: &mut Random) -> Option<Change> {
    let (frame, count) = frames(base)?;
    let start = WAL_HEADER + frame * random.below(count);
    let mut bytes = base.wal.clone();
    bytes.get_mut(start..start + frame)?.fill(0);
    Some(wal(bytes))
}

pub fn wal_deleted(_: &Base, _: &mut Random) -> Option<Change> {
    Some(Change::File(State::Wal, Part::Wal, None))
}

pub fn wal_foreign(base: &Base, _: &mut Random) -> Option<Change> {
    Some(wal(base.foreign_wal.clone()))
}

/// The log of before the last checkpoint, put back by a restore.
pub fn wal_stale(base: &Base, _: &mut Random) -> Option<Change> {
    Some(wal(base.stale_wal.clone()))
}

pub fn journal_cut(base: &Base, random: &mut Random) -> Option<Change> {
    let cut = random.below(base.journal.len());
    Some(journal(base.journal.get(..cut)?.to_vec()))
}

pub fn journal_bit(base: &Base, random: &mut Random) -> Option<Change> {
    let mut bytes = base.journal.clone();
    let at = random.below(bytes.len());
    *bytes.get_mut(at)? ^= 1 << random.below(8);
    Some(journal(bytes))
}

pub fn journal_foreign(base: &Base, _: &mut Random) -> Option<Change> {
    Some(journal(base.foreign_journal.clone()))
}

pub fn journal_deleted(_: &Base, _: &mut Random) -> Option<Change> {
    Some(Change::File(State::Hot, Part::Journal, None))
}
