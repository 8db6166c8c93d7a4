//! Events on their way to destinations: picked where they get their tick, handed on when that is complete.
//!
//! Each takes a question for the profile of its person, put at its own tick. The dataflow answers it as of that tick, with
//! all that arrived in it: neither without the event itself, nor with anything later. In a cluster each process hands on
//! the events that it accepted, since answers come to the worker that asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use dataflows::definitions::{Definitions, ForwardId};
use dataflows::forwards::Forwards;
use dataflows::model::{Event, IdentifierId, Profile, Tick};
use dataflows::relations::{Found, LookUp, ProfileRef, Profiles, Query, Question};

use super::sequencer::Sequencer;
use super::workers::WorkerCommand;
use crate::log::Offset;

/// An event for destinations, with what is known of its person as of its tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Its place.
    pub position: Offset,
    /// What it is.
    pub kind: ForwardedKind,
    /// Its text, as the log has it.
    pub raw: Bytes,
    /// Its time, as it counts.
    pub timestamp: Tick,
    /// When it arrived; nothing where it comes from the log.
    pub received: Option<Instant>,
    /// The forwards that it matches, at least one.
    pub to: Vec<ForwardId>,
    /// The identifier that says whose it is; nothing where all that it has are blocked.
    pub primary: Option<IdentifierId>,
    /// Its person; nothing where all identifiers that it has are blocked.
    pub profile: Option<Profile>,
}

/// What goes to destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedKind {
    /// An event that was sent.
    Event,
    /// The message of a trigger, of which the text is the record.
    Message,
}

/// Takes out of the forwards that an event matches those to which it is not to go, by its time and by what only its text says.
pub type Choice = Box<dyn Fn(Tick, &Event, &[u8], &mut Vec<ForwardId>) + Send + Sync>;

/// Picks the events that are to be forwarded.
pub struct Picker {
    forwards: Forwards,
    /// By forward: the tick where it begins. Without an entry it begins at the first.
    from: Vec<Tick>,
    choice: Choice,
}

impl Picker {
    /// By these definitions, each forward from its tick on, as far as the choice lets.
    pub fn new(definitions: Arc<Definitions>, from: Vec<Tick>, choice: Choice) -> Self {
        Picker { forwards: Forwards::new(definitions), from, choice }
    }

    fn pick(&self, tick: Tick, event: &Event, raw: &[u8]) -> Vec<ForwardId> {
        let mut to = self.forwards.of(event);
        to.retain(|id| self.from.get(id.index()).is_none_or(|from| *from <= tick));
        if !to.is_empty() {
            (self.choice)(tick, event, raw, &mut to);
        }
        to
    }
}

/// An event that was picked, and not yet put on its way.
#[derive(Debug)]
pub struct Picked(Forwarded);

impl Sequencer {
    /// The event as it is to be forwarded; nothing where nobody wants it.
    pub(super) fn pick(
        &self,
        position: Offset,
        raw: &Bytes,
        event: &Event,
        received: Option<Instant>,
    ) -> Option<Picked> {
        let to = self.picker.pick(position.tick, event, raw);
        if to.is_empty() {
            return None;
        }
        let primary = self.picker.forwards.primary(event);
        let kind = if event.name.derived().is_some() { ForwardedKind::Message } else { ForwardedKind::Event };
        Some(Picked(Forwarded {
            position,
            kind,
            raw: raw.clone(),
            timestamp: event.timestamp,
            received,
            to,
            primary,
            profile: None,
        }))
    }

    /// Puts an event on its way to the destinations that want it. The event itself must go to the workers, too, before input
    /// leaves its tick: or else the profile would be one without it.
    pub(super) fn forward(&self, Picked(forwarded): Picked) {
        let (tick, primary) = (forwarded.position.tick, forwarded.primary);
        let id = self.shared.forwarding(forwarded);
        if let Some(primary) = primary {
            let question = Question::LookUp(Profiles::into_any(vec![ProfileRef::Identifier(primary)]));
            self.workers.tell(0, WorkerCommand::Ask(tick, Query::new(id, self.first_worker, question)));
        }
    }
}

/// Events whose ticks are not complete yet. Bounded by the events that may be under way at all.
#[derive(Debug, Default)]
pub struct Underway {
    /// By number of the question.
    asked: HashMap<u64, Offset>,
    events: BTreeMap<Offset, Forwarded>,
}

impl Underway {
    /// An event is on its way, and the question `id` for its person, where it has one.
    pub fn begin(&mut self, id: u64, forwarded: Forwarded) {
        self.asked.insert(id, forwarded.position);
        self.events.insert(forwarded.position, forwarded);
    }

    /// Takes the answer to one of the questions.
    pub fn answered(&mut self, id: u64, found: Found) {
        let Some(position) = self.asked.remove(&id) else { return };
        if let (Some(event), Found::Row(row)) = (self.events.get_mut(&position), found) {
            event.profile = Profiles::row_of(row).flatten();
        }
    }

    /// The events before `frontier`, in order. All answers of their ticks were taken.
    pub fn complete(&mut self, frontier: Tick) -> Vec<Forwarded> {
        let later = self.events.split_off(&Offset { tick: frontier, index: 0 });
        let complete = std::mem::replace(&mut self.events, later);
        if !complete.is_empty() {
            // Those that no question was put for are left: nobody answered them.
            self.asked.retain(|_, position| position.tick >= frontier);
        }
        complete.into_values().collect()
    }
}
