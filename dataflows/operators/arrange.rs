//! `arrange`: differential's `arrange_core` over ticks, which seals a large tick a part at a time.
//!
//! Differential's batcher merges all that has come, and builds a batch of it, in one go. Here rows are sorted in parts as they come, and
//! when their ticks are complete they are merged into the batch a part at a time; the worker looks at what else there is to do in between.
//! A tick is one batch all the same: whoever reads the trace sees all of it, or nothing.

use differential_dataflow::batcher::merge::Sealer;
use differential_dataflow::difference::Semigroup;
use differential_dataflow::logging::{BatcherEvent, DifferentialEventBuilder, Logger};
use differential_dataflow::operators::arrange::writer::TraceWriter;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::{Builder, Description, ExertionLogic, Span, Trace as _};
use differential_dataflow::{Data, ExchangeData, VecCollection};
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::ParallelizationContract;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::{Operator, OperatorInfo};
use timely::progress::Antichain;

use super::at_once::AtOnce;
use super::past::{PastBatch, Trace};
use super::runs::SortedRuns;
use super::side::tick_of;
use super::waiting::hold;
use crate::batches::{ValBuilder, ValSpine};
use crate::model::Tick;

/// Arranges values by key, on the workers that `pact` sends them to. About `at_once` rows are looked at at a time.
///
/// ```
/// use dataflows::model::Tick;
/// use dataflows::operators::{AtOnce, arrange};
/// use differential_dataflow::input::InputSession;
/// use differential_dataflow::trace::TraceReader;
/// use timely::dataflow::channels::pact::Pipeline;
/// use timely::dataflow::operators::Probe;
///
/// timely::execute_directly(|worker| {
///     let mut letters = InputSession::new();
///     let (probe, trace) = worker.dataflow::<Tick, _, _>(|scope| {
///         let letters = arrange(letters.to_collection(scope), Pipeline, "Letters", AtOnce::new(1));
///         (letters.stream.probe().0, letters.trace)
///     });
///     for (word, key) in ["cab", "abba"].iter().zip(1..) {
///         word.chars().for_each(|letter| letters.update((key, letter), 1i64));
///     }
///     letters.advance_to(Tick::from_ms(1));
///     letters.flush();
///     let mut steps = 0;
///     while probe.less_than(letters.time()) {
///         worker.step();
///         steps += 1;
///     }
///     assert!(steps > 2, "it is not sealed in one go");
///     let mut batches = Vec::new();
///     trace.map_spans(|span| batches.extend(span.inner.clone()));
///     let storage = batches[0].storage();
///     assert_eq!((batches.len(), &storage.keys, &storage.vals.vals), (1, &vec![1, 2], &vec!['a', 'b', 'c', 'a', 'b']));
/// });
/// ```
pub fn arrange<'scope, K, V, R>(
    rows: VecCollection<'scope, Tick, (K, V), R>,
    pact: impl ParallelizationContract<Tick, Vec<((K, V), Tick, R)>>,
    name: &str,
    at_once: AtOnce,
) -> Arranged<'scope, Trace<K, V, R>>
where
    K: ExchangeData,
    V: ExchangeData,
    R: Semigroup + ExchangeData,
{
    let scope = rows.inner.scope();
    let mut trace = None;
    let stream = rows.inner.unary_frontier(pact, name, |_capability, operator| {
        let activator = scope.activator_for(operator.address.clone());
        let logger = scope.worker().logger_for::<DifferentialEventBuilder>("differential/arrange").map(Into::into);
        let mut unsealed = UnsealedRows {
            rows: SortedRuns::default(),
            earliest: None,
            done: Tick::default(),
            seal: None,
            logger: logger.clone(),
            operator: operator.global_id,
            logged: 0,
        };
        let (reader, mut writer) = new_trace(scope, operator, logger);
        trace = Some(reader);
        // For the earliest of the rows that wait; none where nothing waits.
        let mut held: Option<Capability<Tick>> = None;
        move |(input, frontier), output| {
            let mut left = at_once.at_first();
            input.for_each(|capability, rows| {
                hold(&mut held, &capability);
                unsealed.take_in(rows, left);
            });
            let frontier = tick_of(frontier);
            while let Some(capability) = held.as_mut().filter(|held| *held.time() < frontier) {
                let Some(span) = unsealed.go_on(frontier, &mut left) else {
                    activator.activate();
                    break;
                };
                output.session(&*capability).give(span.clone());
                writer.insert(span, std::iter::once(*capability.time()).collect());
                match unsealed.earliest {
                    Some(earliest) => capability.downgrade(&earliest),
                    None => held = None,
                }
            }
            // Also where nothing came: whoever reads the trace goes by how far it is sealed.
            if unsealed.seal.is_none() && frontier > unsealed.done {
                writer.seal(bound(frontier));
                unsealed.done = frontier;
            }
            unsealed.log();
            writer.exert();
        }
    });
    Arranged { stream, trace: trace.expect("the operator is built at once") }
}

type Writer<K, V, R> = TraceWriter<ValSpine<K, V, Tick, R>>;
/// A row with what it is sorted by.
type UnsealedRow<K, V, R> = (((K, V), Tick), R);

/// A new trace for an operator to write.
pub(super) fn new_trace<K, V, R>(
    scope: Scope<'_, Tick>,
    operator: OperatorInfo,
    logger: Option<Logger>,
) -> (Trace<K, V, R>, Writer<K, V, R>)
where
    K: Data,
    V: Data,
    R: Semigroup + Ord + 'static,
{
    let of_spine = Some(scope.activator_for(operator.address.clone()));
    let mut spine = ValSpine::new(operator.clone(), logger.clone(), of_spine);
    let exertion = scope.worker().config().get::<ExertionLogic>("differential/default_exert_logic").cloned();
    exertion.into_iter().for_each(|logic| spine.set_exert_logic(logic));
    TraceAgent::new(spine, operator, logger)
}

/// What is not before this tick; nothing at the end of time.
pub(super) fn bound(tick: Tick) -> Antichain<Tick> {
    if tick == Tick::MAX { Antichain::new() } else { Antichain::from_elem(tick) }
}

/// Rows that are in no batch yet.
struct UnsealedRows<K: ExchangeData, V: ExchangeData, R: Semigroup + ExchangeData> {
    rows: SortedRuns<((K, V), Tick), R>,
    /// The earliest of their ticks, but for those that are being sealed.
    earliest: Option<Tick>,
    /// Before this tick all is sealed.
    done: Tick,
    seal: Option<SealWork<K, V, R>>,
    logger: Option<Logger>,
    operator: usize,
    /// How many rows wait, as was logged last.
    logged: usize,
}

/// A batch that is being built.
struct SealWork<K: ExchangeData, V: ExchangeData, R: Semigroup + ExchangeData> {
    until: Tick,
    builder: ValBuilder<K, V, Tick, R>,
    built: usize,
    /// What is merged with the rest, but is of later ticks.
    later: Vec<UnsealedRow<K, V, R>>,
}

impl<K: ExchangeData, V: ExchangeData, R: Semigroup + ExchangeData> UnsealedRows<K, V, R> {
    fn take_in(&mut self, rows: &mut Vec<((K, V), Tick, R)>, most: usize) {
        self.earliest = rows.iter().map(|(_, tick, _)| *tick).chain(self.earliest).min();
        self.rows.take_in(rows.drain(..).map(|(row, tick, diff)| ((row, tick), diff)), most);
    }

    /// Seals what is before `frontier`, or goes on with what it began to seal, for so many rows. The span, if that was all.
    fn go_on(&mut self, frontier: Tick, left: &mut usize) -> Option<Span<Tick, PastBatch<K, V, R>>> {
        let mut seal = match self.seal.take() {
            Some(seal) => seal,
            None => {
                self.earliest = None;
                // There is not more than is sorted at a time: nearly always.
                if let Some(mut rows) = self.rows.take_all_recent() {
                    *left = left.saturating_sub(rows.len());
                    let later = rows.extract_if(.., |((_, tick), _)| !is_before(*tick, frontier)).collect();
                    let rows: Vec<_> = rows.into_iter().map(|((row, tick), diff)| (row, tick, diff)).collect();
                    let batch = if rows.is_empty() { None } else { ValBuilder::seal(&mut vec![rows]) };
                    return Some(self.sealed(frontier, batch, later));
                }
                self.rows.begin();
                let builder = ValBuilder::with_room(self.rows.to_merge());
                SealWork { until: frontier, builder, built: 0, later: Vec::new() }
            }
        };
        let mut rows = Vec::new();
        let is_over = self.rows.merge(
            left,
            |_| true,
            |(row, tick), diff| {
                if is_before(tick, seal.until) {
                    rows.push((row, tick, diff));
                } else {
                    seal.later.push(((row, tick), diff));
                }
            },
        );
        seal.built += rows.len();
        seal.builder.push(&mut rows);
        if is_over {
            return Some(self.sealed(seal.until, seal.builder.done(), seal.later));
        }
        self.seal = Some(seal);
        None
    }

    fn sealed(
        &mut self,
        until: Tick,
        batch: Option<PastBatch<K, V, R>>,
        later: Vec<UnsealedRow<K, V, R>>,
    ) -> Span<Tick, PastBatch<K, V, R>> {
        self.earliest = later.iter().map(|((_, tick), _)| *tick).chain(self.earliest).min();
        self.rows.take_back(later);
        // Nothing in it was compacted: all times are as they were given.
        let description = Description::new(bound(self.done), bound(until), Antichain::from_elem(Tick::default()));
        self.done = until;
        Span::new(description, batch)
    }

    /// Tells how many rows wait, if somebody listens.
    fn log(&mut self) {
        let Some(logger) = &self.logger else { return };
        let rows = self.rows.len() + self.seal.as_ref().map_or(0, |seal| seal.built + seal.later.len());
        if rows != self.logged {
            let records_diff = rows as isize - self.logged as isize;
            let (size_diff, capacity_diff, allocations_diff) = (0, 0, 0);
            let operator = self.operator;
            logger.log(BatcherEvent { operator, records_diff, size_diff, capacity_diff, allocations_diff });
            self.logged = rows;
        }
    }
}

/// At the end of time everything is before it.
fn is_before(tick: Tick, until: Tick) -> bool {
    tick < until || until == Tick::MAX
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use differential_dataflow::consolidation::consolidate_updates;
    use differential_dataflow::input::InputSession;
    use differential_dataflow::trace::implementations::spine_fueled::SpineBatch;
    use differential_dataflow::trace::{Cursor, Navigable, TraceReader};
    use timely::dataflow::channels::pact::Pipeline;
    use timely::dataflow::operators::{Inspect, Probe};

    use super::super::at_once::AT_FIRST;
    use super::super::visits;
    use super::*;
    use crate::arrangements::{Arrangements, Ledger};
    use crate::batches::arrange_by_key;

    type SealedRows = (Antichain<Tick>, Vec<((u64, u64), Tick, i64)>);

    /// Rows of many ticks, which come in any order, while time goes on by so many ticks at a time: what is sealed with each span, by
    /// differential and here.
    fn sealed(every: u64, at_once: usize) -> [Vec<SealedRows>; 2] {
        let ms = Tick::from_ms;
        timely::execute_directly(move |worker| {
            let ledger = Ledger::listen(worker);
            let mut rows: InputSession<Tick, (u64, u64), i64> = InputSession::new();
            let [expected_rows, found_rows]: [Rc<RefCell<Vec<SealedRows>>>; 2] = Default::default();
            let (probe, operator) = worker.dataflow::<Tick, _, _>(|scope| {
                let rows = rows.to_collection(scope);
                let expected = arrange_by_key(rows.clone(), "Expected");
                let found = arrange(rows, Pipeline, "Found", AtOnce::new(at_once));
                let [all_expected, all_found] = [&expected_rows, &found_rows].map(Rc::clone);
                expected.stream.inspect(move |span| all_expected.borrow_mut().extend(rows_of(span)));
                let (probe, stream) = found.stream.probe();
                stream.inspect(move |span| all_found.borrow_mut().extend(rows_of(span)));
                (probe, found.trace.operator().global_id)
            });
            let mut random = 7_u64;
            for now in 0..400 {
                for _ in 0..10 {
                    random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    let tick = ms(now + (random >> 30) % 5);
                    let diff = 1 - 2 * i64::from(random & (1 << 40) == 0);
                    rows.update_at(((random >> 62), (random >> 50) % 4), tick, diff);
                }
                if now % every == 0 {
                    rows.advance_to(ms(now + 1));
                    rows.flush();
                    // A span ends where time had come to when it began.
                    worker.step_while(|| probe.less_than(rows.time()));
                }
                worker.step();
            }
            rows.advance_to(ms(1_000));
            rows.flush();
            worker.step_while(|| probe.less_than(rows.time()));
            worker.log_register().expect("it has a clock").flush();
            assert_eq!(Arrangements::default().holdings(&ledger)[&operator].waiting, 0);
            [expected_rows.take(), found_rows.take()]
        })
    }

    fn rows_of(span: &Span<Tick, PastBatch<u64, u64, i64>>) -> Option<SealedRows> {
        let batch = span.inner.as_ref()?;
        let mut rows = Vec::new();
        let mut cursor = batch.cursor();
        while let Some(key) = cursor.get_key(batch) {
            while let Some(value) = cursor.get_val(batch) {
                cursor.map_times(batch, |tick, diff| rows.push(((*key, *value), *tick, *diff)));
                cursor.step_val(batch);
            }
            cursor.step_key(batch);
        }
        let sealed = rows.clone();
        consolidate_updates(&mut rows);
        assert_eq!(rows, sealed, "sorted, each once");
        Some((span.upper().clone(), rows))
    }

    #[test]
    fn the_same_is_sealed_as_by_differential() {
        for every in [1, 3, 100] {
            for at_once in [1, 7, usize::MAX] {
                let [expected, found] = sealed(every, at_once);
                assert!(expected.len() as u64 >= 400 / every);
                assert_eq!(found, expected, "every {every} ticks, {at_once} at once");
            }
        }
    }

    /// No step looks at more than a few times as many as it may, and yet a tick is one batch.
    #[test]
    fn many_rows_of_one_tick_are_sealed_a_part_at_a_time() {
        const COUNT: u64 = 100_000;
        const AT_ONCE: usize = 1_000;
        let ms = Tick::from_ms;
        for factor in [1, 48_271] {
            timely::execute_directly(move |worker| {
                let mut rows = InputSession::new();
                let (probe, trace) = worker.dataflow(|scope| {
                    let arranged = arrange(rows.to_collection(scope), Pipeline, "Rows", AtOnce::new(AT_ONCE));
                    (arranged.stream.probe().0, arranged.trace)
                });
                let most = Cell::new(0);
                let step = |worker: &mut timely::worker::Worker| {
                    let before = visits::so_far();
                    worker.step();
                    most.set(most.get().max(visits::so_far() - before));
                };
                // They come as an operator before this one gives them.
                for number in 0..COUNT {
                    let number = number * factor % COUNT;
                    rows.update((number / 50_000, number), 1);
                    if number.is_multiple_of(AT_ONCE as u64) {
                        rows.flush();
                        step(worker);
                    }
                }
                rows.update_at((0, 0), ms(1), 1);
                rows.advance_to(ms(1));
                rows.flush();
                let mut steps = 0;
                while probe.less_than(&ms(1)) {
                    step(worker);
                    steps += 1;
                }
                let mut lengths = Vec::new();
                trace.map_spans(|span| lengths.extend(span.inner.as_ref().map(|batch| batch.len())));
                assert_eq!(lengths, [COUNT as usize]);
                assert!(most.get() <= 2 * AT_ONCE * AT_FIRST, "{most:?} in a step");
                assert!(steps >= COUNT as usize / (AT_ONCE * AT_FIRST), "{steps} steps");
            });
        }
    }
}
