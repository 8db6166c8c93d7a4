//! The events that one destination is still to be sent, oldest first, and how far things are.
//!
//! ```text
//! engine ── events of a tick ──► waiting ── take ──► in flight ── acknowledge ──► gone
//!                                                      │    ▲
//!                                                      └ split: the other half
//! ```
//! What is refused for good: see `queue/refused.rs`.
//!
//! An event comes in once: those of ticks before `produced` are in the queue or gone, and the two are written together. A
//! batch in flight stays as it is, also over a crash, since where it ends is written down before it is given out: only the
//! same body tells the other side that it is the same call. What waits is not in memory, unless nothing outlives the process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use dataflows::model::Tick;

use super::doubt::Doubt;
use super::entries::{
    EntryWrites, EventBatch, ForwardCursor, ForwardStore, Hold, OutgoingEvents, PendingEntries, QueueLimit, QueuedEvent,
};
use crate::log::{Offset, StoreError};

mod in_flight;
mod refused;

use refused::RefusedLetters;

/// How long, in ticks' milliseconds, `produced` may be ahead of what is written of it where no event comes. What a crash
/// then reads again has no event of this destination in it, unless its definition was changed meanwhile.
const PRODUCED_UNWRITTEN_MS_MAX: u64 = 1_000;

/// Times of arrival that are remembered for the latency histograms. An outage is no latency, so few will do.
const RECEIVED_KEPT_MAX: usize = 10_000;

/// The queue of one destination.
pub struct Queue {
    entries: Box<dyn ForwardStore>,
    limit: QueueLimit,
    written: ForwardCursor,
    produced: Tick,
    /// What came in before this tick was here when the process started: nobody knows for how long.
    opened_at: Tick,
    in_flight: Option<OutgoingEvents>,
    /// What goes next, once it is known who consents.
    doubt: Option<Doubt>,
    /// What follows it before all that waits: other halves of what was refused, the next one last.
    halves: Vec<OutgoingEvents>,
    /// What was given up, and may go once more.
    refused: RefusedLetters,
    /// What waits lies behind this.
    floor: Option<Offset>,
    events: usize,
    bytes: usize,
    received: VecDeque<(Offset, Instant)>,
    overflowed: u64,
    withheld: u64,
    /// Whether it was said that too many wait.
    is_told: bool,
}

impl Queue {
    /// The queue as it was left; a new one begins at `present`.
    pub fn open(mut entries: Box<dyn ForwardStore>, limit: QueueLimit, present: Tick) -> Result<Self, StoreError> {
        let written = match entries.cursor()? {
            // Up to the present at most. Earlier versions wrote a tick of the future when they were stopped, and then sent nothing
            // until it came. Without a log there is no present.
            Some(cursor) if present > Tick::default() => {
                ForwardCursor { produced: cursor.produced.min(present), ..cursor }
            }
            Some(cursor) => cursor,
            None => {
                // Written at once: were it not, a crash would make it begin later the next time.
                let cursor = ForwardCursor { produced: present, in_flight: None };
                entries.write(EntryWrites::default(), cursor, Hold::Later)?;
                cursor
            }
        };
        let (mut outgoing, mut events, mut bytes) = (Vec::new(), 0, 0);
        for entry in entries.after(None) {
            let entry = entry?;
            if written.in_flight.is_some_and(|end| entry.position <= end) {
                outgoing.push(entry);
            } else {
                events += 1;
                bytes += entry.json.len();
            }
        }
        let batch = Arc::new(EventBatch { entries: outgoing, received: Vec::new() });
        let in_flight = (!batch.entries.is_empty()).then(|| OutgoingEvents {
            batch,
            refusals: 0,
            is_retry: false,
            has_begun: true,
        });
        let (floor, produced) = (written.in_flight, written.produced);
        let refused = RefusedLetters::of(entries.letters()?);
        let (doubt, halves, received) = Default::default();
        let (overflowed, withheld, is_told) = (0, 0, false);
        Ok(Queue {
            entries,
            limit,
            written,
            produced,
            opened_at: produced,
            in_flight,
            doubt,
            halves,
            refused,
            floor,
            events,
            bytes,
            received,
            overflowed,
            withheld,
            is_told,
        })
    }

    /// The events of all ticks before this one were taken in.
    pub fn produced(&self) -> Tick {
        self.produced
    }

    /// Takes in all events of the ticks before `frontier` that were not yet, in order. Says how many had to be given up for
    /// it if that is to be told.
    pub fn push(
        &mut self,
        frontier: Tick,
        new: Vec<(QueuedEvent, Option<Instant>)>,
    ) -> Result<Option<usize>, StoreError> {
        let first = self.produced;
        let new: Vec<_> = new.into_iter().filter(|(entry, _)| entry.position.tick >= first).collect();
        // The end of time is that of the process only: the next one goes on where the last event was.
        let last = new.last().map_or(first, |(entry, _)| entry.position.tick.next());
        self.produced = if frontier == Tick::MAX { last } else { first.max(frontier) };
        let cursor = ForwardCursor { produced: self.produced, ..self.written };
        if new.is_empty() {
            if self.produced >= self.written.produced.after_ms(PRODUCED_UNWRITTEN_MS_MAX) {
                self.entries.write(EntryWrites::default(), cursor, Hold::Later)?;
                self.written = cursor;
            }
            return Ok(None);
        }
        let received = new.iter().filter_map(|(entry, received)| Some((entry.position, (*received)?)));
        self.received.extend(received.take(RECEIVED_KEPT_MAX.saturating_sub(self.received.len())));
        let mut new: VecDeque<QueuedEvent> = new.into_iter().map(|(entry, _)| entry).collect();
        self.events += new.len();
        self.bytes += new.iter().map(|entry| entry.json.len()).sum::<usize>();
        let given_up = self.make_room(&mut new)?;
        let writes = EntryWrites { add: new.make_contiguous(), remove: &given_up.removed, ..EntryWrites::default() };
        self.entries.write(writes, cursor, Hold::Later)?;
        self.written = cursor;
        self.overflowed += given_up.count as u64;
        let is_known = given_up.count == 0 || std::mem::replace(&mut self.is_told, true);
        Ok((!is_known).then_some(given_up.count))
    }

    /// Gives up the oldest until what is left is within the limits; of `new` only where nothing else waits.
    fn make_room(&mut self, new: &mut VecDeque<QueuedEvent>) -> Result<GivenUp, StoreError> {
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

    /// How much there is.
    pub fn pending(&self) -> PendingEntries {
        let next = self.in_flight.iter().chain(self.doubt.iter().map(|doubt| &doubt.outgoing));
        let new = next.filter(|outgoing| !outgoing.is_retry);
        let in_flight = || new.clone().chain(self.halves.iter().rev()).map(|outgoing| &outgoing.batch.entries);
        let waiting = || self.entries.after(self.floor).next()?.ok();
        let oldest = match in_flight().flatten().next() {
            Some(entry) => Some(entry.position.tick),
            None if self.events == 0 => None,
            None => waiting().map(|entry| entry.position.tick),
        };
        let events = self.events + in_flight().map(Vec::len).sum::<usize>() + self.refused.retried();
        PendingEntries {
            events,
            bytes: self.bytes,
            oldest,
            overflowed: self.overflowed,
            withheld: self.withheld,
            lost: self.refused.lost(),
        }
    }
}

/// What had to make room.
#[derive(Default)]
struct GivenUp {
    count: usize,
    /// Those of them that were in the queue before.
    removed: Vec<Offset>,
}
