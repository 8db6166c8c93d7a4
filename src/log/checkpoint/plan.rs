//! What a start can use: the newest checkpoint as it is, the same with what new definitions count added from the kept log, or
//! the log alone. What cannot be had is said before anything starts.

use std::sync::Arc;

use dataflows::definitions::{Definitions, MeasureId, PersonTerm};
use dataflows::expression::Expression;
use dataflows::model::Tick;
use rustc_hash::FxHashSet;

use super::kept::{Entry, Pieces};
use super::make::{LeftOut, of_today};
use super::{Basis, CheckpointError, Gatherer, Kept, repeated, signatures};
use crate::log::{Store, StoreError, codec};
use crate::project::Project;

/// What a start begins with.
pub struct Restore {
    /// It is as of this tick: what the log has after it is to follow.
    pub tick: Tick,
    /// What is in it.
    pub pieces: Pieces,
}

/// How a start is to begin. It is made before anything is changed.
pub struct Plan {
    begin: Begin,
}

enum Begin {
    /// With the log, from its beginning.
    Log,
    /// The same, since the checkpoints are of no use any more.
    LogAlone,
    /// With the newest checkpoint, whose measures are these today.
    Newest(Entry, Vec<Option<MeasureId>>),
    /// The same, once what new measures count has been added from the log.
    Counted(Entry, FxHashSet<MeasureId>),
}

impl Plan {
    /// Decides how to start with `project`, where the log is gone up to `begins`. With `accept_partial`, what cannot be rebuilt is
    /// made of what is kept.
    pub fn new(
        begins: Option<Tick>,
        kept: &Kept,
        project: &Project,
        accept_partial: bool,
    ) -> Result<Self, CheckpointError> {
        let is_complete = begins.is_none();
        let gone = |what: String| match begins {
            Some(begins) if !accept_partial => Err(CheckpointError::Gone { what, begins }),
            Some(begins) => {
                tracing::warn!(%begins, "{what}: going on with what is kept");
                Ok(())
            }
            None => Ok(()),
        };
        let begin = |begin| Ok(Plan { begin });
        let Some(newest) = kept.newest().cloned() else {
            gone("there is no checkpoint".to_owned())?;
            return begin(Begin::Log);
        };
        let (head, _) = kept.read(&newest)?;
        if begins.is_some_and(|begins| begins > head.tick) {
            gone(format!("entries of the log after the checkpoint of tick {} are missing", head.tick))?;
        }
        let basis = Basis::of(project);
        if head.basis.identity != basis.identity {
            gone("the rules of identity, or their key, are others than those of the checkpoint".to_owned())?;
            tracing::info!("the rules of identity have changed: everything is made anew from the log");
            return begin(Begin::LogAlone);
        }
        if head.basis.times != basis.times {
            gone("other attributes are times than in the checkpoint".to_owned())?;
            if is_complete {
                tracing::info!("other attributes are times now: everything is made anew from the log");
                return begin(Begin::LogAlone);
            }
        }
        let signatures = signatures(&project.definitions);
        let measures = of_today(&head.measures, &signatures);
        let known: FxHashSet<MeasureId> = measures.iter().flatten().copied().collect();
        let new: FxHashSet<MeasureId> =
            (0..signatures.len()).map(MeasureId::new).filter(|measure| !known.contains(measure)).collect();
        if new.is_empty() {
            return begin(Begin::Newest(newest, measures));
        }
        if let Some(begins) = begins {
            let lacking =
                new.iter().copied().filter(|measure| !is_covered(project, *measure, begins, head.tick)).collect();
            let users = users(&project.definitions, &lacking);
            if !users.is_empty() {
                gone(format!("new, and cannot be counted completely: {}", users.join(", ")))?;
            }
        }
        begin(Begin::Counted(newest, new))
    }

    /// Prepares the start. Nothing where the log alone is to be read, from its beginning.
    pub fn prepare(
        self,
        store: &Store,
        kept: &mut Kept,
        gatherer: &Gatherer,
        project: &Project,
    ) -> Result<Option<Restore>, CheckpointError> {
        let (entry, measures) = match self.begin {
            Begin::Log => return Ok(None),
            Begin::LogAlone => {
                kept.clear()?;
                return Ok(None);
            }
            Begin::Newest(newest, measures) => (newest, measures),
            Begin::Counted(newest, new) => {
                let left_out = LeftOut { repeated: repeated::up_to(store, newest.tick)?, all_but: Some(new) };
                rebuild(kept, gatherer, &newest, newest.tick, &left_out)?;
                let counted = kept.newest().cloned().unwrap_or(newest);
                let (head, _) = kept.read(&counted)?;
                (counted, of_today(&head.measures, &signatures(&project.definitions)))
            }
        };
        let (head, pieces) = kept.read(&entry)?;
        Ok(Some(Restore { tick: head.tick, pieces: pieces.measures(measures) }))
    }
}

/// Puts what events say of new measures, all else left out, into a checkpoint.
fn rebuild(
    kept: &mut Kept,
    gatherer: &Gatherer,
    newest: &Entry,
    tick: Tick,
    left_out: &LeftOut,
) -> Result<(), CheckpointError> {
    tracing::info!("new definitions: counting in the log what they need");
    let mut gathered = gatherer.gather(Tick::default(), tick, u64::MAX, left_out)?;
    tracing::info!(events = gathered.events, "counted");
    // The ids of their messages are in the checkpoint.
    gathered.forget_messages();
    gatherer.make(kept, Some(newest), gathered, tick)?;
    Ok(())
}

/// The tick up to which the log is gone; nothing where it is complete, from the first event on.
pub fn begins(store: &Store) -> Result<Option<Tick>, StoreError> {
    let Some(first) = store.entries(Tick::default()).next() else { return Ok(None) };
    let first = first?;
    let envelope = codec::envelope(first.tick, &first.bytes).map_err(|error| store.undecodable(first.tick, error))?;
    Ok((envelope.previous > Tick::default()).then_some(envelope.previous))
}

/// Whether all events that count for a measure at `tick` came after `begins`.
fn is_covered(project: &Project, measure: MeasureId, begins: Tick, tick: Tick) -> bool {
    let Some(window) = project.definitions.measures[measure.index()].within else { return false };
    // An event may be as much ahead of its tick as the clock of its sender may be wrong.
    let max_future_ms = u64::try_from(project.clock.max_future.as_millis()).unwrap_or(u64::MAX);
    begins.after_ms(window.length_ms.saturating_add(max_future_ms)) <= tick
}

/// Which traits and audiences use one of these measures.
fn users(definitions: &Arc<Definitions>, measures: &FxHashSet<MeasureId>) -> Vec<String> {
    let uses = |expression: &Expression<PersonTerm>| {
        let mut found = false;
        expression.for_each_term(&mut |term| {
            found |= match term {
                PersonTerm::Count(measure)
                | PersonTerm::Sum(measure)
                | PersonTerm::Average(measure)
                | PersonTerm::Sample(measure)
                | PersonTerm::Distinct(measure) => measures.contains(measure),
                _ => false,
            }
        });
        found
    };
    let traits = definitions.traits.iter().filter(|of| uses(&of.expression)).map(|of| format!("trait {}", of.name));
    let audiences =
        definitions.audiences.iter().filter(|of| uses(&of.condition)).map(|of| format!("audience {}", of.name));
    traits.chain(audiences).collect()
}
