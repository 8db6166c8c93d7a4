//! `deltaic log`: what a data folder has, without an engine.
//!
//! Opening a folder is what a start does with it too: an incomplete write at the end of the journal is cut off. A folder in use
//! is refused; look at a copy.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use dataflows::model::Tick;
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::checkpoint::{CheckpointError, Kept};
use super::{LogError, Store, StoreError, codec};
use crate::dedupe;

/// Why a folder could not be looked at.
#[derive(Debug, Error)]
pub enum InspectError {
    /// It cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A checkpoint is not there.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Write(#[from] io::Error),
}

/// What is in a log, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Entries: one for each tick with events.
    pub entries: u64,
    /// Events.
    pub events: u64,
    /// The first tick and the last.
    pub ticks: Option<(Tick, Tick)>,
    /// Bytes of the entries as they are stored.
    pub entry_bytes: u64,
    /// Bytes of the events before compression.
    pub event_bytes: u64,
    /// Bytes of the whole data folder, what is set aside for the journal included.
    pub disk_bytes: u64,
    /// Rows that destinations acknowledged.
    pub rows: u64,
    /// Whether the log begins with the first event there ever was.
    pub is_complete: bool,
    /// Tick, identifiers and bytes of each checkpoint.
    pub checkpoints: Vec<(Tick, u64, u64)>,
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "entries      {}", self.entries)?;
        writeln!(f, "events       {}", self.events)?;
        if let Some((first, last)) = self.ticks {
            writeln!(f, "first tick   {first}")?;
            writeln!(f, "last tick    {last}")?;
        }
        writeln!(f, "event bytes  {}", self.event_bytes)?;
        writeln!(f, "entry bytes  {}", self.entry_bytes)?;
        writeln!(f, "disk bytes   {}", self.disk_bytes)?;
        writeln!(f, "outbox rows  {}", self.rows)?;
        if !self.is_complete {
            writeln!(f, "older entries are dropped: what they say is in the checkpoints")?;
        }
        for (tick, identifiers, bytes) in &self.checkpoints {
            writeln!(f, "checkpoint   as of tick {tick}, {identifiers} identifiers, {bytes} bytes")?;
        }
        Ok(())
    }
}

/// Counts what is in the log of a data folder.
pub fn stat(folder: &Path) -> Result<Stat, InspectError> {
    let store = Store::open_existing(folder)?;
    let rows = store.outbox().len().map_err(|source| store.failed(source))? as u64;
    let kept = Kept::open(folder)?;
    let checkpoints = kept.entries().iter().map(|entry| (entry.tick, entry.identifiers, entry.bytes)).collect();
    let disk_bytes = store.disk_bytes()? + kept.bytes();
    let mut stat = Stat { disk_bytes, rows, is_complete: true, checkpoints, ..Stat::default() };
    for entry in store.entries(Tick::default()) {
        let (tick, entry) = entry?;
        let envelope = codec::envelope(tick, &entry).map_err(|error| store.damaged(tick, error))?;
        stat.is_complete &= stat.entries > 0 || envelope.previous == Tick::default();
        stat.entries += 1;
        stat.events += u64::from(envelope.events);
        stat.entry_bytes += entry.len() as u64;
        stat.event_bytes += u64::from(envelope.raw_bytes);
        stat.ticks = Some((stat.ticks.map_or(tick, |(first, _)| first), tick));
    }
    Ok(stat)
}

/// Writes the events of the ticks from `from` to `until`, both included, as lines of JSON.
pub fn dump(folder: &Path, from: Tick, until: Tick, out: &mut impl Write) -> Result<(), InspectError> {
    #[derive(Serialize)]
    struct Line<'a> {
        tick: Tick,
        event: &'a RawValue,
    }
    let store = Store::open_existing(folder)?;
    for entry in store.entries(from) {
        let (tick, entry) = entry?;
        if tick > until {
            break;
        }
        let (_, events) = codec::decode(tick, &entry).map_err(|error| store.damaged(tick, error))?;
        for stored in events {
            let event = serde_json::from_slice(&stored.raw).map_err(|error| store.damaged(tick, error))?;
            serde_json::to_writer(&mut *out, &Line { tick, event }).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// Reads everything; gives what is wrong, a line each, and says how much there is.
pub fn verify(folder: &Path, out: &mut impl Write) -> Result<Vec<String>, InspectError> {
    let store = Store::open_existing(folder)?;
    let mut damage = Vec::new();
    let (mut entries, mut events) = (0u64, 0u64);
    let mut previous: Option<Tick> = None;
    for entry in store.entries(Tick::default()) {
        let (tick, entry) = match entry {
            Ok(entry) => entry,
            // The storage reads no further.
            Err(error) => {
                damage.push(error.to_string());
                break;
            }
        };
        entries += 1;
        match codec::decode(tick, &entry) {
            Ok((envelope, stored)) => {
                events += stored.len() as u64;
                if let Some(before) = previous.filter(|before| *before != envelope.previous) {
                    damage.push(format!("tick {tick}: entries between {before} and {} are missing", envelope.previous));
                }
            }
            Err(error) => damage.push(format!("tick {tick}: {error}")),
        }
        previous = Some(tick);
    }
    let kept = Kept::open(folder)?;
    for entry in kept.entries() {
        let read: Result<(), _> =
            kept.read(entry).and_then(|(_, mut pieces)| pieces.try_for_each(|piece| piece.map(drop)));
        damage.extend(read.err().map(|error| error.to_string()));
    }
    let checkpoints = kept.entries().len();
    match dedupe::verify(folder) {
        Ok((_, damaged)) => damage.extend(damaged),
        Err(error) => damage.push(error.to_string()),
    }
    writeln!(out, "{entries} entries, {events} events, {checkpoints} checkpoints, {} damaged", damage.len())?;
    for line in &damage {
        writeln!(out, "{line}")?;
    }
    Ok(damage)
}
