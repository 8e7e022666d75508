use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;

use super::beneath::{Folder, Opener};
use super::opened::{BUFFER, Failure, Opened};
use super::stream::{Stream, lock};
use crate::bank::{Cancelled, Meter};
use crate::domain::Digest;
use crate::engine::integrity::files::{LEAF, LeafHasher, Node, Read, Reading, Seen, Sums};

/// The most threads that one check uses: each holds up to 4 MiB of buffers.
const MAX_THREADS: usize = 8;
/// The most small files that a thread takes at once.
const BATCH: usize = 64;

/// A file that is to be read.
#[derive(Clone, Debug)]
pub(super) struct Job<'a> {
    pub seen: &'a Seen,
    pub reading: Reading,
}

/// How files are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner<'a> {
    pub root: &'a Folder,
    pub threads: usize,
    /// Growing while it is read does not count as changing.
    pub may_grow: bool,
    /// Ask the device, not the page cache.
    pub afresh: bool,
    pub meter: &'a Meter,
}

/// Reads files, the largest first, with several threads at one large file; one result for each job, in order.
pub(super) fn read_all(jobs: &[Job], manner: Manner) -> Result<Vec<Result<Read, Failure>>, Cancelled> {
    let threads = manner.threads.clamp(1, MAX_THREADS);
    let board = Board::new(jobs, threads == 1);
    let mut results = vec![Err(Failure::Cancelled); jobs.len()];
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| Worker::new(&board, jobs, manner).work())).collect();
        let own = Worker::new(&board, jobs, manner).work();
        for done in
            others.into_iter().map(|other| other.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).chain([own])
        {
            for (job, result) in done {
                results[job] = result;
            }
        }
    });
    manner.meter.check()?;
    Ok(results)
}

/// Work that is not begun, and streams that want help.
struct Board {
    items: Vec<Item>,
    alone: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    item: usize,
    leaf: u64,
    streams: Vec<Arc<Stream>>,
}

enum Item {
    /// A large file whose leaves are compared: each thread takes a leaf.
    Leaves(Arc<Shared>, Range<u64>),
    /// A large file that enters.
    Stream(usize, Option<u64>),
    /// Small files, some of [`Board::small`].
    Small(Vec<usize>),
}

enum Task {
    Leaf(Arc<Shared>, u64),
    Stream(usize, Arc<Stream>),
    Small(Vec<usize>),
}

/// A large file that several threads read.
struct Shared {
    job: usize,
    first: u64,
    state: Mutex<Progress>,
}

struct Progress {
    opened: Option<Arc<Opened>>,
    left: u64,
    digests: Vec<Digest>,
    failed: Option<Failure>,
}

impl Board {
    fn new(jobs: &[Job], alone: bool) -> Self {
        let size = |job: usize| if let Node::File { size, .. } = jobs[job].seen.node { size } else { 0 };
        let (mut large, small): (Vec<usize>, Vec<usize>) = (0..jobs.len()).partition(|job| size(*job) > LEAF);
        large.sort_by_key(|job| std::cmp::Reverse(size(*job)));
        let mut items: Vec<Item> = large.into_iter().filter_map(|job| Item::large(job, &jobs[job].reading)).collect();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for job in small {
            batch.push(job);
            bytes += size(job);
            if batch.len() == BATCH || bytes >= LEAF {
                items.push(Item::Small(std::mem::take(&mut batch)));
                bytes = 0;
            }
        }
        items.push(Item::Small(batch));
        Self { items, alone, state: Mutex::default() }
    }

    fn next(&self) -> Option<Task> {
        let mut state = lock(&self.state);
        let task = match self.items.get(state.item)? {
            Item::Leaves(shared, leaves) => {
                let leaf = leaves.start + state.leaf;
                state.leaf += 1;
                if leaf + 1 < leaves.end {
                    return Some(Task::Leaf(Arc::clone(shared), leaf));
                }
                state.leaf = 0;
                Task::Leaf(Arc::clone(shared), leaf)
            }
            Item::Stream(job, cut) => {
                let stream = Arc::new(Stream::new(*cut, self.alone));
                state.streams.push(Arc::clone(&stream));
                Task::Stream(*job, stream)
            }
            Item::Small(jobs) => Task::Small(jobs.clone()),
        };
        state.item += 1;
        Some(task)
    }

    fn streams(&self) -> Vec<Arc<Stream>> {
        lock(&self.state).streams.clone()
    }

    fn ended(&self, stream: &Arc<Stream>) {
        stream.end();
        lock(&self.state).streams.retain(|other| !Arc::ptr_eq(other, stream));
    }
}

impl Item {
    fn large(job: usize, reading: &Reading) -> Option<Self> {
        match reading {
            Reading::Leaves(leaves) => {
                let left = leaves.end - leaves.start;
                let digests = vec![Digest::from_bytes([0; 32]); usize::try_from(left).ok()?];
                let state = Mutex::new(Progress { opened: None, left, digests, failed: None });
                Some(Self::Leaves(Arc::new(Shared { job, first: leaves.start, state }), leaves.clone()))
            }
            Reading::Whole { cut } => Some(Self::Stream(job, *cut)),
            Reading::Nothing | Reading::TooLarge => None,
        }
    }
}

/// One thread.
struct Worker<'a> {
    board: &'a Board,
    jobs: &'a [Job<'a>],
    manner: Manner<'a>,
    opener: Opener<'a>,
    buffer: Vec<u8>,
    done: Vec<(usize, Result<Read, Failure>)>,
}

impl<'a> Worker<'a> {
    fn new(board: &'a Board, jobs: &'a [Job<'a>], manner: Manner<'a>) -> Self {
        let opener = Opener::new(manner.root);
        Self { board, jobs, manner, opener, buffer: vec![0; BUFFER], done: Vec::new() }
    }

    fn work(mut self) -> Vec<(usize, Result<Read, Failure>)> {
        while self.manner.meter.check().is_ok() {
            if self.board.streams().iter().any(|stream| stream.help()) {
                continue;
            }
            match self.board.next() {
                Some(Task::Leaf(shared, leaf)) => self.leaf(&shared, leaf),
                Some(Task::Stream(job, stream)) => {
                    let read = self.open(job).and_then(|opened| {
                        let read = stream.read(&opened, self.manner.meter)?;
                        opened.unchanged(self.manner.may_grow).map(|()| read)
                    });
                    self.board.ended(&stream);
                    self.done.push((job, read));
                }
                Some(Task::Small(jobs)) => {
                    for job in jobs {
                        let read = self.small(job);
                        self.done.push((job, read));
                    }
                }
                None if self.board.streams().iter().any(|stream| stream.help_to_the_end()) => {}
                None => break,
            }
        }
        self.done
    }

    fn open(&mut self, job: usize) -> Result<Opened, Failure> {
        let Job { seen, reading } = &self.jobs[job];
        let opened = Opened::open(&mut self.opener, seen, matches!(reading, Reading::Whole { .. }))?;
        if self.manner.afresh {
            opened.forget();
        }
        Ok(opened)
    }

    fn small(&mut self, job: usize) -> Result<Read, Failure> {
        let opened = self.open(job)?;
        let read = match self.jobs[job].reading {
            Reading::Whole { cut: Some(cut) } => {
                let mut leaves = LeafHasher::new(Some(cut));
                let mut at = 0;
                while at < opened.size {
                    self.manner.meter.check()?;
                    let take = usize::try_from(opened.size - at).map_or(BUFFER, |n| n.min(BUFFER));
                    opened.read(&mut self.buffer[..take], at)?;
                    leaves.update(&self.buffer[..take]);
                    self.manner.meter.advance(take as u64);
                    at += take as u64;
                }
                let (digests, beginning) = leaves.finish();
                let sha256 = digests.first().copied().unwrap_or_else(|| Digest::of(&[]));
                Read::Whole { sums: Sums::many(sha256, digests), beginning }
            }
            Reading::Whole { cut: None } => {
                let sha256 = opened.leaf(0, &mut self.buffer, self.manner.meter)?;
                Read::Whole { sums: Sums::one(sha256), beginning: None }
            }
            Reading::Leaves(_) => {
                let digest = opened.leaf(0, &mut self.buffer, self.manner.meter)?;
                Read::Leaves { first: 0, digests: vec![digest] }
            }
            Reading::Nothing | Reading::TooLarge => return Ok(Read::Skipped),
        };
        opened.unchanged(self.manner.may_grow).map(|()| read)
    }

    /// Takes one leaf of a large file; the first thread opens it, the last one says what came of it.
    fn leaf(&mut self, shared: &Shared, leaf: u64) {
        let opened = {
            let mut state = lock(&shared.state);
            if state.opened.is_none() && state.failed.is_none() {
                match self.open(shared.job) {
                    Ok(opened) => state.opened = Some(Arc::new(opened)),
                    Err(failure) => state.failed = Some(failure),
                }
            }
            state.opened.clone().filter(|_| state.failed.is_none())
        };
        let digest = opened.as_ref().map(|opened| opened.leaf(leaf, &mut self.buffer, self.manner.meter));
        let mut state = lock(&shared.state);
        match digest {
            Some(Ok(digest)) => {
                if let Some(place) = usize::try_from(leaf - shared.first).ok().and_then(|at| state.digests.get_mut(at))
                {
                    *place = digest;
                }
            }
            Some(Err(failure)) => state.failed = state.failed.or(Some(failure)),
            None => {}
        }
        state.left -= 1;
        if state.left == 0 {
            let whole = state.opened.take().map_or(Ok(()), |opened| opened.unchanged(self.manner.may_grow));
            let read = match (state.failed, whole) {
                (Some(failure), _) | (None, Err(failure)) => Err(failure),
                (None, Ok(())) => Ok(Read::Leaves { first: shared.first, digests: std::mem::take(&mut state.digests) }),
            };
            self.done.push((shared.job, read));
        }
    }
}
