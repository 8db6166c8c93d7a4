//! What something costs where nothing comes between.

use std::time::{Duration, Instant};

/// The best of many rounds, in nanoseconds by record.
pub fn best(records: usize, mut round: impl FnMut()) -> f64 {
    let (started, mut best) = (Instant::now(), Duration::MAX);
    while started.elapsed() < Duration::from_millis(300) {
        let began = Instant::now();
        round();
        best = best.min(began.elapsed());
    }
    best.as_nanos() as f64 / records as f64
}
