//! How the workers are spread over processes.

use std::sync::Arc;

/// How the workers are spread over processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Processes.
    pub processes: usize,
    /// Workers of each.
    pub threads: usize,
    /// By destination: the process that tells it what changes. Where it is not said, the first.
    pub tellers: Arc<[usize]>,
}

impl Layout {
    /// So many workers in one process.
    pub fn local(threads: usize) -> Self {
        Layout { processes: 1, threads, tellers: Arc::from([]) }
    }

    /// The worker at which the rows of a destination arrive. Which process it is in must not depend on the number of its
    /// workers: what the destination acknowledged is kept there.
    pub fn host(&self, destination: usize) -> u64 {
        (self.tellers.get(destination).copied().unwrap_or_default() * self.threads) as u64
    }
}
