//! What the judge is told, and what it says.

use std::time::Instant;

use crate::load::stream::LoadEvent;

/// Which batch something was caused by.
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    /// When the batch was due.
    pub due: Instant,
    /// The place of its step.
    pub step: usize,
    /// Whether its latency counts: not in the warm-up.
    pub counts: bool,
}

/// A batch that was acknowledged.
#[derive(Debug)]
pub struct Acked {
    /// Where it was sent.
    pub lane: u32,
    /// What was sent.
    pub events: Vec<LoadEvent>,
    /// The earliest tick that it can have: that of the answer, unless an attempt before had no clear answer.
    pub earliest: u64,
    /// The tick of the answer.
    pub tick: u64,
    /// Which batch.
    pub cause: Cause,
}

/// How many changes there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeCounts {
    /// The model expects them.
    pub expected: u64,
    /// They came.
    pub received: u64,
    /// They stayed away in pairs, as they may.
    pub cancelled: u64,
    /// They did not come.
    pub missing: u64,
    /// They came and were not expected.
    pub extra: u64,
    /// They came, but too late.
    pub late: u64,
}

/// How many messages of a trigger there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// The model expects them.
    pub expected: u64,
    /// They came.
    pub received: u64,
    /// They did not come.
    pub missing: u64,
    /// They came and were not expected, or twice.
    pub extra: u64,
    /// They came, but with something else in them.
    pub wrong: u64,
    /// They came, but too late.
    pub late: u64,
    /// Whether they have to come cannot be known.
    pub unclear: u64,
}

impl MessageCounts {
    /// Those of two triggers together.
    pub fn and(self, other: Self) -> Self {
        MessageCounts {
            expected: self.expected + other.expected,
            received: self.received + other.received,
            missing: self.missing + other.missing,
            extra: self.extra + other.extra,
            wrong: self.wrong + other.wrong,
            late: self.late + other.late,
            unclear: self.unclear + other.unclear,
        }
    }

    /// Messages that were not as they should be.
    pub fn failed(&self) -> u64 {
        self.missing + self.extra + self.wrong + self.late
    }
}

impl ChangeCounts {
    /// Changes that were wrong.
    pub fn wrong(&self) -> u64 {
        self.missing + self.extra + self.late
    }
}

/// How the final states compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FinalComparison {
    /// Rows that the model has.
    pub members: u64,
    /// Rows that only one of the two has.
    pub different: u64,
}
