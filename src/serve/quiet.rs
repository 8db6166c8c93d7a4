//! Writes down how far ticks are while nothing is written otherwise, so that a restart after a quiet time knows when it was.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dataflows::model::Tick;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use crate::clock::reached;
use crate::ending::vital_task;
use crate::engine::Handle;
use crate::faults;
use crate::log::checkpoint::Growth;

/// How long ticks may go on without anything that says so on the disk. What a kill loses of a quiet time is this much.
const WRITE_EVERY_MS: u64 = 60 * 60 * 1_000;

/// How often there is a look.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A task that looks how far ticks are. Dropped, it writes no more.
pub(super) struct QuietTicks {
    stop: oneshot::Sender<Tick>,
    task: JoinHandle<bool>,
}

struct Looking {
    folder: PathBuf,
    handle: Handle,
    growth: Arc<Growth>,
    /// The last tick that is on the disk.
    noted: Tick,
}

impl QuietTicks {
    /// Begins, at a data folder that is known to have got as far as `reached`.
    pub fn start(folder: PathBuf, handle: Handle, growth: Arc<Growth>, reached: Tick) -> Self {
        let (stop, stopped) = oneshot::channel();
        let looking = Looking { folder, handle, growth, noted: reached };
        let task = tokio::spawn(vital_task(
            "the task that writes the last tick down",
            |was_to_end| *was_to_end,
            looking.run(stopped),
        ));
        QuietTicks { stop, task }
    }

    /// Ends, and writes down that this was the last tick.
    pub async fn stop(self, last: Tick) {
        _ = self.stop.send(last);
        // Where it panicked, it was told of.
        _ = self.task.await;
    }
}

impl Looking {
    /// Says whether it was to end.
    async fn run(mut self, mut stopped: oneshot::Receiver<Tick>) -> bool {
        loop {
            if faults::point("quiet ticks") {
                return false;
            }
            let tick = self.handle.last_tick();
            if tick > self.known().after_ms(WRITE_EVERY_MS) {
                self.note(tick).await;
            }
            tokio::select! {
                biased;
                last = &mut stopped => {
                    if let Some(last) = last.ok().filter(|last| *last > self.known()) {
                        self.note(last).await;
                    }
                    return true;
                }
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// The last tick that a restart would find.
    fn known(&self) -> Tick {
        self.noted.max(self.growth.last())
    }

    async fn note(&mut self, tick: Tick) {
        // Where it fails, it is tried again in an hour: what is lost is how long nothing happened.
        self.noted = tick;
        let folder = self.folder.clone();
        let written = spawn_blocking(move || reached::write(&folder, tick)).await;
        if let Err(error) = written.map_err(Into::into).flatten() {
            tracing::warn!(%error, "the last tick cannot be written down; events are taken as before");
        }
    }
}
