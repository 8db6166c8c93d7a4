//! The log that decisions come back from: each is a record in it some time later, or never.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::definitions::{Definitions, EventTerm, FieldId, FieldRoot, MeasureShape, PathStep, Trigger};
use dataflows::expression::Expression;
use dataflows::model::{Event, EventName, Firing, Identifiers, Position, Tick, Value};

use super::identifier;
use crate::oracle::{TickDecisions, trigger_ticks};

/// The place of the first record within its tick: behind all other events.
const FIRST_INDEX: u32 = 1_000;

/// What was decided at which tick; nothing at those that are not there.
pub type AllDecisions = BTreeMap<Tick, TickDecisions>;

/// After how many milliseconds what fires stands in the log, if it ever does.
pub type ComesBack<'a> = dyn FnMut(&Firing) -> Option<u64> + 'a;

/// Takes the events of a tick, and says what was decided since the last time.
pub type Decides<'a> = dyn FnMut(Tick, &[(Tick, Event)]) -> AllDecisions + 'a;

/// A history with the records of what was decided in it.
pub struct PlayedLog {
    /// All events and records, in the order of arrival.
    pub history: Vec<(Tick, Event)>,
    /// What was decided.
    pub decisions: AllDecisions,
    /// When what was decided at a tick was recorded, where it was.
    pub recorded: Vec<(Tick, Option<Tick>)>,
}

/// Plays a log: gives the events of each tick to `decide`, which says what was decided since the last time. After how many milliseconds each
/// of these stands in the log, if it ever does, `comes_back` says.
pub fn play(
    definitions: &Definitions,
    history: &[(Tick, Event)],
    comes_back: &mut ComesBack<'_>,
    decide: &mut Decides<'_>,
) -> PlayedLog {
    let mut coming: BTreeMap<Tick, Vec<Event>> = BTreeMap::new();
    history.iter().for_each(|(tick, event)| coming.entry(*tick).or_default().push(event.clone()));
    let mut ticks: BTreeSet<Tick> = trigger_ticks(definitions, history);
    let mut played = PlayedLog { history: Vec::new(), decisions: BTreeMap::new(), recorded: Vec::new() };
    let mut index = FIRST_INDEX;
    while let Some(tick) = ticks.pop_first() {
        let batch: Vec<(Tick, Event)> = coming.remove(&tick).into_iter().flatten().map(|event| (tick, event)).collect();
        played.history.extend(batch.iter().cloned());
        for (decided, decisions) in decide(tick, &batch) {
            for firing in &decisions.fires {
                let trigger = &definitions.triggers[firing.trigger.index()];
                // When the wait for it ends at the latest, and at once where it is too late already.
                ticks.insert(firing.due.after_ms(trigger.max_lateness_ms).max(tick.next()));
                let arrival = comes_back(firing).map(|ms| decided.after_ms(ms).max(tick.next()));
                played.recorded.push((decided, arrival));
                let Some(arrival) = arrival else { continue };
                let position = Position { tick: arrival, process: 0, index };
                index += 1;
                let record = record(definitions, trigger, firing, decided, position);
                ticks.extend(trigger_ticks(definitions, &[(arrival, record.clone())]));
                coming.entry(arrival).or_default().push(record);
            }
            let known = played.decisions.entry(decided).or_default();
            known.fires.extend(decisions.fires);
            known.refused.extend(decisions.refused);
        }
    }
    played
}

/// The record of what was decided at a tick.
fn record(definitions: &Definitions, trigger: &Trigger, firing: &Firing, decided: Tick, position: Position) -> Event {
    let MeasureShape::Events(values) = &definitions.measures[trigger.firings.index()].shape else {
        panic!("firings are events")
    };
    let field = |value: &Expression<EventTerm>| match value {
        Expression::Term(EventTerm::Field(field)) => *field,
        _ => panic!("it is a field"),
    };
    let mut fields = vec![(field(&values[0]), Value::text(&firing.span.to_string()))];
    fields.extend(firing.same.iter().map(|same| (field(&values[1]), same.clone())));
    for (name, value) in &firing.payload {
        let is_it = |path: &[PathStep]| path == [PathStep::Member(name.clone())];
        let of_payload =
            definitions.fields.iter().position(|field| field.root == FieldRoot::Properties && is_it(&field.path));
        fields.extend(of_payload.map(|place| (FieldId::new(place), value.clone())));
    }
    fields.sort();
    Event {
        timestamp: decided,
        position,
        name: EventName::of_derived(&format!("{} fired", trigger.name)),
        identifiers: Identifiers::new([identifier(&firing.holder)].into(), 0),
        fields,
        ..Event::default()
    }
}
