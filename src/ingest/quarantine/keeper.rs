//! The keeper: the one thread that puts entries on the shelf and takes them from it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use compact_str::CompactString;

use super::{Entry, EntryId, Gauges, Loss, Order, Quarantine, QuarantineError, Refused, Shelf, Which};
use crate::ingest::segment::Extractor;
use crate::limits::{Limits, QUARANTINE_BYTES_PER_SECOND, QUARANTINE_WRITE_BYTES_MAX};
use crate::log::StoreError;

/// What is known of an entry without reading it.
struct Slot {
    code: CompactString,
    bytes: usize,
}

struct Keeping {
    shelf: Box<dyn Shelf>,
    extractor: Extractor,
    limits: Limits,
    index: BTreeMap<EntryId, Slot>,
    bytes: usize,
    next: EntryId,
    gauges: Arc<Gauges>,
}

/// The running keeper.
#[derive(Debug)]
pub struct Keeper {
    thread: JoinHandle<()>,
    stop: std::sync::mpsc::Sender<Order>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What is to be kept is personal data.
        f.write_str("Order(..)")
    }
}

impl Keeper {
    /// Starts a keeper of what is on the shelf.
    pub fn start(
        shelf: Box<dyn Shelf>,
        extractor: Extractor,
        limits: Limits,
    ) -> Result<(Quarantine, Keeper), QuarantineError> {
        let (orders, ordered) = channel();
        let gauges = Arc::new(Gauges::default());
        let failed = |error: StoreError| QuarantineError::Shelf(error.to_string());
        let (all, next) = shelf.all().map_err(failed)?;
        let slot = |(id, stored): (EntryId, Vec<u8>)| {
            let code = Entry::decode(id, &stored).map_or_else(|| "damaged".into(), |entry| entry.head.code);
            (id, Slot { code, bytes: stored.len() })
        };
        let index: BTreeMap<EntryId, Slot> = all.into_iter().map(slot).collect();
        let bytes = index.values().map(|slot| slot.bytes).sum();
        let keeping = Keeping { shelf, extractor, limits, index, bytes, next, gauges: gauges.clone() };
        keeping.tell();
        let thread = std::thread::Builder::new().name("quarantine".to_owned()).spawn(move || keeping.run(&ordered));
        let thread = thread.map_err(|error: io::Error| QuarantineError::Shelf(format!("no thread for it: {error}")))?;
        Ok((Quarantine { orders: orders.clone(), gauges }, Keeper { thread, stop: orders }))
    }

    /// Puts away what was handed in, and stops.
    pub fn stop(self) {
        // One that has panicked is no reason not to stop: the quarantine is not what was accepted.
        if self.stop.send(Order::Stop).is_ok() {
            _ = self.thread.join();
        }
    }
}

impl Keeping {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut waiting = None;
        while let Some(order) = waiting.take().or_else(|| orders.recv().ok()) {
            match order {
                Order::Keep(refused) => {
                    let mut refused = refused;
                    let mut bytes: usize = refused.iter().map(Refused::bytes).sum();
                    // What else is there gets into the same write.
                    while bytes < QUARANTINE_WRITE_BYTES_MAX {
                        match orders.try_recv() {
                            Ok(Order::Keep(more)) => {
                                bytes += more.iter().map(Refused::bytes).sum::<usize>();
                                refused.extend(more);
                            }
                            Ok(other) => {
                                waiting = Some(other);
                                break;
                            }
                            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                        }
                    }
                    self.keep(refused);
                    self.gauges.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                    let nanoseconds = bytes as u64 * 1_000_000_000 / QUARANTINE_BYTES_PER_SECOND;
                    std::thread::sleep(Duration::from_nanos(nanoseconds));
                }
                // Who asked may have gone.
                Order::Select(which, most, reply) => _ = reply.send(self.select(which, most)),
                Order::Newest(reply) => _ = reply.send(self.next.previous()),
                Order::Get(ids, reply) => _ = reply.send(self.get(&ids)),
                Order::Remove(ids, reply) => _ = reply.send(self.remove(&ids)),
                Order::Again(id, code, message) => self.again(id, code, message),
                Order::Stop => break,
            }
            self.tell();
        }
    }

    fn tell(&self) {
        self.gauges.entries.store(self.index.len() as u64, Ordering::Relaxed);
        self.gauges.bytes.store(self.bytes as u64, Ordering::Relaxed);
    }

    /// Puts entries on the shelf, in writes that are not too large: the log waits for each.
    fn keep(&mut self, refused: Vec<Refused>) {
        let (mut write, mut bytes) = (Vec::new(), 0);
        for refused in refused {
            let entry = Entry::new(self.next, refused, &self.extractor);
            self.next = self.next.next();
            let stored = entry.encode();
            bytes += stored.len();
            write.push((entry.id, entry.head.code, stored));
            if bytes >= QUARANTINE_WRITE_BYTES_MAX {
                self.put(std::mem::take(&mut write));
                bytes = 0;
            }
        }
        self.put(write);
    }

    fn put(&mut self, write: Vec<(EntryId, CompactString, Vec<u8>)>) {
        let (entries, bytes) = (write.len(), write.iter().map(|(_, _, stored)| stored.len()).sum());
        if entries == 0 {
            return;
        }
        if !self.shelf.has_room(bytes) {
            return self.gauges.lose(Loss::DiskFull, entries);
        }
        for (id, code, stored) in &write {
            self.index.insert(*id, Slot { code: code.clone(), bytes: stored.len() });
        }
        self.bytes += bytes;
        let mut gone = Vec::new();
        while self.index.len() > self.limits.quarantine_entries_max || self.bytes > self.limits.quarantine_bytes_max {
            let Some((id, slot)) = self.index.pop_first() else { break };
            self.bytes -= slot.bytes;
            gone.push(id);
        }
        let put = write.into_iter().map(|(id, _, stored)| (id, stored)).collect();
        match self.shelf.change(put, &gone, self.next) {
            Ok(()) => {
                self.gauges.kept.fetch_add(entries as u64, Ordering::Relaxed);
                self.gauges.lose(Loss::Oldest, gone.len());
            }
            Err(error) => {
                // The index may now name what is not there, and reads skip that.
                tracing::warn!(%error, "rejected events are not kept");
                self.gauges.lose(Loss::Failed, entries);
            }
        }
    }

    fn select(&self, which: Which, most: usize) -> (Vec<EntryId>, bool) {
        let mut found: Vec<EntryId> = match which {
            Which::Ids(ids) => ids.into_iter().filter(|id| self.index.contains_key(id)).take(most + 1).collect(),
            Which::Range { after, until, .. } if after >= until => Vec::new(),
            Which::Range { after, until, code } => self
                .index
                .range((Bound::Excluded(after), Bound::Included(until)))
                .filter(|(_, slot)| code.as_ref().is_none_or(|code| slot.code == *code))
                .map(|(id, _)| *id)
                .take(most + 1)
                .collect(),
        };
        let is_more = found.len() > most;
        found.truncate(most);
        (found, is_more)
    }

    fn get(&self, ids: &[EntryId]) -> Result<Vec<Entry>, QuarantineError> {
        let mut entries = Vec::with_capacity(ids.len());
        for id in ids.iter().filter(|id| self.index.contains_key(id)) {
            let stored = self.shelf.get(*id).map_err(|error| QuarantineError::Shelf(error.to_string()))?;
            entries.extend(stored.and_then(|stored| Entry::decode(*id, &stored)));
        }
        Ok(entries)
    }

    fn remove(&mut self, ids: &[EntryId]) -> Result<usize, QuarantineError> {
        let gone: Vec<EntryId> = ids.iter().copied().filter(|id| self.index.contains_key(id)).collect();
        let failed = |error: StoreError| QuarantineError::Shelf(error.to_string());
        if !gone.is_empty() {
            // Written however full the disk is: it makes room.
            self.shelf.change(Vec::new(), &gone, self.next).map_err(failed)?;
            self.shelf.sync().map_err(failed)?;
        }
        let mut removed = 0;
        for slot in gone.iter().filter_map(|id| self.index.remove(id)) {
            self.bytes -= slot.bytes;
            removed += 1;
        }
        Ok(removed)
    }

    fn again(&mut self, id: EntryId, code: CompactString, message: String) {
        // It may have gone meanwhile, and must not come back.
        let Ok(mut entries) = self.get(&[id]) else { return };
        let Some(mut entry) = entries.pop().filter(|entry| entry.head.code != code || entry.head.message != message)
        else {
            return;
        };
        (entry.head.code, entry.head.message) = (code.clone(), message);
        let stored = entry.encode();
        let bytes = stored.len();
        if !self.shelf.has_room(bytes) {
            return;
        }
        match self.shelf.change(vec![(id, stored)], &[], self.next) {
            Ok(()) => {
                let before = self.index.insert(id, Slot { code, bytes });
                self.bytes = self.bytes + bytes - before.map_or(0, |slot| slot.bytes);
            }
            Err(error) => tracing::warn!(%error, "an entry of the quarantine keeps its old reason"),
        }
    }
}
