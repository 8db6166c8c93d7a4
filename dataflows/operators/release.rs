//! `release`: lets each update through when its time comes.
//!
//! Future retractions must not wait in an arrangement's batcher, which looks at all that it holds at every seal. Here they
//! wait in a map by time, and cost nothing until the frontier passes them.
//!
//! Times far away are as many as there are updates, since the ends of windows are spread over all ticks: a list for each would take
//! more room than what is in it. So the map has a list for each minute or so, and one for each time only of the minute at hand.

use std::collections::BTreeMap;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::Semigroup;
use differential_dataflow::{AsCollection, Data, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use crate::model::Tick;

/// The shortest list of updates that is looked through for some that meet.
const CONSOLIDATE_MIN: usize = 16;

/// Times whose first bits, all but so many, are the same wait in one list: some 65 seconds.
const SPAN_BITS: u32 = 16;

/// Turns updates `((data, at), tick, diff)` into `(data, max(at, tick), diff)`, and holds them back until then.
///
/// Where the input has ended, time has ended: what still waits then never happens.
///
/// ```
/// use dataflows::model::Tick;
/// use dataflows::operators::release;
/// use differential_dataflow::input::InputSession;
/// use timely::dataflow::operators::{Capture, capture::Extract};
///
/// let ms = Tick::from_ms;
/// let released = timely::execute_directly(move |worker| {
///     let mut updates = InputSession::new();
///     let (released, probe) = worker.dataflow(|scope| {
///         let (probe, released) = release(updates.to_collection(scope), "Release").probe();
///         (released.inner.capture(), probe)
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
) -> VecCollection<'scope, Tick, D, R>
where
    D: Data,
    R: Semigroup + 'static,
{
    updates
        .inner
        .unary_frontier::<CapacityContainerBuilder<Vec<(D, Tick, R)>>, _, _, _>(Pipeline, name, |_, _| {
            let mut waiting = Waiting::new();
            // For the earliest time in `waiting`; none where nothing waits.
            let mut held: Option<Capability<Tick>> = None;
            move |(input, frontier), output| {
                input.for_each(|capability, data| {
                    let Some(least) = capability.least().copied() else { return };
                    let mut session = output.session(&capability);
                    let mut earliest = Tick::MAX;
                    for ((data, at), tick, diff) in data.drain(..) {
                        if at <= tick {
                            session.give((data, tick, diff));
                        } else {
                            earliest = earliest.min(at);
                            waiting.put(at, data, diff);
                        }
                    }
                    if earliest < Tick::MAX && held.as_ref().is_none_or(|held| earliest < *held.time()) {
                        held = Some(capability.delayed(&earliest.max(least), 0));
                    }
                });
                if frontier.is_empty() {
                    waiting = Waiting::new();
                    held = None;
                }
                let Some(capability) = held.as_mut() else { return };
                if frontier.less_equal(capability.time()) {
                    return;
                }
                let mut session = output.session(capability);
                while waiting.earliest().is_some_and(|at| !frontier.less_equal(&at)) {
                    waiting.take(|at, due| {
                        session.give_iterator(due.into_iter().map(|(data, diff)| (data, at, diff)));
                    });
                }
                drop(session);
                match waiting.earliest() {
                    Some(earliest) => capability.downgrade(&earliest),
                    None => held = None,
                }
            }
        })
        .as_collection()
}

/// A time that is not later than any of some updates, and these.
type SpanDue<D, R> = (Tick, Vec<((Tick, D), R)>);

/// Updates that wait.
struct Waiting<D, R> {
    /// Those of the span at hand, and of those before it.
    now: BTreeMap<Tick, Vec<(D, R)>>,
    /// The others, by span.
    later: BTreeMap<u64, SpanDue<D, R>>,
    /// The first span that is not at hand.
    later_from: u64,
}

impl<D: Data, R: Semigroup> Waiting<D, R> {
    fn new() -> Self {
        Waiting { now: BTreeMap::new(), later: BTreeMap::new(), later_from: 0 }
    }

    fn put(&mut self, at: Tick, data: D, diff: R) {
        let span = at.as_ms() >> SPAN_BITS;
        if span < self.later_from {
            put(self.now.entry(at).or_default(), data, diff);
        } else {
            let (earliest, due) = self.later.entry(span).or_insert_with(|| (at, Vec::new()));
            *earliest = at.min(*earliest);
            put(due, (at, data), diff);
        }
    }

    /// Before this nothing is due.
    fn earliest(&self) -> Option<Tick> {
        let now = self.now.first_key_value().map(|(at, _)| *at);
        now.or_else(|| self.later.first_key_value().map(|(_, (earliest, _))| *earliest))
    }

    /// Gives what is due first; or else, where that is of a later span, this span is at hand from now on.
    fn take(&mut self, give: impl FnOnce(Tick, Vec<(D, R)>)) {
        if let Some((at, due)) = self.now.pop_first() {
            give(at, due);
        } else if let Some((span, (_, updates))) = self.later.pop_first() {
            self.later_from = span + 1;
            for ((at, data), diff) in updates {
                put(self.now.entry(at).or_default(), data, diff);
            }
        }
    }
}

/// Adds an update to a list. What meets there is one: a window's end rounded up brings many together. It is looked for only
/// when the list would have to grow, so each update pays for it a few times at most.
fn put<D: Ord, R: Semigroup>(due: &mut Vec<(D, R)>, data: D, diff: R) {
    if due.len() == due.capacity() && due.len() >= CONSOLIDATE_MIN {
        consolidate(due);
        due.reserve_exact(due.len().max(CONSOLIDATE_MIN) / 2);
    }
    due.push((data, diff));
}

#[cfg(test)]
mod tests {
    use differential_dataflow::input::InputSession;
    use timely::dataflow::operators::Capture;
    use timely::dataflow::operators::capture::Extract;

    use super::*;

    type Row = (u64, Tick, i64);

    /// Updates of few numbers for near and far times, while time goes on by steps of this many milliseconds: what comes out, and
    /// what is to.
    fn released(step_ms: u64) -> [Vec<Row>; 2] {
        const SPAN_MS: u64 = 1 << SPAN_BITS;
        let ms = Tick::from_ms;
        let (captured, mut expected) = timely::execute_directly(move |worker| {
            let mut updates = InputSession::new();
            let (captured, probe) = worker.dataflow(|scope| {
                let (probe, released) = release(updates.to_collection(scope), "Release").probe();
                (released.inner.capture(), probe)
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
        let mut found: Vec<Row> = captured.extract().into_iter().flat_map(|(_, updates)| updates).collect();
        differential_dataflow::consolidation::consolidate_updates(&mut found);
        differential_dataflow::consolidation::consolidate_updates(&mut expected);
        [found, expected]
    }

    #[test]
    fn each_comes_at_its_time_however_far_away_that_is() {
        for step_ms in [997, 9_973, 99_991] {
            let [found, expected] = released(step_ms);
            assert!(!expected.is_empty());
            assert_eq!(found, expected, "by {step_ms} ms");
        }
    }
}
