//! Sequences of the events of one person (docs/concepts/sequences.md): what is chosen is held against each sentence of what a match is.

use dataflows::definitions::{Definitions, EventFilter, EventTerm, Measure, Sequence, SequenceEnd, SequenceStep};
use dataflows::limits::SEQUENCE_EVENTS_MAX;
use dataflows::model::{Event, EventOrder, IdentifierId, Position, Tick, Value};

use super::expression::{evaluate, is_true};
use super::measures::{counts_in, event_term, is_named};

/// What came of a sequence.
pub struct FoundSequence {
    /// Whether its condition is true.
    pub is_true: bool,
    /// The times of the completions that count; nothing where the question is who has dropped out, which is no matter of completions.
    completions: Option<Vec<Tick>>,
}

impl FoundSequence {
    /// The times of the completions that count.
    pub fn completions(&self) -> &[Tick] {
        self.completions.as_deref().expect("nobody asks for those of who has dropped out")
    }
}

/// A completion of a sequence.
pub struct OracleCompletion<'s> {
    sequence: &'s Sequence,
    /// The events that it may be a completion of, in their order.
    events: Vec<FittingEvent>,
    completion: FittingEvent,
    /// When the last of the events arrived that make it one.
    pub made: Tick,
}

impl OracleCompletion<'_> {
    /// Its place in the order.
    pub fn last(&self) -> EventOrder {
        self.completion.order()
    }

    /// What `same` is of it.
    pub fn same(&self) -> Option<&Value> {
        self.completion.same.as_ref()
    }

    /// Where the match begins that ends with it, has no event that is spent, and begins last.
    pub fn begins(&self, is_spent: &dyn Fn(EventOrder) -> bool) -> Option<EventOrder> {
        let is_begin = |first: &&FittingEvent| {
            let is_left = |event: &FittingEvent| !is_spent(event.order()) && event.moment >= first.moment;
            is_end_of_some(self.sequence, &self.events, &self.completion, &is_left)
        };
        self.events.iter().rfind(is_begin).map(FittingEvent::order)
    }
}

/// An event that fits a step, or what follows on the steps.
#[derive(Clone)]
struct FittingEvent {
    /// When it happened, and its place in the log.
    moment: (Tick, Position),
    /// When it arrived.
    arrival: Tick,
    /// Which of the filters take it: those of the steps, then that of what follows.
    takes: Vec<bool>,
    /// What `same` is of it.
    same: Option<Value>,
    /// Whether it is in the window.
    is_in_window: bool,
}

impl FittingEvent {
    fn order(&self) -> EventOrder {
        EventOrder { at: self.moment.0, position: self.moment.1 }
    }

    fn ms(&self) -> u64 {
        self.moment.0.as_ms()
    }

    /// Events of one time whose positions are not known have equal ones, and are in no order.
    fn is_later_than(&self, other: &FittingEvent) -> bool {
        self.moment > other.moment
    }

    fn is_at_most_after(&self, within_ms: u64, other: &FittingEvent) -> bool {
        self.ms() <= other.ms() + within_ms
    }
}

/// What the sequence of a measure comes to at `now`, from the events of one person, each with its arrival and the identifier that it is
/// about.
pub fn found(
    definitions: &Definitions,
    measure: &Measure,
    events: &[(Tick, &Event, IdentifierId)],
    now: Tick,
) -> Option<FoundSequence> {
    let sequence = measure.shape.sequence()?;
    let events = fitting(definitions, measure, sequence, events, now);
    let counting = counting(sequence, &events, now);
    let is_dropped = matches!(sequence.end, SequenceEnd::Dropped(..));
    let times = || counting.iter().map(|one| one.moment.0).collect();
    Some(FoundSequence { is_true: !counting.is_empty(), completions: (!is_dropped).then(times) })
}

/// The completions at `now` that are asked for.
pub fn completed<'s>(
    definitions: &Definitions,
    measure: &'s Measure,
    (events, now): (&[(Tick, &Event, IdentifierId)], Tick),
    is_asked: &dyn Fn(EventOrder) -> bool,
) -> Vec<OracleCompletion<'s>> {
    let sequence = measure.shape.sequence().expect("it is a sequence");
    let events = fitting(definitions, measure, sequence, events, now);
    let mut arrivals: Vec<Tick> = events.iter().map(|event| event.arrival).collect();
    arrivals.sort();
    let completion = |completion: &FittingEvent| {
        let is_made = |by: &&Tick| is_end_of_some(sequence, &events, completion, &|event| event.arrival <= **by);
        let made = *arrivals.iter().find(is_made).expect("it is a completion");
        OracleCompletion { sequence, events: events.clone(), completion: completion.clone(), made }
    };
    counting(sequence, &events, now).into_iter().filter(|one| is_asked(one.order())).map(completion).collect()
}

/// Whether an event is the end of a match of some of the events only.
fn is_end_of_some(
    sequence: &Sequence,
    events: &[FittingEvent],
    last: &FittingEvent,
    is_left: &dyn Fn(&FittingEvent) -> bool,
) -> bool {
    let left: Vec<FittingEvent> = events.iter().filter(|event| is_left(event)).cloned().collect();
    let search = Search::new(sequence.steps.iter().collect(), None, sequence.same.is_some());
    is_left(last) && search.is_end_of_a_match(&left, &mut vec![last])
}

/// The completions that count.
fn counting<'e>(sequence: &Sequence, events: &'e [FittingEvent], now: Tick) -> Vec<&'e FittingEvent> {
    let steps: Vec<&SequenceStep> = sequence.steps.iter().collect();
    let has_same = sequence.same.is_some();
    let completions = Search::new(steps.clone(), None, has_same).completions(events);
    let has_waited = |completion: &FittingEvent, wait_ms: u64| now.as_ms() >= completion.ms() + wait_ms;
    match &sequence.end {
        SequenceEnd::Match => completions,
        SequenceEnd::Absent(_, wait_ms) => {
            let undoes = |other: &FittingEvent, completion: &FittingEvent| {
                other.takes[steps.len()]
                    && other.same == completion.same
                    && other.is_later_than(completion)
                    && other.is_at_most_after(*wait_ms, completion)
            };
            let is_left_alone = |one: &FittingEvent| !events.iter().any(|other| undoes(other, one));
            completions.into_iter().filter(|one| has_waited(one, *wait_ms) && is_left_alone(one)).collect()
        }
        SequenceEnd::Dropped(next, times, wait_ms) => {
            let next = SequenceStep { takes: next.clone(), times: *times, within_ms: Some(*wait_ms) };
            let further = steps.iter().copied().chain([&next]).collect();
            let is_come_to = !Search::new(further, Some(steps.len()), has_same).completions(events).is_empty();
            completions.into_iter().filter(|one| !is_come_to && has_waited(one, *wait_ms)).collect()
        }
    }
}

/// The events that a sequence looks at: of those that fit, and can agree with others, the latest.
fn fitting(
    definitions: &Definitions,
    measure: &Measure,
    sequence: &Sequence,
    events: &[(Tick, &Event, IdentifierId)],
    now: Tick,
) -> Vec<FittingEvent> {
    let fit = |(arrival, event, holder): &(Tick, &Event, IdentifierId)| {
        let lookup = |term: &EventTerm| event_term(definitions, event, term);
        let takes = |filter: &EventFilter| {
            is_named(&filter.events, event)
                && filter.condition.as_ref().is_none_or(|condition| is_true(condition, &lookup))
        };
        let takes: Vec<bool> = sequence.filters().map(takes).collect();
        let same = sequence.same.as_ref().and_then(|same| evaluate(same, &lookup));
        let fits = takes.contains(&true) && same.is_some() == sequence.same.is_some();
        (fits && *arrival <= now).then(|| FittingEvent {
            moment: (event.timestamp, event.position),
            arrival: *arrival,
            takes,
            same,
            is_in_window: counts_in(measure, (*arrival, event, *holder), now),
        })
    };
    let mut fitting: Vec<FittingEvent> = events.iter().filter_map(fit).collect();
    fitting.sort_by_key(|event| event.moment);
    fitting.split_off(fitting.len().saturating_sub(SEQUENCE_EVENTS_MAX))
}

/// What is looked for.
struct Search<'a> {
    steps: Vec<&'a SequenceStep>,
    /// The step of each event of a match, from the last to the first.
    places: Vec<usize>,
    /// A step whose events the window does not look at.
    without_window: Option<usize>,
    has_same: bool,
}

impl<'a> Search<'a> {
    fn new(steps: Vec<&'a SequenceStep>, without_window: Option<usize>, has_same: bool) -> Self {
        let times = |(step, of): (usize, &&SequenceStep)| std::iter::repeat_n(step, of.times.into());
        let places = steps.iter().enumerate().flat_map(times).collect::<Vec<_>>().into_iter().rev().collect();
        Search { steps, places, without_window, has_same }
    }

    /// The last events of matches.
    fn completions<'e>(&self, events: &'e [FittingEvent]) -> Vec<&'e FittingEvent> {
        events.iter().filter(|last| self.is_end_of_a_match(events, &mut vec![last])).collect()
    }

    /// Whether there is a choice of events that is a match, of which these are chosen, from its last one on.
    fn is_end_of_a_match<'e>(&self, events: &'e [FittingEvent], chosen: &mut Vec<&'e FittingEvent>) -> bool {
        if !self.may_be_the_end(chosen) {
            return false;
        }
        let is_whole = chosen.len() == self.places.len();
        is_whole
            || events.iter().any(|before| {
                chosen.push(before);
                let is_end = self.is_end_of_a_match(events, chosen);
                chosen.pop();
                is_end
            })
    }

    /// Whether all that is said of a match holds of these, the last one first, as far as it is about them alone.
    fn may_be_the_end(&self, chosen: &[&FittingEvent]) -> bool {
        let with_steps = || chosen.iter().zip(&self.places);
        let are_taken = || with_steps().all(|(event, step)| event.takes[*step]);
        let grow = || chosen.windows(2).all(|pair| pair[0].is_later_than(pair[1]));
        let is_near = |event: &FittingEvent, step: usize| {
            let before = with_steps().find(|(_, of)| **of + 1 == step);
            let within_ms = self.steps[step].within_ms;
            within_ms.zip(before).is_none_or(|(within_ms, (before, _))| event.is_at_most_after(within_ms, before))
        };
        let are_near = || with_steps().all(|(event, step)| is_near(event, *step));
        let agree = || !self.has_same || chosen.iter().all(|one| one.same.is_some() && one.same == chosen[0].same);
        let is_in_window = |event: &FittingEvent, step| event.is_in_window || self.without_window == Some(step);
        let are_in_window = || with_steps().all(|(event, step)| is_in_window(event, *step));
        are_taken() && grow() && are_near() && agree() && are_in_window()
    }
}
