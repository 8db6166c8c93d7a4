//! The few operators that differential lacks.

mod deliver;
mod fold;
mod reduce_changes;
mod release;
mod waiting;

pub use deliver::{Receiver, deliver};
pub use fold::fold;
pub use reduce_changes::{Past, reduce_changes};
pub use release::release;
pub(crate) use waiting::Waiting;
