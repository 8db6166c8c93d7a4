//! Picking the fields that definitions read, by a tree of their paths.
//!
//! Where an object is there twice under one key, inside of `properties` and the like, their fields are put together.

use dataflows::definitions::{Field, FieldId, FieldRoot};
use dataflows::model::{Number, PointInTime, Value, ValueType};

use super::keys::ByKey;
use crate::ingest::json::{self, Leaf};
use crate::ingest::{Rejection, time};

/// The wanted paths below one point of an event.
#[derive(Clone, Debug, Default)]
pub(super) struct WantedFields {
    /// The fields that end here: one path may be read as several types.
    fields: Vec<(FieldId, Option<ValueType>)>,
    /// What is wanted below.
    below: ByKey<WantedFields>,
}

impl WantedFields {
    /// The paths of those `fields` that are in `root`.
    pub fn new(fields: &[Field], root: FieldRoot) -> Self {
        let mut wanted = WantedFields::default();
        for (index, field) in fields.iter().enumerate().filter(|(_, field)| field.root == root) {
            let mut at = &mut wanted;
            for key in &field.path {
                at = at.below.entry(key);
            }
            at.fields.push((FieldId::new(index), field.kind));
        }
        wanted
    }

    /// What is wanted of the member `key`.
    pub fn below(&self, key: &str) -> Option<&WantedFields> {
        self.below.get(key)
    }

    /// Picks the wanted fields of `json`, which stands here.
    pub fn pick(&self, json: &str, fields: &mut Vec<(FieldId, FoundField)>) -> Result<(), Rejection> {
        for (field, kind) in &self.fields {
            fields.push((*field, FoundField::of(json, *kind)));
        }
        if self.below.is_empty() {
            return Ok(());
        }
        for member in json::members(json) {
            let (key, value) = member?;
            if let Some(wanted) = self.below(&key) {
                wanted.pick(value, fields)?;
            }
        }
        Ok(())
    }

    /// The same of a cell of a table, which is a JSON text in `json`.
    pub fn pick_cell(&self, json: &str, fields: &mut Vec<(FieldId, FoundField)>) {
        if let Leaf::Text(text) = Leaf::of(json) {
            fields.extend(self.fields.iter().map(|(field, kind)| (*field, FoundField::of_cell(&text, *kind))));
        }
    }
}

/// What is found where a field is wanted.
#[derive(Debug, PartialEq)]
pub(super) enum FoundField {
    /// A value of its type.
    Value(Value),
    /// `null`, or what no value can be.
    Nothing,
    /// A value of another type.
    Other,
}

impl FoundField {
    /// What `json` is to a field of this type. Where any type will do, an array or object is its text.
    fn of(json: &str, kind: Option<ValueType>) -> Self {
        let value = match (Leaf::of(json), kind) {
            (Leaf::Null | Leaf::Unreadable, _) => return FoundField::Nothing,
            (Leaf::Bool(truth), None | Some(ValueType::Bool)) => Some(Value::Bool(truth)),
            (Leaf::Number(written), None | Some(ValueType::Number)) => match Number::read(written) {
                Some(number) => Some(Value::Number(number)),
                None => return FoundField::Nothing,
            },
            (Leaf::Text(text), None | Some(ValueType::Text)) => Some(Value::Text(text.into())),
            (leaf @ (Leaf::Text(_) | Leaf::Number(_)), Some(ValueType::Time)) => time::of_leaf(leaf).map(Value::Time),
            (Leaf::Array(nested) | Leaf::Object(nested), None) => Some(Value::Text(json::compact(nested).into())),
            _ => None,
        };
        value.map_or(FoundField::Other, FoundField::Value)
    }

    /// What a cell of a table is to a field of this type: a text, unless something else is expected.
    fn of_cell(text: &str, kind: Option<ValueType>) -> Self {
        let value = match kind {
            None | Some(ValueType::Text) => Some(Value::text(text)),
            Some(ValueType::Number) => Number::read(text).map(Value::Number),
            Some(ValueType::Bool) => text.to_ascii_lowercase().parse().ok().map(Value::Bool),
            Some(ValueType::Time) => PointInTime::read(text).map(Value::Time),
        };
        value.map_or(FoundField::Other, FoundField::Value)
    }
}
