//! `firings`: what triggers fire.

use differential_dataflow::VecCollection;
use serde::{Deserialize, Serialize};

use super::{Collections, Relation, Subscribe, in_the_list};
use crate::crossings::crossings;
use crate::definitions::TriggerId;
use crate::layout::Layout;
use crate::model::{Derived, EventOrder, Firing, Position, Tick};
use crate::operators::rows;

/// What triggers fire, from the tick at which that is decided until it is in the log.
#[derive(Debug)]
pub enum Firings {}

/// What is said of a firing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FiringChange {
    /// It was decided at this tick, and is to be written to the log.
    Fires(Box<Firing>),
    /// What is to be decided at this tick, by a process that took in its last event, waits for such a record.
    Waits(TriggerId, Tick, u16),
    /// It was written there, at this place, and is not to be sent.
    Refused(TriggerId, Position),
    /// It would have fired for what has this last event, had it not fired so often.
    Limited(TriggerId, EventOrder),
}

impl Relation for Firings {
    const NAME: &'static str = "firings";
    type Key = FiringChange;
    type Row = ();
}

impl Subscribe for Firings {
    type Change = FiringChange;

    fn changes<'scope>(of: &Collections<'scope>) -> VecCollection<'scope, Tick, FiringChange, i64> {
        let decided = rows(&of.derived, "Firings", of.at_once.clone(), |_, derived| match derived {
            Derived::Fires(firing) => Some(FiringChange::Fires(firing.clone())),
            Derived::Waits(of) => Some(FiringChange::Waits(of.0, of.1, of.2)),
            Derived::Refused(of) => Some(FiringChange::Refused(of.0, of.1)),
            Derived::Limited(of) => Some(FiringChange::Limited(of.0, of.1)),
            _ => None,
        });
        if !of.has_crossings {
            return decided;
        }
        let crossed = crossings(&of.derived, of.at_once.clone());
        decided.concat(crossed.map(|firing| FiringChange::Fires(Box::new(firing))))
    }

    /// At the process that took in the last event, or has the record.
    fn host(change: &FiringChange, layout: &Layout) -> u64 {
        let process = match change {
            FiringChange::Fires(firing) => firing.span.last.position.process,
            FiringChange::Refused(_, position) => position.process,
            FiringChange::Limited(_, last) => last.position.process,
            FiringChange::Waits(_, _, process) => *process,
        };
        (usize::from(process) % layout.processes * layout.threads) as u64
    }

    in_the_list!(Subscribe, Firings);
}
