//! All integration tests in one binary: it links once, and its modules share what they need.

// `allow-unwrap-in-tests` knows functions that are tests, not what they share.
#![allow(clippy::unwrap_used)]

mod cdnow;
mod cluster;
mod comparison;
mod crash;
mod durability;
mod histories;
mod oracle;
mod overload;
mod program;
mod reads;
mod replay;
mod segment_client;
mod server;
