//! Values of properties, attributes and traits.

use std::fmt;
use std::sync::Arc;

use compact_str::{CompactString, format_compact};
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
    /// The elements of an array, in their order; one that is null is missing.
    List(Arc<[Option<Value>]>),
    /// An object, or an array within an array: its JSON text without white space.
    Json(Arc<str>),
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

    /// The elements of the list that it is.
    pub fn as_list(&self) -> Option<&[Option<Value>]> {
        if let Value::List(elements) = self { Some(elements) } else { None }
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let beside = match self {
            Value::Bool(_) | Value::Number(_) | Value::Time(_) => 0,
            Value::Text(text) => text.len(),
            Value::Json(text) => text.len(),
            Value::List(elements) => {
                elements.iter().map(|element| element.as_ref().map_or(size_of::<Value>(), Value::bytes)).sum()
            }
        };
        size_of::<Value>() + beside
    }

    /// Appends it as JSON: numbers in decimal, times as texts.
    ///
    /// ```
    /// use dataflows::model::Value;
    /// let list = Value::List([Some(Value::text("a \"b\"")), None, Value::number(1.5)].into());
    /// let mut json = String::new();
    /// list.write_json(&mut json);
    /// assert_eq!(json, r#"["a \"b\"",null,1.5]"#);
    /// ```
    pub fn write_json(&self, json: &mut String) {
        match self {
            Value::Bool(truth) => json.push_str(if *truth { "true" } else { "false" }),
            Value::Number(number) => json.push_str(&number.in_decimal()),
            Value::Time(time) => write_json_text(&time.in_words().unwrap_or_else(|| format_compact!("{time}")), json),
            Value::Text(text) => write_json_text(text, json),
            Value::Json(text) => json.push_str(text),
            Value::List(elements) => {
                json.push('[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        json.push(',');
                    }
                    match element {
                        Some(element) => element.write_json(json),
                        None => json.push_str("null"),
                    }
                }
                json.push(']');
            }
        }
    }

    /// Which type the value is of.
    pub fn kind(&self) -> ValueType {
        match self {
            Value::Bool(_) => ValueType::Bool,
            Value::Number(_) => ValueType::Number,
            Value::Time(_) => ValueType::Time,
            Value::Text(_) => ValueType::Text,
            Value::List(_) => ValueType::List,
            Value::Json(_) => ValueType::Json,
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
    /// A list.
    List,
    /// An object.
    Json,
}

impl ValueType {
    /// Whether it can be asked which of two values is the greater one.
    pub fn has_order(self) -> bool {
        match self {
            ValueType::Number | ValueType::Time | ValueType::Text => true,
            ValueType::Bool | ValueType::List | ValueType::Json => false,
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValueType::Bool => "a boolean",
            ValueType::Number => "a number",
            ValueType::Time => "a time",
            ValueType::Text => "a string",
            ValueType::List => "a list",
            ValueType::Json => "an object",
        })
    }
}

/// Appends a text in double quotes.
fn write_json_text(text: &str, json: &mut String) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            control if control < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(control))),
            plain => json.push(plain),
        }
    }
    json.push('"');
}
