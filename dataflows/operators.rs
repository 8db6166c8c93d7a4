//! The few operators that differential lacks.

mod arrange;
mod at_once;
mod deliver;
mod fold;
mod hand_on;
mod join;
mod loop_variable;
mod past;
mod reduce_changes;
mod rekey;
mod release;
mod rows;
mod runs;
mod side;
mod split;
mod states;
mod timers;
pub(crate) mod visits;
mod waiting;

pub use arrange::arrange;
pub use at_once::AtOnce;
pub use deliver::{ChangeReceiver, HandedOver, deliver};
pub use fold::{Fact, FoldSlot, fold};
pub use hand_on::hand_on;
pub use join::join;
pub use loop_variable::LoopVariable;
pub use past::Past;
pub use reduce_changes::reduce_changes;
pub use rekey::rekey;
pub use release::release;
pub use rows::rows;
pub use split::{Outlet, Split};
pub use timers::KeyTimers;
pub(crate) use waiting::WaitingRows;
