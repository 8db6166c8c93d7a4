//! One checkpoint from another: what the log says after it is gathered in memory, then both are merged from file to file.

use std::sync::Arc;
use std::time::Duration;

use dataflows::definitions::{Definitions, MeasureId};
use dataflows::facts::Facts;
use dataflows::model::{IdentifierId, Tick};
use dataflows::observations::Arrival;
use dataflows::observer::{Observation, Observer};
use rustc_hash::{FxHashMap, FxHashSet};

use super::file::{CheckpointCounts, CheckpointHead, CheckpointPiece, CheckpointWriter, MessageIds};
use super::kept::ListedCheckpoint;
use super::plan::PastSources;
use super::plan::{ArrivalsAt, begins};
use super::repeated::{self, Repeated};
use super::{Basis, CheckpointError, CheckpointList, TYPED_IN_EACH_USE, signatures};
use crate::history::{Archive, Placed, Portion, ReadStored, Reading, Recorder};
use crate::log::{LogRecord, Store, codec, placed};
use crate::project::Project;

/// Gathers what events of the log say.
pub struct Gatherer {
    pub(super) store: Store,
    pub(super) definitions: Arc<Definitions>,
    pub(super) observer: Observer,
    read: ReadStored,
    process: u16,
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
#[derive(Default)]
pub struct GatheredPart {
    /// It is as of this tick.
    pub tick: Tick,
    /// Events that were read.
    pub events: u64,
    facts: FxHashMap<IdentifierId, Facts>,
    messages: Vec<(Tick, Vec<u128>)>,
}

impl GatheredPart {
    /// What is said of each identifier.
    #[cfg(test)]
    pub fn facts(self) -> FxHashMap<IdentifierId, Facts> {
        self.facts
    }

    /// Takes in what follows, but for the ids of messages, and settles it: so it holds what is to be known of people, however many
    /// events said it.
    pub fn take_in(&mut self, next: GatheredPart, definitions: &Definitions) {
        (self.tick, self.events) = (next.tick, self.events + next.events);
        for (id, facts) in next.facts {
            self.facts.entry(id).or_default().merge(facts, definitions);
        }
        self.facts.values_mut().for_each(|facts| facts.settle(next.tick, definitions));
    }
}

impl Gatherer {
    /// Gathers as `project` says what this process accepted. `read` reads stored events.
    pub fn new(store: Store, project: &Project, read: ReadStored, process: u16) -> Self {
        Gatherer {
            store,
            definitions: project.definitions.clone(),
            observer: Observer::new(project.definitions.clone()),
            read,
            process,
            basis: Basis::of(project),
            dedupe_window: project.clock.dedupe_window,
            dedupe_ids_max: project.limits.dedupe_ids_max,
        }
    }

    /// The same where the version of the program gathers for which events last meant something else.
    #[cfg(test)]
    pub(super) fn of_another_meaning(mut self) -> Self {
        self.basis.meaning -= 1;
        self
    }

    /// What the log has after `after`.
    pub fn log(&self, after: Tick) -> impl Iterator<Item = Result<Portion, CheckpointError>> + use<> {
        let (store, process) = (self.store.clone(), self.process);
        self.store.entries(after.next()).map(move |entry| {
            let entry = entry?;
            let tick = entry.tick;
            let (envelope, record) =
                codec::decode(tick, &entry.bytes).map_err(|error| store.undecodable(tick, error))?;
            let LogRecord::Events(events) = record;
            let place = |(stored, index)| Placed { position: envelope.order.position(tick, process, index), stored };
            Ok(Portion { tick, events: events.into_iter().zip(0..).map(place).collect() })
        })
    }

    /// What came after `after`: what the history has of it, where there is one, and the log after that.
    pub(super) fn all_of(
        &self,
        past: &PastSources<'_>,
        after: Tick,
    ) -> Box<dyn Iterator<Item = Result<Portion, CheckpointError>>> {
        match past.history() {
            Some(history) => Box::new(of_history(history, after).chain(self.log(history.until().max(after)))),
            None => Box::new(self.log(after)),
        }
    }

    /// What the dataflow is fed with of `portions`, each as it counts at its tick.
    pub(super) fn arrivals<'g>(
        &'g self,
        portions: impl Iterator<Item = Result<Portion, CheckpointError>> + 'g,
        but: LeftOut,
    ) -> Box<dyn Iterator<Item = Result<ArrivalsAt, CheckpointError>> + 'g> {
        Box::new(portions.map(move |portion| {
            let mut portion = portion?;
            let readings = self.readings(&mut portion, &but);
            let event = |(reading, at): (Option<Reading>, &Placed)| {
                Some(Arrival::Event(placed(reading?.event, portion.tick, at.position)))
            };
            Ok((portion.tick, readings.into_iter().zip(&portion.events).filter_map(event).collect()))
        }))
    }

    /// Gathers what `portions` say up to `until`, but no further than the portion in which there are `events_max` events. What
    /// counts of it is written to the history as well, where there is one to be written.
    pub fn gather(
        &self,
        portions: impl Iterator<Item = Result<Portion, CheckpointError>>,
        (until, events_max, may_end): (Tick, u64, &dyn Fn(Tick) -> bool),
        but: &LeftOut,
        mut history: Option<&mut Recorder<'_>>,
    ) -> Result<GatheredPart, CheckpointError> {
        let mut gathered = GatheredPart::default();
        for portion in portions {
            let mut portion = portion?;
            if portion.tick > until || (gathered.events >= events_max && may_end(gathered.tick)) {
                break;
            }
            gathered.tick = portion.tick;
            gathered.events += portion.events.len() as u64;
            let readings = self.readings(&mut portion, but);
            if let Some(history) = &mut history {
                history.add(&portion, &readings)?;
            }
            gathered.messages.push((portion.tick, portion.events.iter().map(|placed| placed.stored.message).collect()));
            for (reading, at) in readings.into_iter().zip(&portion.events) {
                // What the project rejects does not count for the dataflow either.
                let Some(reading) = reading else { continue };
                let event = placed(reading.event, portion.tick, at.position);
                self.observer.observe(event, portion.tick, &mut |observation: Observation| {
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
        }
        Ok(gathered)
    }

    /// What the project makes of the events that count; the others go.
    pub(super) fn readings(&self, portion: &mut Portion, but: &LeftOut) -> Vec<Option<Reading>> {
        // Nor are they remembered: they would be in the way of the same message where that counts.
        portion.events.retain(|placed| !but.repeated.contains(&(portion.tick, placed.stored.message)));
        portion.events.iter().map(|placed| (self.read)(&placed.stored).ok()).collect()
    }

    /// Writes to the history what it lacks up to `until`, as it does at first, and where it was away for a while.
    pub fn catch_up(&self, history: &mut Archive, until: Tick) -> Result<(), CheckpointError> {
        /// Events that are written before the history counts with them.
        const EVENTS_AT_ONCE: usize = 1_000_000;
        let begins = begins(&self.store, until)?.unwrap_or_default();
        if history.is_new() || history.until() < begins {
            if !history.is_new() {
                let (ends, place) = (history.until(), history.title());
                tracing::warn!(%ends, %begins, "the history in {place} has a gap: the log does not have what it lacks");
            }
            history.begin(begins)?;
        }
        while history.until() < until {
            let but = LeftOut { repeated: repeated::up_to(&self.store, until)?, all_but: None };
            let portions = self.log(history.until());
            let mut recorder = history.record()?;
            let (mut events, mut at) = (0, until);
            for portion in portions {
                let mut portion = portion?;
                if portion.tick > until {
                    break;
                }
                if events >= EVENTS_AT_ONCE {
                    // Everything before this one is written.
                    at = Tick::from_ms(portion.tick.as_ms().saturating_sub(1));
                    break;
                }
                events += portion.events.len();
                let readings = self.readings(&mut portion, &but);
                recorder.add(&portion, &readings)?;
            }
            recorder.commit(at)?;
            tracing::info!(events, until = %at, "the history has caught up");
        }
        Ok(())
    }

    /// Makes a checkpoint of the one in `before`, if there is one, and of what was gathered after it. As of `tick`, which is
    /// not before either. `ids` says where the ids of messages are: runs have them
    /// up to `tick` by now, if it says so.
    pub fn make(
        &self,
        kept: &mut CheckpointList,
        before: Option<&ListedCheckpoint>,
        gathered: GatheredPart,
        tick: Tick,
        ids: MessageIds,
    ) -> Result<CheckpointCounts, CheckpointError> {
        let signatures = signatures(&self.definitions);
        let mut pieces = None;
        if let Some(entry) = before {
            let (head, before) = kept.read(entry)?;
            pieces = Some(before.measures(of_today(&head, &signatures)));
        }
        let head = CheckpointHead::new(tick, self.basis.clone(), signatures, ids);
        let folder = kept.folder().to_owned();
        let io = |source| CheckpointError::Io { path: folder.clone(), source };
        let GatheredPart { facts, messages, .. } = gathered;
        let mut new: Vec<(IdentifierId, Facts)> = facts.into_iter().collect();
        new.sort_unstable_by_key(|(id, _)| *id);
        let mut new = new.into_iter().peekable();
        let mut all_messages = Vec::new();
        kept.add(&head, |writer| {
            let write = |id, mut facts: Facts, writer: &mut CheckpointWriter| {
                facts.settle(tick, &self.definitions);
                writer.facts(id, &facts).map_err(io)
            };
            for piece in pieces.into_iter().flatten() {
                match piece? {
                    CheckpointPiece::Facts(old) => {
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
                    CheckpointPiece::Messages(_) if ids == MessageIds::Apart => {}
                    CheckpointPiece::Messages(old) => all_messages.extend(old),
                }
            }
            for (id, facts) in new {
                write(id, facts, writer)?;
            }
            if ids != MessageIds::Apart {
                all_messages.extend(messages);
            }
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

/// Of each measure of a checkpoint, by its signature, which one of today it is.
///
/// Where a field had one type for all of a project, it may have another one since, in a definition that is the same. What the
/// checkpoint has of such a measure is what events said then, and stays.
pub fn of_today(head: &CheckpointHead, signatures: &[String]) -> Vec<Option<MeasureId>> {
    let today = |text: &String| signatures.iter().position(|known| known == text);
    let mut found: Vec<Option<usize>> = head.measures.iter().map(today).collect();
    if head.basis.meaning < TYPED_IN_EACH_USE {
        for (place, measure) in head.measures.iter().enumerate() {
            let same = |today: &usize| without_types(&signatures[*today]) == without_types(measure);
            if found[place].is_none() {
                found[place] = (0..signatures.len()).filter(|today| !found.contains(&Some(*today))).find(same);
            }
        }
    }
    found.into_iter().map(|place| place.map(MeasureId::new)).collect()
}

/// A signature without the types of fields.
fn without_types(signature: &str) -> String {
    const TYPES: [&str; 4] = ["\":bool", "\":number", "\":time", "\":text"];
    TYPES.into_iter().fold(signature.to_owned(), |signature, kind| signature.replace(kind, "\""))
}

/// What the history has after `after`, of what it has without gaps.
pub(super) fn of_history(
    history: &Archive,
    after: Tick,
) -> impl Iterator<Item = Result<Portion, CheckpointError>> + use<> {
    let portions = history.portions(after.max(history.begins()), history.until());
    portions.map(|portion| portion.map_err(CheckpointError::from))
}
