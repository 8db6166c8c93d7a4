//! `rekey`: values under the key that their own key stands for, as that changes.
//!
//! Said with differential's operators: each value stands under its own key, and where that key stands for another one, a join
//! takes the value away there and puts it to the other. That is three updates for each value that stands elsewhere, two of
//! which meet and are gone. Ticks are totally ordered, so here each key's values and what it stands for are followed side by
//! side, and only what remains is given out.
//!
//! Where very much waits, a part of the keys is followed at a time, and the worker looks at what else there is to do in between.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use differential_dataflow::difference::{Abelian, Monoid};
use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::cursor::CursorList;
use differential_dataflow::trace::{BatchCursor, Cursor};
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::at_once::AtOnce;
use super::past::{Past, PastBatch, Trace};
use super::side::{Side, SideCursor, tick_of};
use super::waiting::hold;
use crate::model::Tick;

/// Gives each of `values` under the key that its key stands for by `stands_for`, which has one row for a key at most; keys without
/// one stand for `own`. About `at_once` changes are followed at a time: as many keys as have them.
///
/// ```
/// use dataflows::batches::arrange_by_key;
/// use dataflows::model::Tick;
/// use dataflows::operators::{AtOnce, rekey};
/// use differential_dataflow::input::Input;
/// use timely::dataflow::operators::{Capture, capture::Extract};
///
/// let updates = timely::execute_directly(|worker| {
///     worker.dataflow::<Tick, _, _>(|scope| {
///         let (mut values_in, values) = scope.new_collection::<(u64, char), i64>();
///         let (mut keys_in, stands_for) = scope.new_collection::<(u64, u64), i64>();
///         values_in.update((1, 'a'), 1);
///         values_in.update((2, 'b'), 1);
///         // From tick 5 on the key 1 stands for 10, and one more value comes then.
///         keys_in.update_at((1, 10), Tick::from_ms(5), 1);
///         values_in.update_at((1, 'c'), Tick::from_ms(5), 1);
///         let (values, stands_for) = (arrange_by_key(values, "Values"), arrange_by_key(stands_for, "Keys"));
///         rekey(values, stands_for, "Values by key", AtOnce::all(), |key| *key).inner.capture()
///     })
/// });
/// let mut updates: Vec<_> = updates.extract().into_iter().flat_map(|(_, updates)| updates).collect();
/// updates.sort_by_key(|((_, value), tick, diff)| (*tick, *value, *diff));
/// let (at_first, later) = (Tick::default(), Tick::from_ms(5));
/// assert_eq!(updates[..2], [((1, 'a'), at_first, 1), ((2, 'b'), at_first, 1)]);
/// // "c" was never under 1.
/// assert_eq!(updates[2..], [((1, 'a'), later, -1), ((10, 'a'), later, 1), ((10, 'c'), later, 1)]);
/// ```
pub fn rekey<'scope, K, V, R, L>(
    values: Arranged<'scope, Trace<K, V, R>>,
    stands_for: Arranged<'scope, Trace<K, L, i64>>,
    name: &str,
    at_once: AtOnce,
    own: impl Fn(&K) -> L + 'static,
) -> VecCollection<'scope, Tick, (L, V), R>
where
    K: ExchangeData,
    V: ExchangeData,
    R: Abelian + Monoid + ExchangeData,
    L: ExchangeData,
{
    let scope = values.stream.scope();
    let (mut values_in, mut keys_in) = (Side::new(values.trace), Side::new(stands_for.trace));
    values
        .stream
        .binary_frontier::<_, CapacityContainerBuilder<Vec<((L, V), Tick, R)>>, _, _, _, _>(
            stands_for.stream,
            Pipeline,
            Pipeline,
            name,
            move |_, info| {
                let activator = scope.activator_for(info.address);
                // For the earliest update that waits; none where nothing waits.
                let mut held: Option<Capability<Tick>> = None;
                // Before this tick everything is followed.
                let mut done = Tick::default();
                let mut under_way: Option<RekeyWork<K, V, R, L>> = None;
                move |(values, values_frontier), (keys, keys_frontier), output| {
                    values.for_each(|capability, spans| {
                        hold(&mut held, &capability);
                        values_in.take_in(spans);
                    });
                    keys.for_each(|capability, spans| {
                        hold(&mut held, &capability);
                        keys_in.take_in(spans);
                    });
                    // What a key stands for at a tick has to be known before its values of that tick go anywhere.
                    let frontier = tick_of(values_frontier).min(tick_of(keys_frontier));
                    let mut left = at_once.at_first();
                    loop {
                        let mut until = frontier;
                        if under_way.is_none() && until > done && held.as_ref().is_some_and(|held| *held.time() < until)
                        {
                            under_way = Some(RekeyWork::begin(&mut values_in, &mut keys_in, done..until));
                        }
                        if let Some(capability) = held.as_mut()
                            && let Some(mut work) = under_way.take()
                        {
                            let mut session = output.session(&*capability);
                            let is_done =
                                work.go_on(&mut left, &own, |row, tick, diff| session.give((row, tick, diff)));
                            drop(session);
                            // Of what came meanwhile it knows nothing: that is for the next turn of the loop.
                            until = work.ticks.end;
                            if !is_done {
                                under_way = Some(work);
                                activator.activate();
                                break;
                            }
                            capability.downgrade(&until);
                        }
                        if until <= done {
                            break;
                        }
                        done = until;
                        let more = values_in.finish(done) | keys_in.finish(done);
                        held = held.take().filter(|_| more);
                    }
                }
            },
        )
        .as_collection()
}

/// What waits of both inputs, followed through some ticks key by key.
struct RekeyWork<K: ExchangeData, V: ExchangeData, R: Abelian + Monoid + ExchangeData, L: ExchangeData> {
    ticks: Range<Tick>,
    past_values: Past<K, V, R>,
    past_keys: Past<K, L, i64>,
    values: SideCursor<K, V, R>,
    keys: SideCursor<K, L, i64>,
}

impl<K, V, R, L> RekeyWork<K, V, R, L>
where
    K: ExchangeData,
    V: ExchangeData,
    R: Abelian + Monoid + ExchangeData,
    L: ExchangeData,
{
    fn begin(values: &mut Side<K, V, R>, keys: &mut Side<K, L, i64>, ticks: Range<Tick>) -> Self {
        RekeyWork {
            ticks,
            past_values: values.past(),
            past_keys: keys.past(),
            values: values.cursor(),
            keys: keys.cursor(),
        }
    }

    /// Goes on for so many changes, and says whether all of them are followed.
    fn go_on(&mut self, left: &mut usize, own: impl Fn(&K) -> L, mut give: impl FnMut((L, V), Tick, R)) -> bool {
        let RekeyWork { ticks, past_values, past_keys, values, keys } = self;
        let ((value_cursor, value_batches), (key_cursor, key_batches)) = (values, keys);
        let (mut value_changes, mut key_changes) = (KeyChanges::default(), KeyChanges::default());
        loop {
            let next = [value_cursor.get_key(value_batches), key_cursor.get_key(key_batches)];
            let Some(key) = next.into_iter().flatten().min() else { return true };
            if *left == 0 {
                return false;
            }
            value_changes.read(value_cursor, value_batches, key, ticks);
            key_changes.read(key_cursor, key_batches, key, ticks);
            *left = left.saturating_sub((value_changes.new.len() + key_changes.new.len()).max(1));
            if value_changes.new.is_empty() && key_changes.new.is_empty() {
                continue;
            }
            let mut standing = key_changes.sum(past_keys, key);
            let place_of = |standing: &BTreeMap<L, i64>| {
                standing.first_key_value().map_or_else(|| own(key), |(other, _)| other.clone())
            };
            let mut place = place_of(&standing);
            if key_changes.new.is_empty() {
                // Nearly always. Nothing moves, so it does not matter what else is there.
                value_changes.new.drain(..).for_each(|(tick, value, diff)| give((place.clone(), value), tick, diff));
                continue;
            }
            let mut there = value_changes.sum(past_values, key);
            let (mut new_values, mut new_keys) =
                (value_changes.new.drain(..).peekable(), key_changes.new.drain(..).peekable());
            while let Some(tick) =
                [new_values.peek().map(|of| of.0), new_keys.peek().map(|of| of.0)].into_iter().flatten().min()
            {
                // First the key, then what was there before, then what is new: that goes to its place at once, and is moved by nobody.
                while let Some((_, other, diff)) = new_keys.next_if(|of| of.0 == tick) {
                    add(&mut standing, other, &diff);
                }
                let before = std::mem::replace(&mut place, place_of(&standing));
                if place != before {
                    for (value, diff) in &there {
                        let mut taken = diff.clone();
                        taken.negate();
                        give((before.clone(), value.clone()), tick, taken);
                        give((place.clone(), value.clone()), tick, diff.clone());
                    }
                }
                while let Some((_, value, diff)) = new_values.next_if(|of| of.0 == tick) {
                    add(&mut there, value.clone(), &diff);
                    give((place.clone(), value), tick, diff);
                }
            }
        }
    }
}

/// What waits of one key.
struct KeyChanges<V, R> {
    /// What was followed already: it is past, though not yet in the past of the trace.
    followed: Vec<(V, R)>,
    /// The rest, by tick.
    new: Vec<(Tick, V, R)>,
}

impl<V, R> Default for KeyChanges<V, R> {
    fn default() -> Self {
        KeyChanges { followed: Vec::new(), new: Vec::new() }
    }
}

impl<V: ExchangeData, R: Monoid + ExchangeData> KeyChanges<V, R> {
    /// Reads those of `key`, if the cursor is there, and steps to the next key then.
    fn read<K: ExchangeData>(
        &mut self,
        cursor: &mut CursorList<BatchCursor<Trace<K, V, R>>>,
        batches: &Vec<PastBatch<K, V, R>>,
        key: &K,
        ticks: &Range<Tick>,
    ) {
        self.followed.clear();
        self.new.clear();
        if cursor.get_key(batches) != Some(key) {
            return;
        }
        while let Some(value) = cursor.get_val(batches) {
            cursor.map_times(batches, |tick, diff| {
                if *tick < ticks.start {
                    self.followed.push((value.clone(), diff.clone()));
                } else if *tick < ticks.end {
                    self.new.push((*tick, value.clone(), diff.clone()));
                }
            });
            cursor.step_val(batches);
        }
        cursor.step_key(batches);
        // Stable: within a tick the order of the values stays.
        self.new.sort_by_key(|(tick, ..)| *tick);
    }

    /// What there is of `key` before the new changes.
    fn sum<K: ExchangeData>(&mut self, past: &mut Past<K, V, R>, key: &K) -> BTreeMap<V, R> {
        let mut sum = BTreeMap::new();
        past.turn_to(key);
        past.visit_all(|value, diff| _ = sum.insert(value.clone(), diff));
        self.followed.drain(..).for_each(|(value, diff)| add(&mut sum, value, &diff));
        sum
    }
}

/// Adds to a value, which goes where nothing is left of it.
fn add<V: Ord, R: Monoid>(sum: &mut BTreeMap<V, R>, value: V, diff: &R) {
    match sum.entry(value) {
        Entry::Vacant(entry) => _ = entry.insert(diff.clone()),
        Entry::Occupied(mut entry) => {
            entry.get_mut().plus_equals(diff);
            if entry.get().is_zero() {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use differential_dataflow::consolidation::consolidate_updates;
    use differential_dataflow::input::InputSession;
    use timely::dataflow::operators::Capture;
    use timely::dataflow::operators::capture::Extract;

    use super::*;
    use crate::batches::arrange_by_key;
    use crate::operators::join;

    type RekeyUpdates = Vec<((u64, u64), Tick, i64)>;

    /// Values that come and go, of keys that stand for others for a while: as said with differential's operators, and by `rekey`.
    /// The two inputs are told of the time every so many ticks; so many changes are followed at once.
    fn followed(values_every: u64, keys_every: u64, at_once: usize) -> [RekeyUpdates; 2] {
        let ms = Tick::from_ms;
        timely::execute_directly(move |worker| {
            let (mut values_in, mut keys_in) = (InputSession::new(), InputSession::new());
            let (probe, captured) = worker.dataflow::<Tick, _, _>(|scope| {
                let (values, keys) = (values_in.to_collection(scope), keys_in.to_collection(scope));
                let (values_by_key, keys_by_key) =
                    (arrange_by_key(values.clone(), "Values"), arrange_by_key(keys, "Keys"));
                let moved =
                    join(values_by_key.clone(), keys_by_key.clone(), "Moved", |key: &u64, value: &u64, other: &u64| {
                        [((*key, *value), false), ((*other, *value), true)]
                    });
                let moved = moved.map(|(row, there)| (row, there));
                let there = moved.clone().filter(|(_, there)| *there).map(|(row, _)| row);
                let taken = moved.filter(|(_, there)| !*there).map(|(row, _)| row);
                let expected = values.concat(there).concat(taken.negate());
                let (probe, found) =
                    rekey(values_by_key, keys_by_key, "Found", AtOnce::new(at_once), |key| *key).probe();
                (probe, [expected.inner.capture(), found.inner.capture()])
            });
            // Each value and each standing lasts a while, and comes back.
            const STAY_MS: u64 = 40;
            let random = |now: u64, salt: u64| (now + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let value = |now: u64| (random(now, 1) % 7, random(now, 2) % 10);
            // A key has one standing at a time.
            let standing = |now: u64| (now % STAY_MS % 7, 100 + random(now, 3) % 3);
            for now in 0..400 {
                values_in.update_at(value(now), ms(now), 1);
                keys_in.update_at(standing(now), ms(now), i64::from(now % STAY_MS < 7));
                if let Some(then) = now.checked_sub(STAY_MS) {
                    values_in.update_at(value(then), ms(now), -1);
                    keys_in.update_at(standing(then), ms(now), -i64::from(then % STAY_MS < 7));
                }
                if now % values_every == 0 {
                    values_in.advance_to(ms(now + 1));
                    values_in.flush();
                }
                if now % keys_every == 0 {
                    keys_in.advance_to(ms(now + 1));
                    keys_in.flush();
                }
                let frontier = ms(now / values_every * values_every).min(ms(now / keys_every * keys_every));
                worker.step_while(|| probe.less_than(&frontier));
            }
            captured
        })
        .map(|captured| {
            let mut updates: RekeyUpdates = captured.extract().into_iter().flat_map(|(_, updates)| updates).collect();
            consolidate_updates(&mut updates);
            updates
        })
    }

    #[test]
    fn values_are_where_a_join_puts_them() {
        for (values_every, keys_every) in [(1, 1), (1, 7), (7, 1), (3, 5), (400, 400)] {
            for at_once in [1, 7, usize::MAX] {
                let [expected, found] = followed(values_every, keys_every, at_once);
                assert!(expected.len() > 300, "much happens");
                assert_eq!(expected, found, "{values_every} and {keys_every} ticks, {at_once} changes at once");
            }
        }
    }
}
