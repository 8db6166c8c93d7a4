//! The thread of low priority that looks after runs, beside the sequencer.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use dataflows::model::Tick;

use super::DedupeError;
use super::shared::{DedupeShared, DedupeState};
use crate::ending::vital;
use crate::faults;
use crate::limits::MESSAGE_LOT_IDS;

/// How often there is a look, where nobody hands over anything.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After a failure: the disk may be full, and somebody has to come.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The thread. It ends when this goes, in the midst of a merge if need be.
#[derive(Debug)]
pub struct Sealer {
    shared: Arc<DedupeShared>,
    thread: Option<JoinHandle<()>>,
}

impl Sealer {
    /// Begins.
    pub fn start(shared: Arc<DedupeShared>) -> Result<Self, DedupeError> {
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new().name("message ids".to_owned()).spawn(move || {
            // Of this thread alone. Where it may not be, it competes with the rest.
            _ = rustix::process::nice(19);
            vital("the thread of message ids", |()| of_thread.is_closed(), || run(&of_thread));
        });
        let folder = || shared.folder().list().to_owned();
        let thread = thread.map_err(|source| DedupeError::Io { folder: folder(), source })?;
        Ok(Sealer { shared, thread: Some(thread) })
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take() {
            // What it had to say it has said in the log.
            _ = thread.join();
        }
    }
}

fn run(shared: &DedupeShared) {
    while !shared.is_closed() {
        if faults::point("message ids") {
            return;
        }
        shared.make_table(MESSAGE_LOT_IDS);
        let worked = shared.work();
        let mut state = shared.locked();
        match worked {
            Ok(true) => {}
            Ok(false) => {
                if !shared.is_closed() && state.handed.gathered.is_empty() {
                    // Who looks in a run that is not listed any more does not say when he is done.
                    _ = shared.changed.wait_for(&mut state, LOOK_EVERY);
                }
            }
            Err(error) => {
                tracing::error!(%error, "message ids stay in memory: trying again in {} s", RETRY_AFTER.as_secs());
                state.has_failed = true;
                shared.changed.notify_all();
                // Who closes it says so.
                let closes = |_: &mut DedupeState| !shared.is_closed();
                _ = shared.changed.wait_while_for(&mut state, closes, RETRY_AFTER);
            }
        }
    }
}

/// Lets others wait for ids to be on the disk.
#[derive(Clone, Debug)]
pub struct SealWaiter(Arc<DedupeShared>);

impl SealWaiter {
    pub(super) fn new(shared: Arc<DedupeShared>) -> Self {
        SealWaiter(shared)
    }

    /// Asks for the ids up to `tick` to be put on the disk, and does not wait.
    pub fn want(&self, tick: Tick) {
        self.0.want(tick);
    }

    /// All ids that counted up to this tick are on the disk; nothing where it is not known of any.
    pub fn through(&self) -> Option<Tick> {
        self.0.through()
    }

    /// That ids of these ticks, both included, cannot be had.
    pub fn gone(&self, from: Tick, through: Tick) -> DedupeError {
        DedupeError::Gone { list: self.0.folder().list().to_owned(), from, through }
    }

    /// Waits until all ids that counted up to `tick`, which is in the log, are on the disk, and says so; it says no where
    /// `is_over`, or where there is nobody any more who could write them.
    pub fn up_to(&self, tick: Tick, is_over: &AtomicBool) -> bool {
        self.0.wait_for(tick, is_over)
    }
}
