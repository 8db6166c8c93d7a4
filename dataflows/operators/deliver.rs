//! `deliver`: hands the changes of a collection to the outside, tick by tick, each when it is complete.
//!
//! Timely's `inspect` and `capture` show updates as they come: a part of a tick, ticks in any order, an update and the one that cancels it.
//! Outside nothing can be taken back: somebody is told of a change, or it is written down. So a tick is handed over once, when nothing
//! more can come of it.
//!
//! There may be a million changes at one tick. They are sorted in parts as they come, and merged a part at a time; the worker looks at what
//! else there is to do in between.

use differential_dataflow::{ExchangeData, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::at_once::AtOnce;
use super::runs::SortedRuns;
use super::side::tick_of;
use super::waiting::hold;
use crate::model::Tick;

/// Takes the changes of one collection on one worker: a tick, and all changes at it, consolidated and sorted, at least one.
/// Ticks come in their order, each once, unless it is said otherwise.
pub type ChangeReceiver<D> = Box<dyn FnMut(Tick, Vec<(D, i64)>)>;

/// Nothing: its frontier says how far everything is handed over, on all workers.
pub type HandedOver<'scope> = StreamVec<'scope, Tick, ()>;

/// Routes the changes by `route` and hands those that arrive at this worker to its receiver. About `at_once` of them are looked at at
/// a time.
///
/// ```
/// use std::sync::mpsc;
///
/// use dataflows::model::Tick;
/// use dataflows::operators::{AtOnce, deliver};
/// use differential_dataflow::input::InputSession;
/// use timely::dataflow::operators::Probe;
///
/// let (tell, told) = mpsc::channel();
/// timely::execute_directly(move |worker| {
///     let mut members = InputSession::new();
///     let probe = worker.dataflow(|scope| {
///         let receiver = move |tick, changes| tell.send((tick, changes)).expect("it is looked at");
///         let members = members.to_collection(scope);
///         deliver(members, "Deliver members", AtOnce::new(2), |_| 0, Box::new(receiver)).probe().0
///     });
///     // What is of a later tick comes first, and waits.
///     members.update_at('a', Tick::from_ms(5), -1);
///     members.flush();
///     worker.step();
///     ['b', 'c', 'a'].map(|member| members.update(member, 1));
///     members.flush();
///     worker.step();
///     members.update('c', -1);
///     members.advance_to(Tick::from_ms(1));
///     members.flush();
///     worker.step_while(|| probe.less_than(members.time()));
///     members.update_at('b', Tick::from_ms(5), -1);
/// });
/// let told: Vec<_> = told.iter().collect();
/// let (at_first, later) = (Tick::default(), Tick::from_ms(5));
/// assert_eq!(told, [(at_first, vec![('a', 1), ('b', 1)]), (later, vec![('a', -1), ('b', -1)])]);
/// ```
pub fn deliver<'scope, D: ExchangeData>(
    changes: VecCollection<'scope, Tick, D, i64>,
    name: &str,
    at_once: AtOnce,
    route: impl Fn(&D) -> u64 + 'static,
    mut receiver: ChangeReceiver<D>,
) -> HandedOver<'scope> {
    let scope = changes.inner.scope();
    let exchange = Exchange::new(move |(data, _, _): &(D, Tick, i64)| route(data));
    changes.inner.unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(exchange, name, |_, info| {
        let activator = scope.activator_for(info.address);
        // Ticks first, so that complete ones are in front.
        let mut waiting: SortedRuns<(Tick, D), i64> = SortedRuns::default();
        // Nothing is sent. This is for the earliest tick that the receiver does not have yet, and keeps the frontier behind this operator.
        let mut held: Option<Capability<Tick>> = None;
        // Before which tick rows are merged, while they are; and the rows of the last tick of these.
        let mut under_way: Option<Tick> = None;
        let mut merged: Option<(Tick, Vec<(D, i64)>)> = None;
        move |(input, frontier), _output| {
            let mut left = at_once.at_first();
            input.for_each(|capability, data| {
                hold(&mut held, &capability);
                waiting.take_in(data.drain(..).map(|(data, tick, diff)| ((tick, data), diff)), left);
            });
            while let Some(capability) = held.as_mut().filter(|held| !frontier.less_equal(held.time())) {
                let until = *under_way.get_or_insert_with(|| {
                    waiting.begin();
                    tick_of(frontier)
                });
                let (few, all) = (at_once.at_first(), waiting.to_merge());
                let is_complete = |(tick, _): &(Tick, D)| *tick < until || until == Tick::MAX;
                let is_over = waiting.merge(&mut left, is_complete, |(tick, data), diff| {
                    if let Some((of, changes)) = merged.take_if(|(of, _)| *of != tick) {
                        receiver(of, changes);
                    }
                    let (_, changes) = merged.get_or_insert_with(|| (tick, Vec::new()));
                    // A long list is not copied to where there is more room, again and again.
                    if changes.len() == changes.capacity() && changes.len() >= few {
                        changes.reserve_exact(all);
                    }
                    changes.push((data, diff));
                });
                if !is_over {
                    if let Some((tick, _)) = &merged {
                        capability.downgrade(tick);
                    }
                    activator.activate();
                    break;
                }
                under_way = None;
                if let Some((tick, changes)) = merged.take() {
                    receiver(tick, changes);
                }
                match waiting.first() {
                    Some((earliest, _)) => capability.downgrade(earliest),
                    None => held = None,
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use differential_dataflow::consolidation::consolidate_updates;
    use differential_dataflow::input::InputSession;
    use timely::dataflow::operators::Probe;

    use super::super::at_once::AT_FIRST;
    use super::super::visits;
    use super::*;

    type HandedTicks = Vec<(Tick, Vec<(u64, i64)>)>;

    /// Numbers of many ticks come in any order, while time goes on by so many ticks at a time: what is handed over, and what is to be.
    fn handed(every: u64, at_once: usize) -> [HandedTicks; 2] {
        let ms = Tick::from_ms;
        let (handed, mut expected) = timely::execute_directly(move |worker| {
            let handed: Rc<RefCell<HandedTicks>> = Rc::default();
            let told = handed.clone();
            let mut numbers = InputSession::new();
            let probe = worker.dataflow(|scope| {
                let numbers = numbers.to_collection(scope);
                let receiver = move |tick, changes| told.borrow_mut().push((tick, changes));
                deliver(numbers, "Deliver numbers", AtOnce::new(at_once), |_| 0, Box::new(receiver)).probe().0
            });
            let (mut random, mut expected) = (7_u64, Vec::new());
            for now in 0..400 {
                for _ in 0..10 {
                    random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    let (number, tick) = (random >> 60, ms(now + (random >> 30) % 5));
                    let diff = 1 - 2 * i64::from(random & (1 << 40) == 0);
                    numbers.update_at(number, tick, diff);
                    expected.push((number, tick, diff));
                }
                if now % every == 0 {
                    numbers.advance_to(ms(now + 1));
                    numbers.flush();
                }
                worker.step();
            }
            numbers.advance_to(ms(1_000));
            numbers.flush();
            worker.step_while(|| probe.less_than(numbers.time()));
            (handed.take(), expected)
        });
        consolidate_updates(&mut expected);
        expected.sort_unstable_by_key(|(number, tick, _)| (*tick, *number));
        let expected = expected.chunk_by(|a, b| a.1 == b.1);
        let expected =
            expected.map(|rows| (rows[0].1, rows.iter().map(|(number, _, diff)| (*number, *diff)).collect())).collect();
        [handed, expected]
    }

    #[test]
    fn each_tick_is_handed_over_once_and_in_order() {
        for every in [1, 3, 100] {
            for at_once in [1, 7, usize::MAX] {
                let [handed, expected] = handed(every, at_once);
                assert!(expected.len() > 300);
                assert_eq!(handed, expected, "every {every} ticks, {at_once} at once");
            }
        }
    }

    /// A hundred thousand changes of one tick come to no more than a few times what is looked at at a time in any step. They are handed
    /// over whole, and what is behind does not believe that they are before.
    #[test]
    fn many_changes_of_one_tick_are_worked_off_a_part_at_a_time() {
        const COUNT: u64 = 100_000;
        const AT_ONCE: usize = 1_000;
        let ms = Tick::from_ms;
        for factor in [1, 48_271] {
            timely::execute_directly(move |worker| {
                let mut numbers = InputSession::new();
                let handed: Rc<RefCell<HandedTicks>> = Rc::default();
                let told = handed.clone();
                let probe = worker.dataflow(|scope| {
                    let numbers = numbers.to_collection(scope);
                    let receiver = move |tick, changes| told.borrow_mut().push((tick, changes));
                    deliver(numbers, "Deliver numbers", AtOnce::new(AT_ONCE), |_| 0, Box::new(receiver)).probe().0
                });
                // They come as an operator before this one gives them.
                let most = Cell::new(0);
                let step = |worker: &mut timely::worker::Worker| {
                    let before = visits::so_far();
                    worker.step();
                    most.set(most.get().max(visits::so_far() - before));
                };
                for number in 0..COUNT {
                    numbers.update(number * factor % COUNT, 1);
                    if number.is_multiple_of(AT_ONCE as u64) {
                        numbers.flush();
                        step(worker);
                    }
                }
                numbers.update_at(7, ms(1), 1);
                numbers.advance_to(ms(1));
                numbers.flush();
                let mut steps = 0;
                while probe.less_than(&ms(1)) {
                    step(worker);
                    steps += 1;
                    assert!(probe.less_than(&ms(1)) || handed.borrow().len() == 1, "not before it is handed over");
                }
                assert!(handed.borrow()[0].1.iter().map(|(number, _)| *number).eq(0..COUNT));
                assert!(most.get() <= 2 * AT_ONCE * AT_FIRST, "{most:?} in a step");
                assert!(steps >= COUNT as usize / (AT_ONCE * AT_FIRST), "{steps} steps");
                numbers.update_at(7, ms(2), 1);
                numbers.advance_to(ms(3));
                numbers.flush();
                (0..3).for_each(|_| step(worker));
                assert_eq!(handed.borrow()[1..], [(ms(1), vec![(7, 1)]), (ms(2), vec![(7, 1)])]);
            });
        }
    }
}
