//! Deltaic: a real-time customer data platform engine.

pub mod egress;
pub mod engine;
pub mod limits;
pub mod log;
pub mod observe;
pub mod project;
pub mod receive;
