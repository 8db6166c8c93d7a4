//! A change as it is told to a destination, and its JSON.

use std::sync::Arc;
use std::time::Instant;

use compact_str::CompactString;
use dataflows::definitions::AudienceId;
use dataflows::model::{ProfileId, Text, Tick, Traits, Value};
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use crate::json::ObjectJson;

/// What becomes of identifiers at a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// They are to be in the audience, with these traits in the place of those that were there.
    Add(Arc<Traits>),
    /// They are not to be in the audience.
    Delete,
}

impl Action {
    /// The word in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Add(_) => "add",
            Action::Delete => "delete",
        }
    }
}

/// Identifiers of one person that enter an audience, leave it, or have other traits in it, at one tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The audience.
    pub audience: AudienceId,
    /// What becomes of the identifiers.
    pub action: Action,
    /// `type:value`, at least one, each once.
    pub identifiers: Vec<Text>,
    /// Whose they are.
    pub profile: ProfileId,
    /// The tick at which this came about.
    pub as_of: Tick,
    /// When the request arrived that caused it, where it was one and not the passing of time.
    pub received: Option<Instant>,
}

impl Change {
    /// Whether `next` may be told in the same breath: the same person, audience, action and tick.
    pub fn goes_with(&self, next: &Change) -> bool {
        let this = (self.audience, self.profile, self.as_of);
        this == (next.audience, next.profile, next.as_of) && self.action == next.action
    }

    /// About how many bytes of JSON it is, quickly; escapes are not counted.
    pub fn bytes(&self) -> usize {
        /// Keys, punctuation and names of usual length.
        const FRAME: usize = 120;
        let traits = match &self.action {
            Action::Add(traits) => traits.as_slice(),
            Action::Delete => &[],
        };
        let of_trait = |(name, value): &(_, Value)| {
            let name: &CompactString = name;
            name.len() + VALUE + text_bytes(value)
        };
        let identifiers: usize = self.identifiers.iter().map(|identifier| identifier.len() + 3).sum();
        FRAME + identifiers + traits.iter().map(of_trait).sum::<usize>()
    }

    /// The change with the names that its ids stand for (`audiences`, by id), ready to be serialised.
    pub fn named<'a>(&'a self, audiences: &'a [CompactString]) -> NamedChange<'a> {
        NamedChange { change: self, audience: &audiences[self.audience.index()] }
    }
}

/// Numbers and times in JSON, with quotes and commas: bytes of usual ones.
const VALUE: usize = 28;

/// Bytes of the texts in a value.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::Bool(_) | Value::Number(_) | Value::Time(_) => 0,
        Value::Text(text) => text.len(),
        Value::Json(text) => text.len(),
        Value::List(elements) => elements.iter().map(|element| VALUE + element.as_ref().map_or(0, text_bytes)).sum(),
    }
}

/// A change as a destination is told it, with names in the place of ids.
#[derive(Clone, Copy, Debug)]
pub struct NamedChange<'a> {
    change: &'a Change,
    audience: &'a str,
}

impl<'a> NamedChange<'a> {
    /// The audience.
    pub fn audience(&self) -> &'a str {
        self.audience
    }

    /// What becomes of the identifiers.
    pub fn action(&self) -> &'a Action {
        &self.change.action
    }

    /// The traits as a JSON object, in the order of their names; a delete has none.
    pub fn traits(&self) -> impl Serialize + 'a {
        TraitsJson(&self.change.action)
    }

    /// `type:value`, at least one, each once.
    pub fn identifiers(&self) -> &'a [Text] {
        &self.change.identifiers
    }

    /// Whose they are.
    pub fn profile(&self) -> ProfileId {
        self.change.profile
    }

    /// The tick at which it came about, in milliseconds since 1970.
    pub fn as_of(&self) -> u64 {
        self.change.as_of.as_ms()
    }

    /// As JSON: `{"audience", "action", "identifiers", "traits", "as_of"}`.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names and values are JSON; writing to memory cannot fail")
    }
}

impl Serialize for NamedChange<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Change { action, identifiers, as_of, .. } = self.change;
        let mut object = serializer.serialize_struct("Change", 5)?;
        object.serialize_field("audience", self.audience)?;
        object.serialize_field("action", action.name())?;
        object.serialize_field("identifiers", identifiers)?;
        object.serialize_field("traits", &TraitsJson(action))?;
        object.serialize_field("as_of", as_of)?;
        object.end()
    }
}

/// The traits as an object, in the order of their names; a delete has none.
struct TraitsJson<'a>(&'a Action);

impl Serialize for TraitsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Action::Add(traits) = self.0 else { return serializer.serialize_map(Some(0))?.end() };
        ObjectJson(traits.iter().map(|(name, value)| (name.as_str(), value))).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use dataflows::model::PointInTime;

    use super::*;
    use crate::egress::testing::{AUDIENCES, traits};

    #[track_caller]
    fn check(action: Action, expected: &str) {
        let change = Change {
            audience: AudienceId::new(0),
            action,
            identifiers: vec!["user_id:42".into(), "email:\"a\"@b.org".into()],
            profile: ProfileId::default(),
            as_of: Tick::from_ms(1_700_000_000_123),
            received: None,
        };
        let json = serde_json::to_string(&change.named(&AUDIENCES.map(CompactString::from))).unwrap();
        assert_eq!(json, expected);
        // The estimate need not be exact, but must not be off by much.
        assert!(
            change.bytes() >= json.len() / 2 && change.bytes() <= json.len() * 2,
            "{} of {}",
            change.bytes(),
            json.len()
        );
    }

    #[test]
    fn an_add_carries_the_traits() {
        let traits = traits([
            ("city", Value::text("Köln")),
            ("last_seen", Value::Time(PointInTime::from_ms(1_700_000_000_500))),
            ("orders", Value::number(3.0).unwrap()),
            ("since", Value::Time(PointInTime::from_ms(1_700_000_000_000))),
            ("spent", Value::number(12.5).unwrap()),
            ("vip", Value::Bool(true)),
        ]);
        check(
            Action::Add(traits),
            r#"{"audience":"cart_abandoners","action":"add","identifiers":["user_id:42","email:\"a\"@b.org"],"traits":{"city":"Köln","last_seen":"2023-11-14T22:13:20.5Z","orders":3,"since":"2023-11-14T22:13:20Z","spent":12.5,"vip":true},"as_of":1700000000123}"#,
        );
    }

    #[test]
    fn a_delete_carries_none() {
        check(
            Action::Delete,
            r#"{"audience":"cart_abandoners","action":"delete","identifiers":["user_id:42","email:\"a\"@b.org"],"traits":{},"as_of":1700000000123}"#,
        );
    }
}
