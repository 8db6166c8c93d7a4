//! All integration tests in one binary: it links once, and its modules share what they need.

mod cdnow;
mod cluster;
mod comparison;
mod histories;
mod oracle;
mod program;
mod reads;
mod segment_client;
mod server;
