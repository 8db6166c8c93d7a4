//! What triggers have to send, by what docs/concepts/triggers.md says of [`LoadTrigger`]s: which message, at which tick, with what in it. In
//! integers, and without a line of the engine.
//!
//! A moment at which something may be due is a timer. Timers of a tick go off when all events of that tick are in, in the order of the events
//! that they are about, which within a lane is that of their numbers. Events of a lane come in order; they may come after the tick at which
//! they would have been due, and then are decided at the one at which they come.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::judge::Cause;
use super::stream::{LoadAction, LoadEvent, is_regular};
use super::triggers::{BIG_ORDER_CENTS, LEFT_ABSENT_MS, LoadTrigger, ORDER_CENTS, REMINDER_WAIT_MS, VISIT_GAP_MS};

mod regular;

use regular::{Regular, RegularSpan};

/// Whose a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessagePerson {
    /// A regular, with the one device.
    Regular(u32),
    /// Anybody else who said the user.
    User(u32),
    /// Whoever has the device.
    Device(u32),
}

impl MessagePerson {
    /// All that somebody may be, who has these.
    pub fn all_of(user: Option<u32>, device: Option<u32>) -> impl Iterator<Item = Self> {
        let users = user.into_iter().flat_map(|user| [MessagePerson::Regular(user), MessagePerson::User(user)]);
        users.chain(device.map(MessagePerson::Device))
    }
}

/// What tells a message from all others of the lane: the trigger, the number of its event or its user, and for the latter the time of the last event.
pub type MessageKey = (LoadTrigger, u64, u64);

/// A message that has to come.
#[derive(Clone, Debug)]
pub struct DueMessage {
    /// Which.
    pub key: MessageKey,
    /// Whose it is.
    pub person: MessagePerson,
    /// The times of its first and its last event. Of a firing that is not known yet.
    pub span_ms: (u64, u64),
    /// The tick of its last event.
    pub last_tick: u64,
    /// When it is due, in milliseconds since the Unix epoch.
    pub due_ms: u64,
    /// The tick at which it is decided, if nothing of this person waits for a record. Of a firing it is that of what is on.
    pub tick: u64,
    /// The numbers in it, in thousandths, by name.
    pub numbers: Vec<(&'static str, u64)>,
    /// The text in it.
    pub text: Option<(&'static str, String)>,
    /// The batch with its last event.
    pub cause: Cause,
}

/// An event, as far as it is needed when it is due.
#[derive(Clone, Copy, Debug)]
struct Seen {
    number: u64,
    at_ms: u64,
    tick: u64,
    cause: Cause,
}

/// What may be due.
#[derive(Clone, Copy, Debug)]
enum LoadOccurrence {
    Order { person: MessagePerson, cents: u32 },
    Reminder { user: u32 },
    Visit { user: u32 },
    Left { user: u32 },
}

/// What a lane has to be told.
#[derive(Debug, Default)]
pub struct MessageModel {
    /// How many of the triggers there are.
    triggers: usize,
    people: FxHashMap<u32, Regular>,
    timers: BTreeMap<u64, Vec<(Seen, LoadOccurrence)>>,
    done_to: u64,
}

impl MessageModel {
    /// Nobody yet; with the first so many of the triggers.
    pub fn new(triggers: usize) -> Self {
        MessageModel { triggers, ..MessageModel::default() }
    }

    /// Takes in the events of a tick; ticks grow.
    pub fn take(&mut self, tick: u64, events: &[LoadEvent], cause: Cause, to: &mut Vec<DueMessage>) {
        self.advance(tick.saturating_sub(1), to);
        for event in events {
            self.event(Seen { number: event.number, at_ms: event.at_ms, tick, cause }, event);
        }
        self.advance(tick, to);
    }

    /// Lets time pass, up to and including `tick`.
    pub fn advance(&mut self, tick: u64, to: &mut Vec<DueMessage>) {
        while let Some(first) = self.timers.first_entry().filter(|first| *first.key() <= tick) {
            let (at, mut due) = first.remove_entry();
            due.sort_by_key(|(seen, _)| seen.number);
            due.into_iter().for_each(|(seen, occurrence)| self.decide(at, seen, occurrence, to));
        }
        self.done_to = self.done_to.max(tick);
    }

    /// Since which tick a regular has an address, if that is so.
    pub fn email_since(&self, user: u32) -> Option<u64> {
        self.people.get(&user).and_then(|regular| regular.email_since)
    }

    fn event(&mut self, seen: Seen, event: &LoadEvent) {
        let regular = event.user.filter(|user| is_regular(*user));
        if let LoadAction::Purchase { cents } = event.what {
            let person = match (regular, event.user) {
                (Some(user), _) => MessagePerson::Regular(user),
                (None, Some(user)) => MessagePerson::User(user),
                (None, None) => MessagePerson::Device(event.device),
            };
            self.set(seen, seen.at_ms, LoadTrigger::Order, LoadOccurrence::Order { person, cents });
        }
        let Some(user) = regular else { return };
        let person = self.people.entry(user).or_default();
        person.forget(self.done_to.min(seen.at_ms));
        person.event(seen, event);
        self.set(seen, seen.at_ms + VISIT_GAP_MS, LoadTrigger::Visit, LoadOccurrence::Visit { user });
        if event.what == LoadAction::Cart {
            self.set(seen, seen.at_ms + REMINDER_WAIT_MS, LoadTrigger::Reminder, LoadOccurrence::Reminder { user });
            self.set(seen, seen.at_ms + LEFT_ABSENT_MS, LoadTrigger::Left, LoadOccurrence::Left { user });
        }
    }

    fn set(&mut self, seen: Seen, due_ms: u64, trigger: LoadTrigger, occurrence: LoadOccurrence) {
        if (trigger as usize) < self.triggers {
            self.timers.entry(due_ms.max(seen.tick)).or_default().push((seen, occurrence));
        }
    }

    fn decide(&mut self, tick: u64, seen: Seen, occurrence: LoadOccurrence, to: &mut Vec<DueMessage>) {
        let message = |trigger, id, last_ms, person, span_ms, due_ms| DueMessage {
            key: (trigger, id, last_ms),
            person,
            span_ms,
            last_tick: seen.tick,
            due_ms,
            tick,
            numbers: Vec::new(),
            text: None,
            cause: seen.cause,
        };
        let at = seen.at_ms;
        match occurrence {
            LoadOccurrence::Order { person, cents } if cents > ORDER_CENTS => {
                let numbers = vec![("total", u64::from(cents) * 10)];
                let text = Some(("order", format!("o-{}", seen.number)));
                let order = message(LoadTrigger::Order, seen.number, 0, person, (at, at), at);
                let order = DueMessage { numbers, text, ..order };
                if cents > BIG_ORDER_CENTS && self.triggers > LoadTrigger::BigOrder as usize {
                    to.push(DueMessage { key: (LoadTrigger::BigOrder, seen.number, 0), ..order.clone() });
                }
                to.push(order);
            }
            LoadOccurrence::Order { .. } => {}
            LoadOccurrence::Reminder { user } => {
                let Some(regular) = self.people.get_mut(&user).filter(|regular| !regular.has_ordered(tick)) else {
                    return;
                };
                if regular.fires(LoadTrigger::Reminder, tick) {
                    let numbers = vec![("club", seen.number * 1_000), ("orders", regular.orders_total * 1_000)];
                    let text = Some(("product", format!("p-{}", seen.number % 1_000)));
                    let person = MessagePerson::Regular(user);
                    let due_ms = at + REMINDER_WAIT_MS;
                    let reminder = message(LoadTrigger::Reminder, seen.number, 0, person, (at, at), due_ms);
                    to.push(DueMessage { numbers, text, ..reminder });
                }
            }
            LoadOccurrence::Visit { user } => {
                let Some(visit) = self.people.get_mut(&user).and_then(|regular| regular.visit(seen.number, tick))
                else {
                    return;
                };
                let numbers = vec![
                    ("events", visit.events * 1_000),
                    ("orders", visit.orders * 1_000),
                    ("spent", visit.cents * 10),
                    ("seconds", at - visit.span.first.0),
                ];
                let (person, span_ms) = (MessagePerson::Regular(user), (visit.span.first.0, at));
                let over = message(LoadTrigger::Visit, user.into(), at, person, span_ms, at + VISIT_GAP_MS);
                to.push(DueMessage { numbers, ..over });
            }
            LoadOccurrence::Left { user } => {
                let Some(regular) = self.people.get_mut(&user) else { return };
                let Some(RegularSpan { first, .. }) = regular.left((at, seen.number), tick) else { return };
                let numbers = vec![("views", regular.views_total * 1_000)];
                let person = MessagePerson::Regular(user);
                let left = message(LoadTrigger::Left, user.into(), at, person, (first.0, at), at + LEFT_ABSENT_MS);
                to.push(DueMessage { numbers, ..left });
            }
        }
    }
}

#[cfg(test)]
mod tests;
