//! What is known of the people of one lane.

use std::collections::VecDeque;
use std::time::Instant;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Cause;
use crate::load::body::{LaneIdentifier, LaneNames};
use crate::load::model::Model;

/// A row: an identifier in an audience.
pub(super) type LaneKey = (LaneIdentifier, usize);

/// A change that the model has said.
#[derive(Debug)]
pub(super) struct ExpectedChange {
    /// The ticks that it may come from; one, where the answer was clear.
    pub ticks: (u64, u64),
    pub enters: bool,
    pub step: usize,
    pub cause: Option<Cause>,
}

/// A row.
#[derive(Debug, Default)]
pub(super) struct LaneRow {
    /// Whether the receiver has it, by the calls alone.
    pub present: bool,
    pub expected: VecDeque<ExpectedChange>,
}

/// A change of a row that has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowArrival {
    pub key: LaneKey,
    pub enters: bool,
    pub as_of: u64,
    pub at: Instant,
}

/// A lane.
#[derive(Debug)]
pub(super) struct LaneJudge {
    pub model: Model,
    /// The model has taken in everything up to this tick.
    pub done_to: u64,
    pub rows: FxHashMap<LaneKey, LaneRow>,
    /// Rows of which something is expected.
    pub open: FxHashSet<LaneKey>,
    /// What came before the model was there: the call can be faster than the answer to the sender.
    pub early: Vec<RowArrival>,
}

impl LaneJudge {
    /// One of which nothing is known yet.
    pub fn new(names: LaneNames, number: u32) -> Self {
        LaneJudge {
            model: Model::new(names, number),
            done_to: 0,
            rows: FxHashMap::default(),
            open: FxHashSet::default(),
            early: Vec::new(),
        }
    }
}
