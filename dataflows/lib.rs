//! The pure dataflows of Deltaic: functions from collections to collections.
//!
//! # Invariants
//!
//! - **Pure.** No I/O, no clock, no randomness, no threads: `Cargo.toml` lists nothing that could. Time comes in as ticks,
//!   randomness (the key of the identifier hash) as data.
//! - **Deterministic.** The same events at the same ticks give the same outputs at the same ticks, for any number of workers
//!   and however the input is cut into physical batches. So the order of events is data ([`model::Position`]): of equal times
//!   the later in the log wins. In which order rows of a tick reach an operator does not matter, and sums are integers.
//! - **Incremental equals from scratch.** At every tick each collection equals a plain recomputation over all input so far.
//! - **Wrong data becomes rows, or is missing; it never panics.**
//!
//! # Map
//!
//! [`graph`] puts the stages together: [`observations`] → [`records`], [`values`], [`identity`] → [`profiles`] → [`aliases`] →
//! [`traits`] → [`audiences`]. [`relations`] are what the outside sees of them, [`reads`] the way that its questions take. Each stage is a file and imports no later one; [`model`] has the records that
//! flow, [`definitions`] and [`expression`] what is to be maintained, [`operators`] what differential lacks, [`batches`] how
//! arrangements are merged, [`primary`] the rule of whom an event is about, [`consent`] that of whose a decision is, [`forwards`] which events go on to destinations and with what, [`arrangements`] what the
//! arrangements take up.
//!
//! # Deliberately absent
//!
//! No trait objects between stages, no configuration beyond [`definitions::Definitions`], no notion of HTTP, files or
//! destinations' kinds: that is the business of the crate `deltaic`.
#![forbid(missing_docs)]

pub mod aliases;
pub mod arrangements;
pub mod audiences;
pub mod batches;
pub mod blocked;
pub mod calendar;
pub mod consent;
pub mod counted;
pub mod crossings;
pub mod definitions;
pub mod expression;
pub mod facts;
pub mod forwards;
pub mod graph;
pub mod identity;
pub mod layout;
pub mod limits;
pub mod model;
pub mod observations;
pub mod observer;
pub mod operators;
pub mod primary;
pub mod profiles;
pub mod reads;
pub mod records;
pub mod relations;
pub mod signature;
pub mod traits;
pub mod values;
