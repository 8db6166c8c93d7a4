//! The one way in which a profile is written as JSON.

use dataflows::definitions::Definitions;
use dataflows::model::{Profile, Setting, Topic, Value};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::ObjectJson;

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
        let (attributes, consent): (Vec<Setting>, Vec<Setting>) =
            profile.record.settings().into_iter().partition(|setting| matches!(setting.topic, Topic::Attribute(_)));
        let mut map = to.serialize_map(Some(6))?;
        map.serialize_entry("id", &profile.id.to_string())?;
        map.serialize_entry("identifiers", &profile.identifiers)?;
        map.serialize_entry("attributes", &ObjectJson(values(attributes.iter())))?;
        map.serialize_entry("traits", &ObjectJson(traits.map(|(known, value)| (known.name.as_str(), value))))?;
        map.serialize_entry("consent", &ObjectJson(values(consent.iter())))?;
        map.serialize_entry("audiences", &audiences)?;
        map.end()
    }
}

/// The settings that are not taken away, by name.
fn values<'s>(
    settings: impl Iterator<Item = &'s Setting> + Clone,
) -> impl Iterator<Item = (&'s str, &'s Value)> + Clone {
    settings.filter_map(|setting| {
        let (Topic::Attribute(name) | Topic::Consent(name)) = &setting.topic;
        Some((name.as_str(), setting.value.as_ref()?))
    })
}
