//! Histories of the processes of a cluster as one: in the order of the log.

use std::iter::Peekable;

use dataflows::model::Tick;

use crate::history::{HistoryAddress, HistoryError, Portion, Portions};
use crate::json::TimeText;

/// The events of several histories, a tick at a time. Ends with the first error.
pub(super) struct Merged {
    histories: Vec<Peekable<Portions>>,
}

impl Merged {
    /// Those from `from` to `until`, both included.
    pub fn open(addresses: &[HistoryAddress], from: Tick, until: Tick) -> Result<Self, HistoryError> {
        let after = Tick::from_ms(from.as_ms().saturating_sub(1));
        let open = |address: &HistoryAddress| {
            let archive = address.open()?;
            let (begins, ends, place) = (archive.begins(), archive.until(), archive.title());
            if begins > after {
                tracing::warn!(%begins, "the history in {place} is not complete before this tick");
            }
            if until < Tick::MAX && ends < until {
                tracing::warn!(%ends, "the history in {place} ends before the time that is asked for");
            }
            if ends <= until {
                let time = TimeText(ends);
                tracing::info!(
                    "the history in {place} reaches until {time}: later events are in the log of its engine only"
                );
            }
            Ok(archive.portions(after, until).peekable())
        };
        let histories = addresses.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Merged { histories })
    }
}

impl Iterator for Merged {
    type Item = Result<Portion, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let is_at =
            |next: &Result<Portion, HistoryError>, tick: Tick| next.as_ref().map_or(true, |next| next.tick == tick);
        let ticks = self.histories.iter_mut().filter_map(Peekable::peek);
        let tick = ticks.map(|next| next.as_ref().map_or(Tick::default(), |portion| portion.tick)).min()?;
        let mut merged = Portion { tick, events: Vec::new() };
        for history in &mut self.histories {
            match history.next_if(|next| is_at(next, tick)) {
                Some(Ok(portion)) => merged.events.extend(portion.events),
                Some(Err(error)) => return Some(Err(error)),
                None => {}
            }
        }
        // A stable sort: where the order is not known it stays that of each history.
        merged.events.sort_by_key(|placed| placed.position);
        Some(Ok(merged))
    }
}
