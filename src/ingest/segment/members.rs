//! The members at the top of an event.

use std::borrow::Cow;

use super::scalar;
use crate::ingest::Rejection;
use crate::ingest::json::{self, Leaf};

/// The members that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventMember {
    Type,
    Event,
    MessageId,
    UserId,
    AnonymousId,
    PreviousId,
    MergeProperties,
    Timestamp,
    OriginalTimestamp,
    SentAt,
    ReceivedAt,
    Properties,
    Traits,
    Context,
    Name,
    Category,
    GroupId,
    Consent,
    WriteKey,
}

impl EventMember {
    const COUNT: usize = EventMember::WriteKey as usize + 1;

    fn of(key: &str) -> Option<Self> {
        Some(match key {
            "type" => EventMember::Type,
            "event" => EventMember::Event,
            "messageId" => EventMember::MessageId,
            "userId" => EventMember::UserId,
            "anonymousId" => EventMember::AnonymousId,
            "previousId" => EventMember::PreviousId,
            "mergeProperties" => EventMember::MergeProperties,
            "timestamp" => EventMember::Timestamp,
            "originalTimestamp" => EventMember::OriginalTimestamp,
            "sentAt" => EventMember::SentAt,
            "receivedAt" => EventMember::ReceivedAt,
            "properties" => EventMember::Properties,
            "traits" => EventMember::Traits,
            "context" => EventMember::Context,
            "name" => EventMember::Name,
            "category" => EventMember::Category,
            "groupId" => EventMember::GroupId,
            "consent" => EventMember::Consent,
            "writeKey" => EventMember::WriteKey,
            _ => return None,
        })
    }
}

/// The texts of the members of one event. Filled where they stay: they are moved no more.
#[derive(Default)]
pub(super) struct EventMembers<'de> {
    texts: [Option<&'de str>; EventMember::COUNT],
    /// The texts of all write keys in the event: they must not be stored.
    pub write_keys: Vec<&'de str>,
}

impl<'de> EventMembers<'de> {
    /// Reads the event `text`.
    pub fn read(&mut self, text: &'de str) -> Result<(), Rejection> {
        if !text.starts_with('{') {
            let other: Result<serde::de::IgnoredAny, _> = serde_json::from_str(text);
            return Err(other.map_or_else(Rejection::from, |_| Rejection::NotAnObject));
        }
        json::object(text, EventMember::of, |member, value| {
            match member {
                EventMember::WriteKey => self.write_keys.push(value),
                _ if value == "null" => {}
                member => self.texts[member as usize] = Some(value),
            }
            Ok(())
        })
    }

    /// The text of a member.
    pub fn get(&self, member: EventMember) -> Option<&'de str> {
        self.texts[member as usize]
    }

    /// What a member says.
    pub fn leaf(&self, member: EventMember) -> Option<Leaf<'de>> {
        self.get(member).map(Leaf::of)
    }

    /// A member that is a text.
    pub fn text(&self, member: EventMember) -> Option<Cow<'de, str>> {
        self.leaf(member)?.text()
    }

    /// A member that is a text or a number.
    pub fn scalar(&self, member: EventMember) -> Option<Cow<'de, str>> {
        self.leaf(member).and_then(scalar)
    }
}
