//! The one way in which a profile is written as JSON.

use dataflows::definitions::Definitions;
use dataflows::model::{Profile, Record, Topic, Value};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::json::ObjectJson;

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
        map.serialize_entry("attributes", &ObjectJson(settings(&profile.record, is_attribute)))?;
        map.serialize_entry("traits", &ObjectJson(traits.map(|(known, value)| (known.name.as_str(), value))))?;
        map.serialize_entry("consent", &ObjectJson(settings(&profile.record, |topic| !is_attribute(topic))))?;
        map.serialize_entry("audiences", &audiences)?;
        map.end()
    }
}

fn is_attribute(topic: &Topic) -> bool {
    matches!(topic, Topic::Attribute(_))
}

/// The settings of this kind that are not taken away.
fn settings(record: &Record, kind: impl Fn(&Topic) -> bool + Clone) -> impl Iterator<Item = (&str, &Value)> + Clone {
    record.settings().iter().filter(move |setting| kind(&setting.topic)).filter_map(|setting| {
        let (Topic::Attribute(name) | Topic::Consent(name)) = &setting.topic;
        Some((name.as_str(), setting.value.as_ref()?))
    })
}
