//! Which events complete a sequence, and with which match.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::definitions::{Sequence, SequenceEnd, SequenceRole};
use crate::model::{EventOrder, EventSpan, Value};

use super::super::samples::Samples;
use super::order_of;

/// An event that is the last one of a match.
#[derive(Clone, Debug)]
pub struct SequenceCompletion {
    /// The match that ends with it and begins last.
    pub span: EventSpan,
    /// What is the same in all of its events.
    pub same: Option<Value>,
    /// All events of that value.
    pub events: Arc<SequenceEventList>,
}

/// Events in their order, each with which steps it fits.
pub type SequenceEventList = Vec<(EventOrder, u32)>;

/// How far a match has come in one step.
#[derive(Clone, Debug, Default)]
struct ReachedStep {
    /// The match up to this step that ends last.
    reached: Option<EventSpan>,
    /// For each of the last events that fit, as many as the step takes: the match up to the step before that it follows on.
    before: VecDeque<Option<EventSpan>>,
}

/// The completions of a sequence. Those events are in no match that are not taken, by their place and what is to be the same in all; but they
/// end an absence.
///
/// Of all matches up to a step, the one that ends last is also the one that begins last: whoever follows on a later event has the choice of
/// all that an earlier one could follow on. So of each step one match is enough.
pub fn completions(
    sequence: &Sequence,
    samples: &Samples,
    takes: impl Fn(EventOrder, Option<&Value>) -> bool,
) -> Vec<SequenceCompletion> {
    let mut events: BTreeMap<Option<Value>, SequenceEventList> = BTreeMap::new();
    samples.for_each(|sample, _| {
        let (fits, same) = SequenceRole::of_value(&sample.value);
        events.entry(same.cloned()).or_default().push((order_of(sample), fits));
    });
    let mut found = Vec::new();
    for (same, mut events) in events {
        events.sort_unstable();
        let spans = spans(sequence, &events, |event| takes(event, same.as_ref()));
        let events = Arc::new(events);
        let completion = |span| SequenceCompletion { span, same: same.clone(), events: events.clone() };
        found.extend(spans.into_iter().map(completion));
    }
    found
}

/// The same of events of one value, in their order: for each completion the match that begins last.
pub fn spans(sequence: &Sequence, events: &SequenceEventList, takes: impl Fn(EventOrder) -> bool) -> Vec<EventSpan> {
    let fitting =
        |(event, fits): &(EventOrder, u32)| (*event, if takes(*event) { *fits } else { *fits & sequence.end_bit() });
    let events: SequenceEventList = events.iter().map(fitting).collect();
    let mut steps = vec![ReachedStep::default(); sequence.steps.len()];
    let mut completed = Vec::new();
    for of_one_place in events.chunk_by(|a, b| a.0 == b.0) {
        let event = of_one_place[0].0;
        let fits = of_one_place.iter().fold(0, |fits, (_, more)| fits | more);
        // The last step first: events of one place do not follow on each other.
        for place in (0..steps.len()).rev().filter(|place| fits & 1 << place != 0) {
            let step = &sequence.steps[place];
            let before = match place.checked_sub(1) {
                None => Some(EventSpan { first: event, last: event }),
                Some(before) => steps[before].reached,
            };
            let of_step = &mut steps[place];
            of_step.before.push_back(before);
            if of_step.before.len() > usize::from(step.times) {
                of_step.before.pop_front();
            }
            // What the first of so many events follows on.
            let first = of_step.before.front().copied().flatten();
            let is_enough = of_step.before.len() == usize::from(step.times);
            let is_near = |first: &EventSpan| {
                step.within_ms.is_none_or(|ms| place == 0 || event.at <= first.last.at.after_ms(ms))
            };
            if let Some(first) = first.filter(|first| is_enough && is_near(first)) {
                let span = EventSpan { first: first.first, last: event };
                of_step.reached = Some(span);
                if place + 1 == sequence.steps.len() {
                    completed.push(span);
                }
            }
        }
    }
    if let SequenceEnd::Absent(_, within_ms) = sequence.end {
        let ends = || events.iter().filter(|(_, fits)| fits & sequence.end_bit() != 0).map(|(event, _)| *event);
        completed.retain(|span| {
            let until = span.last.at.after_ms(within_ms);
            !ends().any(|end| end > span.last && end.at <= until)
        });
    }
    completed
}
