//! The events that one destination is still to be sent, oldest first, and how far things are.
//!
//! ```text
//! engine ── events of a tick ──► waiting ── take ──► in flight ── acknowledge ──► gone
//! ```
//!
//! An event comes in once: those of ticks before `produced` are in the queue or gone, and the two are written together. A
//! batch in flight stays as it is, also over a crash, since where it ends is written down before it is given out: only the
//! same body tells the other side that it is the same call. What waits is not in memory, unless nothing outlives the process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use dataflows::model::Tick;

use super::entries::{Batch, Cursor, Entries, Entry, Pending, QueueLimit};
use crate::egress::outbox::BatchLimit;
use crate::engine::Position;
use crate::log::StoreError;

/// How long, in ticks' milliseconds, `produced` may be ahead of what is written of it where no event comes. What a crash
/// then reads again has no event of this destination in it, unless its definition was changed meanwhile.
const PRODUCED_UNWRITTEN_MS_MAX: u64 = 1_000;

/// Times of arrival that are remembered for the latency histograms. An outage is no latency, so few will do.
const RECEIVED_KEPT_MAX: usize = 10_000;

/// The queue of one destination.
pub struct Queue {
    entries: Box<dyn Entries>,
    limit: QueueLimit,
    written: Cursor,
    produced: Tick,
    in_flight: Option<Arc<Batch>>,
    /// What waits lies behind this.
    floor: Option<Position>,
    events: usize,
    bytes: usize,
    received: VecDeque<(Position, Instant)>,
    overflowed: u64,
    /// Whether it was said that too many wait.
    is_told: bool,
}

impl Queue {
    /// The queue as it was left; a new one begins at `present`.
    pub fn open(mut entries: Box<dyn Entries>, limit: QueueLimit, present: Tick) -> Result<Self, StoreError> {
        let written = match entries.cursor()? {
            Some(cursor) => cursor,
            None => {
                // Written at once: were it not, a crash would make it begin later the next time.
                let cursor = Cursor { produced: present, in_flight: None };
                entries.write(&[], &[], cursor, false)?;
                cursor
            }
        };
        let (mut flight, mut events, mut bytes) = (Vec::new(), 0, 0);
        for entry in entries.after(None) {
            let entry = entry?;
            if written.in_flight.is_some_and(|end| entry.position <= end) {
                flight.push(entry);
            } else {
                events += 1;
                bytes += entry.json.len();
            }
        }
        let in_flight = (!flight.is_empty()).then(|| Arc::new(Batch { entries: flight, received: Vec::new() }));
        let (floor, produced) = (written.in_flight, written.produced);
        let (received, overflowed, is_told) = (VecDeque::new(), 0, false);
        Ok(Queue { entries, limit, written, produced, in_flight, floor, events, bytes, received, overflowed, is_told })
    }

    /// The events of all ticks before this one were taken in.
    pub fn produced(&self) -> Tick {
        self.produced
    }

    /// Takes in all events of the ticks before `frontier` that were not yet, in order. Says how many had to be given up for
    /// it if that is to be told.
    pub fn push(&mut self, frontier: Tick, new: Vec<(Entry, Option<Instant>)>) -> Result<Option<usize>, StoreError> {
        let first = self.produced;
        let new: Vec<_> = new.into_iter().filter(|(entry, _)| entry.position.tick >= first).collect();
        // The end of time is that of the process only: the next one goes on where the last event was.
        let last = new.last().map_or(first, |(entry, _)| entry.position.tick.next());
        self.produced = if frontier == Tick::MAX { last } else { first.max(frontier) };
        let cursor = Cursor { produced: self.produced, ..self.written };
        if new.is_empty() {
            if self.produced >= self.written.produced.after_ms(PRODUCED_UNWRITTEN_MS_MAX) {
                self.entries.write(&[], &[], cursor, false)?;
                self.written = cursor;
            }
            return Ok(None);
        }
        let received = new.iter().filter_map(|(entry, received)| Some((entry.position, (*received)?)));
        self.received.extend(received.take(RECEIVED_KEPT_MAX.saturating_sub(self.received.len())));
        let mut new: VecDeque<Entry> = new.into_iter().map(|(entry, _)| entry).collect();
        self.events += new.len();
        self.bytes += new.iter().map(|entry| entry.json.len()).sum::<usize>();
        let given_up = self.make_room(&mut new)?;
        self.entries.write(new.make_contiguous(), &given_up.removed, cursor, false)?;
        self.written = cursor;
        self.overflowed += given_up.count as u64;
        let is_known = given_up.count == 0 || std::mem::replace(&mut self.is_told, true);
        Ok((!is_known).then_some(given_up.count))
    }

    /// Gives up the oldest until what is left is within the limits; of `new` only where nothing else waits.
    fn make_room(&mut self, new: &mut VecDeque<Entry>) -> Result<GivenUp, StoreError> {
        let mut given_up = GivenUp::default();
        let mut waiting = self.entries.after(self.floor);
        while self.events > self.limit.events || self.bytes > self.limit.bytes {
            let oldest = match waiting.next() {
                Some(entry) => {
                    let entry = entry?;
                    given_up.removed.push(entry.position);
                    entry
                }
                None => match new.pop_front() {
                    Some(entry) => entry,
                    None => break,
                },
            };
            self.floor = Some(oldest.position);
            self.events -= 1;
            self.bytes -= oldest.json.len();
            given_up.count += 1;
        }
        Ok(given_up)
    }

    /// Puts the oldest events in flight, as many as the limit lets, and gives them out. Where a batch is in flight, the
    /// same one. Nothing where none waits.
    pub fn take(&mut self, limit: BatchLimit) -> Result<Option<Arc<Batch>>, StoreError> {
        if let Some(batch) = &self.in_flight {
            return Ok(Some(batch.clone()));
        }
        if self.events == 0 {
            return Ok(None);
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for entry in self.entries.after(self.floor) {
            let entry = entry?;
            bytes += entry.json.len();
            if !entries.is_empty() && (entries.len() >= limit.changes || bytes > limit.bytes) {
                bytes -= entry.json.len();
                break;
            }
            entries.push(entry);
        }
        let Some(end) = entries.last().map(|entry: &Entry| entry.position) else { return Ok(None) };
        let cursor = Cursor { in_flight: Some(end), produced: self.produced };
        self.entries.write(&[], &[], cursor, true)?;
        self.written = cursor;
        self.floor = Some(end);
        self.events -= entries.len();
        self.bytes -= bytes;
        let until = self.received.partition_point(|(position, _)| *position <= end);
        let received = self.received.drain(..until).map(|(_, received)| received).collect();
        let batch = Arc::new(Batch { entries, received });
        self.in_flight = Some(batch.clone());
        Ok(Some(batch))
    }

    /// The batch in flight was acknowledged, or given up.
    pub fn acknowledge(&mut self) -> Result<(), StoreError> {
        let Some(batch) = &self.in_flight else { return Ok(()) };
        let done: Vec<Position> = batch.entries.iter().map(|entry| entry.position).collect();
        let cursor = Cursor { in_flight: None, produced: self.produced };
        self.entries.write(&[], &done, cursor, true)?;
        self.written = cursor;
        self.in_flight = None;
        // Not at once: a destination that is too slow for ever would make a line of each call.
        self.is_told &= self.events > self.limit.events / 2 || self.bytes > self.limit.bytes / 2;
        Ok(())
    }

    /// How much there is.
    pub fn pending(&self) -> Pending {
        let in_flight = self.in_flight.as_ref();
        let waiting = || self.entries.after(self.floor).next()?.ok();
        let oldest = match in_flight.and_then(|batch| batch.entries.first()) {
            Some(entry) => Some(entry.position.tick),
            None if self.events == 0 => None,
            None => waiting().map(|entry| entry.position.tick),
        };
        let events = self.events + in_flight.map_or(0, |batch| batch.entries.len());
        Pending { events, bytes: self.bytes, oldest, overflowed: self.overflowed }
    }
}

/// What had to make room.
#[derive(Default)]
struct GivenUp {
    count: usize,
    /// Those of them that were in the queue before.
    removed: Vec<Position>,
}
