//! What is known of the people of one lane.

use std::collections::VecDeque;
use std::time::Instant;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Cause;
use crate::load::body::{Identifier, Names};
use crate::load::model::Model;

/// A row: an identifier in an audience.
pub(super) type Key = (Identifier, usize);

/// A change that the model has said.
#[derive(Debug)]
pub(super) struct Expected {
    /// The ticks that it may come from; one, where the answer was clear.
    pub ticks: (u64, u64),
    pub enters: bool,
    pub step: usize,
    pub cause: Option<Cause>,
}

/// A row.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// Whether the receiver has it, by the calls alone.
    pub present: bool,
    pub expected: VecDeque<Expected>,
}

/// A change of a row that has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    pub key: Key,
    pub enters: bool,
    pub as_of: u64,
    pub at: Instant,
}

/// A lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub model: Model,
    /// The model has taken in everything up to this tick.
    pub done_to: u64,
    pub rows: FxHashMap<Key, Row>,
    /// Rows of which something is expected.
    pub open: FxHashSet<Key>,
    /// What came before the model was there: the call can be faster than the answer to the sender.
    pub early: Vec<Arrived>,
}

impl Lane {
    /// One of which nothing is known yet.
    pub fn new(names: Names, number: u32) -> Self {
        Lane {
            model: Model::new(names, number),
            done_to: 0,
            rows: FxHashMap::default(),
            open: FxHashSet::default(),
            early: Vec::new(),
        }
    }
}
