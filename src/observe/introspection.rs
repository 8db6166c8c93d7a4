//! Seeing inside the dataflow of a running engine: which operator takes how long, and what is held where.
//!
//! Each worker sums up what timely (`tally`) and differential log on its thread, and shows the sum four times a second
//! (`watcher`); who asks (`routes`) gets what was shown last, so that no question keeps a worker from its work.
//!
//! `figures.rs`: what is shown, and the form that it has as JSON. `dot.rs`: the same as a graph for Graphviz.

mod dot;
mod figures;
mod routes;
mod tally;
mod watcher;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dataflows::model::Tick;
use parking_lot::Mutex;

pub use dot::dot;
pub use figures::{Arrangement, Channel, Figures, MemoryHolder, Operator, Report, StageProgress};
pub use routes::router;
pub use watcher::Watcher;

/// The time over which ticks are counted, to say how many there are a second.
const RATE_OVER: Duration = Duration::from_secs(1);

/// What the workers of this process show.
#[derive(Debug)]
pub struct Introspection {
    /// Whether the dataflow is logged. It costs a little (docs/benchmarks/method.md).
    is_logged: bool,
    started: Instant,
    workers: Vec<Mutex<Figures>>,
    input: AtomicU64,
    ticks: AtomicU64,
    rate: Mutex<TickRate>,
}

/// How many ticks a second.
#[derive(Debug)]
struct TickRate {
    since: Instant,
    ticks: u64,
    per_s: f64,
}

impl Introspection {
    /// For so many workers.
    pub fn new(workers: usize, is_logged: bool) -> Arc<Self> {
        let started = Instant::now();
        Arc::new(Introspection {
            is_logged,
            started,
            workers: (0..workers).map(|_| Mutex::default()).collect(),
            input: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
            rate: Mutex::new(TickRate { since: started, ticks: 0, per_s: 0.0 }),
        })
    }

    /// Whether the dataflow is logged.
    pub fn is_logged(&self) -> bool {
        self.is_logged
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// What one worker has shown last, or all of them together; nothing where there is no such worker.
    pub fn figures(&self, worker: Option<usize>) -> Option<Figures> {
        let of_one = |shown: &Mutex<Figures>| shown.lock().clone();
        match worker {
            Some(worker) => self.workers.get(worker).map(of_one),
            None => Some(self.workers.iter().map(of_one).sum()),
        }
    }

    /// What the arrangements of all workers have allocated; nothing where the dataflow is not logged.
    pub fn arrangement_bytes(&self) -> Option<u64> {
        let of_one = |shown: &Mutex<Figures>| {
            let shown = shown.lock();
            shown.operators.iter().filter_map(|operator| operator.arrangement).map(|held| held.bytes).sum::<u64>()
        };
        self.is_logged.then(|| self.workers.iter().map(of_one).sum())
    }

    /// Everything before this tick was handed to the workers: it is in the log.
    pub fn input(&self) -> Tick {
        Tick::from_ms(self.input.load(Ordering::Relaxed))
    }

    /// Ticks with events since the start.
    pub fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    /// Ticks with events a second, over the latest second or so.
    pub fn ticks_per_s(&self) -> f64 {
        self.rate.lock().per_s
    }

    fn show(&self, worker: usize, figures: Figures) {
        // Whoever panicked with one of these left it whole: both are assigned to as a whole.
        *self.workers[worker].lock() = figures;
        let mut rate = self.rate.lock();
        let over = rate.since.elapsed();
        if over >= RATE_OVER {
            let ticks = self.ticks();
            let per_s = (ticks - rate.ticks) as f64 / over.as_secs_f64();
            *rate = TickRate { since: Instant::now(), ticks, per_s };
        }
    }
}
