//! What the processes of a cluster know of each other, beside the work that they share.
//!
//! - `greeting.rs`: what is said first on each connection; `proof.rs`: that both ends may say it; `introduction.rs`: who is there, and
//!   what keeps two processes from working together.
//! - `members.rs`: who is there, and how far; `pulse.rs`: the connections over which they say so all the time, in beats (`beat.rs`).
//!   `routes.rs` shows it.
//!
//! The connections themselves are made by `engine/mesh.rs`.

mod awaited;
mod beat;
pub mod greeting;
mod introduction;
mod members;
mod proof;
mod pulse;
mod routes;

pub use awaited::Awaited;
pub use introduction::{IntroducedPeer, Introduction, differences};
pub use members::{ClusterMember, ClusterMembers, MemberState};
pub use proof::nonce;
pub use pulse::{Frontier, Late, Pulse, Speaker};
pub use routes::router;
