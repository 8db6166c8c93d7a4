//! Second stage too, beside the records: of the values that events give to measures, those that count: for `min`, `max`, `first`
//! and `last` the best one, for `last_n` the latest, for `distinct`, and where it is counted how often each was given, as many as one
//! identifier may have.
//!
//! Values of a window come and go ([`crate::operators::release`]). All that are there are held here, so that when the best
//! one goes the next best takes its place; what lies behind this stage, and changes hands when people merge, is what counts.

mod runs;

use std::ops::Range;
use std::sync::Arc;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::Present;
use differential_dataflow::{AsCollection, VecCollection};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::core::OkErr;

use self::runs::HeldRuns;
use crate::definitions::{Definitions, Measure, MeasureId, MeasureShape};
use crate::facts::events;
use crate::limits::{Limit, OCCURRENCES_MAX, SEQUENCE_EVENTS_MAX, VALUES_PER_IDENTIFIER_MAX};
use crate::model::{IdentifierId, Part, Sample, SessionRun, Tick, Weight};
use crate::observer::{Candidate, Holder};
use crate::operators::{Fact, FoldSlot, fold};
use crate::records::Aside;

/// Values come to an identifier, or go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ValueChange {
    measure: MeasureId,
    kept: KeptValue,
    /// Whether the identifier is exclusive.
    exclusive: bool,
    /// How many events gave this value; negative where they go.
    events: i64,
}

/// What a measure has kept of events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum KeptValue {
    Sample(Arc<Sample>),
    /// It never goes.
    Run(Arc<SessionRun>),
}

/// Changes of values, by identifier. Of those that are void it says whether the identifier is exclusive.
pub type ValueChanges<'scope> = VecCollection<'scope, Tick, (IdentifierId, Fact<ValueChange, bool>), Present>;

/// Parts, by the identifier that holds them.
pub type HeldParts<'scope> = VecCollection<'scope, Tick, (Holder, Part), Weight>;

/// Values among the parts of identifiers, and the other parts.
pub fn split(parts: HeldParts<'_>) -> (ValueChanges<'_>, HeldParts<'_>) {
    let (values, others) = parts.inner.ok_err::<Vec<_>, _, Vec<_>, _, _>(|((holder, part), tick, weight)| {
        let (measure, kept) = match part {
            Part::Sample(measure, sample) => (measure, KeptValue::Sample(sample)),
            Part::Run(measure, run) => (measure, KeptValue::Run(run)),
            part => return Err(((holder, part), tick, weight)),
        };
        let change = ValueChange { measure, kept, exclusive: holder.exclusive, events: events(weight) };
        Ok(((holder.id, Fact::More(change)), tick, Present))
    });
    (values.as_collection(), others.as_collection())
}

/// What counts of the values of each identifier, and which identifiers have as many as they may.
pub fn retain_best<'scope>(
    changes: ValueChanges<'scope>,
    definitions: &Arc<Definitions>,
) -> VecCollection<'scope, Tick, Result<(Holder, Part), Aside>, Weight> {
    let definitions = definitions.clone();
    fold(
        changes,
        "Values",
        IdentifierId::route,
        move |id, slot: FoldSlot<'_, HeldByIdentifier, bool>, changes, give| {
            let rule =
                |measure: MeasureId| ValueRule::of(&definitions.measures[measure.index()], VALUES_PER_IDENTIFIER_MAX);
            if let Some((held, exclusive)) = slot.void {
                let holder = Holder { id: *id, exclusive };
                held.runs.into_iter().for_each(|runs| {
                    runs.all_goes(|measure, run, weight| give(Ok((holder, Part::Run(measure, run))), weight));
                });
                held.values.all_goes(rule, |measure, outcome| match outcome {
                    ValueOutcome::Counts(sample, weight) => {
                        give(Ok((Holder { id: *id, exclusive }, Part::Sample(measure, sample))), weight);
                    }
                    ValueOutcome::Full(weight) => give(Err(Aside::Limit(Limit::Values)), weight),
                });
            }
            let mut changes = changes.peekable();
            // What goes within the tick in which it came is no change.
            let mut of_runs: Vec<((MeasureId, Arc<SessionRun>), Weight)> = Vec::new();
            let mut holder = Holder { id: *id, exclusive: false };
            while let Some(ValueChange { measure, kept, exclusive, mut events }) = changes.next() {
                while let Some(same) = changes.next_if(|next| (next.measure, &next.kept) == (measure, &kept)) {
                    events = events.saturating_add(same.events);
                }
                holder.exclusive = exclusive;
                let sample = match kept {
                    KeptValue::Sample(sample) => sample,
                    KeptValue::Run(run) => {
                        let Some(session) = definitions.measures[measure.index()].shape.session() else { continue };
                        let run = Arc::unwrap_or_clone(run).times(events.try_into().unwrap_or_default());
                        let change = |run, weight| of_runs.push(((measure, run), weight));
                        slot.state.runs.get_or_insert_default().join(measure, run, session.gap_ms, change);
                        continue;
                    }
                };
                slot.state.values.change(measure, &rule(measure), sample, events, |outcome| match outcome {
                    ValueOutcome::Counts(sample, weight) => {
                        give(Ok((Holder { id: *id, exclusive }, Part::Sample(measure, sample))), weight);
                    }
                    ValueOutcome::Full(weight) => give(Err(Aside::Limit(Limit::Values)), weight),
                });
            }
            consolidate(&mut of_runs);
            for ((measure, run), weight) in of_runs {
                give(Ok((holder, Part::Run(measure, run))), weight);
            }
        },
    )
}

impl From<Candidate> for ValueChange {
    fn from(Candidate { measure, exclusive, sample, events }: Candidate) -> Self {
        ValueChange { measure, kept: KeptValue::Sample(sample.into()), exclusive, events }
    }
}

/// Which values of a measure count.
struct ValueRule {
    /// So many of the best.
    count_max: usize,
    /// Which are better.
    best: Best,
    /// Whether those that do not count are forgotten, since none goes before them.
    forgets: bool,
    /// Whether it is worth telling when there are so many.
    tells: bool,
    /// Whether it counts how many events gave each.
    weighs: bool,
}

/// Which of sorted values are better; those that are numbers come last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Best {
    Greater,
    Lesser,
    /// The lesser ones, but any number before what is none.
    LesserNumbers,
}

impl Best {
    fn of(shape: &MeasureShape) -> Self {
        match shape {
            MeasureShape::Recent(..) | MeasureShape::Sequence(_) | MeasureShape::Events(_) => Best::Greater,
            _ if shape.prefers_greater() => Best::Greater,
            _ if shape.has_best() => Best::LesserNumbers,
            _ => Best::Lesser,
        }
    }
}

impl ValueRule {
    fn of(measure: &Measure, distinct_max: usize) -> Self {
        let tells = matches!(measure.shape, MeasureShape::Distinct(_) | MeasureShape::Tally(_));
        let weighs = matches!(
            measure.shape,
            MeasureShape::Tally(_) | MeasureShape::Recent(..) | MeasureShape::Sequence(_) | MeasureShape::Events(_)
        );
        let count_max = match measure.shape {
            MeasureShape::Recent(_, most) => most.into(),
            MeasureShape::Sequence(_) => SEQUENCE_EVENTS_MAX,
            MeasureShape::Events(_) => OCCURRENCES_MAX,
            _ if tells => distinct_max,
            _ => 1,
        };
        ValueRule { count_max, best: Best::of(&measure.shape), forgets: !measure.lets_go(), tells, weighs }
    }

    /// How much a value counts that so many events gave.
    fn weight(&self, events: u32) -> Weight {
        if self.weighs { Weight(events.into()) } else { Weight::ONE }
    }

    /// The same where it counts no more.
    fn gone(&self, events: u32) -> Weight {
        Weight(-self.weight(events).0)
    }

    /// Where the value of this rank is in a sorted range, whose numbers begin at `numbers`.
    fn place(&self, range: &Range<usize>, numbers: usize, rank: usize) -> usize {
        match self.best {
            Best::Greater => range.end - 1 - rank,
            Best::Lesser => range.start + rank,
            Best::LesserNumbers if rank < range.end - numbers => numbers + rank,
            Best::LesserNumbers => range.start + rank - (range.end - numbers),
        }
    }

    /// The rank of the value at this place.
    fn rank(&self, range: &Range<usize>, numbers: usize, place: usize) -> usize {
        match self.best {
            Best::Greater => range.end - 1 - place,
            Best::Lesser => place - range.start,
            Best::LesserNumbers if place >= numbers => place - numbers,
            Best::LesserNumbers => place - range.start + (range.end - numbers),
        }
    }
}

/// What follows from a change.
enum ValueOutcome {
    /// A value counts from now on, or so much more; or does no more, or so much less.
    Counts(Arc<Sample>, Weight),
    /// There are as many as there may be, or no more.
    Full(Weight),
}

/// What is held of one identifier.
#[derive(Default)]
struct HeldByIdentifier {
    values: HeldValues,
    /// Those of sessions, if there are any.
    runs: Option<Box<HeldRuns>>,
}

/// The values of one identifier: by measure, then in their order, each with how many events gave it.
#[derive(Default)]
struct HeldValues(Vec<(MeasureId, u32, Arc<Sample>)>);

impl HeldValues {
    fn change(
        &mut self,
        measure: MeasureId,
        rule: &ValueRule,
        sample: Arc<Sample>,
        events: i64,
        mut give: impl FnMut(ValueOutcome),
    ) {
        let mut range = self.range(measure);
        match self.0[range.clone()].binary_search_by(|(.., known)| known.cmp(&sample)).map(|at| range.start + at) {
            Ok(place) => {
                let before = self.0[place].1;
                let events = i64::from(before).saturating_add(events);
                // Where it is cut off, no event ever leaves: no window holds so many.
                let after = u32::try_from(events.max(0)).unwrap_or(u32::MAX);
                if after > 0 && !rule.weighs {
                    self.0[place].1 = after;
                    return;
                }
                let rank = rule.rank(&range, self.numbers(&range), place);
                if after > 0 {
                    self.0[place].1 = after;
                    if rank < rule.count_max && after != before {
                        give(ValueOutcome::Counts(sample, Weight(i128::from(after) - i128::from(before))));
                    }
                    return;
                }
                self.take_out(place);
                range.end -= 1;
                if rank >= rule.count_max {
                    return;
                }
                give(ValueOutcome::Counts(sample, rule.gone(before)));
                if range.len() >= rule.count_max {
                    let next = rule.place(&range, self.numbers(&range), rule.count_max - 1);
                    give(ValueOutcome::Counts(self.sample(next), rule.weight(self.0[next].1)));
                } else if rule.tells && range.len() + 1 == rule.count_max {
                    give(ValueOutcome::Full(Weight::GONE));
                }
            }
            Err(_) if events <= 0 => {}
            Err(place) => {
                let place = range.start + place;
                let numbers = self.numbers(&range) + usize::from(!sample.is_number());
                range.end += 1;
                let rank = rule.rank(&range, numbers, place);
                if rank >= rule.count_max && rule.forgets {
                    return;
                }
                let events = u32::try_from(events).unwrap_or(u32::MAX);
                self.put_in(place, (measure, events, sample.clone()));
                if rank >= rule.count_max {
                    return;
                }
                give(ValueOutcome::Counts(sample, rule.weight(events)));
                if range.len() > rule.count_max {
                    let beyond = rule.place(&range, numbers, rule.count_max);
                    give(ValueOutcome::Counts(self.sample(beyond), rule.gone(self.0[beyond].1)));
                    if rule.forgets {
                        self.take_out(beyond);
                    }
                } else if rule.tells && range.len() == rule.count_max {
                    give(ValueOutcome::Full(Weight::ONE));
                }
            }
        }
    }

    /// What counted of it counts no more.
    fn all_goes(self, rule: impl Fn(MeasureId) -> ValueRule, mut give: impl FnMut(MeasureId, ValueOutcome)) {
        let mut from = 0;
        while let Some(&(measure, ..)) = self.0.get(from) {
            let (rule, range) = (rule(measure), self.range(measure));
            let numbers = self.numbers(&range);
            for rank in 0..range.len().min(rule.count_max) {
                let place = rule.place(&range, numbers, rank);
                give(measure, ValueOutcome::Counts(self.sample(place), rule.gone(self.0[place].1)));
            }
            if rule.tells && range.len() >= rule.count_max {
                give(measure, ValueOutcome::Full(Weight::GONE));
            }
            from = range.end;
        }
    }

    /// Where the values of a measure are.
    fn range(&self, measure: MeasureId) -> Range<usize> {
        self.0.partition_point(|(of, ..)| *of < measure)..self.0.partition_point(|(of, ..)| *of <= measure)
    }

    /// Where those of a range begin that are numbers.
    fn numbers(&self, range: &Range<usize>) -> usize {
        range.start + self.0[range.clone()].partition_point(|(.., sample)| !sample.is_number())
    }

    fn sample(&self, place: usize) -> Arc<Sample> {
        self.0[place].2.clone()
    }

    /// Most identifiers have a value or two, so room grows by a quarter and not to twice.
    fn put_in(&mut self, place: usize, entry: (MeasureId, u32, Arc<Sample>)) {
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact((self.0.len() / 4).max(1));
        }
        self.0.insert(place, entry);
    }

    fn take_out(&mut self, place: usize) {
        self.0.remove(place);
        if self.0.len() <= self.0.capacity() / 2 {
            self.0.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::definitions::{EventTerm, Period, Window};
    use crate::expression::Expression;
    use crate::model::{Number, Position, Value};

    /// Follows changes of values of two measures, and compares what counts with what is best of all that are there.
    #[track_caller]
    fn check(shape: impl Fn(Expression<EventTerm>) -> MeasureShape, within: Option<Window>, distinct_max: usize) {
        [false, true].into_iter().for_each(|mixed| check_of(&shape, within, distinct_max, mixed));
    }

    /// The same with numbers only, or with texts among them.
    #[track_caller]
    fn check_of(
        shape: &impl Fn(Expression<EventTerm>) -> MeasureShape,
        within: Option<Window>,
        distinct_max: usize,
        mixed: bool,
    ) {
        let shape = shape(Expression::Term(EventTerm::Timestamp));
        let measure = Measure {
            events: vec!["e".into()],
            each: None,
            condition: None,
            shape,
            within: within.map(Period::Within),
            ended: Vec::new(),
        };
        let rule = ValueRule::of(&measure, distinct_max);
        let mut held = HeldValues::default();
        let mut there: BTreeMap<(MeasureId, Arc<Sample>), i64> = BTreeMap::new();
        let mut counting: BTreeMap<(MeasureId, Arc<Sample>), i128> = BTreeMap::new();
        let mut full: BTreeMap<MeasureId, i128> = BTreeMap::new();
        let mut random = 7u64;
        let mut most = 0;
        for step in 0..4_000u64 {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let of = MeasureId::new((random >> 60) as usize % 2);
            let number = (random >> 32) as u32 % 25;
            let value = match mixed && number.is_multiple_of(3) {
                true => Value::text(&number.to_string()),
                false => Value::Number(Number::from(number)),
            };
            let key = (of, Arc::new(Sample { at: Tick::default(), position: Position::UNKNOWN, value }));
            // There are more and more of them, then fewer and fewer.
            let comes = within.is_none() || (random >> 40) % 8 < if step % 500 < 250 { 6 } else { 2 };
            let events = if comes { 1 + (random >> 50) as i64 % 2 } else { -there.get(&key).copied().unwrap_or(0) };
            *there.entry(key.clone()).or_default() += events;
            there.retain(|_, events| *events > 0);
            held.change(of, &rule, key.1, events, |outcome| match outcome {
                ValueOutcome::Counts(sample, weight) => *counting.entry((of, sample)).or_default() += weight.0,
                ValueOutcome::Full(weight) => *full.entry(of).or_default() += weight.0,
            });
            counting.retain(|_, weight| *weight != 0);
            full.retain(|_, weight| *weight != 0);
            let mut expected = BTreeMap::new();
            for of in [0, 1].map(MeasureId::new) {
                let mut all: Vec<_> = there.keys().filter(|(measure, _)| *measure == of).cloned().collect();
                // What is best of all: numbers, then the greater or the lesser; of different values, numbers come last.
                let is_number = |sample: &Sample| matches!(sample.value, Value::Number(_));
                all.sort_by_key(|(_, sample)| (is_number(sample), sample.value.clone()));
                if measure.shape.prefers_greater() || matches!(measure.shape, MeasureShape::Recent(..)) {
                    all.reverse();
                }
                if measure.shape.has_best() {
                    all.sort_by_key(|(_, sample)| !is_number(sample));
                }
                most = most.max(all.len());
                all.truncate(rule.count_max);
                assert_eq!(full.get(&of).copied().unwrap_or(0), i128::from(rule.tells && all.len() == rule.count_max));
                let weight = |key: &(MeasureId, Arc<Sample>)| if rule.weighs { there[key].into() } else { 1 };
                expected.extend(all.into_iter().map(|key| (key.clone(), weight(&key))));
            }
            assert_eq!(counting, expected, "after step {step}");
            assert!(!rule.forgets || held.0.len() <= 2 * rule.count_max, "what never counts is forgotten");
        }
        assert!(most > rule.count_max, "there are more than count");
    }

    #[test]
    fn the_best_count() {
        let window = Some(Window::new(1_000));
        for within in [None, window] {
            check(MeasureShape::Least, within, 10);
            check(MeasureShape::Greatest, within, 10);
            check(MeasureShape::Earliest, within, 10);
            check(MeasureShape::Latest, within, 10);
            check(MeasureShape::Distinct, within, 10);
            check(MeasureShape::Distinct, within, 1);
            check(MeasureShape::Tally, within, 10);
            check(MeasureShape::Tally, within, 1);
            check(|value| MeasureShape::Recent(value, 3), within, 10);
        }
    }

    #[test]
    fn what_has_gone_leaves_nothing_behind() {
        let measure = Measure {
            events: vec!["e".into()],
            each: None,
            condition: None,
            shape: MeasureShape::Distinct(Expression::Term(EventTerm::Timestamp)),
            within: Some(Period::Within(Window::new(1_000))),
            ended: Vec::new(),
        };
        let (rule, of, mut held) = (ValueRule::of(&measure, 10), MeasureId::new(0), HeldValues::default());
        let sample = |number: u32| {
            Arc::new(Sample { at: Tick::default(), position: Position::UNKNOWN, value: Value::Number(number.into()) })
        };
        for events in [1, -1] {
            (0..1_000).for_each(|number| held.change(of, &rule, sample(number), events, |_| {}));
        }
        assert_eq!((held.0.len(), held.0.capacity()), (0, 0));
    }
}
