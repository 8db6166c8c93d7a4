//! The keeper: the one thread that puts entries in the store and takes them from it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::handle::{KeeperCommand, QuarantineGauges};
use super::keeping::Keeping;
use super::{Quarantine, QuarantineError, QuarantineStore, RejectedInput};
use crate::ending::vital;
use crate::faults;
use crate::ingest::segment::Extractor;
use crate::limits::{Limits, QUARANTINE_BYTES_PER_SECOND, QUARANTINE_WRITE_BYTES_MAX};

/// The running keeper.
#[derive(Debug)]
pub struct Keeper {
    thread: JoinHandle<()>,
    stop: std::sync::mpsc::Sender<KeeperCommand>,
}

impl Keeper {
    /// Starts a keeper of what is in the store.
    pub fn start(
        store: Box<dyn QuarantineStore>,
        extractor: Extractor,
        limits: Limits,
    ) -> Result<(Quarantine, Keeper), QuarantineError> {
        let (orders, ordered) = channel();
        let gauges = Arc::new(QuarantineGauges::default());
        let keeping = Keeping::open(store, extractor, limits, gauges.clone())?;
        let thread = std::thread::Builder::new().name("quarantine".to_owned()).spawn(move || {
            vital("the keeper of the quarantine", |was_to_end| *was_to_end, || run(keeping, &ordered));
        });
        let thread = thread.map_err(|error: io::Error| QuarantineError::Store(format!("no thread for it: {error}")))?;
        Ok((Quarantine { orders: orders.clone(), gauges }, Keeper { thread, stop: orders }))
    }

    /// Puts away what was handed in, and stops.
    pub fn stop(self) {
        // One that has panicked was told of.
        if self.stop.send(KeeperCommand::Stop).is_ok() {
            _ = self.thread.join();
        }
    }
}

/// Until it is told to stop, or there is nobody who could tell it; says that this was so.
fn run(mut keeping: Keeping, orders: &Receiver<KeeperCommand>) -> bool {
    let mut waiting = None;
    while let Some(order) = waiting.take().or_else(|| orders.recv().ok()) {
        if faults::point("quarantine") {
            return false;
        }
        match order {
            KeeperCommand::Keep(refused) => {
                let mut refused = refused;
                let mut bytes: usize = refused.iter().map(RejectedInput::bytes).sum();
                // What else is there gets into the same write.
                while bytes < QUARANTINE_WRITE_BYTES_MAX {
                    match orders.try_recv() {
                        Ok(KeeperCommand::Keep(more)) => {
                            bytes += more.iter().map(RejectedInput::bytes).sum::<usize>();
                            refused.extend(more);
                        }
                        Ok(other) => {
                            waiting = Some(other);
                            break;
                        }
                        Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                    }
                }
                keeping.keep(refused);
                keeping.gauges.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                let nanoseconds = bytes as u64 * 1_000_000_000 / QUARANTINE_BYTES_PER_SECOND;
                std::thread::sleep(Duration::from_nanos(nanoseconds));
            }
            // Who asked may have gone.
            KeeperCommand::Select(which, most, reply) => _ = reply.send(keeping.select(which, most)),
            KeeperCommand::Newest(reply) => _ = reply.send(keeping.newest()),
            KeeperCommand::Get(ids, reply) => _ = reply.send(keeping.get(&ids)),
            KeeperCommand::Remove(ids, reply) => _ = reply.send(keeping.remove(&ids)),
            KeeperCommand::Again(id, code, message) => keeping.again(id, code, message),
            KeeperCommand::Stop => break,
        }
        keeping.tell();
    }
    true
}
