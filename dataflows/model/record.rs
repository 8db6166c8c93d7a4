//! What an identifier has set on its person: attributes and consent, last write by event time.

use std::sync::Arc;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{Tick, Value};

/// What a [`Setting`] is about. Attributes sort before consent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// The attribute of this name.
    Attribute(CompactString),
    /// Consent to this purpose.
    Consent(CompactString),
}

/// The latest write to one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Setting {
    /// What was set.
    pub topic: Topic,
    /// When, by event time.
    pub at: Tick,
    /// To what; `None` where it was taken away. Consent is a [`Value::Bool`].
    pub value: Option<Value>,
}

/// The settings of one identifier (or of a profile), one per topic, sorted by topic.
///
/// Shared: the same record stands in an arrangement by identifier and in one by profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record(Arc<[Setting]>);

impl Record {
    /// The settings, sorted by topic.
    pub fn settings(&self) -> &[Setting] {
        &self.0
    }

    /// What a topic was last set to; `None` where it never was, or was taken away.
    pub fn get(&self, topic: &Topic) -> Option<&Value> {
        let at = self.0.binary_search_by(|setting| setting.topic.cmp(topic)).ok()?;
        self.0[at].value.as_ref()
    }

    /// True where nothing was ever set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of writes to the same topic the latest stays; at the same time, the larger value.
impl FromIterator<Setting> for Record {
    fn from_iter<I: IntoIterator<Item = Setting>>(settings: I) -> Self {
        let mut settings: Vec<Setting> = settings.into_iter().collect();
        // Descending by (time, value) within a topic, so that the first of each topic is the one that stays.
        settings.sort_by(|a, b| a.topic.cmp(&b.topic).then_with(|| (b.at, &b.value).cmp(&(a.at, &a.value))));
        settings.dedup_by(|later, kept| later.topic == kept.topic);
        Record(settings.into())
    }
}
