//! What an event says of itself: its call, what it is called, and which group it is about.

use std::borrow::Cow;

use dataflows::definitions::{Field, FieldId, FieldRoot};
use dataflows::model::Value;

use super::Call;
use super::fields::Found;
use super::members::{Member, Members};

/// Which of it definitions read.
#[derive(Clone, Debug)]
pub(super) struct OwnFields(Vec<(FieldId, Own)>);

#[derive(Clone, Copy, Debug)]
enum Own {
    Type,
    Name,
    Category,
    GroupId,
}

impl OwnFields {
    /// Those of `fields` that are the event's own.
    pub fn new(fields: &[Field]) -> Self {
        let own = |field: &Field| match field.path.first()?.as_str() {
            "type" => Some(Own::Type),
            "name" => Some(Own::Name),
            "category" => Some(Own::Category),
            "groupId" => Some(Own::GroupId),
            _ => None,
        };
        let fields = fields.iter().enumerate().filter(|(_, field)| field.root == FieldRoot::Event);
        OwnFields(fields.filter_map(|(index, field)| Some((FieldId::new(index), own(field)?))).collect())
    }

    /// Picks them of an event.
    pub fn pick(&self, call: Call, members: &Members<'_>, fields: &mut Vec<(FieldId, Found)>) {
        for (field, own) in &self.0 {
            let text = match own {
                Own::Type => Some(call.name().into()),
                Own::Name => name(call, members),
                Own::Category => members.text(Member::Category),
                // An id, which some write as a number.
                Own::GroupId => members.scalar(Member::GroupId),
            };
            fields.push((*field, text.map_or(Found::Nothing, |text| Found::Value(Value::Text(text.into())))));
        }
    }
}

/// What an event is called: the `event` of a track call, the `name` of another.
pub(super) fn name<'de>(call: Call, members: &Members<'de>) -> Option<Cow<'de, str>> {
    members.text(if call == Call::Track { Member::Event } else { Member::Name })
}
