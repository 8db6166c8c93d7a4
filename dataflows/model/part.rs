//! The parts that a profile is made of, and what is derived from them.

use std::cmp::Ordering;
use std::sync::Arc;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{CrossingRow, EventOrder, Firing, Position, ProfileId, Record, SessionRun, Setting, Text, Tick, Value};
use crate::definitions::{AudienceId, DestinationId, MeasureId, TraitId, TriggerId};

/// A part of what is known of an identifier, and so of the profile that it belongs to.
///
/// Small and cheap to clone: it stands in an arrangement by identifier and in one by profile, and moves between profiles.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// The identifier itself, `type:value`.
    Identifier(Text),
    /// What it has set.
    Record(Record),
    /// How many events a measure has counted: the weight.
    Count(MeasureId),
    /// The sum of a measure: the weight, in millionths.
    Sum(MeasureId),
    /// A value that a measure has kept.
    Sample(MeasureId, Arc<Sample>),
    /// What an identifier did without a pause, as the session of a measure keeps it.
    Run(MeasureId, Arc<SessionRun>),
}

impl Part {
    /// The measure that it is of, if it is one's.
    pub fn measure(&self) -> Option<MeasureId> {
        match self {
            Part::Identifier(_) | Part::Record(_) => None,
            Part::Count(measure) | Part::Sum(measure) | Part::Sample(measure, _) | Part::Run(measure, _) => {
                Some(*measure)
            }
        }
    }
}

/// A value kept by a measure that is not a mere number.
///
/// Samples whose value is a number come after all others, then by time, position and value: where values are of several types,
/// `min`, `max`, `first` and `last` look at numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sample {
    /// The event's time for `first` and `last`; zero for all others, where equal values are one.
    pub at: Tick,
    /// Its place among events of that time, likewise.
    pub position: Position,
    /// The value.
    pub value: Value,
}

impl Sample {
    /// One of which equal values are one, whenever they were given.
    pub fn timeless(value: Value) -> Self {
        Sample { at: Tick::default(), position: Position::UNKNOWN, value }
    }

    /// Whether its value is a number.
    pub fn is_number(&self) -> bool {
        matches!(self.value, Value::Number(_))
    }
}

impl Ord for Sample {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |sample: &Sample| (sample.is_number(), sample.at, sample.position);
        rank(self).cmp(&rank(other)).then_with(|| self.value.cmp(&other.value))
    }
}

impl PartialOrd for Sample {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What follows from the parts of one profile. Two words wide: there are as many of these as there are memberships.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Derived {
    /// A trait is a number that a float is exactly: the one of these bits.
    Float(TraitId, u64),
    /// A trait has another value.
    Other(TraitId, Box<Value>),
    /// The profile is in an audience.
    Member(AudienceId),
    /// The profile is to be at a destination, as a member of an audience, like this.
    Desired(DestinationId, AudienceId, Arc<ProfilePayload>),
    /// A topic was last written so; of profiles with more than [`KEPT_FROM`](crate::limits::KEPT_FROM) records. Others are read record
    /// by record.
    Setting(Box<Setting>),
    /// The profile has as many events as the sequence of a measure looks at
    /// ([`SEQUENCE_EVENTS_MAX`](crate::limits::SEQUENCE_EVENTS_MAX)).
    AtLimit(MeasureId),
    /// It was decided, at the tick at which this comes, that a trigger fires. It goes once that is in the log.
    Fires(Box<Firing>),
    /// Something is to be decided for a trigger once what fires before it is in the log: by the trigger, when it was to be, and the process
    /// that took in its last event.
    Waits(Box<(TriggerId, Tick, u16)>),
    /// What was decided and stands in the log at this place is not to be sent: it came second.
    Refused(Box<(TriggerId, Position)>),
    /// A trigger would fire for an occurrence with this last event, had it not fired so often in the last minute.
    Limited(Box<(TriggerId, EventOrder)>),
    /// What tells whether somebody has entered an audience at a tick, or left it.
    Crossing(Box<CrossingRow>),
}

impl Derived {
    /// A trait has this value.
    pub fn of_trait(id: TraitId, value: &Value) -> Self {
        match value {
            Value::Number(number) if let Some(float) = number.as_float() => Derived::Float(id, float.to_bits()),
            other => Derived::Other(id, Box::new(other.clone())),
        }
    }
}

const _: () = assert!(size_of::<Derived>() == 16);

/// What a destination is to hold of one profile: only what it lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProfilePayload {
    /// Identifiers, `type:value`, sorted.
    pub identifiers: Vec<Text>,
    /// Traits and attributes by name, sorted.
    pub traits: Arc<Traits>,
}

/// Traits and attributes by name, sorted by it.
pub type Traits = Vec<(CompactString, Value)>;

/// One row of a destination's desired collection: who should be there, under which identifier, with which traits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Desired {
    /// The destination.
    pub destination: DestinationId,
    /// The audience.
    pub audience: AudienceId,
    /// The identifier, `type:value`.
    pub identifier: Text,
    /// The traits that the destination lists, sorted by name.
    pub traits: Arc<Traits>,
    /// The profile that the identifier belongs to: identifiers of one person may leave together, those of two may not.
    pub profile: ProfileId,
}
