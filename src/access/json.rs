//! The one way in which a profile is written as JSON.
//!
//! Times are RFC 3339 texts in UTC; whole numbers have no fraction (`12`, not `12.0`).

use dataflows::definitions::Definitions;
use dataflows::model::{Profile, Record, Tick, Topic, Value};
use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A profile on its way out, with the definitions that name its traits and audiences.
#[derive(Clone, Copy, Debug)]
pub struct ProfileJson<'a> {
    /// The profile.
    pub profile: &'a Profile,
    /// What its ids are indices of.
    pub definitions: &'a Definitions,
}

impl Serialize for ProfileJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let ProfileJson { profile, definitions } = self;
        let traits = profile.traits.iter().filter_map(|(id, value)| Some((definitions.traits.get(id.index())?, value)));
        let audiences: Vec<&str> = profile
            .audiences
            .iter()
            .filter_map(|id| definitions.audiences.get(id.index()))
            .map(|audience| audience.name.as_str())
            .collect();
        let mut map = to.serialize_map(Some(6))?;
        map.serialize_entry("id", &profile.id.to_string())?;
        map.serialize_entry("identifiers", &profile.identifiers)?;
        map.serialize_entry("attributes", &object(settings(&profile.record, is_attribute)))?;
        map.serialize_entry("traits", &object(traits.map(|(known, value)| (known.name.as_str(), value))))?;
        map.serialize_entry("consent", &object(settings(&profile.record, |topic| !is_attribute(topic))))?;
        map.serialize_entry("audiences", &audiences)?;
        map.end()
    }
}

fn is_attribute(topic: &Topic) -> bool {
    matches!(topic, Topic::Attribute(_))
}

/// The settings of this kind that are not taken away.
fn settings(record: &Record, kind: impl Fn(&Topic) -> bool) -> impl Iterator<Item = (&str, &Value)> {
    record.settings().iter().filter(move |setting| kind(&setting.topic)).filter_map(|setting| {
        let (Topic::Attribute(name) | Topic::Consent(name)) = &setting.topic;
        Some((name.as_str(), setting.value.as_ref()?))
    })
}

/// An object of values.
fn object<'a>(entries: impl Iterator<Item = (&'a str, &'a Value)>) -> serde_json::Map<String, serde_json::Value> {
    entries.map(|(name, value)| (name.to_owned(), value_json(value))).collect()
}

fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(truth) => (*truth).into(),
        Value::Number(number) => number_json(number.get()),
        Value::Time(tick) => time_json(*tick),
        Value::Text(text) => text.as_str().into(),
    }
}

fn number_json(number: f64) -> serde_json::Value {
    /// Up to here every whole number is a float of its own, so the integer is what was meant.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= WHOLE_MAX { (number as i64).into() } else { number.into() }
}

fn time_json(tick: Tick) -> serde_json::Value {
    let timestamp = i64::try_from(tick.as_ms()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(|| tick.as_ms().into(), |timestamp| timestamp.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Value, expected: &str) {
        assert_eq!(value_json(&value).to_string(), expected);
    }

    #[test]
    fn values() {
        let number = |number| Value::number(number).unwrap();
        check(number(12.0), "12");
        check(number(-0.0), "0");
        check(number(0.1), "0.1");
        check(number(-9_007_199_254_740_992.0), "-9007199254740992");
        check(number(1e300), "1e+300");
        check(Value::Time(Tick::from_ms(1_704_067_200_000)), r#""2024-01-01T00:00:00Z""#);
        check(Value::Time(Tick::from_ms(1_704_067_200_001)), r#""2024-01-01T00:00:00.001Z""#);
        check(Value::Time(Tick::MAX), "18446744073709551615");
        check(Value::text("a\"b"), r#""a\"b""#);
    }
}
