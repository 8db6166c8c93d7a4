//! `AtOnce`: how much of what is due, or of a large tick, is worked off at a time.

use std::cell::Cell;
use std::rc::Rc;

/// So many updates, about. It can be changed while the dataflow runs, and what comes out does not depend on it.
///
/// With many at a time there is less to do in all. With few, the worker sooner looks at what else there is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtOnce(Rc<Cell<usize>>);

impl AtOnce {
    /// So many, at least one.
    pub fn new(updates: usize) -> Self {
        AtOnce(Rc::new(Cell::new(updates.max(1))))
    }

    /// As many as there are.
    pub fn all() -> Self {
        AtOnce::new(usize::MAX)
    }

    /// How many that is.
    pub fn get(&self) -> usize {
        self.0.get()
    }

    /// How many an operator works off that comes behind the one that lets so many through: more, or each time that it falls behind it
    /// would stay there, and those behind it would wait for it.
    pub fn behind(&self) -> usize {
        self.get().saturating_mul(2)
    }

    /// So many from now on, at least one; for all operators that have this, or a clone of it.
    pub fn set(&self, updates: usize) {
        self.0.set(updates.max(1));
    }
}
