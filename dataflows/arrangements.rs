//! What the arrangements of one worker hold.
//!
//! Updates and batches are those of differential's own log. It does not tell their bytes; those are read off the batches. That is
//! exact for what an arrangement has allocated for itself: keys, values, times, differences and the offsets between them. What
//! values point to (texts, records, payloads) is not in it, since several arrangements share it.

mod footprint;

use std::cell::RefCell;
use std::rc::Rc;

use differential_dataflow::logging::{DifferentialEvent, DifferentialEventBuilder};
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::TraceReader;
use rustc_hash::FxHashMap;
use timely::progress::Antichain;
use timely::worker::Worker;

pub use footprint::Footprint;

/// What an arrangement holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Updates: (key, value, time, difference).
    pub records: u64,
    /// The batches that they are in.
    pub batches: u64,
    /// What the batches have allocated for themselves.
    pub bytes: u64,
    /// Updates that wait for their tick to be complete, and are in no batch yet.
    pub waiting: u64,
}

/// The arrangements of one worker, to be asked for their bytes.
///
/// ```
/// use dataflows::arrangements::{Arrangements, Holding, Ledger};
/// use dataflows::batches::arrange_by_key;
/// use dataflows::model::Tick;
/// use differential_dataflow::input::InputSession;
///
/// timely::execute_directly(|worker| {
///     let ledger = Ledger::listen(worker);
///     let mut rows = InputSession::<Tick, (u64, u64), i64>::new();
///     let (arrangements, probe, operator) = worker.dataflow(|scope| {
///         let arranged = arrange_by_key(rows.to_collection(scope), "Rows");
///         let mut arrangements = Arrangements::default();
///         arrangements.watch(&arranged);
///         let operator = arranged.trace.operator().global_id;
///         (arrangements, arranged.as_collection(|key, row| (*key, *row)).probe().0, operator)
///     });
///     (0..1_000).for_each(|row| rows.update((row, row), 1));
///     rows.advance_to(Tick::from_ms(1));
///     rows.flush();
///     worker.step_while(|| probe.less_than(rows.time()));
///     let Holding { records, batches, bytes, waiting } = arrangements.holdings(&ledger)[&operator];
///     assert_eq!((records, batches, waiting), (1_000, 1, 0));
///     assert!(bytes >= 1_000 * 2 * 8, "keys and values of eight bytes, times and differences: {bytes}");
/// });
/// ```
#[derive(Default)]
pub struct Arrangements(Vec<(usize, Box<dyn Fn() -> usize>)>);

/// The sum of what differential logs on one worker: what each arrangement holds, by the operator that maintains it. See [`Arrangements`].
#[derive(Clone, Debug, Default)]
pub struct Ledger(Rc<RefCell<FxHashMap<usize, ArrangementEntry>>>);

/// Events come in pairs that balance, but the last ones of an operator may never come.
#[derive(Clone, Copy, Debug, Default)]
struct ArrangementEntry {
    records: i64,
    batches: i64,
    waiting: i64,
}

impl Arrangements {
    /// Adds one. It keeps nothing from being compacted.
    pub fn watch<Tr>(&mut self, arranged: &Arranged<'_, TraceAgent<Tr>>)
    where
        Tr: TraceReader<Batch: Footprint> + 'static,
    {
        let mut trace = arranged.trace.clone();
        // A reader of a trace holds up what it may still ask for. This one asks for no time and no cut.
        trace.set_logical_compaction(Antichain::new().borrow());
        trace.set_physical_compaction(Antichain::new().borrow());
        let operator = trace.operator().global_id;
        let bytes = move || {
            let mut bytes = 0;
            trace.map_spans(|span| bytes += span.inner.as_ref().map_or(0, Footprint::bytes));
            bytes
        };
        self.0.push((operator, Box::new(bytes)));
    }

    /// What each holds, by the operator that maintains it.
    pub fn holdings(&self, ledger: &Ledger) -> FxHashMap<usize, Holding> {
        let count = |count: i64| u64::try_from(count).unwrap_or_default();
        let holding = |(operator, entry): (&usize, &ArrangementEntry)| {
            let ArrangementEntry { records, batches, waiting } = *entry;
            let (records, batches, waiting) = (count(records), count(batches), count(waiting));
            (*operator, Holding { records, batches, bytes: 0, waiting })
        };
        let mut holdings: FxHashMap<usize, Holding> = ledger.0.borrow().iter().map(holding).collect();
        for (operator, bytes) in &self.0 {
            holdings.entry(*operator).or_default().bytes = bytes() as u64;
        }
        holdings
    }
}

impl Ledger {
    /// Listens to what is logged on this worker, by dataflows that are built from now on.
    pub fn listen(worker: &Worker) -> Self {
        let ledger = Ledger::default();
        // A worker without a clock has no logs, and nothing to tell.
        if let Some(mut register) = worker.log_register() {
            let ledger = ledger.clone();
            register.insert::<DifferentialEventBuilder, _>("differential/arrange", move |_, events| {
                events.iter_mut().flat_map(|events| events.drain(..)).for_each(|(_, event)| ledger.enter(&event));
            });
        }
        ledger
    }

    fn enter(&self, event: &DifferentialEvent) {
        let (operator, records, batches, waiting) = match event {
            DifferentialEvent::Batch(event) => (event.operator, event.length as i64, 1, 0),
            DifferentialEvent::Drop(event) => (event.operator, -(event.length as i64), -1, 0),
            DifferentialEvent::Merge(event) => {
                let Some(length) = event.complete else { return };
                (event.operator, length as i64 - event.length1 as i64 - event.length2 as i64, -1, 0)
            }
            DifferentialEvent::Batcher(event) => (event.operator, 0, 0, event.records_diff as i64),
            DifferentialEvent::TraceShare(event) => (event.operator, 0, 0, 0),
            DifferentialEvent::MergeShortfall(_) => return,
        };
        let mut entries = self.0.borrow_mut();
        let entry = entries.entry(operator).or_default();
        entry.records += records;
        entry.batches += batches;
        entry.waiting += waiting;
    }
}

#[cfg(test)]
mod tests {
    use differential_dataflow::input::InputSession;

    use super::*;
    use crate::batches::arrange_by_key;
    use crate::model::Tick;

    /// Rows of 8 bytes by keys of 8 bytes, in many batches, which merge.
    #[test]
    fn updates_batches_and_bytes_are_those_of_the_arrangement() {
        timely::execute_directly(|worker| {
            let ledger = Ledger::listen(worker);
            let mut rows: InputSession<Tick, (u64, u64), i64> = InputSession::new();
            let (arrangements, probe, operator) = worker.dataflow(|scope| {
                let arranged = arrange_by_key(rows.to_collection(scope), "Rows");
                let mut arrangements = Arrangements::default();
                arrangements.watch(&arranged);
                let operator = arranged.trace.operator().global_id;
                (arrangements, arranged.as_collection(|key, row| (*key, *row)).probe().0, operator)
            });
            for tick in 1..=64 {
                (0..1_000).for_each(|row| rows.update((row * 100 + tick, row), 1));
                rows.advance_to(Tick::from_ms(tick));
                rows.flush();
                worker.step_while(|| probe.less_than(rows.time()));
                let Holding { records, batches, bytes, waiting } = arrangements.holdings(&ledger)[&operator];
                assert_eq!((records, waiting), (tick * 1_000, 0));
                assert!((1..=16).contains(&batches), "{batches} batches at {tick}");
                // A key, a value, the offset of each; no update has more than a time, a difference and another offset.
                let least = records * (8 + 8 + 4);
                assert!((least..2 * (least + records * (8 + 8 + 4))).contains(&bytes), "{bytes} at {tick}");
            }
        });
    }
}
