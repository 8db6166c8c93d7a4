//! The engine: workers, ticks, frontiers, reads.

mod handle;

pub use handle::{Accepted, Answered, Ask, AskError, Handle, Progress, Receipt, Submission, SubmitError};
