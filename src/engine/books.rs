//! The books balance (invariant 4), checked all the time: at one tick, the size of each audience is what entered less what left,
//! and so is the list of its members.
//!
//! To look through all members at once would take long, so they are looked through in parts, by the first byte of the profile's
//! id: one part after the other, a few a second. What does not agree is a defect of ours; the metric on it is to be alerted on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dataflows::definitions::AudienceId;
use dataflows::model::{ProfileId, Tick};

/// How often there is a look at a part.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Parts that members are looked through in.
const PARTS: usize = 256;

/// Changes of memberships at a tick.
type Changes = Vec<((AudienceId, ProfileId), i64)>;

/// What entered less what left, by audience and part. Kept where memberships are delivered: by the first process.
#[derive(Debug, Default)]
pub struct Books {
    net: Vec<[i64; PARTS]>,
    waiting: BTreeMap<Tick, Changes>,
    looks: BTreeMap<Tick, Look>,
    moves: Arc<Moves>,
}

/// How many entered, and how many left, since the start, by audience.
#[derive(Debug, Default)]
pub struct Moves(Mutex<Vec<[u64; 2]>>);

impl Moves {
    /// Those who entered, and those who left, by audience, up to the last that anybody entered.
    pub fn now(&self) -> Vec<[u64; 2]> {
        self.counts().clone()
    }

    fn counts(&self) -> MutexGuard<'_, Vec<[u64; 2]>> {
        // Whoever panicked with it left it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was found at a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Which part.
    pub part: u8,
    /// Sizes by audience.
    pub sizes: Vec<u64>,
    /// Members in the part, by audience.
    pub listed: Vec<u64>,
}

impl Books {
    /// Empty ones, which tell of moves here.
    pub fn new(moves: Arc<Moves>) -> Self {
        Books { moves, ..Books::default() }
    }

    /// Takes in what changed at a tick.
    pub fn changed(&mut self, tick: Tick, changes: Changes) {
        self.waiting.entry(tick).or_default().extend(changes);
    }

    /// Takes in what was found at a tick.
    pub fn looked(&mut self, tick: Tick, look: Look) {
        self.looks.insert(tick, look);
    }

    /// Everything before `frontier` was taken in. Gives for each look at it how many figures do not agree.
    pub fn complete(&mut self, frontier: Tick) -> Vec<usize> {
        let mut differences = Vec::new();
        while let Some(entry) = self.looks.first_entry().filter(|entry| *entry.key() < frontier) {
            let (tick, look) = entry.remove_entry();
            self.enter_before(tick.next());
            differences.push(self.differences(&look));
        }
        self.enter_before(frontier);
        differences
    }

    fn enter_before(&mut self, end: Tick) {
        while let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() < end) {
            let mut moves = self.moves.counts();
            for ((audience, profile), change) in entry.remove() {
                if self.net.len() <= audience.index() {
                    self.net.resize(audience.index() + 1, [0; PARTS]);
                    moves.resize(audience.index() + 1, [0; 2]);
                }
                moves[audience.index()][usize::from(change < 0)] += change.unsigned_abs();
                self.net[audience.index()][usize::from(profile.part())] += change;
            }
        }
    }

    fn differences(&self, look: &Look) -> usize {
        let nobody = [0; PARTS];
        let differs = |(index, (size, listed)): (usize, (&u64, &u64))| {
            let net = self.net.get(index).unwrap_or(&nobody);
            let by_part = i64::try_from(*listed) != Ok(net[usize::from(look.part)]);
            let by_size = i64::try_from(*size) != Ok(net.iter().sum::<i64>());
            usize::from(by_part) + usize::from(by_size)
        };
        look.sizes.iter().zip(&look.listed).enumerate().map(differs).sum()
    }
}

/// How the looks turned out.
#[derive(Debug, Default)]
pub struct Audit {
    moves: Arc<Moves>,
    looks: AtomicU64,
    differences: AtomicU64,
}

impl Audit {
    /// How many entered and left each audience.
    pub fn moves(&self) -> &Arc<Moves> {
        &self.moves
    }

    /// A look found so many figures that do not agree.
    pub fn looked(&self, differences: usize) {
        self.looks.fetch_add(1, Ordering::Relaxed);
        if differences > 0 {
            self.differences.fetch_add(differences as u64, Ordering::Relaxed);
            tracing::error!(differences, "the books do not balance: size, members and changes of audiences differ");
        }
    }

    /// Looks since the start.
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// Figures that did not agree, since the start. One is one too many.
    pub fn differences(&self) -> u64 {
        self.differences.load(Ordering::Relaxed)
    }
}

/// Which part is looked at next, and when.
#[derive(Debug)]
pub struct Rounds {
    next: u8,
    latest: Instant,
}

impl Rounds {
    /// Begins with the first part.
    pub fn new() -> Self {
        Rounds { next: 0, latest: Instant::now() }
    }

    /// The part to look at now, if it is time.
    pub fn due(&mut self) -> Option<u8> {
        if self.latest.elapsed() < LOOK_EVERY {
            return None;
        }
        self.latest = Instant::now();
        let part = self.next;
        self.next = self.next.wrapping_add(1);
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Tick {
        Tick::from_ms(ms)
    }

    /// A profile of the part that its first two digits name.
    fn profile(part: u8) -> ProfileId {
        format!("{part:02x}{}", "0".repeat(30)).parse().unwrap()
    }

    fn books() -> Books {
        let mut books = Books::default();
        let row = |audience, part| (AudienceId::new(audience), profile(part));
        books.changed(ms(1), vec![(row(0, 7), 1), (row(0, 9), 1), (row(1, 7), 1)]);
        books.changed(ms(5), vec![(row(0, 7), -1)]);
        books
    }

    #[track_caller]
    fn check(tick: u64, part: u8, sizes: [u64; 2], listed: [u64; 2], expected: usize) {
        let mut books = books();
        books.looked(ms(tick), Look { part, sizes: sizes.to_vec(), listed: listed.to_vec() });
        assert_eq!(books.complete(ms(tick)), Vec::<usize>::new(), "it waits for its tick");
        assert_eq!(books.complete(ms(10)), [expected]);
    }

    #[test]
    fn what_agrees_agrees_at_its_tick() {
        check(0, 7, [0, 0], [0, 0], 0);
        check(1, 7, [2, 1], [1, 1], 0);
        check(4, 9, [2, 1], [1, 0], 0);
        check(5, 7, [1, 1], [0, 1], 0);
    }

    #[test]
    fn what_differs_is_found() {
        check(4, 7, [1, 1], [1, 1], 1);
        check(4, 7, [2, 1], [1, 0], 1);
        check(5, 7, [2, 2], [1, 1], 3);
    }
}
