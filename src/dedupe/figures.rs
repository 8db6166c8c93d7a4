//! What the message ids take, to be looked at from outside.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many message ids there are, and what they take. Whoever keeps them tells it; others look.
#[derive(Debug, Default)]
pub struct DedupeFigures {
    ids_in_memory: AtomicU64,
    ids_on_disk: AtomicU64,
    buffer_bytes: AtomicU64,
    index_bytes: AtomicU64,
    disk_bytes: AtomicU64,
    runs: AtomicU64,
    window_ms: AtomicU64,
}

macro_rules! figure {
    ($name:ident, $set:ident, $what:literal) => {
        #[doc = $what]
        pub fn $name(&self) -> u64 {
            self.$name.load(Ordering::Relaxed)
        }
        pub(super) fn $set(&self, value: u64) {
            self.$name.store(value, Ordering::Relaxed);
        }
    };
}

impl DedupeFigures {
    figure!(ids_in_memory, set_ids_in_memory, "How many are in memory, those that are over and not yet gone included.");
    figure!(ids_on_disk, set_ids_on_disk, "How many are in runs, the same.");
    figure!(buffer_bytes, set_buffer_bytes, "Memory of those that are in memory.");
    figure!(index_bytes, set_index_bytes, "Memory of the indexes of runs.");
    figure!(disk_bytes, set_disk_bytes, "Bytes of the runs.");
    figure!(runs, set_runs, "How many runs there are.");
    figure!(
        window_ms,
        set_window_ms,
        "How long a message is recognised now, in milliseconds: less than declared where there is a limit."
    );
}
