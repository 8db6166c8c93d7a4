//! `Side`: one input of an operator that follows two arrangements side by side.
//!
//! Batches come when their ticks are complete, but the two inputs are complete up to different ticks. So a batch may have to wait, and be
//! followed in part, while it is in the trace already. What is past is then not what the trace has, but what it has before all that waits,
//! with what was followed of that.
//!
//! It is of use to operators only, so its example is the test below.

use differential_dataflow::ExchangeData;
use differential_dataflow::difference::Monoid;
use differential_dataflow::trace::cursor::{CursorList, cursor_list};
use differential_dataflow::trace::implementations::spine_fueled::SpineBatch;
use differential_dataflow::trace::{BatchCursor, Span, TraceReader};
use timely::progress::Antichain;
use timely::progress::frontier::MutableAntichain;

use super::past::{Past, PastBatch, Trace};
use crate::model::Tick;

/// The tick that a frontier is at; the end of time where it is empty.
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

    /// How many updates wait, those that were followed already among them.
    pub fn updates(&self) -> usize {
        self.waiting.iter().filter_map(|span| span.inner.as_ref()).map(|batch| batch.len()).sum()
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
        // No batches come of a time in which nothing happens, and the trace would keep apart what came before and after it.
        if self.waiting.is_empty() {
            self.trace.advance_upper(&mut self.begins);
        }
        // Times before `done` need not be told apart any more, as only their sum is asked for. But batches may be merged no further than up to
        // `begins`: behind that is what waits, which is not past yet.
        let done = if done == Tick::MAX { Antichain::new() } else { Antichain::from_elem(done) };
        self.trace.set_logical_compaction(done.borrow());
        self.trace.set_physical_compaction(self.begins.borrow());
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use differential_dataflow::input::InputSession;
    use differential_dataflow::trace::Cursor;
    use timely::container::CapacityContainerBuilder;
    use timely::dataflow::channels::pact::Pipeline;
    use timely::dataflow::operators::generic::Operator;
    use timely::dataflow::operators::{Capture, Probe, capture::Extract};

    use super::*;
    use crate::batches::arrange_by_key;
    use crate::operators::waiting::hold;

    /// For each number that comes: it, and the sum of those that its key had before. All that comes in one go has the same past.
    #[test]
    fn what_waits_comes_after_what_is_past() {
        let ms = Tick::from_ms;
        let sums = timely::execute_directly(move |worker| {
            let mut numbers: InputSession<Tick, (char, u64), i64> = InputSession::new();
            let (probe, sums) = worker.dataflow(|scope| {
                let numbers = arrange_by_key(numbers.to_collection(scope), "Numbers");
                let mut side = Side::new(numbers.trace);
                type PastSums = CapacityContainerBuilder<Vec<(char, u64, u64)>>;
                let sums = numbers.stream.unary_frontier::<PastSums, _, _, _>(Pipeline, "Sums", |_, _| {
                    let (mut held, mut done) = (None, Tick::default());
                    move |(input, frontier), output| {
                        input.for_each(|capability, spans| {
                            hold(&mut held, &capability);
                            side.take_in(spans);
                        });
                        let until = side.boundary(tick_of(frontier));
                        if until <= done {
                            return;
                        }
                        let (mut past, (mut cursor, batches)) = (side.past(), side.cursor());
                        while let Some((key, capability)) = cursor.get_key(&batches).zip(held.as_ref()) {
                            let mut sum = 0;
                            past.turn_to(key);
                            past.visit_all(|number, _| sum += number);
                            while let Some(number) = cursor.get_val(&batches) {
                                output.session(capability).give((*key, *number, sum));
                                cursor.step_val(&batches);
                            }
                            cursor.step_key(&batches);
                        }
                        done = until;
                        if !side.finish(done) {
                            held = None;
                        }
                    }
                });
                let (probe, sums) = sums.probe();
                (probe, sums.capture())
            });
            for (tick, rows) in [(1, vec![('a', 1), ('b', 10)]), (2, vec![('a', 2), ('a', 3)]), (9, vec![('a', 4)])] {
                rows.into_iter().for_each(|row| numbers.update(row, 1));
                numbers.advance_to(ms(tick));
                numbers.flush();
                worker.step_while(|| probe.less_than(&ms(tick)));
            }
            sums
        });
        let mut sums: Vec<_> = sums.extract().into_iter().flat_map(|(_, sums)| sums).collect();
        sums.sort_unstable();
        assert_eq!(sums, [('a', 1, 0), ('a', 2, 1), ('a', 3, 1), ('a', 4, 6), ('b', 10, 0)]);
    }
}
