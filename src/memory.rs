//! The memory of the process as a function, and the gate that closes before there is none left.
//!
//! The gate is for what no other limit bounds: state grows with the people that the engine knows. Better that senders are told
//! to come back than that the kernel kills the process, since that would help nobody: after the restart the state is the same.

use std::fs::read_to_string;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::thread::disable_transparent_huge_pages;

use crate::limits::MemoryLimit;
use crate::observe::seldom::Seldom;

/// Gives the resident memory of the process in bytes; nothing where the system does not tell.
pub type Resident = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// How often the memory is looked at, at most: a look costs some tens of microseconds, and 50 ms bring some MB.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The gate closes when less than this part of the limit is left: for what was accepted before, and is still on its way.
const RESERVED_PART: u64 = 8;

/// And this much more, of small limits a quarter in all: storage moves what it has in memory to tables while the gate is closed.
const RESERVED_BYTES: u64 = 48 * 1024 * 1024;

/// It opens again when this part more is free, so that it does not open and close all the time.
const FREE_PART: u64 = 32;

/// The part of the machine's memory that is the limit where the project does not say: the rest is for the file cache, which the
/// log needs, and for whoever else is there.
const OF_MACHINE_PERCENT: u64 = 80;

/// Has the kernel give this process no huge pages, for as long as it runs. A huge page is zeroed as a whole when its first byte is
/// written, and whoever writes it waits: where a worker merges batches, that is tens of milliseconds at a time.
pub fn without_huge_pages() {
    // A kernel that has none refuses.
    _ = disable_transparent_huge_pages(true);
}

/// Says whether there is memory for more events.
pub struct Gate {
    /// From here on it is closed; nothing where it never is.
    closes_at: Option<u64>,
    resident: Resident,
    looked: Mutex<Looked>,
}

struct Looked {
    at: Option<Instant>,
    is_open: bool,
    told: Seldom,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate({:?})", self.closes_at)
    }
}

impl Gate {
    /// A gate that closes before `resident` reaches the limit.
    pub fn new(limit: MemoryLimit, resident: Resident) -> Self {
        let limit = match limit {
            MemoryLimit::Off => None,
            MemoryLimit::Bytes(bytes) => Some(bytes),
            MemoryLimit::OfMachine => machine_bytes().map(|bytes| bytes / 100 * OF_MACHINE_PERCENT),
        };
        let closes_at = limit.map(|limit| limit - (limit / RESERVED_PART + RESERVED_BYTES).min(limit / 4));
        Gate { closes_at, resident, looked: Mutex::new(Looked { at: None, is_open: true, told: Seldom::default() }) }
    }

    /// A gate that never closes.
    pub fn off() -> Self {
        Gate::new(MemoryLimit::Off, Arc::new(|| None))
    }

    /// Whether there is memory for more.
    pub fn is_open(&self) -> bool {
        let Some(closes_at) = self.closes_at else { return true };
        let mut looked = self.looked.lock();
        if looked.at.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            let now = Instant::now();
            looked.at = Some(now);
            let resident = (self.resident)().unwrap_or_default();
            let is_open = resident < if looked.is_open { closes_at } else { closes_at - closes_at / FREE_PART };
            if is_open != looked.is_open {
                looked.is_open = is_open;
                // Where it opens and closes all the time, the metric tells.
                if !is_open && looked.told.happened(now).is_some() {
                    let (resident_mb, mb) = (resident / 1_000_000, closes_at / 1_000_000);
                    tracing::warn!(resident_mb, "senders get 429 while more than {mb} MB are in use (memory_limit)");
                }
            }
        }
        looked.is_open
    }
}

/// The resident memory of this process; nothing where the system does not tell (it is Linux that does).
///
/// From `status` rather than `statm`, which counts in pages of a size that differs between machines.
pub fn resident_bytes() -> Option<u64> {
    kilobytes("/proc/self/status", "VmRSS:")
}

/// The memory of the machine, or of the container that this is. These few files are all that is wanted of what `sysinfo` reads.
fn machine_bytes() -> Option<u64> {
    let of_container = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let of_container = of_container.into_iter().find_map(|file| read_to_string(file).ok()?.trim().parse().ok());
    kilobytes("/proc/meminfo", "MemTotal:").into_iter().chain(of_container).min()
}

/// A value that is written as `name: 123 kB`, in bytes.
fn kilobytes(file: &str, name: &str) -> Option<u64> {
    let text = read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn the_gate_closes_before_the_limit_and_opens_again() {
        let memory = Arc::new(AtomicU64::new(100));
        let resident = memory.clone();
        let gate = Gate::new(MemoryLimit::Bytes(800), Arc::new(move || Some(resident.load(Ordering::Relaxed))));
        let is_open_at = |bytes| {
            memory.store(bytes, Ordering::Relaxed);
            // As if the last look were long ago.
            gate.looked.lock().at = None;
            gate.is_open()
        };
        assert_eq!([599, 600, 800, 599, 570].map(is_open_at), [true, false, false, false, true]);
        memory.store(800, Ordering::Relaxed);
        assert!(gate.is_open(), "it does not look at each event");
        assert!(Gate::off().is_open());
    }

    #[test]
    fn the_system_tells() {
        let resident = resident_bytes().unwrap();
        assert!((1_000_000..machine_bytes().unwrap()).contains(&resident), "{resident}");
    }
}
