//! What a worker does so that others can see inside: it listens to its own logs, and shows the sum from time to time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dataflows::arrangements::{Arrangements, Ledger};
use dataflows::model::Tick;
use dataflows::observations::Arrival;
use timely::logging::TimelyEventBuilder;
use timely::worker::Worker;

use super::Introspection;
use super::tally::Tally;

/// How often a worker shows its figures: often enough for people who watch. It takes some tens of microseconds.
const SHOW_EVERY: Duration = Duration::from_millis(250);

/// Watches one worker, on its own thread.
pub struct Watcher {
    introspection: Arc<Introspection>,
    /// The worker, counted within the process.
    worker: usize,
    logs: Option<(Rc<RefCell<Tally>>, Ledger)>,
    arrangements: Arrangements,
    latest: Option<Tick>,
    shown: Instant,
}

impl Watcher {
    /// Begins before the dataflow is built, so that it hears of all operators.
    pub fn start(introspection: Arc<Introspection>, worker: &Worker, local: usize) -> Self {
        let logs = introspection.is_logged().then(|| (listen(worker), Ledger::listen(worker)));
        let arrangements = Arrangements::default();
        Watcher { introspection, worker: local, logs, arrangements, latest: None, shown: Instant::now() }
    }

    /// The worker, counted within the process.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// Learns of the arrangements.
    pub fn holds(&mut self, arrangements: Arrangements) {
        if self.logs.is_some() {
            self.arrangements = arrangements;
        }
    }

    /// Sees what arrives. The first worker gets a part of each tick.
    pub fn arrivals(&mut self, arrivals: &[(Tick, Arrival)]) {
        if self.worker == 0 {
            let mut ticks = 0;
            for (tick, _) in arrivals {
                if self.latest != Some(*tick) {
                    ticks += 1;
                    self.latest = Some(*tick);
                }
            }
            self.introspection.ticks.fetch_add(ticks, Ordering::Relaxed);
        }
    }

    /// Sees that everything before `tick` is there.
    pub fn advance(&mut self, tick: Tick) {
        self.introspection.input.fetch_max(tick.as_ms(), Ordering::Relaxed);
    }

    /// Shows the figures, if it is time.
    pub fn show_if_due(&mut self) {
        if self.shown.elapsed() >= SHOW_EVERY {
            self.show();
        }
    }

    /// Shows the figures.
    pub fn show(&mut self) {
        self.shown = Instant::now();
        let figures = self.logs.as_ref().map(|(tally, ledger)| {
            tally.borrow().figures(self.introspection.started.elapsed(), &self.arrangements.holdings(ledger))
        });
        self.introspection.show(self.worker, figures.unwrap_or_default());
    }
}

/// Sums up what timely logs on this worker from now on.
fn listen(worker: &Worker) -> Rc<RefCell<Tally>> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    // A worker without a clock has no logs, and nothing to tell; ours have one.
    if let Some(mut register) = worker.log_register() {
        let tally = tally.clone();
        register.insert::<TimelyEventBuilder, _>("timely", move |_, events| {
            let mut tally = tally.borrow_mut();
            events.iter_mut().flat_map(|events| events.drain(..)).for_each(|(at, event)| tally.take_in(at, event));
        });
    }
    tally
}
