//! One checkpoint from another: what the log says after it is gathered in memory, then both are merged from file to file.

use std::sync::Arc;
use std::time::Duration;

use dataflows::definitions::{Definitions, MeasureId};
use dataflows::facts::Facts;
use dataflows::model::{IdentifierId, Position, Tick};
use dataflows::observer::{Observation, Observer};
use rustc_hash::{FxHashMap, FxHashSet};

use super::file::{Counts, Head, Piece, Writer};
use super::kept::Entry;
use super::repeated::Repeated;
use super::{Basis, CheckpointError, Kept, signatures};
use crate::engine::{Reread, placed};
use crate::log::{Store, StoreError, codec};
use crate::project::Project;

/// Gathers what events of the log say.
pub struct Gatherer {
    store: Store,
    definitions: Arc<Definitions>,
    observer: Observer,
    reread: Reread,
    process: u16,
    max_future: Duration,
    basis: Basis,
    dedupe_window: Duration,
    dedupe_ids_max: usize,
}

/// What is left out.
#[derive(Default)]
pub struct LeftOut {
    /// Messages that do not count.
    pub repeated: Repeated,
    /// What does not count for these measures, if there are any.
    pub all_but: Option<FxHashSet<MeasureId>>,
}

/// What a part of the log says.
pub struct Gathered {
    /// It is as of this tick.
    pub tick: Tick,
    /// Events that were read.
    pub events: u64,
    facts: FxHashMap<IdentifierId, Facts>,
    messages: Vec<(Tick, Vec<u128>)>,
}

impl Gathered {
    /// Of the messages nothing is to be remembered.
    pub fn forget_messages(&mut self) {
        self.messages.clear();
    }
}

impl Gatherer {
    /// Gathers as `project` says what this process accepted. `reread` reads stored events.
    pub fn new(store: Store, project: &Project, reread: Reread, process: u16) -> Self {
        Gatherer {
            store,
            definitions: project.definitions.clone(),
            observer: Observer::new(project.definitions.clone()),
            reread,
            process,
            max_future: project.clock.max_future,
            basis: Basis::of(project),
            dedupe_window: project.clock.dedupe_window,
            dedupe_ids_max: project.limits.dedupe_ids_max,
        }
    }

    /// Reads the entries after `after`, up to `until`, but no further than the entry in which there are `events_max` events.
    pub fn gather(&self, after: Tick, until: Tick, events_max: u64, but: &LeftOut) -> Result<Gathered, StoreError> {
        let mut gathered = Gathered { tick: after, events: 0, facts: FxHashMap::default(), messages: Vec::new() };
        for entry in self.store.entries(after.next()) {
            let (tick, entry) = entry?;
            if tick > until || gathered.events >= events_max {
                break;
            }
            let (_, events) = codec::decode(tick, &entry).map_err(|error| self.store.damaged(tick, error))?;
            gathered.tick = tick;
            gathered.events += events.len() as u64;
            let mut counted = Vec::with_capacity(events.len());
            for (stored, index) in events.into_iter().zip(0..) {
                // Nor is it remembered: it would be in the way of the same message where that counts.
                if but.repeated.contains(&(tick, stored.message.into())) {
                    continue;
                }
                counted.push(stored.message);
                // What the project rejects does not count for the dataflow either.
                let Ok(event) = (self.reread)(&stored.raw) else { continue };
                let event = placed(event, Position { tick, process: self.process, index }, self.max_future);
                self.observer.observe(event, tick, &mut |observation: Observation| {
                    let counts = |measures: &FxHashSet<MeasureId>| {
                        observation.measure().is_some_and(|measure| measures.contains(&measure))
                    };
                    let is_wanted = but.all_but.as_ref().is_none_or(counts);
                    if is_wanted {
                        let facts = gathered.facts.entry(observation.identifier()).or_default();
                        facts.take_in(observation, &self.definitions);
                    }
                });
            }
            gathered.messages.push((tick, counted));
        }
        Ok(gathered)
    }

    /// Makes a checkpoint of the one in `before`, if there is one, and of what was gathered after it. As of `tick`, which is
    /// not before either.
    pub fn make(
        &self,
        kept: &mut Kept,
        before: Option<&Entry>,
        gathered: Gathered,
        tick: Tick,
    ) -> Result<Counts, CheckpointError> {
        let signatures = signatures(&self.definitions);
        let mut pieces = None;
        if let Some(entry) = before {
            let (head, before) = kept.read(entry)?;
            pieces = Some(before.measures(of_today(&head.measures, &signatures)));
        }
        let head = Head::new(tick, self.basis.clone(), signatures);
        let folder = kept.folder().to_owned();
        let io = |source| CheckpointError::Io { path: folder.clone(), source };
        let Gathered { facts, messages, .. } = gathered;
        let mut new: Vec<(IdentifierId, Facts)> = facts.into_iter().collect();
        new.sort_unstable_by_key(|(id, _)| *id);
        let mut new = new.into_iter().peekable();
        let mut all_messages = Vec::new();
        kept.add(&head, |writer| {
            let write = |id, mut facts: Facts, writer: &mut Writer| {
                facts.settle(tick, &self.definitions);
                writer.facts(id, &facts).map_err(io)
            };
            for piece in pieces.into_iter().flatten() {
                match piece? {
                    Piece::Facts(old) => {
                        for (id, mut facts) in old {
                            while let Some((other, more)) = new.next_if(|(other, _)| *other < id) {
                                write(other, more, writer)?;
                            }
                            if let Some((_, more)) = new.next_if(|(other, _)| *other == id) {
                                facts.merge(more, &self.definitions);
                            }
                            write(id, facts, writer)?;
                        }
                    }
                    Piece::Messages(old) => all_messages.extend(old),
                }
            }
            for (id, facts) in new {
                write(id, facts, writer)?;
            }
            all_messages.extend(messages);
            self.recognised(all_messages, tick).try_for_each(|(at, ids)| writer.messages(at, ids).map_err(io))
        })
    }

    /// Of message ids, sorted by tick, those that are still recognised at `tick`.
    fn recognised(&self, messages: Vec<(Tick, Vec<u128>)>, tick: Tick) -> impl Iterator<Item = (Tick, Vec<u128>)> {
        let window_ms = u64::try_from(self.dedupe_window.as_millis()).unwrap_or(u64::MAX);
        // For the window at least, and for an eighth of it more at most.
        let since = Tick::from_ms(tick.as_ms().saturating_sub(window_ms.saturating_add(window_ms / 8)));
        let mut count: usize = messages.iter().map(|(_, ids)| ids.len()).sum();
        let count_max = self.dedupe_ids_max;
        messages.into_iter().filter(move |(at, ids)| {
            let stays = *at >= since && count <= count_max;
            count -= if stays { 0 } else { ids.len() };
            stays
        })
    }
}

/// Of each of `measures`, by their signatures, which one of today it is.
pub fn of_today(measures: &[String], signatures: &[String]) -> Vec<Option<MeasureId>> {
    let today = |text: &String| signatures.iter().position(|known| known == text).map(MeasureId::new);
    measures.iter().map(today).collect()
}
