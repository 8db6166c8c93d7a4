//! The consistency audit checks invariant 4 all the time: at one tick, the size of each audience is what entered less what left,
//! and so is the list of its members.
//!
//! Listing all members at once would take long, so they are checked in parts, by the first byte of the profile's
//! id: one part after the other, a few a second. What does not agree is a defect of ours; the metric on it is to be alerted on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dataflows::definitions::AudienceId;
use dataflows::model::{ProfileId, Tick};
use dataflows::relations::AuditShare;
use parking_lot::{Mutex, MutexGuard};

/// How often a part is checked.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// How many parts members are checked in.
const PARTS: usize = 256;

/// Changes of memberships at a tick.
type MembershipChanges = Vec<((AudienceId, ProfileId), i64)>;

/// What entered less what left, by audience and part. Kept where memberships are delivered: by the first process.
#[derive(Debug, Default)]
pub struct ConsistencyAudit {
    net: Vec<[i64; PARTS]>,
    waiting: BTreeMap<Tick, MembershipChanges>,
    checks: BTreeMap<Tick, AuditCheck>,
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
        self.0.lock()
    }
}

/// What was found at a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditCheck {
    /// Which part.
    pub part: u8,
    /// The figures.
    pub found: AuditShare,
}

impl ConsistencyAudit {
    /// Nothing has changed yet; moves are told here.
    pub fn new(moves: Arc<Moves>) -> Self {
        ConsistencyAudit { moves, ..ConsistencyAudit::default() }
    }

    /// Takes in what changed at a tick.
    pub fn changed(&mut self, tick: Tick, changes: MembershipChanges) {
        self.waiting.entry(tick).or_default().extend(changes);
    }

    /// Takes in what was found at a tick.
    pub fn checked(&mut self, tick: Tick, check: AuditCheck) {
        self.checks.insert(tick, check);
    }

    /// Everything before `frontier` was taken in. Gives for each check at it how many figures do not agree.
    pub fn complete(&mut self, frontier: Tick) -> Vec<usize> {
        let mut differences = Vec::new();
        while let Some(entry) = self.checks.first_entry().filter(|entry| *entry.key() < frontier) {
            let (tick, check) = entry.remove_entry();
            self.enter_before(tick.next());
            differences.push(self.differences(&check));
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

    fn differences(&self, check: &AuditCheck) -> usize {
        let nobody = [0; PARTS];
        let differs = |(index, (size, listed)): (usize, (&u64, &u64))| {
            let net = self.net.get(index).unwrap_or(&nobody);
            let by_part = i64::try_from(*listed) != Ok(net[usize::from(check.part)]);
            let by_size = i64::try_from(*size) != Ok(net.iter().sum::<i64>());
            usize::from(by_part) + usize::from(by_size)
        };
        check.found.sizes.iter().zip(&check.found.listed).enumerate().map(differs).sum()
    }
}

/// How the checks turned out.
#[derive(Debug, Default)]
pub struct AuditFigures {
    moves: Arc<Moves>,
    checks: AtomicU64,
    differences: AtomicU64,
}

impl AuditFigures {
    /// How many entered and left each audience.
    pub fn moves(&self) -> &Arc<Moves> {
        &self.moves
    }

    /// A check found so many figures that do not agree.
    pub fn checked(&self, differences: usize) {
        self.checks.fetch_add(1, Ordering::Relaxed);
        if differences > 0 {
            self.differences.fetch_add(differences as u64, Ordering::Relaxed);
            tracing::error!(
                differences,
                "the consistency audit failed: size, members and changes of an audience differ"
            );
        }
    }

    /// Looks since the start.
    pub fn checks(&self) -> u64 {
        self.checks.load(Ordering::Relaxed)
    }

    /// Figures that did not agree, since the start. One is one too many.
    pub fn differences(&self) -> u64 {
        self.differences.load(Ordering::Relaxed)
    }
}

/// Which part is checked next, and when.
#[derive(Debug)]
pub struct AuditSchedule {
    next: u8,
    latest: Instant,
}

impl AuditSchedule {
    /// Begins with the first part.
    pub fn new() -> Self {
        AuditSchedule { next: 0, latest: Instant::now() }
    }

    /// The part to check now, if it is time.
    pub fn due(&mut self) -> Option<u8> {
        if self.latest.elapsed() < CHECK_EVERY {
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

    fn audit() -> ConsistencyAudit {
        let mut audit = ConsistencyAudit::default();
        let row = |audience, part| (AudienceId::new(audience), profile(part));
        audit.changed(ms(1), vec![(row(0, 7), 1), (row(0, 9), 1), (row(1, 7), 1)]);
        audit.changed(ms(5), vec![(row(0, 7), -1)]);
        audit
    }

    #[track_caller]
    fn check(tick: u64, part: u8, sizes: [u64; 2], listed: [u64; 2], expected: usize) {
        let mut audit = audit();
        audit.checked(
            ms(tick),
            AuditCheck { part, found: AuditShare { sizes: sizes.to_vec(), listed: listed.to_vec() } },
        );
        assert_eq!(audit.complete(ms(tick)), Vec::<usize>::new(), "it waits for its tick");
        assert_eq!(audit.complete(ms(10)), [expected]);
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
