//! Values of properties, attributes and traits.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::Tick;

/// A finite number with a total order; `-0` is `0`.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Number(f64);

impl Number {
    /// The number `value`, or nothing where it is not finite.
    pub fn new(value: f64) -> Option<Self> {
        // Adding zero turns -0 into 0, so that equal numbers have equal bits.
        value.is_finite().then_some(Number(value + 0.0))
    }

    /// The number as a float.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Number {
    type Error = &'static str;
    fn try_from(value: f64) -> Result<Self, Self::Error> {
        Number::new(value).ok_or("the number is not finite")
    }
}

impl From<Number> for f64 {
    fn from(number: Number) -> f64 {
        number.0
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        Number(value.into())
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Number {}
impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One value. A missing value is `Option::None` around it; there is no null inside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// A point in time.
    Time(Tick),
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
