//! What the engine shows of itself: latency histograms and metrics.

pub mod latency;
