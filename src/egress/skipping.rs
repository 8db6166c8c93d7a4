//! Calls that fail again and again are given up where an operator wishes it: one that a receiver cannot take holds up all behind it.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// Wishes of operators for one destination, and the calls that they may be about.
#[derive(Debug)]
pub struct Skipping {
    wishes: watch::Sender<u64>,
    failing: AtomicUsize,
}

impl Default for Skipping {
    fn default() -> Self {
        Skipping { wishes: watch::Sender::new(0), failing: AtomicUsize::new(0) }
    }
}

/// A call that is under way.
pub struct Watched<'a> {
    skipping: &'a Skipping,
    wishes: watch::Receiver<u64>,
    is_failing: bool,
}

impl Skipping {
    /// Watches over a call that begins.
    pub fn watch(&self) -> Watched<'_> {
        Watched { skipping: self, wishes: self.wishes.subscribe(), is_failing: false }
    }

    /// Calls that failed and are to be repeated are given up. Says how many there are.
    pub fn wish(&self) -> usize {
        let failing = self.failing.load(Ordering::Acquire);
        if failing > 0 {
            self.wishes.send_modify(|wishes| *wishes += 1);
        }
        failing
    }
}

impl Watched<'_> {
    /// The call failed. Waits until somebody wishes that it is given up, since it began.
    pub async fn wished(&mut self) {
        if !std::mem::replace(&mut self.is_failing, true) {
            self.skipping.failing.fetch_add(1, Ordering::AcqRel);
        }
        if self.wishes.changed().await.is_err() {
            // Nobody can wish anything any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if self.is_failing {
            self.skipping.failing.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
