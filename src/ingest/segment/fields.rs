//! Picking the fields that definitions read, by a tree of their paths.
//!
//! Of a key that is there twice the later counts, with all that is below it; of an object that is there twice, the members of both.

use dataflows::definitions::{Field, FieldId, FieldRoot, PathStep};
use dataflows::limits::ROWS_PER_ARRAY_MAX;
use dataflows::model::{Number, PointInTime, Value, ValueType};

use super::keys::ByKey;
use crate::ingest::json::{self, Leaf};
use crate::ingest::{Rejection, time};
use crate::limits::NESTED_DEPTH_MAX;

/// The wanted paths below one point of an event.
#[derive(Clone, Debug, Default)]
pub(super) struct WantedFields {
    /// The fields that end here: one path may be read as several types.
    fields: Vec<(FieldId, Option<ValueType>)>,
    /// What is wanted below.
    below: ByKey<WantedFields>,
    /// What is wanted of an array here.
    array: Option<Box<WantedElements>>,
}

/// Which keys of an object, by their places, had something below them that was wanted.
#[derive(Default)]
pub(super) struct EarlierKeys(u64);

/// What is wanted of an array.
#[derive(Clone, Debug, Default)]
struct WantedElements {
    /// The fields that are its number of elements.
    counts: Vec<FieldId>,
    /// What is wanted of the elements at these places.
    at: Vec<(i16, WantedFields)>,
    /// What is wanted of each element.
    each: WantedFields,
    /// The fields of that, which are columns, sorted.
    columns: Vec<FieldId>,
}

impl WantedFields {
    /// The paths of those `fields` that are in `root`.
    pub fn new(fields: &[Field], root: FieldRoot) -> Self {
        let mut wanted = WantedFields::default();
        for (index, field) in fields.iter().enumerate().filter(|(_, field)| field.root == root) {
            let id = FieldId::new(index);
            let mut at = &mut wanted;
            for step in &field.path {
                at = match step {
                    PathStep::Member(key) => at.below.entry(key),
                    PathStep::Element(place) => at.array.get_or_insert_default().at(*place),
                    PathStep::Each => {
                        let array = at.array.get_or_insert_default();
                        array.columns.push(id);
                        &mut array.each
                    }
                    PathStep::Count => {
                        at.array.get_or_insert_default().counts.push(id);
                        break;
                    }
                };
            }
            if field.path.last() != Some(&PathStep::Count) {
                at.fields.push((id, field.kind));
            }
        }
        wanted
    }

    /// What is wanted of the member `key`.
    pub fn below(&self, key: &str) -> Option<&WantedFields> {
        self.below.get(key)
    }

    /// Picks the wanted fields of `json`, which stands here. `again`: something below may have been found before, of another object here.
    fn pick(&self, json: &str, again: bool, fields: &mut Vec<(FieldId, FoundField)>) -> Result<(), Rejection> {
        for (field, kind) in &self.fields {
            fields.push((*field, FoundField::of(json, *kind)));
        }
        if let Some(array) = &self.array {
            array.pick(json, fields)?;
        }
        if self.below.is_empty() {
            return Ok(());
        }
        if json.starts_with('[') {
            self.below.all().for_each(|wanted| wanted.all_are(&FoundField::Other, fields));
        }
        let mut earlier = EarlierKeys(if again { u64::MAX } else { 0 });
        for member in json::members(json) {
            let (key, value) = member?;
            self.pick_member(&key, value, &mut earlier, fields)?;
        }
        Ok(())
    }

    /// Picks what is wanted of a member of the object that stands here, which may have been there before.
    pub fn pick_member(
        &self,
        key: &str,
        json: &str,
        earlier: &mut EarlierKeys,
        fields: &mut Vec<(FieldId, FoundField)>,
    ) -> Result<(), Rejection> {
        let Some((place, wanted)) = self.below.find(key) else { return Ok(()) };
        // Keys that share a bit are taken for such that were there, which does no harm.
        let bit = 1 << place.min(63);
        let again = earlier.0 & bit != 0;
        if again {
            wanted.forget_below(json, fields);
        }
        let without_below = fields.len() + wanted.fields.len();
        wanted.pick(json, again, fields)?;
        if fields.len() > without_below {
            earlier.0 |= bit;
        }
        Ok(())
    }

    /// What was found below counts no more, since `json` stands here later; but for the members of an object, if it is one, too.
    fn forget_below(&self, json: &str, fields: &mut Vec<(FieldId, FoundField)>) {
        if let Some(array) = &self.array {
            array.all_are(&FoundField::Nothing, fields);
        }
        if !json.starts_with('{') {
            self.below.all().for_each(|wanted| wanted.all_are(&FoundField::Nothing, fields));
        }
    }

    /// This is what is found of each field here and below.
    fn all_are(&self, found: &FoundField, fields: &mut Vec<(FieldId, FoundField)>) {
        fields.extend(self.fields.iter().map(|(field, _)| (*field, found.clone())));
        if let Some(array) = &self.array {
            array.all_are(found, fields);
        }
        self.below.all().for_each(|wanted| wanted.all_are(found, fields));
    }

    /// The same of a cell of a table, which is a JSON text in `json`.
    pub fn pick_cell(&self, json: &str, fields: &mut Vec<(FieldId, FoundField)>) {
        if let Leaf::Text(text) = Leaf::of(json) {
            fields.extend(self.fields.iter().map(|(field, kind)| (*field, FoundField::of_cell(&text, *kind))));
        }
    }
}

impl WantedElements {
    /// This is what is found of each field.
    fn all_are(&self, found: &FoundField, fields: &mut Vec<(FieldId, FoundField)>) {
        fields.extend(self.counts.iter().chain(&self.columns).map(|field| (*field, found.clone())));
        self.at.iter().for_each(|(_, wanted)| wanted.all_are(found, fields));
    }

    fn at(&mut self, place: i16) -> &mut WantedFields {
        let known = self.at.iter().position(|(known, _)| *known == place).unwrap_or_else(|| {
            self.at.push((place, WantedFields::default()));
            self.at.len() - 1
        });
        &mut self.at[known].1
    }

    /// Picks them of `json`, which may be an array.
    fn pick(&self, json: &str, fields: &mut Vec<(FieldId, FoundField)>) -> Result<(), Rejection> {
        if !matches!(Leaf::of(json), Leaf::Array(_)) {
            let is_null = matches!(Leaf::of(json), Leaf::Null);
            let found = || if is_null { FoundField::Nothing } else { FoundField::Other };
            fields.extend(self.counts.iter().chain(&self.columns).map(|field| (*field, found())));
            return Ok(());
        }
        if !self.at.is_empty() {
            let elements: Vec<&str> = json::elements(json).collect();
            for (place, wanted) in &self.at {
                let from_end = || elements.len().checked_sub(place.unsigned_abs().into());
                let index = usize::try_from(*place).ok().or_else(from_end);
                if let Some(element) = index.and_then(|index| elements.get(index)) {
                    wanted.pick(element, false, fields)?;
                }
            }
        }
        if self.counts.is_empty() && self.columns.is_empty() {
            return Ok(());
        }
        let mut elements = json::elements(json);
        let rows: Vec<&str> = elements.by_ref().take(ROWS_PER_ARRAY_MAX).collect();
        let is_cut = elements.next().is_some();
        for field in &self.counts {
            let value = Value::Number(Number::from(u32::try_from(rows.len()).unwrap_or(u32::MAX)));
            fields.push((*field, FoundField::OfArray { value, has_others: false, is_cut }));
        }
        let mut columns: Vec<(FieldId, Vec<Option<Value>>, bool)> =
            self.columns.iter().map(|field| (*field, vec![None; rows.len()], false)).collect();
        let mut found = Vec::new();
        for (row, element) in rows.into_iter().enumerate() {
            self.each.pick(element, false, &mut found)?;
            for (field, found) in found.drain(..) {
                let Ok(column) = columns.binary_search_by_key(&field, |(field, ..)| *field) else { continue };
                let (_, values, has_others) = &mut columns[column];
                values[row] = match found {
                    FoundField::Value(value) | FoundField::OfArray { value, .. } => Some(value),
                    FoundField::Nothing => None,
                    FoundField::Other => {
                        *has_others = true;
                        None
                    }
                };
            }
        }
        fields.extend(columns.into_iter().map(|(field, values, has_others)| {
            (field, FoundField::OfArray { value: Value::List(values.into()), has_others, is_cut })
        }));
        Ok(())
    }
}

/// What is found where a field is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FoundField {
    /// A value of its type.
    Value(Value),
    /// What an array has: its number of elements, or a column; whether some elements are of another type, and whether there are more than
    /// are looked at.
    OfArray { value: Value, has_others: bool, is_cut: bool },
    /// `null`, or what no value can be.
    Nothing,
    /// A value of another type.
    Other,
}

impl FoundField {
    /// What `json` is to a field of this type.
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
            (Leaf::Array(array), None | Some(ValueType::List)) => Some(list_of(array)),
            (Leaf::Object(object), None) => Some(nested(object)),
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
            Some(ValueType::List | ValueType::Json) => None,
        };
        value.map_or(FoundField::Other, FoundField::Value)
    }
}

/// The list that the array `json` is. What is within an element is its text.
pub(super) fn list_of(json: &str) -> Value {
    let element = |json| match Leaf::of(json) {
        Leaf::Null | Leaf::Unreadable => None,
        Leaf::Bool(truth) => Some(Value::Bool(truth)),
        Leaf::Number(written) => Number::read(written).map(Value::Number),
        Leaf::Text(text) => Some(Value::Text(text.into())),
        Leaf::Array(json) | Leaf::Object(json) => Some(nested(json)),
    };
    Value::List(json::elements(json).map(element).collect())
}

/// The value that an object, or an array within an array, is. One that is very deep is a text: parsers of readers have limits.
pub(super) fn nested(json: &str) -> Value {
    let compact = json::compact(json);
    if json::depth(&compact) <= NESTED_DEPTH_MAX { Value::Json(compact.into()) } else { Value::Text(compact.into()) }
}
