//! What there is to say of a history while it is written.

use std::sync::atomic::{AtomicU64, Ordering};

use dataflows::model::Tick;

use super::manifest::Manifest;

/// Figures of a history that is written to. Nothing is in them before it was reached.
#[derive(Debug, Default)]
pub struct HistoryFigures {
    until: AtomicU64,
    files: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    written: AtomicU64,
    failures: AtomicU64,
}

impl HistoryFigures {
    /// The manifest is as this now.
    pub(super) fn has(&self, manifest: &Manifest) {
        let sum = |of: fn(&super::DataFile) -> u64| manifest.files.iter().map(of).fold(0, u64::saturating_add);
        self.until.store(manifest.until.as_ms(), Ordering::Relaxed);
        self.files.store(manifest.files.len() as u64, Ordering::Relaxed);
        self.rows.store(sum(|file| file.rows), Ordering::Relaxed);
        self.bytes.store(sum(|file| file.bytes), Ordering::Relaxed);
    }

    /// So many bytes of a file were written.
    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// It could not be read or written.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The tick up to which it goes.
    pub fn until(&self) -> Tick {
        Tick::from_ms(self.until.load(Ordering::Relaxed))
    }

    /// Its files.
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// The events in them.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes that were written since the start, those of files that were made one again included.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// How often it could not be read or written, since the start.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}
