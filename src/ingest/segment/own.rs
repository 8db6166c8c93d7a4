//! What an event says of itself: its call, what it is called, and which group it is about.

use std::borrow::Cow;

use dataflows::definitions::{Field, FieldId, FieldRoot, PathStep};
use dataflows::model::Value;

use super::CallType;
use super::fields::FoundField;
use super::members::{EventMember, EventMembers};

/// Which of it definitions read.
#[derive(Clone, Debug)]
pub(super) struct OwnFields(Vec<(FieldId, OwnField)>);

#[derive(Clone, Copy, Debug)]
enum OwnField {
    Type,
    Name,
    Category,
    GroupId,
}

impl OwnFields {
    /// Those of `fields` that are the event's own.
    pub fn new(fields: &[Field]) -> Self {
        let own = |field: &Field| match field.path.as_slice() {
            [PathStep::Member(name)] => match name.as_str() {
                "type" => Some(OwnField::Type),
                "name" => Some(OwnField::Name),
                "category" => Some(OwnField::Category),
                "groupId" => Some(OwnField::GroupId),
                _ => None,
            },
            _ => None,
        };
        let fields = fields.iter().enumerate().filter(|(_, field)| field.root == FieldRoot::Event);
        OwnFields(fields.filter_map(|(index, field)| Some((FieldId::new(index), own(field)?))).collect())
    }

    /// Picks them of an event.
    pub fn pick(&self, call: CallType, members: &EventMembers<'_>, fields: &mut Vec<(FieldId, FoundField)>) {
        for (field, own) in &self.0 {
            let text = match own {
                OwnField::Type => Some(call.name().into()),
                OwnField::Name => name(call, members),
                OwnField::Category => members.text(EventMember::Category),
                // An id, which some write as a number.
                OwnField::GroupId => members.scalar(EventMember::GroupId),
            };
            fields.push((*field, text.map_or(FoundField::Nothing, |text| FoundField::Value(Value::Text(text.into())))));
        }
    }
}

/// What an event is called: the `event` of a track call, the `name` of another.
pub(super) fn name<'de>(call: CallType, members: &EventMembers<'de>) -> Option<Cow<'de, str>> {
    members.text(if call == CallType::Track { EventMember::Event } else { EventMember::Name })
}
