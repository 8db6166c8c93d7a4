//! `deltaic log repair`: a new data folder with all that is sound of a damaged one, which is only read.
//!
//! - The log up to the first damage. Where a checkpoint that is sound has what was damaged, the log after it instead.
//! - Checkpoints that can be read to their end.
//! - The rows of keyspaces whose tables are as they were written, and of journals what comes before the first damage.
//!
//! - Message ids, history, catalogue and jumps of the clock as they are: a start checks them.
//!
//! What is lost is said, a line for each thing.

use std::fs;
use std::io::Write;
use std::path::Path;

use dataflows::model::Tick;

use super::checkpoint::salvage;
use super::inspect::InspectError;
use super::segments::SegmentEntry;
use super::store::{KEYSPACES, StoredRows};
use super::{DataFolder, OpenPurpose, ProcessNumber, Store, StoreError, codec, files};
use crate::clock::{Jumps, reached};
use crate::history::{self, HistoryOwner};

/// Rows that are written together.
const ROWS_AT_ONCE: usize = 1_000;

/// Makes a data folder at `into` of what is sound in `folder`, and says what that is.
pub fn repair(folder: &Path, into: &Path, out: &mut impl Write) -> Result<(), InspectError> {
    let is_free = fs::read_dir(into).map_or(true, |mut entries| entries.next().is_none());
    if !is_free {
        return Err(InspectError::Taken { into: into.to_owned() });
    }
    let found = DataFolder::find(folder, OpenPurpose::Look)?;
    for damage in found.damage() {
        writeln!(out, "damaged      {damage}")?;
    }
    if let Some((file, place, bytes)) = found.torn() {
        writeln!(out, "unfinished   {file}, byte {place}: {bytes} bytes that nobody was told are safe")?;
    }
    let made = salvage_into(folder, &found, into, out);
    if made.is_err() {
        // What is not whole must not start.
        _ = fs::remove_file(into.join("FORMAT"));
    }
    made
}

/// Makes the data folder.
fn salvage_into(folder: &Path, found: &DataFolder, into: &Path, out: &mut impl Write) -> Result<(), InspectError> {
    let source = found.salvage()?;
    let target = Store::open(into)?;
    let checkpoints = salvage(folder, into, Tick::MAX)?;
    writeln!(out, "checkpoints  {} kept", checkpoints.ticks.len())?;
    for lost in &checkpoints.lost {
        writeln!(out, "lost         {lost}")?;
    }
    let newest = checkpoints.ticks.last().copied().unwrap_or_default();
    copy_log(&source, &target, newest, out)?;
    for name in KEYSPACES {
        let rows = copy_rows(&source, &target, name, out)?;
        writeln!(out, "{name:<12} {rows} rows kept")?;
    }
    target.sync()?;
    drop(target);
    for name in ["CATALOGUE", "KEY", "messages", history::FOLDER, HistoryOwner::FILE, Jumps::FILE, "NAMES"] {
        // Only a history elsewhere has the one, and where ticks were never set forward, or nothing new was named, there is no other. A folder
        // of an earlier version has no key.
        if [HistoryOwner::FILE, Jumps::FILE, "NAMES", "KEY"].contains(&name) && !folder.join(name).exists() {
            continue;
        }
        if folder.join(name).exists() {
            files::copy(&folder.join(name), &into.join(name))?;
            writeln!(out, "{name:<12} kept as it is: a start looks at it")?;
        } else {
            writeln!(out, "{name:<12} there is none")?;
        }
    }
    if reached::copy(folder, into)? {
        writeln!(out, "{:<12} kept", "last tick")?;
    } else if reached::is_there(folder) {
        writeln!(out, "lost         the last tick of a time without events: what is written down of it is damaged")?;
    }
    // Whose it is. Nobody guesses it.
    let keep = |owner: ProcessNumber| files::write_whole(&into.join("PROCESS"), format!("{owner}\n").as_bytes());
    match found.owner() {
        Ok(Some(owner)) => keep(owner)?,
        // One of a former format from before there was this file.
        Ok(None) if found.is_former() => keep(ProcessNumber::ALONE)?,
        Ok(None) => {}
        Err(error) => writeln!(out, "lost         whose folder it is: {error}; the same goes for {}", into.display())?,
    }
    writeln!(out, "{} was left as it is; start with {}", folder.display(), into.display())?;
    Ok(())
}

/// The part of a log that can be used.
#[derive(Default)]
struct Usable {
    /// Its ticks, both included.
    ticks: Option<(Tick, Tick)>,
    entries: u64,
    /// The tick that its first entry follows.
    previous: Tick,
    lost: Vec<String>,
}

impl Usable {
    /// Looks through a log, where the newest sound checkpoint is as of `checkpoint`.
    fn of(source: &Store, checkpoint: Tick) -> Self {
        let mut usable = Usable::default();
        let mut before: Option<Tick> = None;
        let mut given_up = 0u64;
        let mut is_over = false;
        for entry in source.entries(Tick::default()) {
            let read = entry.map_err(|error| error.to_string()).and_then(|SegmentEntry { tick, bytes }| {
                let (envelope, _) = codec::decode(tick, &bytes).map_err(|error| format!("tick {tick}: {error}"))?;
                Ok((tick, envelope.previous))
            });
            let (tick, previous) = match read {
                Ok(read) => read,
                Err(reason) => {
                    usable.lost.push(reason);
                    continue;
                }
            };
            let follows = before.is_none_or(|before| before == previous);
            before = Some(tick);
            if !follows && previous > checkpoint {
                is_over = true;
            }
            if is_over {
                given_up += 1;
                continue;
            }
            if !follows {
                usable.lost.push(format!(
                    "nothing of the entries up to tick {previous}: the checkpoint of tick {checkpoint} has what they say"
                ));
                usable = Usable { lost: usable.lost, ..Usable::default() };
            }
            let first = match usable.ticks {
                Some((first, _)) => first,
                None => {
                    usable.previous = previous;
                    tick
                }
            };
            usable.ticks = Some((first, tick));
            usable.entries += 1;
        }
        if given_up > 0 {
            usable
                .lost
                .push(format!("{given_up} entries behind the damage: they cannot be used without what is missing"));
        }
        usable
    }
}

/// Copies what can be used of the log.
fn copy_log(source: &Store, target: &Store, checkpoint: Tick, out: &mut impl Write) -> Result<(), InspectError> {
    let usable = Usable::of(source, checkpoint);
    match usable.ticks {
        Some((first, last)) => {
            writeln!(out, "log          {} entries kept, from tick {first} to {last}", usable.entries)?;
            // What is damaged is before the first of these, or behind the last.
            target.append_all(source.entries(first).filter(Result::is_ok), last)?;
        }
        None => writeln!(out, "log          0 entries kept")?,
    }
    for lost in &usable.lost {
        writeln!(out, "lost         {lost}")?;
    }
    // At the very end of a log, damage looks like a write that was not finished. Only its note of what was safe tells them apart.
    if let Err(StoreError::Lost { safe, last, .. }) = source.check_end()
        && safe > checkpoint
    {
        writeln!(out, "lost         what came after tick {last}, up to tick {safe}: the end of the log is damaged")?;
    }
    if usable.previous > checkpoint {
        writeln!(
            out,
            "lost         what came up to tick {}: no checkpoint has it, and a start takes --accept-partial",
            usable.previous
        )?;
    }
    Ok(())
}

/// Copies the rows of a keyspace, as far as they can be read. Gives how many.
fn copy_rows(source: &Store, target: &Store, name: &str, out: &mut impl Write) -> Result<u64, InspectError> {
    let mut copied = 0;
    let mut rows: StoredRows = source.rows(name);
    loop {
        let mut batch = target.batch();
        let mut count = 0;
        let mut failed = None;
        for row in rows.by_ref().take(ROWS_AT_ONCE) {
            match row {
                Ok((key, value)) => {
                    batch.insert(target.keyspace(name), key, value);
                    count += 1;
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        batch.commit().map_err(|source| target.failed(source))?;
        copied += count as u64;
        if let Some(error) = failed {
            writeln!(out, "lost         {name}: what comes after {copied} rows: {error}")?;
            return Ok(copied);
        }
        if count < ROWS_AT_ONCE {
            return Ok(copied);
        }
    }
}
