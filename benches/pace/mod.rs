//! Moments at equal distances, for open loops: what is due at one is started then, whatever became of what was due before.
//!
//! From a thread of its own, since timers of tokio have a grain of 1 ms, which would be in every latency that counts from the
//! due time. A sleep of the system is exact to some 60 µs (Linux lets a timer be 50 µs late), and costs no CPU. How late the
//! starts were all the same is measured and told.

#![allow(dead_code, reason = "each bench is a crate of its own and uses a part of this")]

use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::latencies::BenchLatencies;

/// At each of `times` moments, `every` apart, `start` is given the moment and what `prepare` has made for it before. Both run
/// in the context of the runtime, and must not block. Gives how late the starts were.
pub async fn paced<T>(
    every: Duration,
    times: u64,
    mut prepare: impl FnMut(u64) -> T + Send + 'static,
    mut start: impl FnMut(Instant, T) + Send + 'static,
) -> BenchLatencies {
    let runtime = Handle::current();
    let (done, late) = tokio::sync::oneshot::channel();
    let on_time = move || {
        let _context = runtime.enter();
        let mut lateness = BenchLatencies::default();
        let mut prepared = prepare(0);
        let began = Instant::now();
        for number in 0..times {
            let due = began + Duration::from_nanos((every.as_nanos() as u64).saturating_mul(number));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            lateness.record(due.elapsed());
            start(due, prepared);
            prepared = prepare(number + 1);
        }
        _ = done.send(lateness);
    };
    std::thread::Builder::new().name("pace".to_owned()).spawn(on_time).expect("there is room for a thread");
    late.await.expect("the thread does not panic")
}
