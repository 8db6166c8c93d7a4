//! Reads over HTTP: profiles, audiences, members. Every answer says `as_of`, the tick at which it is true.
//!
//! `?after=<token>` waits until that tick is complete, `wait_ms` at most: so a sender reads what it wrote. Reads are allowed
//! to whoever has a read token of the project, which no write key is.
//!
//! Deliberately absent: listing of all profiles, and search by anything but an identifier.

mod conflicts;
mod members;
mod routes;
#[cfg(test)]
mod tests;
mod wait;

pub use routes::router;
