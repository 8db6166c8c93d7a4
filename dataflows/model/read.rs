//! Questions to the maintained collections, and answers.
//!
//! A query flows through the dataflow like an event, at a tick, and is answered from the arrangements *as of* that tick; or at once,
//! as of an earlier one that is complete.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{IdentifierId, ProfileId, Record, Text, Tick, Value};
use crate::definitions::{AudienceId, TraitId};
use crate::limits::Limit;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Query {
    /// The asker's number for it, given back in the answer.
    pub id: u64,
    /// The worker that gets the answer.
    pub asker: usize,
    /// The tick to answer as of, where it is complete; else that at which it is put.
    pub as_of: Option<Tick>,
    /// The time of ticks as if none had been jumped over, where that is known: it says how long lists have been kept.
    pub passed: Option<Tick>,
    /// What is asked.
    pub question: Question,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Question {
    /// The profile that an identifier belongs to. One worker answers.
    Profile(IdentifierId),
    /// Whose persons consent to a purpose: each identifier is answered for by one worker.
    Consents {
        /// The purpose.
        purpose: CompactString,
        /// An identifier of each person, at least one.
        of: Vec<IdentifierId>,
    },
    /// The size of every audience. Each worker answers for its share; the sizes add up.
    Sizes,
    /// The size of every audience, and how many members it has in a part of all profiles. Each worker answers for its share.
    Audit(u8),
    /// Members of an audience, in the order of their profile ids. Each worker answers for its share.
    Members {
        /// Which audience.
        audience: AudienceId,
        /// The tick of the list, of which this is another page: that of the answer to the first one, which has none.
        as_of: Option<Tick>,
        /// Only profiles after this one.
        after: Option<ProfileId>,
        /// At most this many.
        limit: usize,
    },
    /// Identifiers at a limit of identity, so many of each limit at most. Each worker answers for its share.
    AtLimits(usize),
    /// Profiles, in the order of their ids. Each worker answers for its share.
    Profiles {
        /// Only profiles after this one.
        after: Option<ProfileId>,
        /// At most this many.
        limit: usize,
    },
}

impl Question {
    /// How many answers it gets, which are one together; nothing where every worker answers for its share.
    pub fn answers(&self) -> Option<usize> {
        match self {
            Question::Profile(_) => Some(1),
            Question::Consents { of, .. } => Some(of.len()),
            Question::Sizes
            | Question::Audit(_)
            | Question::Members { .. }
            | Question::AtLimits(_)
            | Question::Profiles { .. } => None,
        }
    }
}

/// One worker's answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Answer {
    /// The asker's number of the question.
    pub id: u64,
    /// The worker that asked.
    pub asker: usize,
    /// The tick that it is as of, where it was asked for.
    pub as_of: Option<Tick>,
    /// What was found.
    pub found: Found,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Found {
    /// The profile, if the identifier is known.
    Profile(Option<Profile>),
    /// Those of the identifiers whose person consents; a person that is not known does not.
    Consents(Vec<IdentifierId>),
    /// Sizes of audiences, by id.
    Sizes(Vec<u64>),
    /// Sizes of audiences, and their members in the part that was asked for, counted one by one; by id.
    Audit(Vec<u64>, Vec<u64>),
    /// Profiles, sorted by id.
    Profiles(Vec<Profile>),
    /// Members, sorted by id.
    Members(Vec<Member>),
    /// Identifiers at a limit, sorted.
    AtLimits(Vec<(Limit, IdentifierId)>),
    /// The tick of the list is not kept any more: the answer to `Members`, too.
    Gone,
}

/// A member of an audience.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// The id of the profile.
    pub id: ProfileId,
    /// Its identifiers, `type:value`, sorted.
    pub identifiers: Vec<Text>,
}

/// All that is known of one person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Profile {
    /// Its id.
    pub id: ProfileId,
    /// Its identifiers, `type:value`, sorted.
    pub identifiers: Vec<Text>,
    /// Its attributes and consent.
    pub record: Record,
    /// Its traits, sorted by id.
    pub traits: Vec<(TraitId, Value)>,
    /// The audiences that it is in, sorted by id.
    pub audiences: Vec<AudienceId>,
}
