//! Many events of a person that take part in a sequence, kept from change to change.
//!
//! They stand in stretches of some tens. A stretch has the state of the walk that it begins with, and what was found in it. An event that
//! comes or goes has its stretch walked through again, and the next ones only while they begin with another state than they did. Mostly
//! that is one stretch or two, since what comes later seldom depends on an event long ago: the latest one counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Findings, FittingEvents, ProgressSoFar, SequenceProgress, WalkState};
use crate::definitions::Sequence;
use crate::limits::SEQUENCE_EVENTS_MAX;
use crate::model::{Sample, Tick, Value, Weight};

/// Events that are looked at.
const MOST: u64 = SEQUENCE_EVENTS_MAX as u64;

/// Events of a stretch at most: walking through them costs a microsecond.
const STRETCH_MAX: usize = 64;

/// The events of a person that take part in a sequence.
#[derive(Default)]
pub struct SequenceEvents {
    /// Those that are looked at, the latest ones: how many there are of each, and how many of these are looked at. Only of the first it
    /// may not be all.
    events: BTreeMap<Arc<Sample>, (u64, u64)>,
    /// Those before them.
    older: BTreeMap<Arc<Sample>, u64>,
    /// How many are looked at.
    counted: u64,
    /// Those that are looked at, by the value of what is the same in all of a match.
    walks: FxHashMap<Option<Value>, KeptWalk>,
}

/// The events of one value of what is the same in all of a match.
#[derive(Default)]
struct KeptWalk {
    /// In their order; none is empty. Events of one place stand in one stretch.
    stretches: Vec<Stretch>,
    /// Whether some of them are to be walked through.
    is_stale: bool,
}

struct Stretch {
    events: Vec<FittingEvents>,
    /// What it begins with, and what was found in it; neither is known before it was walked through.
    walked: Option<(WalkState, Findings)>,
    is_stale: bool,
}

impl SequenceEvents {
    /// So many events come, or go.
    pub fn add(&mut self, sample: &Arc<Sample>, weight: Weight) {
        let changed = |count: u64| u64::try_from(i128::from(count).saturating_add(weight.0).max(0)).unwrap_or(u64::MAX);
        let is_older = self.counted >= MOST && self.events.first_key_value().is_some_and(|(first, _)| sample < first);
        if is_older {
            let count = changed(self.older.remove(sample).unwrap_or_default());
            if count > 0 {
                self.older.insert(sample.clone(), count);
            }
            return;
        }
        let (count, counted) = self.events.get(sample).copied().unwrap_or_default();
        self.look_at(sample, (counted, changed(count)), changed(count));
        self.balance();
    }

    /// Visits those that are looked at, each with how many there are of it.
    pub fn for_each(&self, mut visit: impl FnMut(&Sample, Weight)) {
        self.events.iter().for_each(|(sample, (_, counted))| visit(sample, Weight((*counted).into())));
    }

    /// How many different ones there are.
    pub fn len(&self) -> usize {
        self.events.len() + self.older.len()
    }

    /// What follows from them at a tick.
    pub fn progress(&mut self, sequence: &Sequence, tick: Tick) -> SequenceProgress {
        let mut progress = ProgressSoFar::new(sequence, tick);
        for walk in self.walks.values_mut() {
            walk.refresh(sequence);
            progress.add(walk.findings());
        }
        progress.end(self.counted >= MOST)
    }

    /// Of a place, where there are so many, others are looked at than before.
    fn look_at(&mut self, sample: &Arc<Sample>, (before, after): (u64, u64), count: u64) {
        if after > 0 {
            self.events.insert(sample.clone(), (count, after));
        } else {
            self.events.remove(sample);
        }
        if before == after {
            return;
        }
        self.counted = self.counted - before + after;
        let (events, same) = FittingEvents::of(sample, after);
        let walk = self.walks.entry(same.cloned()).or_default();
        walk.set(events);
        if walk.stretches.is_empty() {
            self.walks.remove(&same.cloned());
        }
    }

    /// Looks at as many as are to be looked at: the latest.
    fn balance(&mut self) {
        while self.counted > MOST {
            let Some((first, (count, counted))) = self.first() else { return };
            let after = counted - counted.min(self.counted - MOST);
            self.look_at(&first, (counted, after), count);
            if after == 0 {
                self.older.insert(first, count);
            }
        }
        while self.counted < MOST {
            let (sample, count, counted) = match self.first() {
                Some((first, (count, counted))) if counted < count => (first, count, counted),
                _ => {
                    let Some((last, count)) = self.older.pop_last() else { return };
                    (last, count, 0)
                }
            };
            let after = count.min(counted + MOST - self.counted);
            self.look_at(&sample, (counted, after), count);
        }
    }

    fn first(&self) -> Option<(Arc<Sample>, (u64, u64))> {
        self.events.first_key_value().map(|(sample, counts)| (sample.clone(), *counts))
    }
}

impl KeptWalk {
    /// So many events there are of a place that fit these steps.
    fn set(&mut self, events: FittingEvents) {
        self.is_stale = true;
        let at = self.stretches.partition_point(|stretch| stretch.events[0].order <= events.order).saturating_sub(1);
        let Some(stretch) = self.stretches.get_mut(at) else {
            if events.count == 0 {
                return;
            }
            self.stretches.push(Stretch { events: vec![events], walked: None, is_stale: true });
            return;
        };
        stretch.is_stale = true;
        let key = |of: &FittingEvents| (of.order, of.fits);
        match stretch.events.binary_search_by_key(&key(&events), key) {
            Ok(place) if events.count == 0 => _ = stretch.events.remove(place),
            Ok(place) => stretch.events[place] = events,
            Err(_) if events.count == 0 => {}
            Err(place) => stretch.events.insert(place, events),
        }
        if stretch.events.is_empty() {
            self.stretches.remove(at);
            // What comes next begins with something else.
            if let Some(next) = self.stretches.get_mut(at) {
                next.walked = None;
            }
        } else if stretch.events.len() > STRETCH_MAX {
            let half = stretch.events.len() / 2;
            let boundary = |place: &usize| stretch.events[*place - 1].order != stretch.events[*place].order;
            if let Some(place) = (half..stretch.events.len()).chain((1..half).rev()).find(boundary) {
                let later = stretch.events.split_off(place);
                self.stretches.insert(at + 1, Stretch { events: later, walked: None, is_stale: true });
            }
        }
    }

    /// Walks through what has changed, and through what begins with another state for it.
    fn refresh(&mut self, sequence: &Sequence) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        // The state after the stretch before; it is made where it is asked for.
        let mut reached: Option<WalkState> = Some(WalkState::of(sequence));
        for at in 0..self.stretches.len() {
            if self.stretches[at].walked.is_none() && reached.is_none() {
                let before = &self.stretches[at - 1];
                reached = before.walked.as_ref().map(|(state, _)| {
                    let mut state = state.clone();
                    state.walk(&before.events, sequence);
                    state
                });
            }
            let stretch = &mut self.stretches[at];
            let begins = match (&stretch.walked, reached.take()) {
                (Some((begins, _)), None) if stretch.is_stale => begins.clone(),
                (Some((begins, _)), Some(state)) if !stretch.is_stale && *begins == state => continue,
                (_, Some(state)) => state,
                (_, None) => continue,
            };
            let mut state = begins.clone();
            let findings = state.walk(&stretch.events, sequence);
            stretch.walked = Some((begins, findings));
            stretch.is_stale = false;
            reached = Some(state);
        }
    }

    fn findings(&self) -> impl DoubleEndedIterator<Item = &Findings> {
        self.stretches.iter().filter_map(|stretch| stretch.walked.as_ref().map(|(_, findings)| findings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::{EventFilter, SequenceEnd, SequenceRole, SequenceStep};
    use crate::model::{Number, Position};
    use crate::traits::samples::Samples;

    fn any() -> EventFilter {
        EventFilter { events: Vec::new(), condition: None }
    }

    fn sequences() -> Vec<Sequence> {
        let step = |times, within_ms| SequenceStep { takes: any(), times, within_ms };
        let of = |steps: &[SequenceStep], end| Sequence { steps: steps.to_vec(), same: None, end };
        let steps = [step(1, None), step(1, Some(30)), step(2, Some(40))];
        vec![
            of(&steps, SequenceEnd::Match),
            of(&[step(3, None), step(1, None)], SequenceEnd::Match),
            of(&steps[..2], SequenceEnd::Absent(any(), 20)),
            of(&steps[..1], SequenceEnd::Absent(any(), 300)),
            of(&steps[..2], SequenceEnd::Dropped(any(), 2, 50)),
            of(&steps[..1], SequenceEnd::Dropped(any(), 1, 1)),
        ]
    }

    /// Follows events that come and go, and compares what follows from them with what follows from all of them looked through at once.
    fn check(live: u64, steps: u64, span: u64) {
        let mut random = 7u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (random >> 33) % below
        };
        for (index, sequence) in sequences().into_iter().enumerate() {
            let (mut kept, mut all) = (SequenceEvents::default(), BTreeMap::<Arc<Sample>, u64>::new());
            let mut most = 0;
            for step in 0..steps {
                let goes = all.len() as u64 > live || next(3) == 0;
                let (sample, weight) = match all.keys().nth(next(all.len().max(1) as u64) as usize).cloned() {
                    // Mostly the first one, as windows have it.
                    Some(sample) if goes => match next(2) {
                        0 => (all.first_key_value().map_or(sample, |(first, _)| first.clone()), Weight::GONE),
                        _ => (sample, Weight::GONE),
                    },
                    _ => {
                        // Mostly at the end; some are of one place.
                        let late = if next(3) == 0 { next(span) } else { 0 };
                        let at = Tick::from_ms(1_000 + step * span / steps - late.min(step * span / steps));
                        let index = u32::try_from(step).unwrap();
                        let position = match next(4) {
                            0 => Position::UNKNOWN,
                            _ => Position { tick: at, process: 0, index },
                        };
                        let same = (next(3) == 0).then(|| Value::Number(Number::from(next(2) as u32)));
                        let fits = next(15) as u32 + 1;
                        let value = match &sequence.same {
                            None if same.is_none() => SequenceRole { fits, same: None }.into_value(),
                            _ => SequenceRole { fits, same: same.or(Some(Value::Bool(true))) }.into_value(),
                        };
                        (Arc::new(Sample { at, position, value }), Weight::ONE)
                    }
                };
                kept.add(&sample, weight);
                let count = all.entry(sample.clone()).or_default();
                *count = count.checked_add_signed(weight.0 as i64).unwrap();
                if *count == 0 {
                    all.remove(&sample);
                }
                most = most.max(all.len());
                if step % 3 != 0 {
                    continue;
                }
                let (mut left, mut latest) = (MOST, Vec::new());
                for (sample, count) in all.iter().rev() {
                    let counts = left.min(*count);
                    left -= counts;
                    if counts > 0 {
                        latest.push((sample.clone(), Weight(counts.into())));
                    }
                }
                latest.reverse();
                let tick = Tick::from_ms(1_000 + step * span / steps + next(60));
                let expected = SequenceProgress::of(&sequence, &mut Samples::Few(latest), tick);
                assert_eq!(kept.progress(&sequence, tick), expected, "sequence {index}, step {step}");
            }
            assert!(most as u64 >= live, "{most}");
        }
    }

    #[test]
    fn what_is_kept_is_what_would_be_found_anew() {
        check(300, 6_000, 3_000);
        check(90, 4_000, 40);
    }

    #[test]
    fn only_the_latest_are_looked_at() {
        check(1_150, 9_000, 5_000);
    }
}
