//! `reduce_changes`: a `reduce` whose logic is told what changed of a key, and asks for what it needs of the rest.
//!
//! Differential's `reduce` replays all values of a key that is touched, old and new, into a list, and all that it gave out
//! before into another. Where a key has many values and a change concerns few, that is most of the work. Ticks are totally
//! ordered, so here the logic can walk through a key's changes in their order and give the differences that they make, each
//! at its own tick.
//!
//! What it reduces is the sum of two arrangements, of which the second one corrects the first: it is small, follows from the first,
//! and comes after it. So what comes of the first is worked off as it comes, span by span, and the second is cut where it has to be.
//!
//! What is reduced may depend on the time, too: then the logic sets timers, and is asked for the key again at their ticks.
//!
//! Where a span has very much in it, a part of its keys is worked off at a time, and the worker looks at what else there is to do in
//! between. What comes out of a span comes when all of it is worked off. So where very many timers have come, it ends before most of them:
//! what follows from the first ones goes on, and is complete, before the last ones are looked at.

use std::ops::Range;

use differential_dataflow::consolidation::consolidate_updates;
use differential_dataflow::difference::Monoid;
use differential_dataflow::logging::DifferentialEventBuilder;
use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::{Builder, Cursor, Description, Span};
use differential_dataflow::{Data, ExchangeData};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Antichain;

use super::arrange::{bound, new_trace};
use super::at_once::AtOnce;
use super::past::{Past, Trace};
use super::side::{Side, SideCursor, tick_of};
use super::timers::{DueKey, KeyTimers, Timers};
use super::waiting::hold;
use crate::batches::ValBuilder;
use crate::model::Tick;

/// Lets `logic` turn the changes of each key into changes of its output.
///
/// It is called once for each key that some new batches touch, with all changes in them, by tick and then by value; with what
/// was there before all of these; with the timers of the key; and with a list for the changes of the output, at ticks of the changes
/// and of timers. Over time these must add up to a function of what is there and of the tick: nobody else looks after that.
///
/// A key whose timer has come is a key that is touched, with no changes where there are none. All timers that are due are to be taken
/// and worked off in the order of their ticks, among the changes. Where the input has ended, time has ended: what is set then never
/// comes.
///
/// About `at_once` changes are worked off at a time: as many keys as have them.
///
/// ```
/// use dataflows::batches::arrange_by_key;
/// use dataflows::model::Tick;
/// use dataflows::operators::{AtOnce, KeyTimers, reduce_changes};
/// use differential_dataflow::input::Input;
/// use timely::dataflow::operators::{Capture, capture::Extract};
///
/// let updates = timely::execute_directly(|worker| {
///     worker.dataflow::<Tick, _, _>(|scope| {
///         let (mut input, letters) = scope.new_collection::<(u64, char), i64>();
///         input.update((1, 'a'), 1);
///         input.update_at((1, 'b'), Tick::from_ms(5), 1);
///         // Nobody corrects that.
///         let corrections = arrange_by_key(letters.clone().filter(|_| false), "Corrections");
///         let letters = arrange_by_key(letters, "Letters");
///         // How many vowels each key has.
///         let mut count = |past: &mut dyn FnMut(&char) -> i64| "aeiou".chars().map(|vowel| past(&vowel)).sum::<i64>();
///         let vowels = reduce_changes(letters, corrections, "Vowels", AtOnce::new(9), move |_key, changes, past, _timers: &mut KeyTimers<()>, give| {
///             let mut vowels = count(&mut |vowel| past.amount(vowel));
///             for (tick, letter, diff) in changes.iter().filter(|(_, letter, _)| "aeiou".contains(**letter)) {
///                 give.push((vowels, *tick, -1));
///                 vowels += diff;
///                 give.push((vowels, *tick, 1));
///             }
///         });
///         vowels.as_collection(|key, vowels| (*key, *vowels)).inner.capture()
///     })
/// });
/// let updates: Vec<_> = updates.extract().into_iter().flat_map(|(_, updates)| updates).collect();
/// assert_eq!(updates, [((1, 0), Tick::default(), -1), ((1, 1), Tick::default(), 1)]);
/// ```
pub fn reduce_changes<'scope, K, V, R, N, W>(
    arranged: Arranged<'scope, Trace<K, V, R>>,
    corrections: Arranged<'scope, Trace<K, V, R>>,
    name: &str,
    at_once: AtOnce,
    mut logic: impl FnMut(&K, &[(Tick, &V, R)], &mut Past<K, V, R>, &mut KeyTimers<N>, &mut Vec<(W, Tick, i64)>) + 'static,
) -> Arranged<'scope, Trace<K, W, i64>>
where
    K: ExchangeData,
    V: ExchangeData,
    R: Monoid + ExchangeData,
    N: Ord + Copy + 'static,
    W: Data,
{
    let scope = arranged.stream.scope();
    let mut trace = None;
    let (mut first, mut second) = (Side::new(arranged.trace), Side::new(corrections.trace));
    let stream =
        arranged.stream.binary_frontier(corrections.stream, Pipeline, Pipeline, name, |_capability, operator| {
            let logger = scope.worker().logger_for::<DifferentialEventBuilder>("differential/arrange").map(Into::into);
            let activator = scope.activator_for(operator.address.clone());
            let (reader, mut writer) = new_trace(scope, operator, logger);
            trace = Some(reader);
            // For the earliest change or timer that waits; none where nothing waits.
            let mut held: Option<Capability<Tick>> = None;
            // Before this tick all is worked off, and sealed in the trace.
            let mut done = Tick::default();
            let mut under_way: Option<ReduceWork<K, V, R, N, W>> = None;
            let mut timers = Timers::default();
            move |(first_in, first_frontier), (second_in, second_frontier), output| {
                first_in.for_each(|capability, spans| {
                    hold(&mut held, &capability);
                    first.take_in(spans);
                });
                second_in.for_each(|capability, spans| {
                    hold(&mut held, &capability);
                    second.take_in(spans);
                });
                // What corrects a tick may come later than what it corrects: it is worked off when both are there.
                let frontier = tick_of(first_frontier).min(tick_of(second_frontier));
                let mut left = at_once.at_first();
                loop {
                    let mut until = first.boundary(frontier);
                    if under_way.is_none() && until > done && held.as_ref().is_some_and(|held| *held.time() < until) {
                        // At the end of time no timer comes any more, but for those before the last changes.
                        if until < Tick::MAX {
                            let waiting = first.updates() + second.updates();
                            until = timers.boundary(until, timers_at_once(&at_once, waiting));
                        }
                        under_way = Some(ReduceWork::begin(&mut first, &mut second, &timers, done..until));
                    }
                    if let Some(mut work) = under_way.take() {
                        if !work.go_on(&mut left, &mut timers, &mut logic) {
                            under_way = Some(work);
                            activator.activate();
                            break;
                        }
                        // Of what came meanwhile it knows nothing: that is for the next turn of the loop.
                        until = work.ticks.end;
                        if let Some(capability) = held.as_mut() {
                            // Nothing in it was compacted: all times are as they were given.
                            let since = Antichain::from_elem(Tick::default());
                            let description = Description::new(bound(done), bound(until), since);
                            let span = Span::new(description, work.builder.done());
                            output.session(&*capability).give(span.clone());
                            writer.insert(span, std::iter::once(*capability.time()).collect());
                            // At the end of time there is no tick to go on to; the capability goes below, as nothing waits any more.
                            if until < Tick::MAX {
                                capability.downgrade(&until);
                            }
                        }
                    }
                    if until <= done {
                        break;
                    }
                    // Also where nothing came: whoever reads the trace goes by how far it is sealed.
                    writer.seal(bound(until));
                    done = until;
                    let more = first.finish(done) | second.finish(done);
                    let next = if done == Tick::MAX { None } else { timers.earliest() };
                    held = held.take().filter(|_| more || next.is_some());
                    if let (false, Some(next), Some(held)) = (more, next, held.as_mut()) {
                        held.downgrade(&next);
                    }
                }
                writer.exert();
            }
        });
    Arranged { stream, trace: trace.expect("the operator is built at once") }
}

/// Timers of one span. What waits is gone through again for each span, so there are as many as that; but no more than are sorted in a
/// millisecond or two.
fn timers_at_once(at_once: &AtOnce, waiting: usize) -> usize {
    const TIMES_MAX: usize = 16;
    let at_first = at_once.at_first();
    waiting.clamp(at_first, at_first.saturating_mul(TIMES_MAX))
}

/// What waits of some ticks, worked off key by key.
struct ReduceWork<K: ExchangeData, V: ExchangeData, R: Monoid + ExchangeData, N, W: Data> {
    ticks: Range<Tick>,
    past: Past<K, V, R>,
    first: SideCursor<K, V, R>,
    second: SideCursor<K, V, R>,
    /// Keys whose timers have come, the last one first.
    due: Vec<DueKey<K, N>>,
    /// Whether there are others, after all of these.
    more_due: bool,
    timers: KeyTimers<N>,
    builder: ValBuilder<K, W, Tick, i64>,
}

impl<K, V, R, N, W> ReduceWork<K, V, R, N, W>
where
    K: ExchangeData,
    V: ExchangeData,
    R: Monoid + ExchangeData,
    N: Ord + Copy,
    W: Data,
{
    fn begin(first: &mut Side<K, V, R>, second: &mut Side<K, V, R>, timers: &Timers<K, N>, ticks: Range<Tick>) -> Self {
        ReduceWork {
            due: Vec::new(),
            more_due: timers.are_due(ticks.end),
            timers: KeyTimers::default(),
            ticks,
            past: first.past().and(second.past()),
            first: first.cursor(),
            second: second.cursor(),
            builder: ValBuilder::default(),
        }
    }

    /// Goes on for so many changes and timers, and says whether all is worked off.
    fn go_on(
        &mut self,
        left: &mut usize,
        timers: &mut Timers<K, N>,
        logic: &mut impl FnMut(&K, &[(Tick, &V, R)], &mut Past<K, V, R>, &mut KeyTimers<N>, &mut Vec<(W, Tick, i64)>),
    ) -> bool {
        let ReduceWork { ticks, past, due, more_due, timers: of_key, builder, .. } = self;
        let ((cursor, batches), (second_cursor, second_batches)) = (&mut self.first, &mut self.second);
        let (mut changes, mut followed, mut rows, mut buffer) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        loop {
            if due.is_empty() && *more_due {
                *due = timers.take_due(ticks.end, *left);
                due.reverse();
                *more_due = timers.are_due(ticks.end);
            }
            let keys = [cursor.get_key(batches), second_cursor.get_key(second_batches)];
            let changed = keys.into_iter().flatten().min();
            let is_due = due.last().is_some_and(|(key, _)| changed.is_none_or(|changed| key <= changed));
            if changed.is_none() && !is_due {
                return true;
            }
            if *left == 0 {
                return false;
            }
            let popped = if is_due { due.pop() } else { None };
            let (key, due_now) = match (&popped, changed) {
                (Some((key, due)), _) => (key, due.as_slice()),
                (None, Some(key)) => (key, &[][..]),
                (None, None) => return true,
            };
            let is_here = keys.map(|other| other == Some(key));
            changes.clear();
            let [_, is_corrected] = is_here;
            if is_here[0] {
                while let Some(value) = cursor.get_val(batches) {
                    cursor.map_times(batches, |tick, diff| {
                        // What is of a later span comes again.
                        if *tick < ticks.start {
                            followed.push((value.clone(), diff.clone()));
                        } else if *tick < ticks.end {
                            changes.push((*tick, value, diff.clone()));
                        }
                    });
                    cursor.step_val(batches);
                }
                cursor.step_key(batches);
            }
            past.turn_to(key);
            if is_corrected {
                while let Some(value) = second_cursor.get_val(second_batches) {
                    second_cursor.map_times(second_batches, |tick, diff| {
                        if *tick < ticks.start {
                            followed.push((value.clone(), diff.clone()));
                        } else if *tick < ticks.end {
                            changes.push((*tick, value, diff.clone()));
                        }
                    });
                    second_cursor.step_val(second_batches);
                }
                second_cursor.step_key(second_batches);
            }
            if !followed.is_empty() {
                past.add(followed.drain(..));
            }
            sort(&mut changes, is_corrected);
            *left = left.saturating_sub((changes.len() + due_now.len()).max(1));
            // At the end of time no timer comes any more, but for those before the last changes.
            let until = match ticks.end {
                Tick::MAX => changes.last().map_or(Tick::default(), |(tick, ..)| tick.next()),
                end => end,
            };
            of_key.turn_to(until, due_now);
            if changes.is_empty() && of_key.next_due().is_none() {
                continue;
            }
            logic(key, &changes, past, of_key, &mut rows);
            timers.take_over(key, of_key);
            consolidate_updates(&mut rows);
            buffer.extend(rows.drain(..).map(|(row, tick, diff)| ((key.clone(), row), tick, diff)));
            builder.push(&mut buffer);
        }
    }
}

/// Sorts changes of one key by tick, then by value. Those of both sides meet.
fn sort<V: Ord, R: Monoid>(changes: &mut Vec<(Tick, &V, R)>, is_corrected: bool) {
    if !is_corrected {
        // Stable: within a tick the order of the values stays.
        changes.sort_by_key(|(tick, ..)| *tick);
        return;
    }
    changes.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    changes.dedup_by(|next, kept| {
        let same = (next.0, next.1) == (kept.0, kept.1);
        if same {
            kept.2.plus_equals(&next.2);
        }
        same
    });
    changes.retain(|(.., diff)| !diff.is_zero());
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use differential_dataflow::input::InputSession;
    use timely::dataflow::operators::capture::Extract;
    use timely::dataflow::operators::{Capture, Probe};

    use super::*;
    use crate::batches::{ValSpine, arrange_by_key};

    type ReduceUpdates = Vec<((u64, u64), Tick, i64)>;

    /// The least two values of a key, by differential's `reduce` and by hand. The two sides are told of the time every so many ticks; so
    /// many changes are worked off at once.
    fn least_two(first_every: u64, second_every: u64, at_once: usize) -> [ReduceUpdates; 2] {
        let ms = Tick::from_ms;
        let [expected, found] = timely::execute_directly(move |worker| {
            let (mut first_in, mut second_in) = (InputSession::new(), InputSession::new());
            let captured = worker.dataflow::<Tick, _, _>(|scope| {
                let (values, corrections) = (first_in.to_collection(scope), second_in.to_collection(scope));
                let expected = values
                    .clone()
                    .concat(corrections.clone())
                    .arrange_by_key()
                    .reduce_abelian::<_, ValBuilder<_, _, _, _>, ValSpine<u64, u64, Tick, i64>, _, _>(
                        "Expected",
                        |_, values, given| given.extend(values.iter().take(2).map(|(value, _)| (**value, 1))),
                        |buffer, key, updates| {
                            buffer.clear();
                            buffer.extend(updates.drain(..).map(|(value, tick, diff)| ((*key, value), tick, diff)));
                        },
                    );
                let (values, corrections) =
                    (arrange_by_key(values, "Values"), arrange_by_key(corrections, "Corrections"));
                let found = reduce_changes(
                    values,
                    corrections,
                    "Found",
                    AtOnce::new(at_once),
                    |_, changes, past, _: &mut KeyTimers<()>, given| {
                        let mut values = BTreeMap::new();
                        past.visit(&0, |value, amount| {
                            values.insert(*value, amount);
                            true
                        });
                        let by_amount: Vec<(u64, i64)> = (0..10).map(|value| (value, past.amount(&value))).collect();
                        assert!(by_amount.into_iter().filter(|(_, amount)| *amount != 0).eq(values.clone()));
                        for (tick, value, diff) in changes {
                            given.extend(values.keys().take(2).map(|value| (*value, *tick, -1)));
                            *values.entry(**value).or_default() += diff;
                            values.retain(|_, amount| *amount != 0);
                            given.extend(values.keys().take(2).map(|value| (*value, *tick, 1)));
                        }
                    },
                );
                let [expected, found] = [expected, found].map(|rows| rows.as_collection(|key, row| (*key, *row)));
                [expected.inner.capture(), found.inner.capture()]
            });
            // Values come in no order, and go again after a while, so that keys become empty and full again. The second side takes some
            // of them away in between, and adds others.
            const STAY_MS: u64 = 40;
            let of = |ms: u64| {
                let random = ms.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                [(random % 5, random / 5 % 10), (random % 5, random / 50 % 10)]
            };
            for now in 0..300 {
                for row in of(now) {
                    first_in.update_at(row, ms(now), 1);
                }
                for row in now.checked_sub(STAY_MS).map(of).into_iter().flatten() {
                    first_in.update_at(row, ms(now), -1);
                }
                for (row, diff) in now.checked_sub(10).map(of).into_iter().flatten().zip([-1, 2]) {
                    second_in.update_at(row, ms(now), diff);
                }
                for (row, diff) in now.checked_sub(STAY_MS - 5).map(of).into_iter().flatten().zip([1, -2]) {
                    second_in.update_at(row, ms(now), diff);
                }
                if now % first_every == 0 {
                    first_in.advance_to(ms(now + 1));
                    first_in.flush();
                }
                if now % second_every == 0 {
                    second_in.advance_to(ms(now + 1));
                    second_in.flush();
                }
                (0..8).for_each(|_| _ = worker.step());
            }
            captured
        })
        .map(|captured| {
            let mut updates: ReduceUpdates = captured.extract().into_iter().flat_map(|(_, updates)| updates).collect();
            consolidate_updates(&mut updates);
            updates
        });
        [expected, found]
    }

    #[test]
    fn changes_give_what_reduce_gives() {
        for (first_every, second_every) in [(1, 1), (1, 7), (7, 1), (3, 5), (300, 300)] {
            for at_once in [1, 7, usize::MAX] {
                let [expected, found] = least_two(first_every, second_every, at_once);
                assert!(expected.len() > 100, "much happens");
                assert_eq!(expected, found, "{first_every} and {second_every} ticks, {at_once} changes at once");
            }
        }
    }

    /// A key is quiet once nothing has come of it for a while: a row comes and goes without any input. The time is told every so many
    /// ticks, and so many keys are worked off at once.
    fn quiet(every: u64, at_once: usize) -> Vec<((u64, &'static str), Tick, i64)> {
        const WHILE_MS: u64 = 5;
        let ms = Tick::from_ms;
        let quiet = timely::execute_directly(move |worker| {
            let mut input: InputSession<Tick, (u64, u64), i64> = InputSession::new();
            let (probe, quiet) = worker.dataflow::<Tick, _, _>(|scope| {
                let values = input.to_collection(scope);
                let corrections = arrange_by_key(values.clone().filter(|_| false), "Corrections");
                let values = arrange_by_key(values, "Values");
                // By key, when something came last; it is quiet from so many ticks after that.
                let mut last: BTreeMap<u64, Tick> = BTreeMap::new();
                let quiet = reduce_changes(
                    values,
                    corrections,
                    "Quiet",
                    AtOnce::new(at_once),
                    move |key, changes, _, timers: &mut KeyTimers<()>, given| {
                        let mut changes = changes.iter().map(|(tick, ..)| *tick).peekable();
                        while let Some(tick) = changes.peek().copied().into_iter().chain(timers.next_due()).min() {
                            if timers.pop_due(tick).is_some() {
                                given.push(("quiet", tick, 1));
                            }
                            if changes.next_if_eq(&tick).is_some() {
                                while changes.next_if_eq(&tick).is_some() {}
                                if let Some(last) = last.insert(*key, tick) {
                                    match last.after_ms(WHILE_MS) {
                                        due if due <= tick => given.push(("quiet", tick, -1)),
                                        due => timers.unset(due, ()),
                                    }
                                }
                                timers.set(tick.after_ms(WHILE_MS), ());
                            }
                        }
                    },
                );
                let quiet = quiet.as_collection(|key, row| (*key, *row)).inner;
                let (probe, quiet) = quiet.probe();
                (probe, quiet.capture())
            });
            for (at, key) in [(1, 1), (1, 2), (3, 1), (8, 1), (8, 3), (20, 2)] {
                input.update_at((key, at), ms(at), 1);
            }
            for now in (1..=30).filter(|now| now % every == 0) {
                input.advance_to(ms(now));
                input.flush();
                worker.step_while(|| probe.less_than(&ms(now)));
            }
            quiet
        });
        let mut quiet: Vec<_> = quiet.extract().into_iter().flat_map(|(_, updates)| updates).collect();
        consolidate_updates(&mut quiet);
        quiet
    }

    #[test]
    fn timers_come_at_their_ticks() {
        // The first one is quiet at 8, when it speaks again; what is due when the input ends never comes.
        let ms = Tick::from_ms;
        let expected = [
            ((1, "quiet"), ms(13), 1),
            ((2, "quiet"), ms(6), 1),
            ((2, "quiet"), ms(20), -1),
            ((2, "quiet"), ms(25), 1),
            ((3, "quiet"), ms(13), 1),
        ];
        for every in [1, 2, 5, 15] {
            for at_once in [1, usize::MAX] {
                assert_eq!(quiet(every, at_once), expected, "every {every} ticks, {at_once} at once");
            }
        }
    }

    /// How many rows a key had so far when a timer of its came: at the tick, plus the number that the row has.
    type DueCount = ((u64, i64), Tick, i64);

    /// Many timers come in one go, some milliseconds apart, while rows of the same time come in one batch. Gives what comes, what is to, how much
    /// of it came at most in one step of the worker, and up to how many ticks it was complete meanwhile.
    fn many_due(apart_ms: u64, at_once: usize) -> ([Vec<DueCount>; 2], usize, usize) {
        const KEYS: u64 = 1_000;
        const LATER: u64 = 5;
        let ms = Tick::from_ms;
        let rows: Vec<(u64, u64, u64)> = (0..KEYS)
            .map(|key| (0, key, 100 + key * apart_ms))
            // Each of these keys has a row before its timer comes, and one after that.
            .chain(
                (1..LATER)
                    .flat_map(|n| [(99 + n * 10 * apart_ms, n * 10, 1_000_000), (101 + n * 200 * apart_ms, n * 10, 2)]),
            )
            .collect();
        let mut expected: Vec<DueCount> = Vec::new();
        for (at, key, delay) in &rows {
            let due = at + delay;
            let before = rows.iter().filter(|(at, of, _)| of == key && *at <= due).count();
            expected.extend((due < 900_000).then_some(((*key, before as i64), ms(due), 1)));
        }
        let (found, most, frontiers) = timely::execute_directly(move |worker| {
            let mut input: InputSession<Tick, (u64, u64), i64> = InputSession::new();
            let (tell, told) = std::sync::mpsc::channel();
            let probe = worker.dataflow::<Tick, _, _>(|scope| {
                let values = input.to_collection(scope);
                let corrections = arrange_by_key(values.clone().filter(|_| false), "Corrections");
                let values = arrange_by_key(values, "Values");
                let due = reduce_changes(
                    values,
                    corrections,
                    "Due",
                    AtOnce::new(at_once),
                    |_, changes, past, timers: &mut KeyTimers<()>, given| {
                        let mut count = 0;
                        past.visit(&0, |_, amount| {
                            count += amount;
                            true
                        });
                        let mut changes = changes.iter().map(|(tick, delay, _)| (*tick, **delay)).peekable();
                        while let Some(tick) =
                            changes.peek().map(|(tick, _)| *tick).into_iter().chain(timers.next_due()).min()
                        {
                            while let Some((_, delay)) = changes.next_if(|(at, _)| *at == tick) {
                                count += 1;
                                timers.set(tick.after_ms(delay), ());
                            }
                            if timers.pop_due(tick).is_some() {
                                given.push((count, tick, 1));
                            }
                        }
                    },
                );
                let due = due.as_collection(|key, count| (*key, *count));
                due.inspect(move |update| tell.send(*update).expect("it is counted")).probe().0
            });
            for (at, key, delay) in rows.iter().filter(|(at, ..)| *at == 0) {
                input.update_at((*key, *delay), ms(*at), 1);
            }
            input.advance_to(ms(1));
            input.flush();
            worker.step_while(|| probe.less_than(&ms(1)));
            for (at, key, delay) in rows.iter().filter(|(at, ..)| *at > 0) {
                input.update_at((*key, *delay), ms(*at), 1);
            }
            input.advance_to(ms(900_000));
            input.flush();
            let (mut found, mut most, mut frontiers) = (Vec::new(), 0, BTreeSet::new());
            while probe.less_than(&ms(900_000)) {
                worker.step();
                let before = found.len();
                found.extend(told.try_iter());
                most = most.max(found.len() - before);
                frontiers.insert(probe.with_frontier(|frontier| frontier.first().copied()));
            }
            (found, most, frontiers.len())
        });
        let mut found = found;
        consolidate_updates(&mut found);
        consolidate_updates(&mut expected);
        ([found, expected], most, frontiers)
    }

    #[test]
    fn many_timers_come_a_few_at_a_time() {
        for apart_ms in [1, 2, 50] {
            for at_once in [5, 50] {
                let ([found, expected], most, frontiers) = many_due(apart_ms, at_once);
                assert_eq!(found, expected, "{apart_ms} ms apart, {at_once} at once");
                assert!(expected.len() > 1_000, "{}", expected.len());
                assert!(most <= 4 * at_once, "{most} in one step, {at_once} at once");
                assert!(frontiers > 1_000 / (4 * at_once), "{frontiers} ticks, {at_once} at once");
            }
        }
    }

    /// All of one tick: they are worked off a few at a time, and come when all of them are.
    #[test]
    fn many_timers_of_one_tick_are_worked_off_a_few_at_a_time() {
        let worked = Arc::new(AtomicUsize::new(0));
        let counted = worked.clone();
        timely::execute_directly(move |worker| {
            let mut input: InputSession<Tick, (u64, ()), i64> = InputSession::new();
            let probe = worker.dataflow::<Tick, _, _>(|scope| {
                let values = input.to_collection(scope);
                let corrections = arrange_by_key(values.clone().filter(|_| false), "Corrections");
                let logic = move |key: &u64,
                                  changes: &[(Tick, &(), i64)],
                                  _: &mut Past<u64, (), i64>,
                                  timers: &mut KeyTimers<u64>,
                                  given: &mut Vec<_>| {
                    if !changes.is_empty() {
                        // Each has several things to do then.
                        (0..3).for_each(|what| timers.set(Tick::from_ms(7), what));
                    }
                    let mut done = Vec::new();
                    while let Some(what) = timers.pop_due(Tick::from_ms(7)) {
                        done.push(what);
                    }
                    if !done.is_empty() {
                        assert_eq!(done, [0, 1, 2], "of {key}, all in one turn");
                        counted.fetch_add(1, Ordering::SeqCst);
                        given.push((*key, Tick::from_ms(7), 1));
                    }
                };
                let values = arrange_by_key(values, "Values");
                reduce_changes(values, corrections, "Due", AtOnce::new(10), logic).stream.probe().0
            });
            (0..1_000).for_each(|key| input.update((key, ()), 1));
            input.advance_to(Tick::from_ms(1));
            input.flush();
            worker.step_while(|| probe.less_than(&Tick::from_ms(1)));
            input.advance_to(Tick::from_ms(9));
            input.flush();
            while probe.less_than(&Tick::from_ms(9)) {
                let before = worked.load(Ordering::SeqCst);
                worker.step();
                let now = worked.load(Ordering::SeqCst) - before;
                assert!(now <= 20, "{now} in one step");
            }
            assert_eq!(worked.load(Ordering::SeqCst), 1_000, "each once");
        });
    }
}
