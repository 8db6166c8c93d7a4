//! The few operators that differential lacks.

mod deliver;
mod fold;
mod join;
mod past;
mod reduce_changes;
mod rekey;
mod release;
mod side;
mod states;
pub(crate) mod visits;
mod waiting;

pub use deliver::{Receiver, deliver};
pub use fold::{Fact, Slot, fold};
pub use join::join;
pub use past::Past;
pub use reduce_changes::reduce_changes;
pub use rekey::rekey;
pub use release::release;
pub(crate) use waiting::Waiting;
