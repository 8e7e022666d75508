//! Damage to the bytes of the database file.
#![allow(clippy::unnecessary_wraps, reason = "one type for all kinds")]

use super::base::{Base, State};
use super::kind::Change;
use super::pages::{Pages, Tree};
use super::set::Part;
use crate::sample::random::Random;

/// A sector of a disk: what is written as a whole or not at all.
const SECTOR: usize = 512;

fn changed(bytes: Vec<u8>) -> Change {
    Change::File(State::Closed, Part::Database, Some(bytes))
}

/// Flips a bit of the byte at `at`.
fn flip(base: &Base, at: usize, random: &mut Random) -> Option<Change> {
    let mut bytes = base.database.clone();
    *bytes.get_mut(at)? ^= 1 << random.below(8);
    Some(changed(bytes))
}

/// A page of a tree, chosen by what it holds.
fn tree(pages: &Pages, random: &mut Random, wanted: impl Fn(Tree) -> bool) -> Option<usize> {
    let found: Vec<_> = pages.trees().into_iter().filter(|(_, tree)| wanted(*tree)).map(|(page, _)| page).collect();
    found.get(random.below(found.len())).copied()
}

pub fn page_header_bit(base: &Base, random: &mut Random) -> Option<Change> {
    let pages = Pages::of(&base.database)?;
    let page = tree(&pages, random, |_| true)?;
    flip(base, pages.range(page).start + random.below(8), random)
}

pub fn cell_pointer_bit(base: &Base, random: &mut Random) -> Option<Change> {
    let pages = Pages::of(&base.database)?;
    let page = tree(&pages, random, |tree| tree != Tree::Inner)?;
    let cells = pages.cells(page).len();
    if cells == 0 {
        return cell_pointer_bit(base, random);
    }
    let cell = random.below(cells);
    flip(base, pages.range(page).start + 8 + 2 * cell + random.below(2), random)
}

pub fn record_header_bit(base: &Base, random: &mut Random) -> Option<Change> {
    let pages = Pages::of(&base.database)?;
    let page = tree(&pages, random, |tree| tree == Tree::TableLeaf)?;
    let cells = pages.cells(page);
    let mut at = *cells.get(random.below(cells.len()))?;
    // Payload size and row id come first: two numbers of variable length, whose last byte is below 128.
    for _ in 0..2 {
        while *base.database.get(at)? >= 128 {
            at += 1;
        }
        at += 1;
    }
    flip(base, at + random.below(6), random)
}

/// Where one of these texts lies in a table, not in an index.
fn place(base: &Base, texts: &[String], random: &mut Random) -> Option<(usize, usize)> {
    let pages = Pages::of(&base.database)?;
    let leaves: Vec<_> = pages.trees().into_iter().filter(|(_, tree)| *tree == Tree::TableLeaf).collect();
    let text = texts.get(random.below(texts.len()))?.as_bytes();
    leaves.iter().find_map(|(page, _)| {
        let range = pages.range(*page);
        let at = base.database.get(range.clone())?.windows(text.len()).position(|window| window == text)?;
        Some((range.start + at, text.len()))
    })
}

fn flip_in(base: &Base, texts: &[String], random: &mut Random) -> Option<Change> {
    let (at, length) = place(base, texts, random)?;
    flip(base, at + random.below(length), random)
}

pub fn content_bit(base: &Base, random: &mut Random) -> Option<Change> {
    flip_in(base, &base.contents, random)
}

pub fn metadata_bit(base: &Base, random: &mut Random) -> Option<Change> {
    flip_in(base, &base.queries, random)
}

/// In the days after which memories are archived: 180, behind the policy's criterion.
pub fn number_bit(base: &Base, random: &mut Random) -> Option<Change> {
    let stored = b"global\x00\xb4";
    let at = base.database.windows(stored.len()).position(|window| window == stored)?;
    flip(base, at + stored.len() - 1 - random.below(2), random)
}

pub fn uuid_bit(base: &Base, random: &mut Random) -> Option<Change> {
    flip_in(base, &base.ids, random)
}

/// Another digit, so that the date stays one.
pub fn date_digit(base: &Base, random: &mut Random) -> Option<Change> {
    let (at, length) = place(base, &base.dates, random)?;
    let mut bytes = base.database.clone();
    *bytes.get_mut(at + length - 1 - random.below(6))? ^= 1;
    Some(changed(bytes))
}

pub fn freelist_bit(base: &Base, random: &mut Random) -> Option<Change> {
    let pages = Pages::of(&base.database)?;
    let trunk = *pages.trunks().get(random.below(pages.trunks().len()))?;
    flip(base, pages.range(trunk).start + random.below(12), random)
}

pub fn index_page_bit(base: &Base, random: &mut Random) -> Option<Change> {
    let pages = Pages::of(&base.database)?;
    let page = tree(&pages, random, |tree| tree == Tree::IndexLeaf)?;
    let cells = pages.cells(page);
    let cell = *cells.get(random.below(cells.len()))?;
    flip(base, cell + random.below(24), random)
}

pub fn schema_page_bit(base: &Base, random: &mut Random) -> Option<Change> {
    let pages = Pages::of(&base.database)?;
    let leaves = pages.children(1);
    let page = leaves.get(random.below(leaves.len())).copied().unwrap_or(1);
    let cells = pages.cells(page);
    flip(base, *cells.get(random.below(cells.len()))? + random.below(60), random)
}

pub fn any_bit(base: &Base, random: &mut Random) -> Option<Change> {
    flip(base, random.below(base.database.len()), random)
}

pub fn sector_zeroed(base: &Base, random: &mut Random) -> Option<Change> {
    let mut bytes = base.database.clone();
    let start = SECTOR * random.below(bytes.len() / SECTOR);
    bytes.get_mut(start..start + SECTOR)?.fill(0);
    Some(changed(bytes))
}

pub fn sector_noise(base: &Base, random: &mut Random) -> Option<Change> {
    let mut bytes = base.database.clone();
    let start = SECTOR * random.below(bytes.len() / SECTOR);
    random.fill(bytes.get_mut(start..start + SECTOR)?);
    Some(changed(bytes))
}

pub fn page_zeroed(base: &Base, random: &mut Random) -> Option<Change> {
    let pages = Pages::of(&base.database)?;
    let range = pages.range(tree(&pages, random, |_| true)?);
    let mut bytes = base.database.clone();
    bytes.get_mut(range)?.fill(0);
    Some(changed(bytes))
}

pub fn pages_swapped(base: &Base, random: &mut Random) -> Option<Change> {
    let pages = Pages::of(&base.database)?;
    let one = pages.range(tree(&pages, random, |_| true)?);
    let other = pages.range(tree(&pages, random, |_| true)?);
    let mut bytes = base.database.clone();
    bytes.get_mut(one.clone())?.copy_from_slice(base.database.get(other.clone())?);
    bytes.get_mut(other)?.copy_from_slice(base.database.get(one)?);
    Some(changed(bytes))
}

pub fn page_duplicated(base: &Base, random: &mut Random) -> Option<Change> {
    let pages = Pages::of(&base.database)?;
    let from = pages.range(tree(&pages, random, |_| true)?);
    let to = pages.range(tree(&pages, random, |_| true)?);
    let mut bytes = base.database.clone();
    bytes.get_mut(to)?.copy_from_slice(base.database.get(from)?);
    Some(changed(bytes))
}

/// One page of the last transaction never reached the disk.
pub fn write_lost(base: &Base, random: &mut Random) -> Option<Change> {
    let pages = Pages::of(&base.database)?;
    let written: Vec<_> = (2..=pages.count().min(base.before.len() / pages.size()))
        .map(|page| pages.range(page))
        .filter(|range| base.before.get(range.clone()) != base.database.get(range.clone()))
        .collect();
    let range = written.get(random.below(written.len()))?.clone();
    let mut bytes = base.database.clone();
    bytes.get_mut(range.clone())?.copy_from_slice(base.before.get(range)?);
    Some(changed(bytes))
}

pub fn header_page_count(base: &Base, random: &mut Random) -> Option<Change> {
    let pages = u32::try_from(Pages::of(&base.database)?.count()).ok()?;
    let wrong = pages.checked_add_signed(*[-2, -1, 1, 7].get(random.below(4))?)?;
    let mut bytes = base.database.clone();
    bytes.get_mut(28..32)?.copy_from_slice(&wrong.to_be_bytes());
    Some(changed(bytes))
}

pub fn header_bit(base: &Base, random: &mut Random) -> Option<Change> {
    flip(base, random.below(100), random)
}

pub fn header_overwritten(base: &Base, random: &mut Random) -> Option<Change> {
    let mut bytes = base.database.clone();
    random.fill(bytes.get_mut(..100)?);
    Some(changed(bytes))
}

/// The counter of changes at offset 24 no longer is the one for which the page count is valid (offset 92).
pub fn change_counter(base: &Base, random: &mut Random) -> Option<Change> {
    let mut bytes = base.database.clone();
    *bytes.get_mut(27)? ^= u8::try_from(1 + random.below(255)).ok()?;
    Some(changed(bytes))
}

pub fn truncated_at_page(base: &Base, random: &mut Random) -> Option<Change> {
    let pages = Pages::of(&base.database)?;
    let keep = 1 + random.below(pages.count() - 1);
    Some(changed(base.database.get(..keep * pages.size())?.to_vec()))
}

pub fn truncated_in_page(base: &Base, random: &mut Random) -> Option<Change> {
    let size = Pages::of(&base.database)?.size();
    let cut = random.below(base.database.len());
    let cut = if cut.is_multiple_of(size) { cut + 1 } else { cut };
    Some(changed(base.database.get(..cut)?.to_vec()))
}

pub fn emptied(_: &Base, _: &mut Random) -> Option<Change> {
    Some(changed(Vec::new()))
}

pub fn garbage_tail(base: &Base, random: &mut Random) -> Option<Change> {
    let mut tail = vec![0; 1 + random.below(10_000)];
    random.fill(&mut tail);
    let mut bytes = base.database.clone();
    bytes.extend(tail);
    Some(changed(bytes))
}
