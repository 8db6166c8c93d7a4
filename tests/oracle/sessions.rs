//! The running session of one person (docs/concepts/sessions.md): the events in their order, cut where there is a pause.

use std::collections::BTreeMap;

use dataflows::definitions::{Definitions, Measure, RunTerm, RunningTerm, Session};
use dataflows::limits::VALUES_PER_SESSION_MAX;
use dataflows::model::{Event, IdentifierId, Text, Tick, Value};

use super::identity::unblocked;
use super::measures::{CountedValue, counted};

/// A session that is running.
pub struct FoundSession<'a> {
    /// The times of its events, in their order.
    times: Vec<Tick>,
    /// What its values have to go by, each by its place.
    values: Vec<CountedValue<'a>>,
}

/// Events of one person, each with its arrival and the identifier that it is about.
type SessionEvents<'e> = Vec<(Tick, &'e Event, IdentifierId)>;

/// The session of a measure that is running at `now`, from the events of one person.
pub fn running<'a>(
    definitions: &Definitions,
    measure: &'a Measure,
    events: &[(Tick, &Event, IdentifierId)],
    now: Tick,
) -> Option<FoundSession<'a>> {
    let session = measure.shape.session()?;
    let is_of = |event: &Event| measure.events.is_empty() || measure.events.contains(&event.name);
    // Whose sessions events are of: the person's, or those of an identifier.
    let mut by_owner: BTreeMap<Option<&Text>, SessionEvents<'_>> = BTreeMap::new();
    for (arrival, event, holder) in events {
        if *arrival > now || !is_of(event) {
            continue;
        }
        let owner = match &session.per {
            None => None,
            Some(kind) => {
                let carried = unblocked(&definitions.identity, event).map(|(identifier, _)| identifier);
                let Some(text) = carried.filter(|one| one.kind() == kind).map(|one| one.text()).min() else { continue };
                Some(text)
            }
        };
        by_owner.entry(owner).or_default().push((*arrival, event, *holder));
    }
    let stretches = by_owner.into_values().map(|events| last_stretch(session, events));
    let of_last = |stretch: &SessionEvents<'_>| stretch.last().map(|(_, last, _)| (last.timestamp, last.position));
    let is_running =
        |stretch: &SessionEvents<'_>| of_last(stretch).is_some_and(|(end, _)| now < end.after_ms(session.gap_ms));
    let stretch = stretches.filter(is_running).max_by_key(of_last)?;
    Some(FoundSession {
        times: stretch.iter().map(|(_, event, _)| event.timestamp).collect(),
        values: session.values.iter().map(|value| counted(definitions, value, &stretch, now)).collect(),
    })
}

/// All that came since the last pause.
fn last_stretch<'e>(session: &Session, mut events: SessionEvents<'e>) -> SessionEvents<'e> {
    events.sort_by_key(|(_, event, _)| (event.timestamp, event.position));
    let pauses = events.windows(2).rposition(|pair| pair[1].1.timestamp > pair[0].1.timestamp.after_ms(session.gap_ms));
    events.split_off(pauses.map_or(0, |before| before + 1))
}

/// What is asked of the running session, where there is one.
pub fn asked(running: Option<&FoundSession<'_>>, term: RunningTerm) -> Option<Value> {
    if term == RunningTerm::IsThere {
        return Some(Value::Bool(running.is_some()));
    }
    let running = running?;
    let (first, last) = (running.times.first()?, running.times.last()?);
    match term {
        RunningTerm::IsThere => unreachable!("it is asked of none, too"),
        RunningTerm::Start => Some(Value::Time((*first).into())),
        RunningTerm::Duration => Value::number((last.as_ms() - first.as_ms()) as f64 / 1_000.0),
        RunningTerm::Events => Value::number(running.times.len() as f64),
        RunningTerm::Value(place, of) => {
            let value = &running.values[usize::from(place)];
            match of {
                RunTerm::Count => Value::number(value.count() as f64),
                RunTerm::Sum => value.sum_over(1),
                RunTerm::Average => value.sum_over(value.count()),
                RunTerm::Sample => value.sample(),
                RunTerm::Distinct => Value::number(value.distinct().min(VALUES_PER_SESSION_MAX) as f64),
                RunTerm::List(limit) => {
                    let most = u16::try_from(VALUES_PER_SESSION_MAX).expect("it is small");
                    Some(value.list(limit.min(most)))
                }
            }
        }
    }
}
