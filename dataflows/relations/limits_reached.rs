//! `limits_reached`: how many identifiers have as many of something as they may.

use differential_dataflow::VecCollection;

use super::{Collections, Relation, Subscribe, in_the_list};
use crate::limits::Limit;
use crate::model::Tick;

/// Limits, each as often as there are identifiers that have reached it.
#[derive(Debug)]
pub enum LimitsReached {}

impl Relation for LimitsReached {
    const NAME: &'static str = "limits_reached";
    type Key = Limit;
    type Row = ();
}

impl Subscribe for LimitsReached {
    type Change = Limit;

    fn changes<'scope>(of: &Collections<'scope>) -> VecCollection<'scope, Tick, Limit, i64> {
        of.limits.clone()
    }

    in_the_list!(Subscribe, LimitsReached);
}
