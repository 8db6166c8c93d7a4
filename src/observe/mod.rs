//! What the engine shows of itself: latency histograms and metrics.

pub mod hlog;
pub mod latency;
pub mod metrics;
