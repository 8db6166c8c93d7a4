//! What a measure counts of an event, and for how long.

use crate::calendar::CALENDAR_SPREAD_MS;
use crate::definitions::{
    Definitions, EventTerm, Measure, MeasureId, MeasureShape, Period, Sequence, SequenceRole, Window,
};
use crate::expression::{ArrayElement, Expression};
use crate::model::{Event, IdentifierId, Part, Sample, SessionRun, Tick, Value, Weight};

/// What a measure makes of an event.
pub enum Contribution {
    /// It competes with what there is, for ever.
    Candidate(Sample),
    /// It counts for some time.
    Stay {
        /// What is kept of the event.
        kept: CountedFact,
        /// From when on.
        from: Tick,
        /// Until when, if there is a window.
        until: Option<Tick>,
    },
}

/// What is kept of an event that counts.
pub enum CountedFact {
    /// That it happened.
    Event,
    /// A number.
    Addend(Weight),
    /// A value, or the event itself.
    Sample(Sample),
    /// A session of it alone.
    Run(SessionRun),
}

/// How the ends of windows are rounded (docs/concepts/windows.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Up to the grain, shifted for this identifier.
    Grain(IdentifierId),
    /// Not at all.
    Exact,
}

impl Contribution {
    /// What is kept, from when, and until when, where nothing competes: of an event that arrives at a tick.
    pub fn stay(self, tick: Tick) -> (CountedFact, Tick, Option<Tick>) {
        match self {
            Contribution::Candidate(sample) => (CountedFact::Sample(sample), tick, None),
            Contribution::Stay { kept, from, until } => (kept, from, until),
        }
    }
}

impl CountedFact {
    /// It as parts, each with its weight.
    pub fn parts(self, measure: MeasureId) -> impl Iterator<Item = (Part, Weight)> {
        let parts = match self {
            CountedFact::Event => [Some((Part::Count(measure), Weight::ONE)), None],
            CountedFact::Addend(addend) => {
                [Some((Part::Count(measure), Weight::ONE)), Some((Part::Sum(measure), addend))]
            }
            CountedFact::Sample(sample) => [Some((Part::Sample(measure, sample.into()), Weight::ONE)), None],
            CountedFact::Run(run) => [Some((Part::Run(measure, run.into()), Weight::ONE)), None],
        };
        parts.into_iter().flatten()
    }
}

impl Definitions {
    /// Gives what a measure counts of an event that arrives at `tick`, but for one of sessions: whose those are does not follow from the
    /// event.
    pub fn count(
        &self,
        measure: &Measure,
        event: &Event,
        (rounding, tick): (Rounding, Tick),
        mut give: impl FnMut(Contribution),
    ) {
        match &measure.shape {
            MeasureShape::Sequence(sequence) => {
                self.roles(measure, sequence, event, (rounding, tick)).into_iter().flatten().for_each(give);
            }
            _ => self.for_each_row(measure, event, |row| {
                self.contribution(measure, event, row, (rounding, tick)).map(&mut give);
            }),
        }
    }

    /// What an event that arrives at `tick` is to the sequence of `measure`, and what it is later.
    ///
    /// One that could end an absence, or be the next step, does so for whatever comes before it: it stays a grain longer than the window
    /// says. Nothing that comes before it is there at that time, whoever holds it.
    fn roles(
        &self,
        measure: &Measure,
        sequence: &Sequence,
        event: &Event,
        (rounding, tick): (Rounding, Tick),
    ) -> [Option<Contribution>; 2] {
        let (Some(role), Some(&Period::Within(window))) = (sequence.role(self, event), measure.within.as_ref()) else {
            return [None, None];
        };
        let stay = |window: Window| Period::Within(window).stay(rounding, event.timestamp, tick);
        let kept = |fits: u32, from: Tick, until: Option<Tick>| {
            let value = SequenceRole { fits, same: role.same.clone() }.into_value();
            let sample = Sample { at: event.timestamp, position: event.position, value };
            Contribution::Stay { kept: CountedFact::Sample(sample), from, until }
        };
        let ends = role.fits & sequence.end_bit();
        let as_step = if role.fits == ends { None } else { stay(window) };
        let longer = Window { length_ms: window.length_ms.saturating_add(window.grain_ms), ..window };
        let as_end = if ends == 0 { None } else { stay(longer) };
        match (as_step, as_end) {
            (Some((from, until)), None) => [Some(kept(role.fits, from, until)), None],
            (None, Some((from, until))) => [Some(kept(ends, from, until)), None],
            (Some((from, Some(changes))), Some((_, until))) => {
                [Some(kept(role.fits, from, Some(changes))), Some(kept(ends, changes, until))]
            }
            _ => [None, None],
        }
    }

    /// What `measure` makes of an event that arrives at `tick`, or of one of its rows.
    fn contribution(
        &self,
        measure: &Measure,
        event: &Event,
        row: ArrayElement<'_>,
        (rounding, tick): (Rounding, Tick),
    ) -> Option<Contribution> {
        let kept = self.kept(measure, event, row)?;
        let (from, until) = match &measure.within {
            None => (tick, None),
            Some(period) => period.stay(rounding, event.timestamp, tick)?,
        };
        match kept {
            CountedFact::Sample(sample) if from <= tick && until.is_none() && measure.shape.has_best() => {
                Some(Contribution::Candidate(sample))
            }
            kept => Some(Contribution::Stay { kept, from, until }),
        }
    }

    /// What `measure` keeps of an event, or of one of its rows, if that counts.
    pub(crate) fn kept(&self, measure: &Measure, event: &Event, row: ArrayElement<'_>) -> Option<CountedFact> {
        let lookup = |term: &EventTerm| self.value_of(term, event);
        if measure.condition.as_ref().is_some_and(|condition| condition.truth_of(row, &lookup) != Some(true)) {
            return None;
        }
        let value = |expression: &Expression<EventTerm>| expression.value_of(row, &lookup);
        let timed = |value| Sample { at: event.timestamp, position: event.position, value };
        Some(match &measure.shape {
            MeasureShape::Count => CountedFact::Event,
            MeasureShape::Sum(expression) => match value(expression)? {
                Value::Number(number) => CountedFact::Addend(Weight::of_addend(number)?),
                _ => return None,
            },
            MeasureShape::Distinct(expression)
            | MeasureShape::Tally(expression)
            | MeasureShape::Least(expression)
            | MeasureShape::Greatest(expression) => CountedFact::Sample(Sample::timeless(value(expression)?)),
            MeasureShape::Earliest(expression)
            | MeasureShape::Latest(expression)
            | MeasureShape::Recent(expression, _) => CountedFact::Sample(timed(value(expression)?)),
            MeasureShape::Events(expressions) => {
                CountedFact::Sample(timed(Value::List(expressions.iter().map(value).collect())))
            }
            MeasureShape::Sequence(_) | MeasureShape::Session(_) => return None,
        })
    }
}

impl Period {
    /// From when until when an event counts that arrives at `arrival`; without an end where it does for ever, and nothing where it never does.
    pub fn stay(&self, rounding: Rounding, timestamp: Tick, arrival: Tick) -> Option<(Tick, Option<Tick>)> {
        let (begins, ends) = match self {
            Period::Within(window) => (timestamp, Some(window.end(rounding, timestamp, arrival)?)),
            Period::Aged { to, from } => {
                let ends = match from {
                    Some(from) => Some(from.end(rounding, timestamp, arrival)?),
                    None => None,
                };
                (to.end(rounding, timestamp, arrival).unwrap_or(arrival), ends)
            }
            Period::During(span, zone) => {
                let (begins, ends) = span.bounds(zone, timestamp)?;
                let late = |bound: Tick| match rounding {
                    Rounding::Grain(holder) => bound.after_ms(holder.shift_ms(CALENDAR_SPREAD_MS)),
                    Rounding::Exact => bound,
                };
                if ends <= arrival {
                    return None;
                }
                // What comes when others of its time are to follow does not wait for them.
                let begins = begins.filter(|begins| *begins > arrival).map(late);
                (begins.unwrap_or(arrival), Some(late(ends)))
            }
            Period::UntilDue { after_ms } => (arrival, Some(timestamp.after_ms(*after_ms).max(arrival).next())),
        };
        let begins = begins.max(arrival);
        // Two ages may end at one time.
        ends.is_none_or(|ends| begins < ends).then_some((begins, ends))
    }
}

impl Window {
    /// When an event that arrives at `arrival` is inside no longer; nothing where it never is.
    ///
    /// It is inside while `now − length < timestamp ≤ now`; its end is rounded up to the grain, whose multiples are shifted by
    /// [`IdentifierId::shift_ms`]. One that is too old on arrival does not come in for what the rounding adds.
    fn end(&self, rounding: Rounding, timestamp: Tick, arrival: Tick) -> Option<Tick> {
        let end = timestamp.as_ms().checked_add(self.length_ms)?;
        if end <= arrival.as_ms() {
            return None;
        }
        let Rounding::Grain(holder) = rounding else { return Some(Tick::from_ms(end)) };
        // Of multiples that are shifted to the left, which is the same and never below zero.
        let to_the_left = self.grain_ms - holder.shift_ms(self.grain_ms);
        let until = end.checked_add(to_the_left)?.checked_next_multiple_of(self.grain_ms)? - to_the_left;
        Some(Tick::from_ms(until))
    }
}

impl MeasureShape {
    /// Whether one value is better than all others, so that without a window the rest can be forgotten.
    pub fn has_best(&self) -> bool {
        matches!(
            self,
            MeasureShape::Least(_) | MeasureShape::Greatest(_) | MeasureShape::Earliest(_) | MeasureShape::Latest(_)
        )
    }

    /// Whether of two samples the greater one is better.
    pub fn prefers_greater(&self) -> bool {
        matches!(self, MeasureShape::Greatest(_) | MeasureShape::Latest(_))
    }

    /// Whether `a` is better than `b`, by the rule of this shape: numbers are better than what is none.
    pub fn is_better(&self, a: &Sample, b: &Sample) -> bool {
        self.has_best() && if self.prefers_greater() || a.is_number() != b.is_number() { a > b } else { a < b }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At each time an event is in one of three periods that follow each other, whenever it came: none has it twice, and none loses it.
    #[test]
    fn periods_that_follow_each_other_have_each_event_once() {
        let (week, two) = (Window { length_ms: 70, grain_ms: 10 }, Window { length_ms: 140, grain_ms: 30 });
        let periods =
            [Period::Within(week), Period::Aged { to: week, from: Some(two) }, Period::Aged { to: two, from: None }];
        for hash in 0..60u8 {
            let mut bytes = [0; 16];
            bytes[7] = hash;
            let holder = IdentifierId::from_bytes(bytes);
            for (timestamp, late) in (1_000..1_030).flat_map(|at| (0..200).step_by(3).map(move |late| (at, late))) {
                let [timestamp, arrival] = [timestamp, timestamp + late].map(Tick::from_ms);
                let stays = periods.each_ref().map(|period| period.stay(Rounding::Grain(holder), timestamp, arrival));
                for now in (arrival.as_ms()..1_300).map(Tick::from_ms) {
                    let counts =
                        |(from, until): &(Tick, Option<Tick>)| *from <= now && until.is_none_or(|until| now < until);
                    let in_so_many = stays.iter().flatten().filter(|stay| counts(stay)).count();
                    assert_eq!(in_so_many, 1, "of {timestamp} at {now}, having come at {arrival}");
                }
            }
        }
    }
}
