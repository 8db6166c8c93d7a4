//! What HTTP routes (of ingest, access) have in common: the server, tokens, the form of errors.

mod admission;
mod answer;
mod cors;
mod peer;
mod problem;
mod role;
mod server;
#[cfg(test)]
pub(crate) mod testing;
mod tokens;

pub use admission::{Admission, Admitted};
pub use answer::json;
pub use cors::browsers;
pub use peer::{Peer, TrustedProxies};
pub use problem::{Problem, method_not_allowed, not_found};
pub use role::Role;
pub use server::{Routes, Timeouts, serve};
pub use tokens::{Tokens, sent_token};
