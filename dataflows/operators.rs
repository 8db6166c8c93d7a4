//! The few operators that differential lacks.

mod deliver;
mod fold;
mod join;
mod reduce_changes;
mod rekey;
mod release;
mod states;
mod waiting;

pub use deliver::{Receiver, deliver};
pub use fold::{Fact, Slot, fold};
pub use join::join;
pub use reduce_changes::{Past, reduce_changes};
pub use rekey::rekey;
pub use release::release;
