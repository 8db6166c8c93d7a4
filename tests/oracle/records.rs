//! The records of firings, as the events that they are.

use dataflows::definitions::{Definitions, EventTerm, FieldId, FieldRoot, MeasureShape, PathStep};
use dataflows::expression::Expression;
use dataflows::model::{Event, Firing, Identifiers, Position, Tick, Value};

/// The record of what was decided at a tick, at this place, of who has these identifiers.
pub fn firing_record(
    definitions: &Definitions,
    firing: &Firing,
    (decided, position): (Tick, Position),
    identifiers: Identifiers,
) -> Event {
    let trigger = &definitions.triggers[firing.trigger.index()];
    let field = |value: &Expression<EventTerm>| match value {
        Expression::Term(EventTerm::Field(field)) => *field,
        _ => panic!("it is a field"),
    };
    let mut fields = Vec::new();
    if let Some(firings) = trigger.firings {
        let MeasureShape::Events(values) = &definitions.measures[firings.index()].shape else {
            panic!("firings are events")
        };
        fields.push((field(&values[0]), Value::text(&firing.span.to_string())));
        fields.extend(firing.same.iter().map(|same| (field(&values[1]), same.clone())));
    }
    for (name, value) in &firing.payload {
        let is_it = |path: &[PathStep]| path == [PathStep::Member(name.clone())];
        let of_payload =
            definitions.fields.iter().position(|field| field.root == FieldRoot::Properties && is_it(&field.path));
        fields.extend(of_payload.map(|place| (FieldId::new(place), value.clone())));
    }
    fields.sort();
    Event { timestamp: decided, position, name: trigger.fired(), identifiers, fields, ..Event::default() }
}
