//! All integration tests in one binary: it links once, and its modules share what they need.

mod cdnow;
mod comparison;
mod durability;
mod histories;
mod oracle;
