//! The few operators that differential lacks.

mod deliver;
mod fold;
mod release;
mod states;
mod waiting;

pub use deliver::{Receiver, deliver};
pub use fold::{Slot, fold};
pub use release::release;
pub(crate) use waiting::Waiting;
