//! A value as it is stored.

use dataflows::model::{Number, PointInTime, Value};
use serde::{Deserialize, Serialize};

use super::CodecError;

/// A value as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) enum StoredValue<'a> {
    Bool(bool),
    Number(f64),
    /// Its bits, which from 1970 on are those of the tick.
    Time(u64),
    Text(&'a str),
    /// A whole number that no float is.
    Integer(i128),
    List(Vec<Option<StoredValue<'a>>>),
    Json(&'a str),
}

impl<'a> StoredValue<'a> {
    pub(super) fn of(value: &'a Value) -> Self {
        match value {
            &Value::Bool(value) => StoredValue::Bool(value),
            Value::Number(number) => match number.as_integer().filter(|_| number.as_float().is_none()) {
                None => StoredValue::Number(number.get()),
                Some(integer) => StoredValue::Integer(integer),
            },
            Value::Time(time) => StoredValue::Time(time.to_bits()),
            Value::Text(text) => StoredValue::Text(text),
            Value::List(elements) => {
                StoredValue::List(elements.iter().map(|element| element.as_ref().map(StoredValue::of)).collect())
            }
            Value::Json(text) => StoredValue::Json(text),
        }
    }

    pub(super) fn value(self) -> Result<Value, CodecError> {
        Ok(match self {
            StoredValue::Bool(value) => Value::Bool(value),
            StoredValue::Number(number) => Value::Number(Number::new(number).ok_or_else(no_number)?),
            StoredValue::Integer(integer) => Value::Number(Number::of_integer(integer).ok_or_else(no_number)?),
            StoredValue::Time(bits) => Value::Time(PointInTime::from_bits(bits)),
            StoredValue::Text(text) => Value::text(text),
            StoredValue::List(elements) => {
                let element = |element: Option<StoredValue<'_>>| element.map(StoredValue::value).transpose();
                Value::List(elements.into_iter().map(element).collect::<Result<_, _>>()?)
            }
            StoredValue::Json(text) => Value::Json(text.into()),
        })
    }
}

fn no_number() -> CodecError {
    CodecError::Malformed("no number".to_owned())
}
