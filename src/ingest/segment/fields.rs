//! Picking the fields that definitions read, by a tree of their paths.
//!
//! Where an object is there twice under one key, inside of `properties` and the like, their fields are put together.

use compact_str::CompactString;
use dataflows::definitions::{Field, FieldId, FieldRoot};
use dataflows::model::{Number, Value, ValueType};

use crate::ingest::json::{self, Leaf};
use crate::ingest::{Rejection, time};

/// The wanted paths below one point of an event.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// The fields that end here: one path may be read as several types.
    fields: Vec<(FieldId, Option<ValueType>)>,
    /// What is wanted below, sorted by key.
    below: Vec<(CompactString, Wanted)>,
}

impl Wanted {
    /// The paths of those `fields` that are in `root`.
    pub fn new(fields: &[Field], root: FieldRoot) -> Self {
        let mut wanted = Wanted::default();
        for (index, field) in fields.iter().enumerate().filter(|(_, field)| field.root == root) {
            let mut at = &mut wanted;
            for key in &field.path {
                let place = at.below.binary_search_by(|(k, _)| k.cmp(key)).unwrap_or_else(|place| {
                    at.below.insert(place, (key.clone(), Wanted::default()));
                    place
                });
                at = &mut at.below[place].1;
            }
            at.fields.push((FieldId::new(index), field.kind));
        }
        wanted
    }

    /// What is wanted of the member `key`.
    pub fn below(&self, key: &str) -> Option<&Wanted> {
        let place = self.below.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        Some(&self.below[place].1)
    }

    /// Picks the wanted fields of `json`, which stands here; `None` is a value that is there and not of the field's type.
    pub fn pick(&self, json: &str, fields: &mut Vec<(FieldId, Option<Value>)>) -> Result<(), Rejection> {
        for (field, kind) in &self.fields {
            fields.push((*field, value_of(Leaf::of(json), *kind)));
        }
        if self.below.is_empty() {
            return Ok(());
        }
        json::object(json, |key| self.below(key), |wanted, value| wanted.pick(value, fields))
    }
}

/// The value of a field of this type.
fn value_of(leaf: Leaf<'_>, kind: Option<ValueType>) -> Option<Value> {
    match (leaf, kind) {
        (Leaf::Bool(truth), None | Some(ValueType::Bool)) => Some(Value::Bool(truth)),
        (Leaf::Number(written), None | Some(ValueType::Number)) => Number::read(written).map(Value::Number),
        (Leaf::Text(text), None | Some(ValueType::Text)) => Some(Value::Text(text.into())),
        (Leaf::Text(text), Some(ValueType::Time)) => time::of_text(&text).map(Value::Time),
        _ => None,
    }
}
