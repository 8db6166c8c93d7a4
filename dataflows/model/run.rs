//! What an identifier did without a pause, as a session keeps it (docs/concepts/sessions.md).

use std::cmp::Reverse;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{EventOrder, IdentifierId, Position, Sample, Tick, Weight};
use crate::definitions::MeasureShape;
use crate::limits::VALUES_PER_SESSION_MAX;

/// Events of which each is no more than a session's gap after the one before, as what they come to.
///
/// Runs can be put together in any order. They sort by their ends, the latest first: who goes through them in their order and comes to one
/// that ends too early knows that all others do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionRun {
    /// Its last event.
    pub end: Reverse<EventOrder>,
    /// Its first event.
    pub start: EventOrder,
    /// Whose it is, where each identifier of a type has sessions of its own.
    pub of: Option<IdentifierId>,
    /// How many events it has.
    pub events: u64,
    /// What the values of the session come to, in their order.
    pub values: Vec<RunValue>,
}

/// What a value of a session comes to in a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RunValue {
    /// So many events.
    Count(u64),
    /// So many addends, and their sum.
    Sum(u64, Weight),
    /// The least sample, or nothing.
    Least(Option<Sample>),
    /// The greatest sample, or nothing.
    Greatest(Option<Sample>),
    /// Different values, sorted: those that are no numbers first.
    Distinct(Vec<Sample>),
}

impl SessionRun {
    /// Before all others in their order.
    pub fn first() -> Self {
        let end = Reverse(EventOrder { at: Tick::MAX, position: Position::UNKNOWN });
        SessionRun { end, start: EventOrder::default(), of: None, events: 0, values: Vec::new() }
    }

    /// Whether another run of the same identifier is so near that both are one.
    pub fn is_near(&self, other: &SessionRun, gap_ms: u64) -> bool {
        self.of == other.of
            && self.start.at <= other.end.0.at.after_ms(gap_ms)
            && other.start.at <= self.end.0.at.after_ms(gap_ms)
    }

    /// Both as one.
    pub fn join(&mut self, other: &SessionRun) {
        self.start = self.start.min(other.start);
        self.end = self.end.min(other.end);
        self.events += other.events;
        self.values.iter_mut().zip(&other.values).for_each(|(value, other)| value.join(other));
    }

    /// The same events so many times.
    pub fn times(mut self, times: u64) -> Self {
        self.events *= times;
        for value in &mut self.values {
            match value {
                RunValue::Count(count) => *count *= times,
                RunValue::Sum(count, sum) => (*count, sum.0) = (*count * times, sum.0.saturating_mul(times.into())),
                RunValue::Least(_) | RunValue::Greatest(_) | RunValue::Distinct(_) => {}
            }
        }
        self
    }
}

impl RunValue {
    /// What no event comes to, where sessions keep values of this shape.
    pub fn none_of(shape: &MeasureShape) -> Option<Self> {
        Some(match shape {
            MeasureShape::Count => RunValue::Count(0),
            MeasureShape::Sum(_) => RunValue::Sum(0, Weight::default()),
            MeasureShape::Least(_) | MeasureShape::Earliest(_) => RunValue::Least(None),
            MeasureShape::Greatest(_) | MeasureShape::Latest(_) => RunValue::Greatest(None),
            MeasureShape::Distinct(_) => RunValue::Distinct(Vec::new()),
            MeasureShape::Tally(_)
            | MeasureShape::Recent(..)
            | MeasureShape::Sequence(_)
            | MeasureShape::Session(_)
            | MeasureShape::Events(_) => return None,
        })
    }

    /// One event more.
    pub fn add_event(&mut self) {
        self.join(&RunValue::Count(1));
    }

    /// An addend more.
    pub fn add(&mut self, addend: Weight) {
        self.join(&RunValue::Sum(1, addend));
    }

    /// A sample more.
    pub fn add_sample(&mut self, sample: Sample) {
        let other = match self {
            RunValue::Least(_) => RunValue::Least(Some(sample)),
            RunValue::Greatest(_) => RunValue::Greatest(Some(sample)),
            _ => RunValue::Distinct(vec![sample]),
        };
        self.join(&other);
    }

    fn join(&mut self, other: &RunValue) {
        match (self, other) {
            (RunValue::Count(count), RunValue::Count(more)) => *count += more,
            (RunValue::Sum(count, sum), RunValue::Sum(more, addend)) => {
                *count += more;
                sum.0 = sum.0.saturating_add(addend.0);
            }
            (RunValue::Least(best), RunValue::Least(Some(other))) => {
                // A number comes before what is none.
                let key = |sample: &Sample| !sample.is_number();
                let is_better = |best: &Sample| (key(other), other) < (key(best), best);
                if best.as_ref().is_none_or(is_better) {
                    *best = Some(other.clone());
                }
            }
            (RunValue::Greatest(best), RunValue::Greatest(other)) if *other > *best => best.clone_from(other),
            (RunValue::Distinct(values), RunValue::Distinct(others)) => {
                for other in others {
                    if let Err(place) = values.binary_search(other) {
                        values.insert(place, other.clone());
                    }
                }
                values.truncate(VALUES_PER_SESSION_MAX);
            }
            // Those of one session are alike, and what has nothing adds nothing.
            _ => {}
        }
    }
}

/// Puts runs together that are near, where these come to others that are all apart from each other. Gives those that were there and are no
/// more, and those that are there now.
///
/// ```
/// use std::cmp::Reverse;
///
/// use dataflows::model::{EventOrder, Position, SessionRun, Tick, join_runs};
///
/// let event = |ms| {
///     let order = EventOrder { at: Tick::from_ms(ms), position: Position::UNKNOWN };
///     SessionRun { end: Reverse(order), start: order, of: None, events: 1, values: Vec::new() }
/// };
/// let mut runs = Vec::new();
/// for ms in [10, 40, 25] {
///     join_runs(&mut runs, event(ms), 15, |_, _| {});
/// }
/// assert_eq!((runs.len(), runs[0].events), (1, 3), "the last one is near to both");
/// join_runs(&mut runs, event(56), 15, |_, _| {});
/// let starts: Vec<u64> = runs.iter().map(|run| run.start.at.as_ms()).collect();
/// assert_eq!(starts, [56, 10], "a millisecond too late; the latest run comes first");
/// ```
pub fn join_runs(
    runs: &mut Vec<Arc<SessionRun>>,
    mut come: SessionRun,
    gap_ms: u64,
    mut change: impl FnMut(&Arc<SessionRun>, Weight),
) {
    // Joined with one it may be near to another one.
    loop {
        // They sort by their ends.
        let mut may_be_near = runs.iter().take_while(|run| run.end.0.at.after_ms(gap_ms) >= come.start.at);
        let Some(place) = may_be_near.position(|run| run.is_near(&come, gap_ms)) else { break };
        let near = runs.remove(place);
        change(&near, Weight::GONE);
        come.join(&near);
    }
    let come = Arc::new(come);
    change(&come, Weight::ONE);
    let place = runs.partition_point(|run| *run < come);
    runs.insert(place, come);
}
