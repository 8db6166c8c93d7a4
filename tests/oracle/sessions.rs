//! The sessions of one person (docs/concepts/sessions.md): the events in their order, cut where there is a pause.

use std::collections::BTreeMap;

use dataflows::definitions::{Definitions, Measure, RunTerm, RunningTerm, Session};
use dataflows::limits::VALUES_PER_SESSION_MAX;
use dataflows::model::{Event, EventOrder, Identifier, IdentifierId, Text, Tick, Value};

use super::identity::unblocked;
use super::measures::{CountedValue, counted, is_named};

/// What can be asked of a session.
pub struct FoundSession<'a> {
    /// The times of its events, in their order.
    times: Vec<Tick>,
    /// What its values have to go by, each by its place.
    values: Vec<CountedValue<'a>>,
}

/// Events of one person, each with its arrival and the identifier that it is about.
pub type SessionEvents<'e> = Vec<(Tick, &'e Event, IdentifierId)>;

/// The session of a measure that is running at `now`, from the events of one person.
pub fn running<'a>(
    definitions: &Definitions,
    measure: &'a Measure,
    events: &[(Tick, &Event, IdentifierId)],
    now: Tick,
) -> Option<FoundSession<'a>> {
    let session = measure.shape.session()?;
    let of_last = |stretch: &SessionEvents<'_>| stretch.last().map(|(_, last, _)| (last.timestamp, last.position));
    let is_running =
        |stretch: &SessionEvents<'_>| of_last(stretch).is_some_and(|(end, _)| now < end.after_ms(session.gap_ms));
    let stretches = stretches(definitions, measure, session, events, now);
    let stretch = stretches.into_iter().filter(is_running).max_by_key(of_last)?;
    Some(found(definitions, session, &stretch, now))
}

/// A session, with its events in their order.
pub struct FoundStretch<'a> {
    /// Whose session it is, where each identifier has its own.
    pub owner: Option<IdentifierId>,
    /// The places of its events in the order.
    pub orders: Vec<EventOrder>,
    /// When the last one arrived.
    pub arrived: Tick,
    /// The identifier that the last one is about.
    holder: IdentifierId,
    /// Whether it has ended.
    pub has_ended: bool,
    /// What can be asked of it.
    pub found: FoundSession<'a>,
}

impl FoundStretch<'_> {
    /// The place of its last event.
    pub fn last(&self) -> EventOrder {
        self.orders[self.orders.len() - 1]
    }
}

/// All sessions of a measure at `now`, from the events of one person.
pub fn all_sessions<'a>(
    definitions: &Definitions,
    measure: &'a Measure,
    events: &[(Tick, &Event, IdentifierId)],
    now: Tick,
) -> Vec<FoundStretch<'a>> {
    let session = measure.shape.session().expect("it is a session");
    let of = |stretch: SessionEvents<'_>| {
        let (arrived, last, holder) = stretch[stretch.len() - 1];
        let order = |event: &Event| EventOrder { at: event.timestamp, position: event.position };
        FoundStretch {
            owner: session.per.as_ref().and_then(|kind| Some(owner(definitions, kind, last)?.id())),
            orders: stretch.iter().map(|(_, event, _)| order(event)).collect(),
            arrived,
            holder,
            has_ended: now >= last.timestamp.after_ms(session.gap_ms),
            found: found(definitions, session, &stretch, now),
        }
    };
    stretches(definitions, measure, session, events, now).into_iter().map(of).collect()
}

/// The sessions of one person that have ended at `now`, as the events that a measure counts among its own, each with when it came to be and
/// the identifier that its last event is about.
pub fn ended_events(
    definitions: &Definitions,
    measure: &Measure,
    events: &[(Tick, &Event, IdentifierId)],
    now: Tick,
) -> Vec<(Tick, Event, IdentifierId)> {
    let mut all = Vec::new();
    for ended in &measure.ended {
        let of = &definitions.measures[ended.session.index()];
        let gap_ms = of.shape.session().expect("it is a session").gap_ms;
        let sessions = all_sessions(definitions, of, events, now);
        for session in sessions.into_iter().filter(|session| session.has_ended) {
            let EventOrder { at, position } = session.last();
            let timestamp = at.after_ms(gap_ms);
            let said = |(field, term): &(_, RunningTerm)| Some((*field, asked(Some(&session.found), *term)?));
            let fields = ended.fields.iter().filter_map(said).collect();
            let event = Event { timestamp, position, name: ended.name.clone(), fields, ..Event::default() };
            all.push((timestamp.max(session.arrived), event, session.holder));
        }
    }
    all
}

/// The events of one person, and the sessions that have ended, which a measure counts among them.
pub fn with_ended<'e>(
    events: &[(Tick, &'e Event, IdentifierId)],
    ended: &'e [(Tick, Event, IdentifierId)],
) -> SessionEvents<'e> {
    let ended = ended.iter().map(|(came, event, holder)| (*came, event, *holder));
    events.iter().copied().chain(ended).collect()
}

/// Of the identifiers of an event, that of a type whose session it is in.
fn owner<'e>(definitions: &Definitions, kind: &str, event: &'e Event) -> Option<&'e Identifier> {
    let carried = unblocked(&definitions.identity, event).map(|(identifier, _)| identifier);
    carried.filter(|one| one.kind() == kind).min_by_key(|one| one.text())
}

fn found<'a>(
    definitions: &Definitions,
    session: &'a Session,
    stretch: &SessionEvents<'_>,
    now: Tick,
) -> FoundSession<'a> {
    FoundSession {
        times: stretch.iter().map(|(_, event, _)| event.timestamp).collect(),
        values: session.values.iter().map(|value| counted(definitions, value, stretch, now)).collect(),
    }
}

/// All sessions, each with its events in their order: the person's, or those of each identifier.
fn stretches<'e>(
    definitions: &Definitions,
    measure: &Measure,
    session: &Session,
    events: &[(Tick, &'e Event, IdentifierId)],
    now: Tick,
) -> Vec<SessionEvents<'e>> {
    // Whose sessions events are of: the person's, or those of an identifier.
    let mut by_owner: BTreeMap<Option<&Text>, SessionEvents<'e>> = BTreeMap::new();
    for (arrival, event, holder) in events {
        if *arrival > now || !is_named(&measure.events, event) {
            continue;
        }
        let owner = match &session.per {
            None => None,
            Some(kind) => {
                let Some(identifier) = owner(definitions, kind, event) else { continue };
                Some(identifier.text())
            }
        };
        by_owner.entry(owner).or_default().push((*arrival, event, *holder));
    }
    let mut stretches = Vec::new();
    for mut events in by_owner.into_values() {
        events.sort_by_key(|(_, event, _)| (event.timestamp, event.position));
        let is_no_pause = |before: &(Tick, &Event, IdentifierId), after: &(Tick, &Event, IdentifierId)| {
            after.1.timestamp <= before.1.timestamp.after_ms(session.gap_ms)
        };
        stretches.extend(events.chunk_by(is_no_pause).map(<[_]>::to_vec));
    }
    stretches
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
