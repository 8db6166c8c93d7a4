//! What the engine lets everybody see of its state: how far it is, and how much is pending.

use crate::log::Accepted;
use std::iter::Sum;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use dataflows::limits::Limit;
use dataflows::model::Tick;
use parking_lot::{Mutex, MutexGuard};

use super::consistency::AuditFigures;
use super::subscriptions::Subscriptions;

/// How much is pending: events, and the bytes of their texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backpressure {
    /// Events.
    pub events: usize,
    /// Bytes.
    pub bytes: usize,
}

impl Backpressure {
    /// That of these events.
    pub fn of(events: &[Accepted]) -> Self {
        Backpressure { events: events.len(), bytes: events.iter().map(|accepted| accepted.raw.len()).sum() }
    }
}

impl Add for Backpressure {
    type Output = Backpressure;

    fn add(self, other: Backpressure) -> Backpressure {
        Backpressure { events: self.events + other.events, bytes: self.bytes + other.bytes }
    }
}

impl Sub for Backpressure {
    type Output = Backpressure;

    fn sub(self, other: Backpressure) -> Backpressure {
        Backpressure { events: self.events - other.events, bytes: self.bytes - other.bytes }
    }
}

impl Sum for Backpressure {
    fn sum<I: Iterator<Item = Backpressure>>(loads: I) -> Backpressure {
        loads.fold(Backpressure::default(), Add::add)
    }
}

/// What the engine lets everybody see of its state.
#[derive(Debug, Default)]
pub struct Progress {
    frontier: AtomicU64,
    /// The latest tick that a read was answered as of.
    answered: AtomicU64,
    pending: Mutex<Backpressure>,
    is_recovering: AtomicBool,
    /// The disk of the log has no more than its reserve.
    no_room: AtomicBool,
    /// Thousandths of the log that are through, while recovering.
    recovered_permille: AtomicU64,
    /// Identifiers that have as many of something as they may, in the order of [`Limit::ALL`].
    full: [AtomicI64; Limit::ALL.len()],
    /// What the consistency audit found.
    pub(super) audit: AuditFigures,
    /// Who hears of changes.
    pub(super) subscriptions: Subscriptions,
}

impl Progress {
    /// All ticks before this one are complete.
    pub fn frontier(&self) -> Tick {
        Tick::from_ms(self.frontier.load(Ordering::Acquire))
    }

    /// Says that all ticks before `frontier` are complete.
    pub fn advance_to(&self, frontier: Tick) {
        self.frontier.fetch_max(frontier.as_ms(), Ordering::AcqRel);
    }

    /// The latest tick that a read was answered as of: none after it is to go back behind that.
    pub(super) fn answered(&self) -> Tick {
        Tick::from_ms(self.answered.load(Ordering::Acquire))
    }

    /// Says that a read was answered as of `tick`.
    pub(super) fn answered_as_of(&self, tick: Tick) {
        self.answered.fetch_max(tick.as_ms(), Ordering::AcqRel);
    }

    /// Whether all that the log had is through the dataflow.
    pub fn is_recovered(&self) -> bool {
        !self.is_recovering.load(Ordering::Acquire)
    }

    /// Whether the log has room for more.
    pub fn has_room(&self) -> bool {
        !self.no_room.load(Ordering::Acquire)
    }

    /// Says whether the log has room for more.
    pub(super) fn room(&self, has_room: bool) {
        self.no_room.store(!has_room, Ordering::Release);
    }

    /// Says that the log has something that is not yet through the dataflow.
    pub fn recovering(&self) {
        self.is_recovering.store(true, Ordering::Release);
    }

    /// Says that all that the log had is through the dataflow.
    pub fn recovered(&self) {
        self.is_recovering.store(false, Ordering::Release);
    }

    /// How much of what there was before the start is through: up to 1.
    pub fn recovery(&self) -> f64 {
        if self.is_recovered() { 1.0 } else { self.recovered_permille.load(Ordering::Relaxed) as f64 / 1_000.0 }
    }

    /// Says how much of it is through, in thousandths.
    pub fn recovered_permille(&self, permille: u64) {
        self.recovered_permille.store(permille.min(1_000), Ordering::Relaxed);
    }

    /// So many more identifiers have as many of something as they may.
    pub(super) fn reached(&self, changes: &[(Limit, i64)]) {
        for (limit, change) in changes {
            self.full[limit.index()].fetch_add(*change, Ordering::Relaxed);
        }
    }

    /// How many identifiers have as many of something as they may, in the order of [`Limit::ALL`].
    pub fn full(&self) -> [u64; Limit::ALL.len()] {
        self.full.each_ref().map(|count| count.load(Ordering::Relaxed).try_into().unwrap_or_default())
    }

    /// What the consistency audit found.
    pub fn audit(&self) -> &AuditFigures {
        &self.audit
    }

    /// Events that were handed in and are not yet through the dataflow.
    pub fn pending_events(&self) -> usize {
        self.pending().events
    }

    /// Bytes of their texts.
    pub fn pending_bytes(&self) -> usize {
        self.pending().bytes
    }

    /// Says that so much is through, or was refused.
    pub fn settle(&self, load: Backpressure) {
        let mut pending = self.pending();
        *pending = *pending - load;
    }

    /// Counts events in, unless that makes more than `most`. Where none are pending any number may come in.
    pub(super) fn take_in(&self, load: Backpressure, most: Backpressure) -> bool {
        let mut pending = self.pending();
        let then = *pending + load;
        let fits = pending.events == 0 || (then.events <= most.events && then.bytes <= most.bytes);
        if fits {
            *pending = then;
        }
        fits
    }

    fn pending(&self) -> MutexGuard<'_, Backpressure> {
        self.pending.lock()
    }
}
