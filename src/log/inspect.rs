//! `deltaic log`: what a data folder has, without an engine.
//!
//! Nothing in the folder is changed: what would have to be opened for writing is copied first. A folder in use is refused; look at
//! a copy.

mod beside;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use compact_str::CompactString;
use dataflows::model::Tick;
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;

use self::beside::Beside;
use super::checkpoint::{CheckpointError, CheckpointList};
use super::segments::{SegmentEntry, Torn};
use super::{DataFolder, EntryOrder, LogError, LogRecord, OpenPurpose, ProcessNumber, Store, StoreError, codec, files};
use crate::history::{HistoryAddress, HistoryError, HistoryFound};

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
    /// The history cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// There is something where a copy is to be made.
    #[error("{into} is not empty: name a folder of its own for the repaired copy")]
    Taken {
        /// The folder.
        into: PathBuf,
    },
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
    /// The history, if there is one.
    pub history: Option<HistoryFound>,
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
        if let Some(HistoryFound { files, rows, bytes, until, .. }) = &self.history {
            writeln!(f, "history      {files} files, {rows} events, {bytes} bytes, up to tick {until}")?;
        }
        Ok(())
    }
}

/// Counts what is in the log of a data folder, and in its history, which may be said to be elsewhere.
pub fn stat(folder: &Path, history: Option<&HistoryAddress>) -> Result<Stat, InspectError> {
    let store = Store::look(folder)?;
    let rows = store.outbox().len().map_err(|source| store.failed(source))? as u64;
    let kept = CheckpointList::look(folder)?;
    let checkpoints = kept.entries().iter().map(|entry| (entry.tick, entry.identifiers, entry.bytes)).collect();
    let disk_bytes = files::bytes(folder)?;
    let history = beside::stat(folder, history)?;
    let mut stat = Stat { disk_bytes, rows, is_complete: true, checkpoints, history, ..Stat::default() };
    for entry in store.entries(Tick::default()) {
        let SegmentEntry { tick, bytes } = entry?;
        let envelope = codec::envelope(tick, &bytes).map_err(|error| store.undecodable(tick, error))?;
        stat.is_complete &= stat.entries > 0 || envelope.previous == Tick::default();
        stat.entries += 1;
        stat.events += u64::from(envelope.events);
        stat.entry_bytes += bytes.len() as u64;
        stat.event_bytes += u64::from(envelope.raw_bytes);
        stat.ticks = Some((stat.ticks.map_or(tick, |(first, _)| first), tick));
    }
    Ok(stat)
}

/// Writes the events of the ticks from `from` to `until`, both included, as lines of JSON.
pub fn dump(folder: &Path, from: Tick, until: Tick, out: &mut impl Write) -> Result<(), InspectError> {
    #[derive(Serialize)]
    struct DumpLine<'a> {
        tick: Tick,
        /// With the place in the entry, where the order is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        process: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        index: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<CompactString>,
        event: &'a RawValue,
    }
    let found = DataFolder::find(folder, OpenPurpose::Look)?;
    let process = found.owner()?.map_or(0, ProcessNumber::process);
    let store = found.copy()?;
    for entry in store.entries(from) {
        let SegmentEntry { tick, bytes } = entry?;
        if tick > until {
            break;
        }
        let (envelope, record) = codec::decode(tick, &bytes).map_err(|error| store.undecodable(tick, error))?;
        let LogRecord::Events(events) = record;
        for (stored, index) in events.into_iter().zip(0..) {
            // Between the values of JSON a new line is a space, and within them there is none.
            let text: Vec<u8> =
                stored.raw.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }).collect();
            let event = serde_json::from_slice(&text).map_err(|error| store.damaged(tick, error))?;
            let is_ordered = envelope.order == EntryOrder::Known;
            let (process, index) = (is_ordered.then_some(process), is_ordered.then_some(index));
            serde_json::to_writer(&mut *out, &DumpLine { tick, process, index, source: stored.source, event })
                .map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// Reads everything, also the history, which may be said to be elsewhere; gives what is wrong, a line each, and says how much there
/// is.
pub fn verify(
    folder: &Path,
    history: Option<&HistoryAddress>,
    out: &mut impl Write,
) -> Result<Vec<String>, InspectError> {
    let found = DataFolder::find(folder, OpenPurpose::Look)?;
    let mut damage: Vec<String> = found.damage().iter().map(ToString::to_string).collect();
    let owner = found.owner();
    damage.extend(owner.as_ref().err().map(ToString::to_string));
    let owner = owner.ok().flatten();
    let mut torn: Vec<(String, u64, u64)> = found.torn().into_iter().collect();
    let mut counted = LogCounts::default();
    let store = match found.salvage() {
        Ok(store) => {
            counted.read(&store, &mut damage);
            let of_log = |Torn { file, at, bytes }: Torn| {
                let file = file.strip_prefix(folder).unwrap_or(&file);
                (file.display().to_string(), at, bytes)
            };
            // Where the log is damaged, its end may have been safe: then it is no unfinished write.
            if damage.is_empty() {
                torn.extend(store.torn().into_iter().map(of_log));
            }
            Some(store)
        }
        Err(error) if damage.is_empty() => return Err(error.into()),
        // What is wrong with the files says why.
        Err(_) => None,
    };
    let kept = CheckpointList::look(folder).map_err(|error| damage.push(error.to_string())).ok();
    for (kept, entry) in kept.iter().flat_map(|kept| kept.entries().iter().map(move |entry| (kept, entry))) {
        let read: Result<(), _> =
            kept.read(entry).and_then(|(_, mut pieces)| pieces.try_for_each(|piece| piece.map(drop)));
        damage.extend(read.err().map(|error| error.to_string()));
        counted.checkpoints += 1;
        counted.last = counted.last.max(entry.tick);
    }
    let beside = Beside { found: &found, owner, kept: kept.as_ref(), store: store.as_ref(), last: counted.last };
    beside.verify(history, &mut damage);
    let LogCounts { entries, events, checkpoints, last } = counted;
    let found = beside::verify_history(folder, history, last, &mut damage)?;
    writeln!(out, "{entries} entries, {events} events, {checkpoints} checkpoints, {} damaged", damage.len())?;
    for line in &damage {
        writeln!(out, "{line}")?;
    }
    beside::tell(found.as_ref(), folder, history, out)?;
    for (file, at, bytes) in torn {
        writeln!(
            out,
            "{file}, byte {at}: {bytes} bytes of a write that was not finished: nobody was told that it is safe, and the next \
             start cuts it off"
        )?;
    }
    Ok(damage)
}

/// How much there is.
#[derive(Default)]
struct LogCounts {
    entries: u64,
    events: u64,
    checkpoints: usize,
    /// The last tick that log or checkpoints have.
    last: Tick,
}

impl LogCounts {
    /// Reads the log.
    fn read(&mut self, store: &Store, damage: &mut Vec<String>) {
        let mut previous: Option<Tick> = None;
        for entry in store.entries(Tick::default()) {
            let SegmentEntry { tick, bytes } = match entry {
                Ok(entry) => entry,
                // What is behind it is read all the same.
                Err(StoreError::DamagedLog { damage: found, .. }) => {
                    damage.push(found.to_string());
                    previous = None;
                    continue;
                }
                // The storage reads no further.
                Err(error) => {
                    damage.push(error.to_string());
                    break;
                }
            };
            self.entries += 1;
            self.last = tick;
            match codec::decode(tick, &bytes) {
                Ok((envelope, LogRecord::Events(stored))) => {
                    self.events += stored.len() as u64;
                    if let Some(before) = previous.filter(|before| *before != envelope.previous) {
                        damage.push(format!(
                            "tick {tick}: entries between {before} and {} are missing",
                            envelope.previous
                        ));
                    }
                }
                Err(error) => damage.push(format!("tick {tick}: {error}")),
            }
            previous = Some(tick);
        }
        if let Err(error @ StoreError::Lost { .. }) = store.check_end() {
            damage.push(error.to_string());
        }
    }
}
