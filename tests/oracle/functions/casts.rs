//! What a value is as one of another type.

use dataflows::model::{Number, Value, ValueType};

use super::{json, made, shown, texts, written};
use crate::oracle::numbers::Fraction;

/// The value as one of this type; nothing where it is none.
pub fn cast(value: &Value, kind: ValueType) -> Option<Value> {
    if value.kind() == kind {
        return Some(value.clone());
    }
    let bare = |text: &str| texts::trimmed(&text.chars().collect::<Vec<char>>()).iter().collect::<String>();
    match (kind, value) {
        (ValueType::Number, Value::Bool(truth)) => Value::number(if *truth { 1.0 } else { 0.0 }),
        (ValueType::Number, Value::Text(text)) => Fraction::of_decimal(&bare(text))?.nearest().map(Value::Number),
        (ValueType::Text, Value::Bool(true)) => Some(Value::text("true")),
        (ValueType::Text, Value::Bool(false)) => Some(Value::text("false")),
        (ValueType::Text, Value::Number(number)) => Some(Value::text(&in_decimal(*number))),
        (ValueType::Text, Value::Time(time)) => Some(Value::text(&shown(*time))),
        (ValueType::Text, Value::List(_) | Value::Json(_)) => {
            made(&json::of_value(value).chars().collect::<Vec<char>>())
        }
        (ValueType::Bool, Value::Number(number)) => Some(Value::Bool(number.get() != 0.0)),
        (ValueType::Bool, Value::Text(text)) => match bare(text).to_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(Value::Bool(true)),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        (ValueType::Time, Value::Number(number)) => written::of_number(&Fraction::as_written(*number)).map(Value::Time),
        (ValueType::Time, Value::Text(text)) => written::of_text(text).map(Value::Time),
        _ => None,
    }
}

/// All digits of whole numbers of 64 bits; of others the first text that reads as the float, beginning with those of few digits.
pub fn in_decimal(number: Number) -> String {
    if let Some(integer) = number.as_integer() {
        return integer.to_string();
    }
    let float = number.get();
    let reads_as_it = |text: &String| text.parse() == Ok(float);
    let shortest = (0..17).map(|digits| format!("{float:.digits$e}")).find(reads_as_it);
    let shortest = shortest.expect("17 digits tell floats apart");
    let (digits, exponent) = shortest.split_once('e').expect("it has an exponent");
    let exponent: i64 = exponent.parse().expect("it is a number");
    if exponent < -4 || Fraction::of_float(float).whole().is_some() {
        return shortest;
    }
    let of_mantissa = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len() as i64);
    let plain = format!("{float:.after$}", after = (of_mantissa - exponent) as usize);
    assert!(reads_as_it(&plain), "{plain} has the same digits as {shortest}");
    plain
}
