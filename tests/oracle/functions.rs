//! Functions over values, as docs/reference/expressions.md has them.

use dataflows::expression::{Expression, Function};
use dataflows::model::Value;

/// The value of a function.
pub fn called<T>(
    function: &Function,
    arguments: &[Expression<T>],
    lookup: &dyn Fn(&T) -> Option<Value>,
) -> Option<Value> {
    let _ = (arguments, lookup);
    panic!("{function} is not known yet")
}
