//! Questions to relations, and answers.
//!
//! A query flows through the dataflow like an event, at a tick, and is answered from the arrangements *as of* that tick; or at once,
//! as of an earlier one that is complete.

use serde::{Deserialize, Serialize};

use super::{AnyLookUp, AnyPage, AnyRow, AnyScan};
use crate::model::Tick;

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
    /// Which of several keys is looked up, once they are on their way one by one.
    pub key: usize,
    /// What is asked.
    pub question: Question,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Question {
    /// What there is of these keys, at least one. Each has an answer of its own.
    LookUp(AnyLookUp),
    /// A slice of a relation. Each worker answers for its share.
    Scan(AnyScan),
}

impl Query {
    /// A question of worker `asker`, to be answered as of the tick at which it is put.
    pub fn new(id: u64, asker: usize, question: Question) -> Self {
        Query { id, asker, as_of: None, passed: None, key: 0, question }
    }
}

impl Question {
    /// How many answers it gets from so many workers.
    pub fn answers(&self, workers: usize) -> usize {
        match self {
            Question::LookUp(keys) => keys.answers(workers),
            Question::Scan(_) => workers,
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
    /// Which of several keys it is of.
    pub key: usize,
    /// What was found.
    pub found: Found,
}

/// What one worker found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Found {
    /// The row of a key, if there is one.
    Row(AnyRow),
    /// A slice.
    Page(AnyPage),
    /// The tick of the list is not kept any more.
    Gone,
}
