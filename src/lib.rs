//! Deltaic: a real-time customer data platform engine.

pub mod access;
pub mod clock;
pub mod egress;
pub mod engine;
#[cfg(test)]
mod example;
pub mod http;
pub mod identifiers;
pub mod ingest;
pub mod json;
pub mod limits;
pub mod log;
pub mod observe;
pub mod project;
pub mod receive;
pub mod replay;
pub mod serve;
