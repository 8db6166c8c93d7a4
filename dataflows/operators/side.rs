//! `Side`: one input of an operator that follows two arrangements side by side.

use differential_dataflow::ExchangeData;
use differential_dataflow::difference::Monoid;
use differential_dataflow::trace::cursor::{CursorList, cursor_list};
use differential_dataflow::trace::{BatchCursor, Span, TraceReader};
use timely::progress::Antichain;
use timely::progress::frontier::MutableAntichain;

use super::past::{Past, PastBatch, Trace};
use crate::model::Tick;

/// The tick that a frontier is at.
pub fn tick_of(frontier: &MutableAntichain<Tick>) -> Tick {
    frontier.frontier().first().copied().unwrap_or(Tick::MAX)
}

/// The tick at which a span begins or ends: the end of time is no tick.
fn tick(bound: &Antichain<Tick>) -> Tick {
    bound.first().copied().unwrap_or(Tick::MAX)
}

/// One of the inputs.
pub struct Side<K: ExchangeData, V: ExchangeData, R: Monoid + ExchangeData> {
    trace: Trace<K, V, R>,
    /// What has come and was not followed to its end.
    waiting: Vec<Span<Tick, PastBatch<K, V, R>>>,
    /// Where what waits begins: what is in the trace before that is past.
    begins: Antichain<Tick>,
}

/// Where an operator is in what waits, and that.
pub type SideCursor<K, V, R> = (CursorList<BatchCursor<Trace<K, V, R>>>, Vec<PastBatch<K, V, R>>);

impl<K: ExchangeData, V: ExchangeData, R: Monoid + ExchangeData> Side<K, V, R> {
    /// Of the input whose trace this is.
    pub fn new(trace: Trace<K, V, R>) -> Self {
        Side { trace, waiting: Vec::new(), begins: Antichain::from_elem(Tick::default()) }
    }

    /// Takes in what comes.
    pub fn take_in(&mut self, spans: &mut Vec<Span<Tick, PastBatch<K, V, R>>>) {
        self.waiting.append(spans);
    }

    /// The last tick up to `until` at which nothing that waits would be cut in two.
    pub fn boundary(&self, until: Tick) -> Tick {
        let cut = self.waiting.iter().find(|span| tick(span.upper()) > until);
        cut.map_or(until, |span| tick(span.lower()).min(until))
    }

    /// Goes through what waits, from the first key on.
    pub fn cursor(&self) -> SideCursor<K, V, R> {
        cursor_list(self.waiting.iter().filter_map(|span| span.inner.clone()).collect())
    }

    /// What was there before all that waits.
    pub fn past(&mut self) -> Past<K, V, R> {
        // The trace is not let merge across `begins`, so there is always an answer.
        Past::of(self.trace.batches_through(self.begins.borrow()).unwrap_or_default())
    }

    /// Everything before `done` was followed. Says whether anything still waits.
    pub fn finish(&mut self, done: Tick) -> bool {
        let ended = self.waiting.partition_point(|span| tick(span.upper()) <= done);
        for span in self.waiting.drain(..ended) {
            // The trace may have been empty for longer, as it was asked below.
            if tick(&self.begins) < tick(span.upper()) {
                self.begins.clone_from(span.upper());
            }
        }
        if self.waiting.is_empty() {
            self.trace.advance_upper(&mut self.begins);
        }
        let done = if done == Tick::MAX { Antichain::new() } else { Antichain::from_elem(done) };
        self.trace.set_logical_compaction(done.borrow());
        self.trace.set_physical_compaction(self.begins.borrow());
        !self.waiting.is_empty()
    }
}
