//! Syncs from time to time what is written beside the log: who writes there does not wait for the disk.
//!
//! What is not on the disk after a loss of power is found again from the log, and may be told a second time. This bounds how
//! much that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Store;
use crate::ending::vital;
use crate::faults;

/// How much may be told again after a loss of power: what was told in this time.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// A thread that syncs. It ends when this goes.
pub struct Syncer {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Begins.
    pub fn start(store: Store) -> std::io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = is_over.clone();
        let run = move || {
            vital("the thread that syncs the store", |()| until.load(Ordering::Acquire), || run(&store, &until))
        };
        let thread = thread::Builder::new().name("store sync".to_owned()).spawn(run)?;
        Ok(Syncer { is_over, thread: Some(thread) })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // What it had to say it has said in the log.
            _ = thread.join();
        }
    }
}

fn run(store: &Store, is_over: &AtomicBool) {
    let mut synced = 0;
    while !is_over.load(Ordering::Acquire) {
        thread::park_timeout(SYNC_EVERY);
        if faults::point("store sync") {
            return;
        }
        let written = store.writes();
        if written == synced {
            continue;
        }
        match store.sync() {
            Ok(()) => synced = written,
            // Whoever writes next finds out as well, and ends.
            Err(error) => tracing::error!(%error, "cannot sync what is stored"),
        }
    }
}
