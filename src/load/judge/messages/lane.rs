//! What is known of the messages of one lane.

use std::time::Instant;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::load::body::{LaneIdentifier, LaneNames};
use crate::load::judge::Cause;
use crate::load::messages::{DueMessage, MessageKey, MessageModel, MessagePerson};
use crate::load::stream::device_of_regular;
use crate::load::triggers::LoadTrigger;
use crate::receive::event::TriggerMessage;

/// A lane.
#[derive(Debug)]
pub struct MessageLane {
    pub(super) model: MessageModel,
    /// The model has taken in everything up to this tick.
    pub(super) done_to: u64,
    /// Whether no events come for now.
    pub(super) is_quiet: bool,
    /// What came before the model was there.
    pub(super) early: Vec<(TriggerMessage, Instant)>,
    pub(super) due: FxHashMap<MessageKey, DueMessage>,
    pub(super) unclear: FxHashSet<(LoadTrigger, MessagePerson)>,
    /// Of a trigger and a person, the tick of the latest record.
    recorded: FxHashMap<(LoadTrigger, MessagePerson), u64>,
    /// Of orders whose firing is an event, too, when that was decided, and the tick of its record.
    orders: FxHashMap<u64, (u64, u64)>,
}

impl MessageLane {
    /// One of which nothing is known yet.
    pub fn new(triggers: usize) -> Self {
        MessageLane {
            model: MessageModel::new(triggers),
            done_to: 0,
            is_quiet: false,
            early: Vec::new(),
            due: FxHashMap::default(),
            unclear: FxHashSet::default(),
            recorded: FxHashMap::default(),
            orders: FxHashMap::default(),
        }
    }

    /// Whether it cannot be known if a message has to come.
    pub(super) fn is_unclear(&self, message: &TriggerMessage, names: &LaneNames) -> bool {
        let Some(trigger) = LoadTrigger::named(&message.trigger) else { return false };
        message.identifiers.iter().filter_map(|written| names.read(written)).any(|(_, who)| {
            let (user, device) = match who {
                LaneIdentifier::User(user) => (Some(user), None),
                LaneIdentifier::Device(device) => (None, Some(device)),
                LaneIdentifier::Email(_) => (None, None),
            };
            MessagePerson::all_of(user, device).any(|person| self.unclear.contains(&(trigger, person)))
        })
    }

    /// What of a message is not as it should be.
    pub(super) fn differs(
        &self,
        due: &DueMessage,
        message: &TriggerMessage,
        names: &LaneNames,
        lane: u32,
    ) -> Option<&'static str> {
        let (trigger, id, _) = due.key;
        // The order's own message comes first. Where it is missing, that is told; then only the rest is looked at.
        let order = (trigger == LoadTrigger::BigOrder).then(|| self.orders.get(&id).copied());
        let (span, last_tick, nominal) = match order {
            None => (due.span_ms, due.last_tick, due.tick),
            Some(Some((decided, as_of))) => ((decided, decided), as_of, as_of),
            Some(None) => return Some("order before it"),
        };
        let before = self.recorded.get(&(trigger, due.person)).copied().unwrap_or(0);
        let decided = match due.person {
            MessagePerson::Regular(_) => message.decided == nominal.max(before),
            MessagePerson::User(_) | MessagePerson::Device(_) => message.decided >= nominal,
        };
        let cause = &message.cause;
        let is_right = [
            ("cause", cause.on == trigger.on() && (cause.first, cause.last) == span),
            ("payload", self.has_payload(due, message)),
            ("person", message.profile_id.is_some() && self.is_of(due.person, message, names, lane)),
            ("tick of its decision", decided && message.decided < message.as_of),
            ("id", message.message_id.starts_with(&format!("{}/{}-{last_tick}.", trigger.name(), span.1))),
            ("consent", message.requires_consent.is_none()),
        ];
        is_right.into_iter().find(|(_, is_right)| !is_right).map(|(what, _)| what)
    }

    fn has_payload(&self, due: &DueMessage, message: &TriggerMessage) -> bool {
        let number = |(name, thousandths): &(&str, u64)| {
            let number = message.payload.get(*name).and_then(serde_json::Value::as_f64);
            // What is written with three digits is the float that is nearest to it, and so is the quotient.
            number.is_some_and(|number| number == *thousandths as f64 / 1_000.0)
        };
        let text = |(name, text): &(&str, String)| message.payload.get(*name).and_then(|is| is.as_str()) == Some(text);
        message.payload.len() == due.numbers.len() + usize::from(due.text.is_some())
            && due.numbers.iter().all(number)
            && due.text.iter().all(text)
    }

    /// Whether the identifiers are those of a person, as of the record: unlike the payload, they go with it as with any event.
    fn is_of(&self, person: MessagePerson, message: &TriggerMessage, names: &LaneNames, lane: u32) -> bool {
        let has = |identifier| message.identifiers.contains(&names.written(lane, identifier));
        match person {
            MessagePerson::Regular(user) => {
                let email = self.model.email_since(user).is_some_and(|since| since <= message.as_of);
                let email = email.then_some(LaneIdentifier::Email(user));
                let own = [LaneIdentifier::User(user), LaneIdentifier::Device(device_of_regular(user))];
                let all: Vec<LaneIdentifier> = own.into_iter().chain(email).collect();
                message.identifiers.len() == all.len() && all.into_iter().all(has)
            }
            MessagePerson::User(user) => has(LaneIdentifier::User(user)),
            MessagePerson::Device(device) => has(LaneIdentifier::Device(device)),
        }
    }

    /// Remembers what follows from a message; gives whose messages are no longer expected, since it cannot be known whether they are right.
    pub(super) fn note(&mut self, due: &DueMessage, message: &TriggerMessage) -> Vec<Cause> {
        let (trigger, id, _) = due.key;
        self.recorded.insert((trigger, due.person), message.as_of);
        match trigger {
            LoadTrigger::Order if self.due.contains_key(&(LoadTrigger::BigOrder, id, 0)) => {
                self.orders.insert(id, (message.decided, message.as_of));
            }
            LoadTrigger::BigOrder => _ = self.orders.remove(&id),
            _ => {}
        }
        let took_ms = message.as_of.saturating_sub(message.decided);
        if trigger.at_most_ms().is_none_or(|time_ms| took_ms < time_ms) {
            return Vec::new();
        }
        self.unclear.insert((trigger, due.person));
        let is_in_doubt = |_: &MessageKey, other: &mut DueMessage| other.key.0 == trigger && other.person == due.person;
        self.due.extract_if(is_in_doubt).map(|(_, other)| other.cause).collect()
    }
}
