//! The JSON in which events go to destinations.
//!
//! What leaves of an event ([`super::payload`]) keeps the words in which it was sent; what the destination may know of its person stands
//! beside it.

use std::fmt;

use bytes::Bytes;
use compact_str::CompactString;
use dataflows::forwards::Enrichment;
use dataflows::model::{Text, Tick};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::payload::PayloadWriter;
use crate::json::{ObjectJson, whole_characters};
use crate::log::Offset;

/// Why an event could not be written: its text is no JSON. It was when it was accepted.
#[derive(Debug)]
pub struct NotJson(serde_json::Error);

impl From<serde_json::Error> for NotJson {
    fn from(error: serde_json::Error) -> Self {
        NotJson(error)
    }
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An event on one line: `{"event", "profile_id", "identifiers", "traits", "consent", "as_of", "index"}`.
pub fn envelope(
    raw: &[u8],
    timestamp: Tick,
    position: Offset,
    payload: &PayloadWriter,
    enrichment: &Enrichment,
) -> Result<Bytes, NotJson> {
    #[derive(Serialize)]
    struct BesideEvent<'a, T> {
        profile_id: Option<String>,
        identifiers: &'a [Text],
        traits: T,
        consent: ConsentJson<'a>,
        as_of: u64,
        index: u32,
    }
    // What earlier versions stored may have halves of characters.
    let text = whole_characters(std::str::from_utf8(raw).unwrap_or_default());
    let event = payload.write(&text, timestamp).map_err(NotJson)?;
    let Enrichment { profile, identifiers, traits, consent } = enrichment;
    let rest = BesideEvent {
        profile_id: profile.map(|id| id.to_string()),
        identifiers,
        traits: ObjectJson(traits.iter().map(|(name, value)| (name.as_str(), value))),
        consent: ConsentJson(consent),
        as_of: position.tick.as_ms(),
        index: position.index,
    };
    let rest = serde_json::to_string(&rest).map_err(NotJson)?;
    // The text of the event is JSON already: it is not read once more.
    Ok(["{\"event\":", &event, ",", &rest[1..]].concat().into())
}

/// Decisions by purpose, as an object.
struct ConsentJson<'a>(&'a [(CompactString, bool)]);

impl Serialize for ConsentJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(purpose, given)| map.serialize_entry(purpose.as_str(), given))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use dataflows::model::Value;

    use super::*;

    #[test]
    fn an_event_keeps_its_words_on_one_line() {
        let raw = b"{\"n\": 12345678901234567890123,\r\n \"b\": \"x\\ny\", \"a\": 1.0}";
        let enrichment = Enrichment {
            profile: None,
            identifiers: vec!["email:a@b.org".into()],
            traits: vec![("city".into(), Value::text("K\u{f6}ln"))],
            consent: vec![("marketing".into(), true), ("ads".into(), false)],
        };
        let position = Offset { tick: Tick::from_ms(17), index: 3 };
        let (payload, at) = (PayloadWriter::from(&Default::default()), Tick::from_ms(16));
        let json = envelope(raw, at, position, &payload, &enrichment).unwrap();
        let expected = concat!(
            r#"{"event":{"n":12345678901234567890123,"b":"x\ny","a":1.0,"timestamp":"1970-01-01T00:00:00.016Z"},"profile_id":null,"#,
            r#""identifiers":["email:a@b.org"],"traits":{"city":"Köln"},"consent":{"marketing":true,"ads":false},"#,
            r#""as_of":17,"index":3}"#
        );
        assert_eq!(json, expected);
        assert!(envelope(b"{\"n\":", at, position, &payload, &enrichment).is_err());
    }
}
