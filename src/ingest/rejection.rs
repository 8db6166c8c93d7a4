//! Why an event was not taken: a stable code for programs, a message for people. Neither carries a value of the event.

use dataflows::model::Tick;
use thiserror::Error;

use super::NameKind;
use crate::json::TimeText;
use crate::limits::{
    ATTRIBUTE_NAME_BYTES_MAX, ATTRIBUTES_PER_EVENT_MAX, IDENTIFIER_TYPE_BYTES_MAX, MESSAGE_ID_BYTES_MAX,
};

/// What is wrong with one event. Sending it again unchanged will not help.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The text is not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// JSON, but no object.
    #[error("an event is a JSON object: expected {{\"type\": …}}")]
    NotAnObject,
    /// The event is too long.
    #[error("the event has more than {max} bytes (limit event_bytes_max)")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// There is no `type`, or an unknown one.
    #[error("`type` is missing or unknown: expected identify, track, page, screen, group, alias or merge")]
    UnknownType,
    /// The body says another type than the address.
    #[error("`type` contradicts the address of the call: leave it out, or send the event to /v1/batch")]
    ContradictingType,
    /// A track call without a name.
    #[error("`event` is missing: a track call names its event with a text that is not empty")]
    NoEventName,
    /// A time cannot be read, or is after 9999.
    #[error(
        "`{field}` is no time until the year 9999: expected a text such as 2026-01-31T12:00:00.000Z, or seconds since 1970"
    )]
    BadTime {
        /// Which field.
        field: &'static str,
    },
    /// A time of the event itself is before 1970.
    #[error(
        "`{field}` is before 1970: the times of an event itself begin there; those of properties and traits may be earlier"
    )]
    BeforeEpoch {
        /// Which field.
        field: &'static str,
    },
    /// An event of a file is later than what the replay takes for now.
    #[error(
        "it is later than {}, which the replay takes for now: nothing is from the future; is its time right? Or say --now",
        TimeText(*now)
    )]
    InTheFuture {
        /// What is taken for now.
        now: Tick,
    },
    /// An event of a file has no time.
    #[error("there is neither `receivedAt` nor `timestamp`: the events of a file bring their own clock")]
    NoTime,
    /// Nobody is named.
    #[error(
        "there is no identifier: expected `userId`, `anonymousId` or an entry of `context.externalIds`; in a merge call `mergeProperties`"
    )]
    NoIdentifier,
    /// Too many identifiers.
    #[error("the event has more than {max} identifiers (limit identifiers_per_event_max)")]
    TooManyIdentifiers {
        /// The limit.
        max: usize,
    },
    /// An identifier is too long.
    #[error("an identifier has more than {max} bytes (limit identifier_bytes_max)")]
    IdentifierTooLong {
        /// The limit.
        max: usize,
    },
    /// The name of an identifier type is too long.
    #[error("the type of an external id has more than {IDENTIFIER_TYPE_BYTES_MAX} bytes")]
    IdentifierTypeTooLong,
    /// The message id is too long.
    #[error("`messageId` has more than {MESSAGE_ID_BYTES_MAX} bytes")]
    MessageIdTooLong,
    /// Too many attributes.
    #[error("the event sets more than {ATTRIBUTES_PER_EVENT_MAX} attributes")]
    TooManyAttributes,
    /// The name of an attribute is too long.
    #[error("the name of an attribute has more than {ATTRIBUTE_NAME_BYTES_MAX} bytes")]
    AttributeNameTooLong,
    /// A row of a CSV file does not fit its columns.
    #[error("the row does not fit: {0}")]
    BadRow(String),
    /// It has a new name of a kind of which the source has as many as it may.
    #[error("{what} has a new name, and the source would use more than {max} of them (`{setting}` of the source)", what = match kind {
        NameKind::Event => "the event",
        NameKind::Attribute => "an attribute",
        NameKind::IdentifierType => "an external id",
    }, setting = kind.setting())]
    TooManyNames {
        /// Of what.
        kind: NameKind,
        /// The limit.
        max: usize,
    },
}

impl Rejection {
    /// All codes, in the order of [`Rejection::index`].
    pub const CODES: [&'static str; 21] = [
        "not_json",
        "not_an_object",
        "event_too_large",
        "unknown_type",
        "contradicting_type",
        "no_event_name",
        "bad_time",
        "no_time",
        "no_identifier",
        "too_many_identifiers",
        "identifier_too_long",
        "identifier_type_too_long",
        "message_id_too_long",
        "too_many_attributes",
        "attribute_name_too_long",
        "bad_row",
        "before_1970",
        "in_the_future",
        "too_many_event_names",
        "too_many_attribute_names",
        "too_many_identifier_types",
    ];

    /// Where the code of this rejection stands in [`Rejection::CODES`].
    pub fn index(&self) -> usize {
        match self {
            Rejection::NotJson(_) => 0,
            Rejection::NotAnObject => 1,
            Rejection::TooLarge { .. } => 2,
            Rejection::UnknownType => 3,
            Rejection::ContradictingType => 4,
            Rejection::NoEventName => 5,
            Rejection::BadTime { .. } => 6,
            Rejection::NoTime => 7,
            Rejection::NoIdentifier => 8,
            Rejection::TooManyIdentifiers { .. } => 9,
            Rejection::IdentifierTooLong { .. } => 10,
            Rejection::IdentifierTypeTooLong => 11,
            Rejection::MessageIdTooLong => 12,
            Rejection::TooManyAttributes => 13,
            Rejection::AttributeNameTooLong => 14,
            Rejection::BadRow(_) => 15,
            Rejection::BeforeEpoch { .. } => 16,
            Rejection::InTheFuture { .. } => 17,
            Rejection::TooManyNames { kind: NameKind::Event, .. } => 18,
            Rejection::TooManyNames { kind: NameKind::Attribute, .. } => 19,
            Rejection::TooManyNames { kind: NameKind::IdentifierType, .. } => 20,
        }
    }

    /// The stable code of this rejection.
    pub fn code(&self) -> &'static str {
        Self::CODES[self.index()]
    }
}

impl From<serde_json::Error> for Rejection {
    /// Messages of serde_json about syntax are fixed texts with a position: they do not repeat what was sent.
    fn from(error: serde_json::Error) -> Self {
        Rejection::NotJson(error.to_string())
    }
}
