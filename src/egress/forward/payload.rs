//! What leaves of an event: its text, with the times that count, and without the fields that are not to leave.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use compact_str::CompactString;
use dataflows::model::Tick;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::TimeText;
use crate::project::{self, FieldPath};

/// What leaves of the events for a destination, prepared.
#[derive(Clone, Debug)]
pub struct PayloadWriter {
    fields: Fields,
    mode: Mode,
}

/// Whether the fields that are named leave, or the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Keep,
    Drop,
}

/// Fields by name. One without any within it is named itself.
#[derive(Clone, Debug, Default)]
struct Fields(BTreeMap<CompactString, Fields>);

/// What says which event it is, and so leaves of each.
const OF_ALL: [&str; 4] = ["type", "event", "name", "messageId"];

/// The time that counts, and what the sender said.
const TIMESTAMP: &str = "timestamp";
const ORIGINAL: &str = "originalTimestamp";

impl From<&project::EventPayload> for PayloadWriter {
    fn from(payload: &project::EventPayload) -> Self {
        let (mode, paths) = match payload {
            project::EventPayload::Keep(paths) => (Mode::Keep, paths),
            project::EventPayload::Drop(paths) => (Mode::Drop, paths),
        };
        let mut fields = Fields::default();
        if mode == Mode::Keep {
            OF_ALL.into_iter().chain([TIMESTAMP, ORIGINAL]).for_each(|name| fields.insert(&[name.into()]));
        }
        // Shorter ones first: what is named as a whole stays so.
        let mut paths: Vec<&FieldPath> = paths.iter().collect();
        paths.sort_by_key(|path| path.len());
        paths.into_iter().for_each(|path| fields.insert(path));
        PayloadWriter { fields, mode }
    }
}

impl Fields {
    fn insert(&mut self, path: &[CompactString]) {
        let mut fields = self;
        for (depth, name) in path.iter().enumerate() {
            let is_new = !fields.0.contains_key(name);
            fields = fields.0.entry(name.clone()).or_default();
            if !is_new && fields.0.is_empty() && depth + 1 < path.len() {
                return;
            }
        }
    }
}

impl PayloadWriter {
    /// The text of an event on one line, as it leaves: `timestamp` is the time that counts, and `originalTimestamp` what the sender
    /// wrote. Numbers and texts are in the words in which they were sent.
    pub fn write(&self, event: &str, timestamp: Tick) -> serde_json::Result<String> {
        let ObjectMembers(members) = serde_json::from_str(event)?;
        let of = |name: &str| {
            let named = members.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.get());
            named.filter(|value| *value != "null")
        };
        let original = of(ORIGINAL).or_else(|| of(TIMESTAMP));
        let mut text = String::with_capacity(event.len() + 64);
        let mut object = ObjectWriter::begin(&mut text);
        for (name, value) in &members {
            if name != TIMESTAMP && name != ORIGINAL {
                self.member(&self.fields, name, value.get(), &mut object)?;
            }
        }
        if let Some(original) = original {
            self.member(&self.fields, ORIGINAL, original, &mut object)?;
        }
        self.member(&self.fields, TIMESTAMP, &format!("\"{}\"", TimeText(timestamp)), &mut object)?;
        object.end();
        Ok(text)
    }

    fn member(&self, fields: &Fields, name: &str, value: &str, to: &mut ObjectWriter<'_>) -> serde_json::Result<()> {
        match (fields.0.get(name), self.mode) {
            (Some(within), _) if !within.0.is_empty() => {
                // What has no fields is none of those that are named in it.
                if self.mode == Mode::Drop || value.starts_with(['{', '[']) {
                    to.key(name);
                    self.value(within, value, to.text)?;
                }
            }
            (Some(_), Mode::Keep) | (None, Mode::Drop) => {
                to.key(name);
                to.text.push_str(&one_line(value));
            }
            (Some(_), Mode::Drop) | (None, Mode::Keep) => {}
        }
        Ok(())
    }

    /// A value in which fields are named: those of the objects in an array are those of each.
    fn value(&self, fields: &Fields, value: &str, to: &mut String) -> serde_json::Result<()> {
        if value.starts_with('{') {
            let ObjectMembers(members) = serde_json::from_str(value)?;
            let mut object = ObjectWriter::begin(to);
            for (name, value) in members {
                self.member(fields, &name, value.get(), &mut object)?;
            }
            object.end();
        } else if value.starts_with('[') {
            let elements: Vec<&RawValue> = serde_json::from_str(value)?;
            to.push('[');
            let mut is_first = true;
            for element in elements {
                let element = element.get();
                if self.mode == Mode::Keep && !element.starts_with(['{', '[']) {
                    continue;
                }
                if !std::mem::take(&mut is_first) {
                    to.push(',');
                }
                self.value(fields, element, to)?;
            }
            to.push(']');
        } else {
            to.push_str(&one_line(value));
        }
        Ok(())
    }
}

/// Between the values of JSON a new line is a space, and within them there is none.
fn one_line(value: &str) -> Cow<'_, str> {
    if value.contains(['\n', '\r']) { value.replace(['\n', '\r'], " ").into() } else { value.into() }
}

/// An object that is being written.
struct ObjectWriter<'a> {
    text: &'a mut String,
    is_empty: bool,
}

impl<'a> ObjectWriter<'a> {
    fn begin(text: &'a mut String) -> Self {
        text.push('{');
        ObjectWriter { text, is_empty: true }
    }

    fn key(&mut self, name: &str) {
        if !std::mem::take(&mut self.is_empty) {
            self.text.push(',');
        }
        self.text.push_str(&serde_json::Value::from(name).to_string());
        self.text.push(':');
    }

    fn end(self) {
        self.text.push('}');
    }
}

/// The members of an object, in their order, each as often as it is there.
struct ObjectMembers<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for ObjectMembers<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        from.deserialize_map(MembersVisitor).map(ObjectMembers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = concat!(
        r#"{"type":"track", "event":"Order Completed","messageId":"m","userId":"42","context":{"ip":"10.0.0.1","page":{"url":"u"}},"#,
        "\n",
        r#""properties":{"total":12345678901234567890.10,"card_number":"4111","products":[{"sku":1,"price":2},7,[{"price":3}]]},"#,
        r#""timestamp":1700000000, "context":{"ip":"again"}}"#
    );

    fn paths(paths: &[&str]) -> Vec<FieldPath> {
        paths.iter().map(|path| path.split('.').map(CompactString::from).collect()).collect()
    }

    #[track_caller]
    fn check(payload: &project::EventPayload, event: &str, expected: &str) {
        let written = PayloadWriter::from(payload).write(event, Tick::from_ms(1_700_000_000_000)).unwrap();
        assert_eq!(written, expected);
        serde_json::from_str::<serde_json::Value>(&written).unwrap();
    }

    const TIMES: &str = r#""originalTimestamp":1700000000,"timestamp":"2023-11-14T22:13:20Z"}"#;

    #[test]
    fn without_a_word_all_but_the_address_leaves() {
        let expected = concat!(
            r#"{"type":"track","event":"Order Completed","messageId":"m","userId":"42","context":{"page":{"url":"u"}},"#,
            r#""properties":{"total":12345678901234567890.10,"card_number":"4111","products":[{"sku":1,"price":2},7,[{"price":3}]]},"#,
            r#""context":{},"#
        );
        check(&project::EventPayload::default(), EVENT, &format!("{expected}{TIMES}"));
        let all = PayloadWriter::from(&project::EventPayload::Drop(Vec::new())).write(EVENT, Tick::default()).unwrap();
        assert_eq!(all.matches("\"ip\"").count(), 2);
    }

    #[test]
    fn fields_that_are_dropped_are_nowhere() {
        let drop =
            paths(&["context", "userId", "properties.card_number", "properties.products.price", "context.page.url"]);
        let expected = concat!(
            r#"{"type":"track","event":"Order Completed","messageId":"m","#,
            r#""properties":{"total":12345678901234567890.10,"products":[{"sku":1},7,[{}]]},"#
        );
        check(&project::EventPayload::Drop(drop), EVENT, &format!("{expected}{TIMES}"));
        let times = project::EventPayload::Drop(paths(&["timestamp", "originalTimestamp"]));
        check(&times, r#"{"type":"page","timestamp":1}"#, r#"{"type":"page"}"#);
    }

    #[test]
    fn only_what_is_kept_leaves() {
        let keep =
            paths(&["properties.total", "properties.products.sku", "context.page", "nothing.there", "userId.of"]);
        let expected = concat!(
            r#"{"type":"track","event":"Order Completed","messageId":"m","context":{"page":{"url":"u"}},"#,
            r#""properties":{"total":12345678901234567890.10,"products":[{"sku":1},[{}]]},"context":{},"#
        );
        check(&project::EventPayload::Keep(keep), EVENT, &format!("{expected}{TIMES}"));
    }

    #[test]
    fn the_original_time_is_what_the_sender_wrote() {
        let check = |event: &str, expected: &str| check(&project::EventPayload::default(), event, expected);
        let time = r#""timestamp":"2023-11-14T22:13:20Z"}"#;
        check("{}", &format!("{{{time}"));
        check(r#"{"timestamp":null,"a":1}"#, &format!("{{\"a\":1,{time}"));
        check(
            r#"{"originalTimestamp":"2020-02-29T12:00:00Z","timestamp":"2020-02-29T13:00:00Z"}"#,
            &format!("{{\"originalTimestamp\":\"2020-02-29T12:00:00Z\",{time}"),
        );
        check(r#"{"timestamp":1,"timestamp":2}"#, &format!("{{\"originalTimestamp\":2,{time}"));
    }
}
