//! Recovery: the facts of a checkpoint, and then the log after it, go through the dataflow, before anything new is taken in.
//!
//! Facts go in at the first tick that there is, long before those of any event, all of them at one: so what follows from them is
//! worked out once for each profile, and arrangements are built once and not merged from many batches. What they lead to is as
//! of the checkpoint's tick. The log goes in at the ticks that it has.
//!
//! Nothing tells the dataflow that this is the past: same log, same ticks, same collections. Only ingest, access and egress behave differently
//! until it is over: senders are refused, and destinations get nothing, since what they were to hold in between is history.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflows::model::{Event, Tick};
use dataflows::observations::Arrival;
use tokio::sync::{Semaphore, oneshot};

use super::forwarding::Picked;
use super::sequencer::Sequencer;
use super::workers::{CHUNK_EVENTS, CHUNKS_IN_FLIGHT};
use crate::log::checkpoint::{CheckpointPiece, Restore};
use crate::log::{LogError, LogRecord, Logged, Offset, Stored, placed};

/// Reads a stored event again. `Err` has the code of a reason.
pub type StoredEventDecoder = Box<dyn Fn(&Stored) -> Result<Event, &'static str> + Send>;

/// How often progress is told.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// What was told of the log so far.
struct RecoveryNotices {
    identifiers: u64,
    entries: u64,
    events: u64,
    /// Events that the project, as it now is, rejects.
    rejected: u64,
    began: Instant,
    reported: Instant,
}

/// A part of a checkpoint or of the log, on its way to the workers.
#[derive(Default)]
struct Chunk {
    arrivals: Vec<(Tick, Arrival)>,
    /// Those of its events that are to be forwarded.
    picked: Vec<Picked>,
}

impl Sequencer {
    /// Feeds the log to the workers and advances them to the present; gives the first tick for new input. Nothing where the
    /// engine is to stop before that.
    pub(super) async fn recover(&mut self, stop: &mut oneshot::Receiver<()>) -> Result<Option<Tick>, LogError> {
        let (restore, last) = (self.restore.take(), self.log.last());
        self.repeated = tokio::select! {
            biased;
            // Without other processes there is nothing to wait for: what the log has is read, whoever stops meanwhile.
            repeated = self.counting.former(self.former.take()) => repeated?,
            _ = &mut *stop => return Ok(None),
        };
        if restore.is_none() && last.is_none() {
            return Ok(self.first((self.now)(), stop).await);
        }
        let began = Instant::now();
        let mut told = RecoveryNotices { identifiers: 0, entries: 0, events: 0, rejected: 0, began, reported: began };
        let mut tick = Tick::default();
        if let Some(restore) = restore {
            tracing::info!(tick = %restore.tick, "recovering: reading a checkpoint");
            tick = restore.tick;
            self.shared.restored_at(tick);
            if !self.restore(restore, stop, &mut told).await? {
                return Ok(None);
            }
        }
        tracing::info!(from = %tick, to = %last.unwrap_or(tick), "recovering: reading the log");
        let mut chunk = Chunk::default();
        let mut first = None;
        for logged in self.log.history(tick) {
            let logged = logged?;
            tick = logged.tick;
            self.reread(logged, &mut chunk, &mut told)?;
            if chunk.arrivals.len() >= CHUNK_EVENTS && !self.feed(tick, &mut chunk, stop).await {
                return Ok(None);
            }
            told.report(tick);
            let first = *first.get_or_insert(tick);
            self.shared.recovered_up_to(tick, first, last.unwrap_or(tick));
        }
        if !self.feed(tick, &mut chunk, stop).await {
            return Ok(None);
        }
        // The log may be ahead of a clock that was set back.
        let Some(input) = self.first((self.now)().max(tick.next()), stop).await else { return Ok(None) };
        self.shared.recovered_at(input);
        self.workers.advance_to(input);
        while self.shared.frontier() < input {
            if !self.progressed(stop).await {
                return Ok(None);
            }
        }
        let RecoveryNotices { identifiers, entries, events, rejected, began, .. } = told;
        let seconds = began.elapsed().as_secs_f64();
        tracing::info!(identifiers, entries, events, last_tick = %tick, "recovered in {seconds:.2} s");
        if rejected > 0 {
            tracing::warn!(rejected, "events of the log do not count any more: the limits of the project reject them");
        }
        Ok(Some(input))
    }

    /// Feeds the facts of a checkpoint to the workers, and remembers its message ids. Says whether to go on.
    async fn restore(
        &mut self,
        restore: Restore,
        stop: &mut oneshot::Receiver<()>,
        told: &mut RecoveryNotices,
    ) -> Result<bool, LogError> {
        let room = Arc::new(Semaphore::new(CHUNKS_IN_FLIGHT));
        let tick = Tick::default();
        let mut chunk = Chunk::default();
        for piece in restore.pieces {
            match piece? {
                CheckpointPiece::Facts(facts) => {
                    told.identifiers += facts.len() as u64;
                    chunk.arrivals.extend(facts.into_iter().map(|of_one| (tick, Arrival::Facts(Box::new(of_one)))));
                }
                CheckpointPiece::Messages(messages) => {
                    for (counted, ids) in messages {
                        self.counting.remember(counted, ids)?;
                    }
                }
            }
            if chunk.arrivals.len() >= CHUNK_EVENTS {
                let permit = tokio::select! {
                    biased;
                    _ = &mut *stop => return Ok(false),
                    permit = room.clone().acquire_owned() => permit.expect("it is never closed"),
                };
                self.workers.send(std::mem::take(&mut chunk.arrivals));
                self.workers.work(permit);
            }
            told.report(restore.tick);
        }
        Ok(self.feed(tick, &mut chunk, stop).await)
    }

    /// Makes events of a logged batch, and remembers their message ids, as when they were accepted.
    fn reread(&mut self, logged: Logged, chunk: &mut Chunk, told: &mut RecoveryNotices) -> Result<(), LogError> {
        let Logged { tick, order, record } = logged;
        let LogRecord::Events(events) = record;
        told.entries += 1;
        let counts = |stored: &Stored| !self.repeated.contains(&(tick, stored.message));
        let events: Vec<(Stored, u32)> = events.into_iter().zip(0..).filter(|(stored, _)| counts(stored)).collect();
        // Whether the window still knows an id does not matter: the event is in the log, so it counts.
        self.counting.remember(tick, events.iter().map(|(stored, _)| stored.message))?;
        for (stored, index) in events {
            match (self.decode_stored)(&stored) {
                Ok(event) => {
                    let position = order.position(tick, self.process_index(), index);
                    let event = placed(event, tick, position);
                    chunk.picked.extend(self.pick(Offset { tick, index }, &stored.raw, &event, None));
                    chunk.arrivals.push((tick, Arrival::Event(event)));
                    told.events += 1;
                }
                Err(code) => {
                    tracing::debug!(%tick, code, "an event of the log is rejected");
                    told.rejected += 1;
                }
            }
        }
        Ok(())
    }

    /// Sends a chunk, whose last tick is `tick`, once there is room for it. Says whether to go on.
    async fn feed(&mut self, tick: Tick, chunk: &mut Chunk, stop: &mut oneshot::Receiver<()>) -> bool {
        let goes_on = self.has_room_for_chunk(stop).await;
        let Chunk { arrivals, picked } = std::mem::take(chunk);
        self.shared.recovering(tick);
        picked.into_iter().for_each(|picked| self.forward(picked));
        self.workers.send(arrivals);
        self.workers.advance_to(tick.next());
        self.counting.recovering(tick.next());
        goes_on
    }

    /// Waits until the workers have room for a chunk. Says whether to go on after it.
    async fn has_room_for_chunk(&mut self, stop: &mut oneshot::Receiver<()>) -> bool {
        while self.shared.ticks_in_flight() >= CHUNKS_IN_FLIGHT {
            if !self.progressed(stop).await {
                return false;
            }
        }
        !matches!(stop.try_recv(), Ok(()) | Err(oneshot::error::TryRecvError::Closed))
    }

    /// The first tick for new input, not before `input`; nothing where the engine is to stop before it is known.
    async fn first(&mut self, input: Tick, stop: &mut oneshot::Receiver<()>) -> Option<Tick> {
        tokio::select! {
            biased;
            first = self.counting.first(input) => Some(first),
            _ = stop => None,
        }
    }

    /// Waits until a tick completes. Says whether to go on.
    async fn progressed(&mut self, stop: &mut oneshot::Receiver<()>) -> bool {
        tokio::select! {
            biased;
            _ = stop => false,
            () = self.shared.progressed() => true,
        }
    }
}

impl RecoveryNotices {
    fn report(&mut self, tick: Tick) {
        if self.reported.elapsed() >= REPORT_EVERY {
            self.reported = Instant::now();
            let RecoveryNotices { identifiers, events, .. } = *self;
            tracing::info!(identifiers, events, %tick, "recovering for {:.0} s", self.began.elapsed().as_secs_f64());
        }
    }
}
