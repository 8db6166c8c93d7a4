//! The pure dataflows of Deltaic.
#![forbid(missing_docs)]

pub mod definitions;
pub mod expression;
pub mod limits;
pub mod model;
