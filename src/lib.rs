//! Deltaic, a real-time customer data platform engine, as a library: everything that touches the world.
//!
//! The way of an event: [`ingest`] parses it, [`engine`] gives it its tick, puts it into the [`log`] and feeds the workers,
//! which run the pure `dataflows`; what is complete goes to [`egress`], and is read through [`access`]. [`serve`] puts these
//! together for `deltaic run`, [`replay`] only the part that history needs.
//!
//! # Rules
//!
//! - **Ingest, access and egress do not know each other.** `ingest`, `access` and `egress` see the engine's [`engine::Handle`] and sinks, and
//!   meet in [`serve`] alone, and in the list of [`connectors`].
//! - **What is random, slow or fails is behind a trait or a function**: the time ([`clock::Now`]), the log ([`log::Log`]), the
//!   outbox ([`egress::outbox::Outbox`]), the memory in use ([`memory::Resident`]). Each has a twin in memory, so that an engine runs in a test with a clock of its own.
//! - **Everything that comes from outside is hostile**: [`limits`] has a limit for it, with the reason for its value.
//! - **Personal data stays out of logs and errors**: they show hashes, counts and codes.
//!
//! # Deliberately absent
//!
//! No state outside the dataflow that a read could be answered from, no cache, and no second path for events: replay, recovery
//! and live input are the same dataflow.

pub mod access;
pub mod admin;
pub mod catalogue;
pub mod clock;
pub mod cluster;
pub mod connectors;
pub mod dedupe;
pub mod egress;
pub mod ending;
pub mod engine;
#[cfg(test)]
mod example;
mod faults;
pub mod features;
#[cfg(feature = "load")]
pub mod hist;
pub mod history;
pub mod http;
pub mod identifiers;
pub mod ingest;
pub mod json;
pub mod limits;
#[cfg(feature = "load")]
pub mod load;
pub mod log;
pub mod memory;
pub mod observe;
pub mod output;
pub mod owners;
pub mod project;
pub mod receive;
pub mod replay;
pub mod sample;
pub mod serve;
pub mod triggers;

pub use dataflows::{model, relations};

/// Compiles and runs what the guide shows.
#[cfg(doctest)]
#[doc = include_str!("../docs/guides/use-as-a-library.md")]
struct LibraryGuide;
