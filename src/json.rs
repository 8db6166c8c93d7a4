//! The one way in which values are written as JSON.
//!
//! Times are RFC 3339 texts in UTC; whole numbers of 64 bits have no fraction (`12`, not `12.0`).

use std::fmt;

use dataflows::model::{PointInTime, Tick, Value};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

mod profile;
mod unicode;

pub use profile::ProfileJson;
pub use unicode::whole_characters;

/// A value on its way out.
#[derive(Clone, Copy, Debug)]
pub struct ValueJson<'a>(pub &'a Value);

impl Serialize for ValueJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bool(truth) => to.serialize_bool(*truth),
            Value::Text(text) => to.serialize_str(text),
            Value::List(elements) => to.collect_seq(elements.iter().map(|element| element.as_ref().map(ValueJson))),
            Value::Json(text) => match serde_json::from_str::<&RawValue>(text) {
                Ok(json) => json.serialize(to),
                Err(_) => to.serialize_str(text),
            },
            Value::Time(time) => match time.in_words() {
                Some(words) => to.serialize_str(&words),
                // After the year 9999 RFC 3339 has no words for it.
                None => to.serialize_i64(time.as_ms()),
            },
            Value::Number(number) => {
                match number.as_integer().map(|whole| (u64::try_from(whole), i64::try_from(whole))) {
                    Some((Ok(whole), _)) => to.serialize_u64(whole),
                    Some((_, Ok(whole))) => to.serialize_i64(whole),
                    _ => to.serialize_f64(number.get()),
                }
            }
        }
    }
}

/// Values by name, as an object.
#[derive(Clone, Debug)]
pub struct ObjectJson<I>(pub I);

impl<'a, I: Iterator<Item = (&'a str, &'a Value)> + Clone> Serialize for ObjectJson<I> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.clone().map(|(name, value)| (name, ValueJson(value))))
    }
}

/// A tick that prints as RFC 3339 in UTC, or in milliseconds where that has no words for it.
#[derive(Clone, Copy, Debug)]
pub struct TimeText(pub Tick);

impl fmt::Display for TimeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match PointInTime::from(self.0).in_words() {
            Some(words) => words.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use dataflows::model::Number;

    use super::*;

    #[track_caller]
    fn check(value: Value, expected: &str) {
        assert_eq!(serde_json::to_string(&ValueJson(&value)).unwrap(), expected);
    }

    #[test]
    fn values() {
        let number = |number| Value::number(number).unwrap();
        check(number(12.0), "12");
        check(number(-0.0), "0");
        check(number(0.1), "0.1");
        check(number(-9_007_199_254_740_992.0), "-9007199254740992");
        check(number(-9_223_372_036_854_775_808.0), "-9223372036854775808");
        check(number(18_446_744_073_709_551_616.0), "1.8446744073709552e+19");
        check(number(1e300), "1e+300");
        for whole in ["9007199254740993", "-9007199254740993", "18446744073709551615", "9223372036854775808"] {
            check(Value::Number(Number::read(whole).unwrap()), whole);
        }
        check(Value::Time(PointInTime::from_ms(1_704_067_200_000)), r#""2024-01-01T00:00:00Z""#);
        check(Value::Time(PointInTime::from_ms(1_704_067_200_001)), r#""2024-01-01T00:00:00.001Z""#);
        check(Value::Time(PointInTime::from_ms(-150_854_400_001)), r#""1965-03-21T23:59:59.999Z""#);
        check(Value::Time(PointInTime::from_ms(i64::MAX)), "9223372036854775807");
        check(Value::text("a\"b"), r#""a\"b""#);
    }
}
