//! `release`: lets each update through when its time comes.
//!
//! Future retractions must not wait in an arrangement's batcher, which looks at all that it holds at every seal. Here they
//! wait in a map by time, and cost nothing until the frontier passes them.
//!
//! Times far away are as many as there are updates, since the ends of windows are spread over all ticks: a list for each would take
//! more room than what is in it. So the map has a list for each span of some seconds, and one for each time only of the span at hand.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::Semigroup;
use differential_dataflow::{AsCollection, Data, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::ProbeHandle;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::at_once::AtOnce;
use crate::model::Tick;

/// The shortest list of updates that is looked through for some that meet.
const CONSOLIDATE_MIN: usize = 16;

/// The longest one that is looked through where a span comes to be at hand: a millisecond's work, of which there is to be no more at a time.
const CONSOLIDATE_MAX: usize = 10_000;

/// Updates of a span that may be sorted by their time, for each that may be given out. Giving one out is some fifty times the work, with
/// all that follows from it.
const MOVED_FOR_ONE: usize = 8;

/// How often it is looked whether what was let through has been worked off.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// Times whose first bits, all but so many, are the same wait in one list: some four seconds. With many events the list of a longer span
/// takes long to sort, each time that it grows.
const SPAN_BITS: u32 = 12;

/// Turns updates `((data, at), tick, diff)` into `(data, max(at, tick), diff)`, and holds them back until then.
///
/// Where the input has ended, time has ended: what still waits then never happens.
///
/// Where many are due, because many have the same time or because time has jumped, `at_once` of them are let through at a time, each at
/// its own time. In between the worker looks at what else there is to do. The next ones wait until `worked_off`, a probe at the end of the
/// dataflow, has come as far: so no stage in between ever has more to do than that, however slow it is. The first time it may be twice as
/// many, and nothing is waited for: what a busy moment brings comes in one go, since that is less to do.
///
/// ```
/// use dataflows::model::Tick;
/// use dataflows::operators::{AtOnce, release};
/// use differential_dataflow::input::InputSession;
/// use timely::dataflow::ProbeHandle;
/// use timely::dataflow::operators::{Capture, capture::Extract};
///
/// let ms = Tick::from_ms;
/// let released = timely::execute_directly(move |worker| {
///     let mut updates = InputSession::new();
///     let probe = ProbeHandle::new();
///     let released = worker.dataflow(|scope| {
///         let released = release(updates.to_collection(scope), "Release", AtOnce::all(), probe.clone());
///         released.probe_with(&probe).inner.capture()
///     });
///     // "a" is there from tick 0 to tick 5, "b" from tick 3 for ever.
///     updates.update(("a", ms(0)), 1i64);
///     updates.update(("a", ms(5)), -1);
///     updates.update(("b", ms(3)), 1);
///     updates.update(("b", ms(99)), -1);
///     updates.advance_to(ms(6));
///     updates.flush();
///     worker.step_while(|| probe.less_than(&ms(6)));
///     released
/// });
/// let mut released: Vec<_> = released.extract().into_iter().flat_map(|(_, updates)| updates).collect();
/// released.sort();
/// assert_eq!(released, [("a", ms(0), 1), ("a", ms(5), -1), ("b", ms(3), 1)]);
/// ```
pub fn release<'scope, D, R>(
    updates: VecCollection<'scope, Tick, (D, Tick), R>,
    name: &str,
    at_once: AtOnce,
    worked_off: ProbeHandle<Tick>,
) -> VecCollection<'scope, Tick, D, R>
where
    D: Data,
    R: Semigroup + 'static,
{
    let scope = updates.scope();
    updates
        .inner
        .unary_frontier::<CapacityContainerBuilder<Vec<(D, Tick, R)>>, _, _, _>(Pipeline, name, |_, info| {
            let activator = scope.activator_for(info.address);
            let mut waiting = ScheduledUpdates::new();
            // None where nothing waits. It goes on with the input, not at once to the earliest time in `waiting`: where the input ends, time
            // would seem to have come to that for a moment, and who keeps timers behind this operator would take them for due.
            let mut held: Option<Capability<Tick>> = None;
            // Before this everything is due.
            let mut until = Tick::default();
            move |(input, frontier), output| {
                input.for_each(|capability, data| {
                    let Some(least) = capability.least().copied() else { return };
                    let mut session = output.session(&capability);
                    for ((data, at), tick, diff) in data.drain(..) {
                        if at <= tick {
                            session.give((data, tick, diff));
                        } else {
                            waiting.put(at, data, diff);
                            if held.as_ref().is_none_or(|held| least < *held.time()) {
                                held = Some(capability.delayed(&least, 0));
                            }
                        }
                    }
                });
                let (Some(capability), Some(earliest)) = (held.as_mut(), waiting.earliest()) else { return };
                // Asked before time goes on: whether something is left of what was due by then.
                let is_behind = earliest < until;
                until = frontier.frontier().first().map_or(until, |now| until.max(*now));
                if earliest >= until && !frontier.is_empty() {
                    capability.downgrade(&until.max(*capability.time()));
                    return;
                }
                if is_behind && worked_off.less_than(&earliest) {
                    activator.activate_after(LOOK_AGAIN);
                    return;
                }
                if earliest < until {
                    let most = if is_behind { at_once.get() } else { at_once.at_first() };
                    let mut session = output.session(capability);
                    waiting.give(until, most, |data, at, diff| session.give((data, at, diff)));
                }
                match waiting.earliest().filter(|earliest| !frontier.is_empty() || *earliest < until) {
                    Some(earliest) => {
                        capability.downgrade(&earliest.min(until).max(*capability.time()));
                        if earliest < until {
                            activator.activate();
                        }
                    }
                    None => {
                        held = None;
                        // What is left never happens, and need not take up memory.
                        if frontier.is_empty() {
                            waiting = ScheduledUpdates::new();
                        }
                    }
                }
            }
        })
        .as_collection()
}

/// A time that is not later than any of some updates, and these.
type SpanDue<D, R> = (Tick, Vec<((Tick, D), R)>);

/// Updates that wait.
struct ScheduledUpdates<D, R> {
    /// Those of the span at hand, and of those before it: of each time a list, and more where there are very many. A list of a million is
    /// not copied to where there is more room.
    now: BTreeMap<(Tick, usize), Vec<(D, R)>>,
    /// What is left of a span that is to be at hand, in no order; and a time that is not later than any of these.
    coming: SpanDue<D, R>,
    /// The others, by span.
    later: BTreeMap<u64, SpanDue<D, R>>,
    /// The first span that is not at hand.
    later_from: u64,
}

impl<D: Data, R: Semigroup> ScheduledUpdates<D, R> {
    fn new() -> Self {
        ScheduledUpdates {
            now: BTreeMap::new(),
            coming: (Tick::MAX, Vec::new()),
            later: BTreeMap::new(),
            later_from: 0,
        }
    }

    fn put(&mut self, at: Tick, data: D, diff: R) {
        let span = at.as_ms() >> SPAN_BITS;
        if span < self.later_from {
            put_in_short(&mut self.now, at, data, diff);
        } else {
            let (earliest, due) = self.later.entry(span).or_insert_with(|| (at, Vec::new()));
            *earliest = at.min(*earliest);
            put(due, (at, data), diff);
        }
    }

    /// Before this nothing is due; nothing where nothing waits.
    fn earliest(&self) -> Option<Tick> {
        let at_hand = self.now.first_key_value().map(|((at, _), _)| *at);
        let coming = (!self.coming.1.is_empty()).then_some(self.coming.0);
        let at_hand = at_hand.into_iter().chain(coming).min();
        at_hand.or_else(|| self.later.first_key_value().map(|(_, (earliest, _))| *earliest))
    }

    /// Gives what is due before `until`, the earliest first, but no more than `most` updates.
    fn give(&mut self, until: Tick, mut most: usize, mut give: impl FnMut(D, Tick, R)) {
        let mut moves = most.saturating_mul(MOVED_FOR_ONE);
        while most > 0 && self.earliest().is_some_and(|earliest| earliest < until) {
            if self.coming.1.is_empty()
                && self.now.is_empty()
                && let Some((span, coming)) = self.later.pop_first()
            {
                (self.coming, self.later_from) = (coming, span + 1);
            }
            let coming = &mut self.coming.1;
            if !coming.is_empty() {
                let stays = coming.len().saturating_sub(moves);
                moves -= coming.len() - stays;
                for ((at, data), diff) in coming.drain(stays..) {
                    put_in_short(&mut self.now, at, data, diff);
                }
                if stays > 0 {
                    return;
                }
                *coming = Vec::new();
                continue;
            }
            let Some(mut first) = self.now.first_entry() else { return };
            let ((at, _), due) = (*first.key(), first.get_mut());
            let stays = due.len().saturating_sub(most);
            most -= due.len() - stays;
            due.drain(stays..).for_each(|(data, diff)| give(data, at, diff));
            if stays == 0 {
                first.remove();
            }
        }
    }
}

/// Adds an update to a list. What meets there is one: a window's end rounded up brings many together. It is looked for only
/// when the list would have to grow, so each update pays for it a few times at most.
///
/// A list grows by half, since most lists are short, and there are very many: a vector would have room for four from the first on.
fn put<D: Ord, R: Semigroup>(due: &mut Vec<(D, R)>, data: D, diff: R) {
    if due.len() == due.capacity() {
        if due.len() >= CONSOLIDATE_MIN {
            consolidate(due);
        }
        due.reserve_exact((due.len() / 2).max(1));
    }
    due.push((data, diff));
}

/// The same, but a long list is left as it is, and another one begun: most of what meets in it has met in that of the span.
fn put_in_short<D: Ord, R: Semigroup>(now: &mut BTreeMap<(Tick, usize), Vec<(D, R)>>, at: Tick, data: D, diff: R) {
    match now.entry((at, 0)) {
        Entry::Occupied(due) if due.get().len() >= CONSOLIDATE_MAX => {}
        due => return put(due.or_default(), data, diff),
    }
    let last = now.range((at, 0)..=(at, usize::MAX)).next_back();
    let number = last.map_or(0, |((_, number), due)| number + usize::from(due.len() >= CONSOLIDATE_MAX));
    put(now.entry((at, number)).or_default(), data, diff);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use differential_dataflow::input::InputSession;
    use timely::dataflow::operators::Capture;
    use timely::dataflow::operators::capture::Extract;

    use super::super::at_once::AT_FIRST;
    use super::*;

    type ReleasedRow = (u64, Tick, i64);

    /// Updates of few numbers for near and far times, while time goes on by steps of this many milliseconds: what comes out, and
    /// what is to.
    fn released(step_ms: u64, at_once: usize) -> [Vec<ReleasedRow>; 2] {
        const SPAN_MS: u64 = 1 << SPAN_BITS;
        let ms = Tick::from_ms;
        let (captured, mut expected) = timely::execute_directly(move |worker| {
            let mut updates = InputSession::new();
            let probe = ProbeHandle::new();
            let captured = worker.dataflow(|scope| {
                let at_once = AtOnce::new(at_once);
                let released = release(updates.to_collection(scope), "Release", at_once, probe.clone());
                released.probe_with(&probe).inner.capture()
            });
            let (mut random, mut expected) = (7_u64, Vec::new());
            for now in (0..3 * SPAN_MS).step_by(usize::try_from(step_ms).expect("it is short")) {
                updates.advance_to(ms(now));
                for _ in 0..40 {
                    random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    let number = random >> 62;
                    let ahead = (random >> 20) % [1, 7, SPAN_MS, 3 * SPAN_MS][(random >> 50) as usize % 4];
                    // Many for one time, as where a window has a grain.
                    let at = if random.is_multiple_of(3) { (now + ahead) / 60_000 * 60_000 } else { now + ahead };
                    let diff = 1 - 2 * i64::from((random >> 40).is_multiple_of(2));
                    updates.update((number, ms(at)), diff);
                    expected.push((number, ms(at.max(now)), diff));
                }
                updates.flush();
                worker.step_while(|| probe.less_than(&ms(now)));
            }
            updates.advance_to(ms(9 * SPAN_MS));
            updates.flush();
            worker.step_while(|| probe.less_than(&ms(8 * SPAN_MS)));
            (captured, expected)
        });
        let mut found: Vec<ReleasedRow> = captured.extract().into_iter().flat_map(|(_, updates)| updates).collect();
        differential_dataflow::consolidation::consolidate_updates(&mut found);
        differential_dataflow::consolidation::consolidate_updates(&mut expected);
        [found, expected]
    }

    #[test]
    fn each_comes_at_its_time_however_far_away_that_is() {
        for (step_ms, at_once) in [(997, usize::MAX), (9_973, 7), (99_991, 1), (9_973, 1), (99_991, usize::MAX)] {
            let [found, expected] = released(step_ms, at_once);
            assert!(!expected.is_empty());
            assert_eq!(found, expected, "by {step_ms} ms, {at_once} at once");
        }
    }

    #[test]
    fn very_many_of_one_time_are_in_lists_that_are_not_long() {
        const COUNT: usize = 3 * CONSOLIDATE_MAX + 7;
        let mut waiting: ScheduledUpdates<usize, i64> = ScheduledUpdates::new();
        (0..COUNT).for_each(|number| waiting.put(Tick::from_ms(5), number, 1));
        let mut given = Vec::new();
        while waiting.earliest().is_some() {
            waiting.give(Tick::from_ms(6), 1_000, |number, _, _| given.push(number));
            assert!(waiting.now.values().all(|due| due.len() <= CONSOLIDATE_MAX));
        }
        given.sort_unstable();
        assert!(given.into_iter().eq(0..COUNT));
    }

    /// Much is due: at one time, or at many that pass at once. No step lets through more than it may, and time is never said to have gone
    /// on beyond what is still to come, not even where the input ends in the middle of it.
    #[test]
    fn what_is_due_comes_a_few_at_a_time() {
        const COUNT: u64 = 1_000;
        let ms = Tick::from_ms;
        for (apart_ms, at_once) in [(0, 7), (0, 1), (1, 7), (97, 30), (0, usize::MAX)] {
            timely::execute_directly(move |worker| {
                let mut updates = InputSession::new();
                let came = Rc::new(RefCell::new(Vec::new()));
                let seen = came.clone();
                let probe = ProbeHandle::new();
                worker.dataflow(|scope| {
                    let at_once = AtOnce::new(at_once);
                    let released = release(updates.to_collection(scope), "Release", at_once, probe.clone());
                    released.inspect(move |row: &ReleasedRow| seen.borrow_mut().push(*row)).probe_with(&probe);
                });
                let due = |number| 100_000 + number * apart_ms;
                (0..COUNT).for_each(|number| updates.update((number, ms(due(number))), 1));
                updates.advance_to(ms(1));
                updates.flush();
                worker.step_while(|| probe.less_than(&ms(1)));
                assert!(came.borrow().is_empty());
                updates.advance_to(ms(10_000_000));
                updates.flush();
                (0..2).for_each(|_| _ = worker.step());
                drop(updates);
                let mut steps = 0;
                while !probe.done() {
                    let before = came.borrow().len();
                    let complete = probe.with_frontier(|frontier| frontier.first().copied());
                    worker.step();
                    steps += 1;
                    let came = came.borrow();
                    let most = if before == 0 { at_once.saturating_mul(AT_FIRST) } else { at_once };
                    assert!(came.len() - before <= most, "a step lets {} through", came.len() - before);
                    assert!(came[before..].iter().all(|(_, at, _)| complete.is_some_and(|complete| *at >= complete)));
                    assert!(came.is_sorted_by_key(|(_, at, _)| *at), "the earliest comes first");
                }
                let mut came = came.borrow().clone();
                came.sort_unstable();
                assert!(came.into_iter().eq((0..COUNT).map(|number| (number, ms(due(number)), 1))));
                assert!(steps as u64 >= (COUNT / at_once as u64).saturating_sub(AT_FIRST as u64), "{steps} steps");
            });
        }
    }
}
