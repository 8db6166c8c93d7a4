//! Deltaic: a real-time customer data platform engine.

pub mod access;
pub mod engine;
#[cfg(test)]
mod example;
pub mod http;
pub mod identifiers;
pub mod ingest;
pub mod limits;
pub mod observe;
pub mod project;
