//! The few operators that differential lacks.

mod deliver;
mod fold;
mod release;

pub use deliver::{Receiver, deliver};
pub use fold::fold;
pub use release::release;
