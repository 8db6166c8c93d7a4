//! The members at the top of an event.

use std::borrow::Cow;

use super::scalar;
use crate::ingest::Rejection;
use crate::ingest::json::{self, Leaf};

/// The members that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
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

impl Member {
    const COUNT: usize = Member::WriteKey as usize + 1;

    fn of(key: &str) -> Option<Self> {
        Some(match key {
            "type" => Member::Type,
            "event" => Member::Event,
            "messageId" => Member::MessageId,
            "userId" => Member::UserId,
            "anonymousId" => Member::AnonymousId,
            "previousId" => Member::PreviousId,
            "mergeProperties" => Member::MergeProperties,
            "timestamp" => Member::Timestamp,
            "originalTimestamp" => Member::OriginalTimestamp,
            "sentAt" => Member::SentAt,
            "receivedAt" => Member::ReceivedAt,
            "properties" => Member::Properties,
            "traits" => Member::Traits,
            "context" => Member::Context,
            "name" => Member::Name,
            "category" => Member::Category,
            "groupId" => Member::GroupId,
            "consent" => Member::Consent,
            "writeKey" => Member::WriteKey,
            _ => return None,
        })
    }
}

/// The texts of the members of one event. Filled where they stay: they are moved no more.
#[derive(Default)]
pub(super) struct Members<'de> {
    texts: [Option<&'de str>; Member::COUNT],
    /// The texts of all write keys in the event: they must not be stored.
    pub write_keys: Vec<&'de str>,
}

impl<'de> Members<'de> {
    /// Reads the event `text`.
    pub fn read(&mut self, text: &'de str) -> Result<(), Rejection> {
        if !text.starts_with('{') {
            let other: Result<serde::de::IgnoredAny, _> = serde_json::from_str(text);
            return Err(other.map_or_else(Rejection::from, |_| Rejection::NotAnObject));
        }
        json::object(text, Member::of, |member, value| {
            match member {
                Member::WriteKey => self.write_keys.push(value),
                _ if value == "null" => {}
                member => self.texts[member as usize] = Some(value),
            }
            Ok(())
        })
    }

    /// The text of a member.
    pub fn get(&self, member: Member) -> Option<&'de str> {
        self.texts[member as usize]
    }

    /// What a member says.
    pub fn leaf(&self, member: Member) -> Option<Leaf<'de>> {
        self.get(member).map(Leaf::of)
    }

    /// A member that is a text.
    pub fn text(&self, member: Member) -> Option<Cow<'de, str>> {
        self.leaf(member)?.text()
    }

    /// A member that is a text or a number.
    pub fn scalar(&self, member: Member) -> Option<Cow<'de, str>> {
        self.leaf(member).and_then(scalar)
    }
}
