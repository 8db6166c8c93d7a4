//! All integration tests in one binary: it links once, and its modules share what they need.

// `allow-unwrap-in-tests` knows functions that are tests, not what they share.
#![allow(clippy::unwrap_used)]

mod addresses;
mod appended;
mod book;
mod browsers;
#[cfg(feature = "s3")]
mod bucket;
mod catalogue;
mod cdnow;
mod check;
mod clock;
mod cluster;
mod comparison;
mod conflicts;
mod connectors;
mod consent;
mod corpus;
mod crash;
mod damage;
mod destinations;
mod docs;
mod durability;
mod faults;
mod features;
mod format;
mod forwards;
mod full_disk;
mod histories;
mod history;
mod hostile;
mod identity_key;
mod integrations;
mod introspection;
mod keys;
#[cfg(feature = "load")]
mod lists;
mod load;
mod logging;
mod manual;
mod members;
mod names;
mod now;
mod oracle;
mod order;
mod overload;
mod preview;
mod program;
mod promlint;
mod quarantine;
mod reads;
mod recipes;
mod reference;
mod reload;
mod replay;
mod rewind;
mod segment_client;
mod sequences;
mod server;
mod sessions;
mod tidy;
mod tree;
mod triggers;
mod who;
