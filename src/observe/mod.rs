//! What the engine shows of itself: latency histograms, metrics, and what goes on inside the dataflow.

pub mod hlog;
pub mod introspection;
pub mod latency;
pub mod logging;
pub mod metrics;
pub mod seldom;
