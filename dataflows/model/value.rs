//! Values of properties, attributes and traits.

use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{Number, PointInTime};

/// One value. A missing value is `Option::None` around it; there is no null inside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A finite number: whole ones of 64 bits exactly, others as floats are.
    Number(Number),
    /// A point in time.
    Time(PointInTime),
    /// A text.
    Text(CompactString),
}

impl Value {
    /// A text value.
    pub fn text(text: &str) -> Self {
        Value::Text(text.into())
    }

    /// A number, or nothing where it is not finite.
    pub fn number(number: f64) -> Option<Self> {
        Number::new(number).map(Value::Number)
    }

    /// The text that it is.
    pub fn into_text(self) -> Option<CompactString> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// The number that it is.
    pub fn into_number(self) -> Option<Number> {
        if let Value::Number(number) = self { Some(number) } else { None }
    }

    /// The time that it is.
    pub fn into_time(self) -> Option<PointInTime> {
        if let Value::Time(time) = self { Some(time) } else { None }
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let beside = if let Value::Text(text) = self { text.len() } else { 0 };
        size_of::<Value>() + beside
    }

    /// Which type the value is of.
    pub fn kind(&self) -> ValueType {
        match self {
            Value::Bool(_) => ValueType::Bool,
            Value::Number(_) => ValueType::Number,
            Value::Time(_) => ValueType::Time,
            Value::Text(_) => ValueType::Text,
        }
    }
}

// There is one for each field and setting; a larger one would be felt.
const _: () = assert!(size_of::<Value>() == size_of::<CompactString>());

/// The types of values, as definitions are checked against them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ValueType {
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// A point in time.
    Time,
    /// A text.
    Text,
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValueType::Bool => "a boolean",
            ValueType::Number => "a number",
            ValueType::Time => "a time",
            ValueType::Text => "a string",
        })
    }
}
