//! What the engines of a cluster wrote, as one: in the order of the log.

use std::iter::Peekable;

use bytes::Bytes;
use compact_str::CompactString;
use dataflows::model::{Position, Tick};

use super::{RecordedOptions, ReplayError};
use crate::history::{HistoryAddress, Placed};
use crate::ingest::files::{Dump, EventFileError};
use crate::json::TimeText;

/// An event: its tick, its place, its source where that is known, and its text.
type Recorded = (Tick, Position, Option<CompactString>, Bytes);

/// What one of them wrote, in the order of its ticks.
type Recording = Box<dyn Iterator<Item = Result<Recorded, ReplayError>>>;

/// The events of several, a tick at a time. Ends with the first error.
pub(super) struct Merged {
    recordings: Vec<Peekable<Recording>>,
}

/// The events of a tick.
pub(super) struct AtTick {
    pub tick: Tick,
    pub events: Vec<(Position, Option<CompactString>, Bytes)>,
}

impl Merged {
    /// Opens all of them, up to `until`.
    pub fn open(options: &RecordedOptions, until: Tick) -> Result<Self, ReplayError> {
        let histories = options.histories.iter().map(|address| history(address, options.from, until));
        let dumps = options.dumps.iter().map(|path| Ok(dump(Dump::open(path)?, options.from, until)));
        let recordings: Result<Vec<Recording>, ReplayError> = histories.chain(dumps).collect();
        Ok(Merged { recordings: recordings?.into_iter().map(Iterator::peekable).collect() })
    }
}

/// A history from `from` to `until`, both included.
fn history(address: &HistoryAddress, from: Tick, until: Tick) -> Result<Recording, ReplayError> {
    let after = Tick::from_ms(from.as_ms().saturating_sub(1));
    let Some(archive) = address.open()? else {
        // Such as that of a process of a cluster that has made no checkpoint yet.
        let place = address.files()?.title();
        tracing::warn!(
            "there is no history in {place} yet: what its engine has is in its log only (`deltaic log dump`)"
        );
        return Ok(Box::new(std::iter::empty()));
    };
    let (begins, ends, place) = (archive.begins(), archive.until(), archive.title());
    if begins > after {
        tracing::warn!(%begins, "the history in {place} is not complete before this tick");
    }
    if until < Tick::MAX && ends < until {
        tracing::warn!(%ends, "the history in {place} ends before the time that is asked for");
    }
    if ends <= until {
        let time = TimeText(ends);
        tracing::info!("the history in {place} reaches until {time}: later events are in the log of its engine only");
    }
    Ok(Box::new(archive.portions(after, until).flat_map(|portion| match portion {
        Ok(portion) => {
            let recorded = move |Placed { position, stored }| Ok((portion.tick, position, stored.source, stored.raw));
            portion.events.into_iter().map(recorded).collect::<Vec<_>>()
        }
        Err(error) => vec![Err(error.into())],
    })))
}

/// A dump from `from` to `until`, both included.
fn dump(dump: Dump, from: Tick, until: Tick) -> Recording {
    let is_within = move |read: &Result<Recorded, EventFileError>| read.as_ref().is_ok_and(|(tick, ..)| *tick >= from);
    let is_over = move |read: &Result<Recorded, EventFileError>| read.as_ref().is_ok_and(|(tick, ..)| *tick > until);
    let within = dump.take_while(move |read| !is_over(read)).filter(move |read| read.is_err() || is_within(read));
    Box::new(within.map(|read| read.map_err(ReplayError::from)))
}

impl Iterator for Merged {
    type Item = Result<AtTick, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        let tick_of = |next: &Result<Recorded, ReplayError>| next.as_ref().map_or(Tick::default(), |(tick, ..)| *tick);
        let tick = self.recordings.iter_mut().filter_map(Peekable::peek).map(tick_of).min()?;
        let mut events = Vec::new();
        for recording in &mut self.recordings {
            while let Some(next) = recording.next_if(|next| tick_of(next) == tick) {
                match next {
                    Ok((_, position, source, raw)) => events.push((position, source, raw)),
                    Err(error) => return Some(Err(error)),
                }
            }
        }
        // A stable sort: where the order is not known it stays that of each recording.
        events.sort_by_key(|(position, ..)| *position);
        Some(Ok(AtTick { tick, events }))
    }
}
