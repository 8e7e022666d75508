use jiff::Timestamp;
use uuid::Uuid;

use super::people::People;
use super::random::Random;
use super::text::{Texts, query};
use super::timeline::Timeline;

/// A memory's state, as OpenMemory stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Active,
    Paused,
    Archived,
    Deleted,
}

impl State {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Archived => "archived",
            Self::Deleted => "deleted",
        }
    }
}

/// All that the two databases know of one memory.
///
/// A deleted one was purged: only its ids, states and times are left, no text, category or access.
#[derive(Clone, Debug)]
pub struct Memory {
    pub id: Uuid,
    /// Index into [`People::users`].
    pub user: usize,
    /// Index into the user's apps.
    pub app: usize,
    /// Empty for a deleted memory.
    pub content: String,
    /// What it said before an update, if there was one.
    pub earlier: Option<String>,
    pub state: State,
    pub created: Timestamp,
    /// When it was updated, or else left the state `active`.
    pub changed: Option<Timestamp>,
    /// Indexes into [`People::categories`].
    pub categories: Vec<usize>,
    /// When it was read, how, and for which query.
    pub accesses: Vec<(Timestamp, &'static str, String)>,
}

/// Draws the memories of a bank one by one, so that a bank of any size needs little room.
#[derive(Debug)]
pub struct Memories<'a> {
    people: &'a People,
    timeline: Timeline,
    texts: Texts,
    random: Random,
    index: usize,
    count: usize,
}

impl<'a> Memories<'a> {
    pub fn new(count: usize, seed: u64, people: &'a People) -> Self {
        Self {
            people,
            timeline: Timeline::new(count),
            texts: Texts::new(Random::new(seed, 2)),
            random: Random::new(seed, 3),
            index: 0,
            count,
        }
    }
}

impl Iterator for Memories<'_> {
    type Item = Memory;

    fn next(&mut self) -> Option<Memory> {
        if self.index == self.count {
            return None;
        }
        let random = &mut self.random;
        let created = self.timeline.created(self.index, random);
        self.index += 1;
        let user = random.below(self.people.users.len());
        let app = self.people.users.get(user).map_or(0, |u| random.below(u.apps.len()));
        let state = match random.below(100) {
            0..82 => State::Active,
            82..86 => State::Paused,
            86..95 => State::Archived,
            _ => State::Deleted,
        };
        let text = self.texts.next();
        let mut memory = Memory {
            id: random.uuid(),
            user,
            app,
            content: String::new(),
            earlier: None,
            state,
            created,
            changed: None,
            categories: Vec::new(),
            accesses: Vec::new(),
        };
        if state == State::Active && random.chance(10) {
            memory.earlier = Some(self.texts.next().content);
        }
        if state != State::Active || memory.earlier.is_some() {
            memory.changed = Some(Timeline::later(created, 30 * 24, random));
        }
        if state != State::Deleted {
            memory.content = text.content;
            memory.categories.push(text.category);
            let second = random.below(self.people.categories.len());
            if second != text.category && random.chance(30) {
                memory.categories.push(second);
            }
            if random.chance(30) {
                let kind = random.pick(&["search", "search", "list"]);
                memory.accesses.push((Timeline::later(created, 20 * 24, random), kind, query(random)));
            }
        }
        Some(memory)
    }
}
