//! Recovery: the log goes through the dataflow once more, at the ticks that it has, before anything new is taken in.
//!
//! Nothing tells the dataflow that this is the past: same log, same ticks, same collections. Only the rims behave differently
//! until it is over: senders are refused, and destinations get nothing, since what they were to hold in between is history.

use std::time::{Duration, Instant};

use dataflows::model::{Event, Tick};
use tokio::sync::oneshot;

use super::forwarding::Position;
use super::sequencer::{Sequencer, cut};
use super::workers::{CHUNK_EVENTS, CHUNKS_IN_FLIGHT};
use crate::log::{LogError, Logged};

/// Reads the text of a stored event again. `Err` has the code of a reason.
pub type Reread = Box<dyn Fn(&[u8]) -> Result<Event, &'static str> + Send>;

/// How often progress is told.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// What was told of the log so far.
struct Told {
    entries: u64,
    events: u64,
    /// Events that the project, as it now is, rejects.
    rejected: u64,
    began: Instant,
    reported: Instant,
}

impl Sequencer {
    /// Feeds the log to the workers and advances them to the present; gives the first tick for new input. Nothing where the
    /// engine is to stop before that.
    pub(super) async fn recover(&mut self, stop: &mut oneshot::Receiver<()>) -> Result<Option<Tick>, LogError> {
        let Some(last) = self.log.last() else { return Ok(Some((self.now)())) };
        let began = Instant::now();
        let mut told = Told { entries: 0, events: 0, rejected: 0, began, reported: began };
        tracing::info!(last_tick = %last, "recovering: reading the log");
        let mut chunk = Vec::new();
        let mut tick = Tick::default();
        for logged in self.log.history() {
            let logged = logged?;
            tick = logged.tick;
            self.reread(logged, &mut chunk, &mut told);
            if chunk.len() >= CHUNK_EVENTS && !self.feed(tick, &mut chunk, stop).await {
                return Ok(None);
            }
            told.report(tick);
        }
        if !self.feed(tick, &mut chunk, stop).await {
            return Ok(None);
        }
        // The log may be ahead of a clock that was set back.
        let input = (self.now)().max(tick.next());
        self.shared.recovered_at(input);
        self.workers.advance_to(input);
        while self.shared.frontier() < input {
            if !self.progressed(stop).await {
                return Ok(None);
            }
        }
        let Told { entries, events, rejected, began, .. } = told;
        let seconds = began.elapsed().as_secs_f64();
        tracing::info!(entries, events, last_tick = %tick, "recovered in {seconds:.2} s");
        if rejected > 0 {
            tracing::warn!(rejected, "events of the log do not count any more: the limits of the project reject them");
        }
        Ok(Some(input))
    }

    /// Makes events of a logged batch, and remembers their message ids, as when they were accepted.
    fn reread(&mut self, logged: Logged, chunk: &mut Vec<(Tick, Event)>, told: &mut Told) {
        let Logged { tick, events } = logged;
        told.entries += 1;
        for (stored, index) in events.into_iter().zip(0..) {
            // Whether the window still knows the id does not matter: the event is in the log, so it counts.
            self.dedupe.admit(stored.message, tick);
            match (self.reread)(&stored.raw) {
                Ok(event) => {
                    let event = cut(event, tick, self.clock.max_future);
                    self.forward(Position { tick, index }, &stored.raw, &event, None);
                    chunk.push((tick, event));
                    told.events += 1;
                }
                Err(code) => {
                    tracing::debug!(%tick, code, "an event of the log is rejected");
                    told.rejected += 1;
                }
            }
        }
    }

    /// Sends a chunk, whose last tick is `tick`, once there is room for it. Says whether to go on.
    async fn feed(&mut self, tick: Tick, chunk: &mut Vec<(Tick, Event)>, stop: &mut oneshot::Receiver<()>) -> bool {
        while self.shared.ticks_in_flight() >= CHUNKS_IN_FLIGHT {
            if !self.progressed(stop).await {
                return false;
            }
        }
        self.shared.recovering(tick);
        self.workers.send(std::mem::take(chunk));
        self.workers.advance_to(tick.next());
        !matches!(stop.try_recv(), Ok(()) | Err(oneshot::error::TryRecvError::Closed))
    }

    /// Waits until a tick completes. Says whether to go on.
    async fn progressed(&self, stop: &mut oneshot::Receiver<()>) -> bool {
        tokio::select! {
            biased;
            _ = stop => false,
            () = self.shared.progressed() => true,
        }
    }
}

impl Told {
    fn report(&mut self, tick: Tick) {
        if self.reported.elapsed() >= REPORT_EVERY {
            self.reported = Instant::now();
            let per_second = self.events as f64 / self.began.elapsed().as_secs_f64();
            tracing::info!(events = self.events, %tick, "recovering: {per_second:.0} events a second");
        }
    }
}
