//! What a start can use: the newest checkpoint as it is, the same with what new definitions count added from history and log, one
//! made of the history, or the log alone. What cannot be had is said before anything starts.

use std::sync::Arc;

use dataflows::definitions::{Definitions, MeasureId, PersonTerm};
use dataflows::expression::Expression;
use dataflows::model::Tick;
use dataflows::observations::Arrival;
use rustc_hash::FxHashSet;

use super::file::{CheckpointPiece, MessageIds};
use super::kept::{ListedCheckpoint, Pieces};
use super::make::{GatheredPart, LeftOut, of_history, of_today};
use super::{Basis, CheckpointError, CheckpointList, Gatherer, key_of, repeated, signatures};
use crate::history::Archive;
use crate::log::{Store, StoreError, codec};
use crate::project::Project;

/// What a start begins with.
pub struct Restore {
    /// It is as of this tick: what the log has after it is to follow.
    pub tick: Tick,
    /// Where the ids of messages up to it are.
    pub messages: MessageIds,
    /// What is in it.
    pub pieces: Pieces,
}

/// What there is of the past, beside checkpoints.
pub struct PastSources<'a> {
    /// The log is gone up to this tick; nothing where it is complete.
    log: Option<Tick>,
    /// A history that has what came before the log, or the end of it.
    history: Option<&'a Archive>,
}

impl<'a> PastSources<'a> {
    /// The log is gone up to `log`, and there may be a history.
    pub fn new(log: Option<Tick>, history: Option<&'a Archive>) -> Self {
        // One that ends before the log begins has a gap behind it.
        let is_joined = |history: &&Archive| {
            log.is_some_and(|log| !history.is_new() && history.begins() <= log && history.until() >= log)
        };
        PastSources { log, history: history.filter(is_joined) }
    }

    /// What a start lacks, whatever the project says; nothing where it can begin.
    pub fn lack(&self, kept: &CheckpointList) -> Option<CheckpointError> {
        let begins = self.begins()?;
        let what = match kept.newest() {
            None => "there is no checkpoint".to_owned(),
            Some(newest) if begins > newest.tick => {
                format!("entries of the log after the checkpoint of tick {} are missing", newest.tick)
            }
            Some(_) => return None,
        };
        Some(CheckpointError::Gone { what, begins })
    }

    /// The history, where it is of use.
    pub(super) fn history(&self) -> Option<&'a Archive> {
        self.history
    }

    /// What is in neither came up to this tick; nothing where there is everything.
    pub(super) fn begins(&self) -> Option<Tick> {
        let begins = self.history.map_or(self.log, |history| Some(history.begins()));
        begins.filter(|begins| *begins > Tick::default())
    }
}

/// How a start is to begin. It is made before anything is changed.
pub struct RecoveryPlan {
    begin: Begin,
}

/// What arrives at a tick.
pub type ArrivalsAt = (Tick, Vec<Arrival>);

/// How a start begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartPlan {
    /// All events are read, from the first one.
    Anew,
    /// All events that are kept are read.
    AnewInPart,
    /// The checkpoint of this tick serves as it is.
    Checkpoint(Tick),
    /// A checkpoint serves once what new definitions count has been added.
    CheckpointAndMore,
}

enum Begin {
    /// With the log, from its beginning; or with a checkpoint of the history, where that has what the log lost.
    Anew,
    /// The same, since the checkpoints are of no use any more.
    AnewAlone,
    /// With the newest checkpoint, once what new measures count has been added from history and log.
    Newest(ListedCheckpoint, FxHashSet<MeasureId>),
}

impl RecoveryPlan {
    /// Decides how to start with `project`. With `accept_partial`, what cannot be rebuilt is made of what is kept.
    pub fn new(
        past: &PastSources<'_>,
        kept: &CheckpointList,
        project: &Project,
        accept_partial: bool,
    ) -> Result<Self, CheckpointError> {
        let begins = past.begins();
        let gone = |what: String| match begins {
            Some(begins) if !accept_partial => Err(CheckpointError::Gone { what, begins }),
            Some(begins) => {
                tracing::warn!(%begins, "{what}: going on with what is kept");
                Ok(())
            }
            None => Ok(()),
        };
        if let Some(CheckpointError::Gone { what, .. }) = past.lack(kept) {
            gone(what)?;
        }
        let begin = |begin| Ok(RecoveryPlan { begin });
        let Some(newest) = kept.newest().cloned() else { return begin(Begin::Anew) };
        let (head, _) = kept.read(&newest)?;
        let basis = Basis::of(project);
        if !head.basis.identity.starts_with(&key_of(project)) {
            tracing::warn!(
                "the key of [identity] is another one: what was sent within `dedupe_window` counts again if it is sent again"
            );
        }
        if head.basis.identity != basis.identity {
            gone("the rules of identity, or their key, are others than those of the checkpoint".to_owned())?;
            tracing::info!("the rules of identity have changed: everything is made anew from history and log");
            return begin(Begin::AnewAlone);
        }
        if head.basis.meaning != basis.meaning {
            if begins.is_none() {
                tracing::info!(
                    "events mean something else than when the checkpoint was made: everything is made anew from history and log"
                );
                return begin(Begin::AnewAlone);
            }
            tracing::info!(
                "events mean something else than when the checkpoint was made; what came before is not kept, so it stays as it was understood then"
            );
        }
        for lack in head.basis.lacks(&basis) {
            gone(lack.clone())?;
            if begins.is_none() {
                tracing::info!("{lack}: everything is made anew from history and log");
                return begin(Begin::AnewAlone);
            }
        }
        let signatures = signatures(&project.definitions);
        let known: FxHashSet<MeasureId> = of_today(&head, &signatures).into_iter().flatten().collect();
        let new: FxHashSet<MeasureId> =
            (0..signatures.len()).map(MeasureId::new).filter(|measure| !known.contains(measure)).collect();
        if let Some(begins) = begins {
            let lacking =
                new.iter().copied().filter(|measure| !is_covered(project, *measure, begins, head.tick)).collect();
            let users = users(&project.definitions, &lacking);
            if !users.is_empty() {
                gone(format!("new, and cannot be counted completely: {}", users.join(", ")))?;
            }
        }
        begin(Begin::Newest(newest, new))
    }

    /// The tick up to which message ids have to be beside the checkpoint that the start begins with; nothing where that has them, or
    /// the log.
    pub fn ids_apart(&self, past: &PastSources<'_>, kept: &CheckpointList) -> Result<Option<Tick>, CheckpointError> {
        let Begin::Newest(newest, _) = &self.begin else { return Ok(None) };
        // A checkpoint that is made of the history has the ids of its events.
        let rolls_forward = past.history.is_some() && past.log > Some(newest.tick);
        Ok(kept.ids_apart()?.filter(|_| !rolls_forward))
    }

    /// How the start begins, in words of its own.
    pub fn start(&self, past: &PastSources<'_>) -> StartPlan {
        match &self.begin {
            Begin::AnewAlone => StartPlan::Anew,
            Begin::Anew if past.begins().is_some() => StartPlan::AnewInPart,
            Begin::Anew => StartPlan::Anew,
            Begin::Newest(newest, new) if new.is_empty() => StartPlan::Checkpoint(newest.tick),
            Begin::Newest(..) if past.begins().is_some() => StartPlan::CheckpointAndMore,
            Begin::Newest(..) => StartPlan::Anew,
        }
    }

    /// All that the start feeds to the dataflow, in the order of its ticks. Changes nothing. Nothing is left out, so it is not for
    /// [`StartPlan::CheckpointAndMore`].
    pub fn arrivals<'g>(
        &self,
        past: &PastSources<'_>,
        kept: &CheckpointList,
        gatherer: &'g Gatherer,
        project: &Project,
    ) -> Result<Box<dyn Iterator<Item = Result<ArrivalsAt, CheckpointError>> + 'g>, CheckpointError> {
        let after = match &self.begin {
            Begin::Newest(newest, new) if new.is_empty() => newest.tick,
            _ => Tick::default(),
        };
        let but = LeftOut { repeated: repeated::up_to(&gatherer.store, Tick::MAX)?, all_but: None };
        let events = gatherer.arrivals(gatherer.all_of(past, after), but);
        let Some(newest) = kept.newest().filter(|newest| newest.tick == after) else { return Ok(events) };
        let (head, pieces) = kept.read(newest)?;
        let pieces = pieces.measures(of_today(&head, &signatures(&project.definitions)));
        let facts = pieces.map(|piece| match piece? {
            CheckpointPiece::Facts(facts) => {
                Ok((Tick::default(), facts.into_iter().map(|of_one| Arrival::Facts(Box::new(of_one))).collect()))
            }
            CheckpointPiece::Messages(_) => Ok((Tick::default(), Vec::new())),
        });
        Ok(Box::new(facts.chain(events)))
    }

    /// Prepares the start. Nothing where the log alone is to be read, from its beginning.
    pub fn prepare(
        self,
        past: &PastSources<'_>,
        store: &Store,
        kept: &mut CheckpointList,
        gatherer: &Gatherer,
        project: &Project,
    ) -> Result<Option<Restore>, CheckpointError> {
        match self.begin {
            Begin::Anew => {}
            Begin::AnewAlone => kept.clear()?,
            Begin::Newest(_, new) if new.is_empty() => {}
            Begin::Newest(newest, new) => {
                let left_out = LeftOut { repeated: repeated::up_to(store, newest.tick)?, all_but: Some(new) };
                let (head, _) = kept.read(&newest)?;
                rebuild(kept, gatherer, past, &newest, head.messages, &left_out)?;
            }
        }
        // Where the log does not follow on the newest checkpoint, what the history has in between does.
        let newest = kept.newest().map_or(Tick::default(), |newest| newest.tick);
        if let Some(history) = past.history.filter(|_| past.log.is_some_and(|log| log > newest)) {
            roll_forward(kept, gatherer, history)?;
        }
        let Some(newest) = kept.newest() else { return Ok(None) };
        let (head, pieces) = kept.read(newest)?;
        let measures = of_today(&head, &signatures(&project.definitions));
        Ok(Some(Restore { tick: head.tick, messages: head.messages, pieces: pieces.measures(measures) }))
    }
}

/// Puts what events say of new measures, all else left out, into the newest checkpoint.
fn rebuild(
    kept: &mut CheckpointList,
    gatherer: &Gatherer,
    past: &PastSources<'_>,
    newest: &ListedCheckpoint,
    messages: MessageIds,
    left_out: &LeftOut,
) -> Result<(), CheckpointError> {
    /// Events that are gathered before they are settled. Few in tests, so that there is more than one part.
    const EVENTS_AT_ONCE: u64 = if cfg!(test) { 30 } else { 500_000 };
    tracing::info!("new definitions: counting in history and log what they need");
    // The ids of their messages are where those of the checkpoint are.
    let mut gathered = GatheredPart::default();
    loop {
        let portions = gatherer.all_of(past, gathered.tick);
        let next = gatherer.gather(portions, (newest.tick, EVENTS_AT_ONCE, &|_| true), left_out, None)?;
        if next.events == 0 {
            break;
        }
        gathered.take_in(next, &gatherer.definitions);
    }
    tracing::info!(events = gathered.events, "counted");
    gatherer.make(kept, Some(newest), gathered, newest.tick, messages)?;
    Ok(())
}

/// Makes checkpoints of what the history has after the newest one, up to its end.
fn roll_forward(kept: &mut CheckpointList, gatherer: &Gatherer, history: &Archive) -> Result<(), CheckpointError> {
    /// Events that are gathered in memory at a time.
    const EVENTS_AT_ONCE: u64 = 2_000_000;
    tracing::info!("making checkpoints of the history");
    loop {
        let newest = kept.newest().cloned();
        let after = newest.as_ref().map_or(Tick::default(), |newest| newest.tick);
        if after >= history.until() {
            return Ok(());
        }
        let gathered = gatherer.gather(
            of_history(history, after),
            (history.until(), EVENTS_AT_ONCE, &|_| true),
            &LeftOut::default(),
            None,
        )?;
        // The end of it is later than its last event where what came then did not count.
        let tick = if gathered.events < EVENTS_AT_ONCE { history.until() } else { gathered.tick };
        tracing::info!(events = gathered.events, %tick, "a checkpoint of the history");
        gatherer.make(kept, newest.as_ref(), gathered, tick, MessageIds::Within)?;
    }
}

/// The tick up to which the log is gone; nothing where it is complete, from the first event on.
///
/// The last entry stays whatever a checkpoint drops, so an empty log beside one, whose tick is `newest`, has lost what it had.
pub fn begins(store: &Store, newest: Tick) -> Result<Option<Tick>, StoreError> {
    let Some(first) = store.entries(Tick::default()).next() else {
        return Ok((newest > Tick::default()).then_some(newest));
    };
    let first = first?;
    let envelope = codec::envelope(first.tick, &first.bytes).map_err(|error| store.undecodable(first.tick, error))?;
    Ok((envelope.previous > Tick::default()).then_some(envelope.previous))
}

/// Whether all events that count for a measure at `tick` came after `begins`.
fn is_covered(project: &Project, measure: MeasureId, begins: Tick, tick: Tick) -> bool {
    let period = project.definitions.measures[measure.index()].within.as_ref();
    period.and_then(|period| period.begins(tick)).is_some_and(|counted| begins <= counted)
}

/// Which traits and audiences use one of these measures.
fn users(definitions: &Arc<Definitions>, measures: &FxHashSet<MeasureId>) -> Vec<String> {
    let uses = |expression: &Expression<PersonTerm>| {
        let mut found = false;
        expression.for_each_term(&mut |term| {
            found |= term.measure().is_some_and(|measure| measures.contains(&measure));
        });
        found
    };
    let traits = definitions.traits.iter().filter(|of| uses(&of.expression)).map(|of| format!("trait {}", of.name));
    let audiences =
        definitions.audiences.iter().filter(|of| uses(&of.condition)).map(|of| format!("audience {}", of.name));
    traits.chain(audiences).collect()
}
