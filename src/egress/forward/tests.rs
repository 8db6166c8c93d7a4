//! Queues in memory and in a data folder, and delivery over real sockets.

mod delivered;
mod queued;
mod rechecked;
