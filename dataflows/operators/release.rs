//! `release`: lets each update through when its time comes.
//!
//! Future retractions must not wait in an arrangement's batcher, which looks at all that it holds at every seal. Here they
//! wait in a map by time, and cost nothing until the frontier passes them.

use std::collections::BTreeMap;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::Semigroup;
use differential_dataflow::{AsCollection, Data, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use crate::model::Tick;

/// The shortest list of updates for one tick that is looked through for some that meet.
const CONSOLIDATE_MIN: usize = 16;

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
            let mut waiting: BTreeMap<Tick, Vec<(D, R)>> = BTreeMap::new();
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
                            let due = waiting.entry(at).or_default();
                            // What meets here is one update: a window's end rounded up brings many together. Looked
                            // for only when the list would have to grow, so each update pays for it a few times at most.
                            if due.len() == due.capacity() && due.len() >= CONSOLIDATE_MIN {
                                consolidate(due);
                                due.reserve_exact(due.len().max(CONSOLIDATE_MIN) / 2);
                            }
                            due.push((data, diff));
                        }
                    }
                    if earliest < Tick::MAX && held.as_ref().is_none_or(|held| earliest < *held.time()) {
                        held = Some(capability.delayed(&earliest.max(least), 0));
                    }
                });
                if frontier.is_empty() {
                    waiting.clear();
                    held = None;
                }
                let Some(capability) = held.as_mut() else { return };
                if frontier.less_equal(capability.time()) {
                    return;
                }
                let mut session = output.session(capability);
                while let Some(entry) = waiting.first_entry() {
                    let at = *entry.key();
                    if frontier.less_equal(&at) {
                        break;
                    }
                    session.give_iterator(entry.remove().into_iter().map(|(data, diff)| (data, at, diff)));
                }
                drop(session);
                match waiting.first_key_value() {
                    Some((earliest, _)) => capability.downgrade(earliest),
                    None => held = None,
                }
            }
        })
        .as_collection()
}
