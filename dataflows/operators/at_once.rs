//! `AtOnce`: how much of what is due, or of a large tick, is worked off at a time.

use std::cell::Cell;
use std::rc::Rc;

/// How many times as much may be let through when time has gone on as when it has not since.
pub const AT_FIRST: usize = 2;

/// So many updates, about. It can be changed while the dataflow runs, and what comes out does not depend on it.
///
/// With many at a time there is less to do in all. With few, the worker sooner looks at what else there is to do.
///
/// ```
/// use std::sync::mpsc;
///
/// use dataflows::batches::arrange_by_key;
/// use dataflows::model::Tick;
/// use dataflows::operators::{AtOnce, rows};
/// use differential_dataflow::input::InputSession;
///
/// timely::execute_directly(|worker| {
///     let (tell, told) = mpsc::channel();
///     let mut numbers = InputSession::new();
///     let at_once = AtOnce::new(10);
///     worker.dataflow::<Tick, _, _>(|scope| {
///         let numbers = arrange_by_key(numbers.to_collection(scope), "Numbers");
///         let all = rows(&numbers, "All", at_once.clone(), |_: &u64, number: &u64| [*number]);
///         all.inspect(move |update: &(u64, Tick, i64)| tell.send(*update).expect("it is counted"));
///     });
///     (0..100).for_each(|number| numbers.update((0, number), 1));
///     drop(numbers);
///     let mut counts = (0..5).map(|step| {
///         if step == 4 {
///             at_once.set(1_000);
///         }
///         worker.step();
///         told.try_iter().count()
///     });
///     assert!(counts.by_ref().take(4).all(|count| count <= at_once.at_first()), "twenty, the first time");
///     assert!(counts.next() > Some(20), "all the rest");
/// });
/// ```
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

    /// How many are let through when time has gone on, before it is waited until any are worked off. So it is how many an operator
    /// behind that works off, too: with fewer it would need several times for what comes in one go.
    pub fn at_first(&self) -> usize {
        self.get().saturating_mul(AT_FIRST)
    }

    /// So many from now on, at least one; for all operators that have this, or a clone of it.
    pub fn set(&self, updates: usize) {
        self.0.set(updates.max(1));
    }
}
