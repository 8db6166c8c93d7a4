//! A value as it is stored.

use dataflows::model::{Number, Tick, Value};
use serde::{Deserialize, Serialize};

use super::CodecError;

/// A value as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) enum StoredValue<'a> {
    Bool(bool),
    Number(f64),
    Time(u64),
    Text(&'a str),
}

impl<'a> StoredValue<'a> {
    pub(super) fn of(value: &'a Value) -> Self {
        match value {
            &Value::Bool(value) => StoredValue::Bool(value),
            Value::Number(number) => StoredValue::Number(number.get()),
            Value::Time(tick) => StoredValue::Time(tick.as_ms()),
            Value::Text(text) => StoredValue::Text(text),
        }
    }

    pub(super) fn value(self) -> Result<Value, CodecError> {
        Ok(match self {
            StoredValue::Bool(value) => Value::Bool(value),
            StoredValue::Number(number) => {
                let number = Number::new(number).ok_or_else(|| CodecError::Malformed("no number".to_owned()))?;
                Value::Number(number)
            }
            StoredValue::Time(ms) => Value::Time(Tick::from_ms(ms)),
            StoredValue::Text(text) => Value::text(text),
        })
    }
}
