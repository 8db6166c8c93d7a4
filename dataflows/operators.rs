//! The few operators that differential lacks.

mod deliver;
mod fold;
mod join;
mod release;
mod waiting;

pub use deliver::{Receiver, deliver};
pub use fold::fold;
pub use join::join;
pub use release::release;
pub(crate) use waiting::Waiting;
