//! Holds the messages that come against those that triggers have to send.
//!
//! Each message that comes must be an expected one: its trigger, what it is about, `cause`, `payload`, `identifiers`, and the tick at which it was
//! decided. None comes twice, none is missing, and ids are made as docs/concepts/triggers.md says, all different. While a firing of a person
//! is not in the log, the next one of the same trigger waits for it, and says so by `decided`. Of people who are no regulars that is only
//! known to be not too early: where identifiers leave them meanwhile, it is decided at once.
//!
//! *Unclear* is what the documented meaning leaves open to who sees messages only: of people with a message whose record took longer than
//! [`LoadTrigger::at_most_ms`], and of those whose events have a tick that nobody was told.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustc_hash::FxHashSet;

use super::COMPLAINTS_MAX;
use super::papers::{Acked, MessageCounts};
use crate::load::body::{LaneIdentifier, LaneNames};
use crate::load::messages::{DueMessage, MessageKey, MessagePerson};
use crate::load::tally::RateStep;
use crate::load::triggers::LoadTrigger;
use crate::receive::event::TriggerMessage;

mod lane;
#[cfg(test)]
mod tests;

use lane::MessageLane;

/// What was counted of each trigger.
pub type CountsByTrigger = [MessageCounts; LoadTrigger::ALL.len()];

/// The judge of messages.
#[derive(Debug)]
pub(super) struct MessageJudge {
    names: LaneNames,
    late: Duration,
    /// Both at the same moment.
    base: (Instant, SystemTime),
    steps: Arc<[RateStep]>,
    step: usize,
    lanes: Vec<MessageLane>,
    ids: FxHashSet<String>,
    /// By step.
    counts: Vec<CountsByTrigger>,
    pub complaints: Vec<String>,
}

impl MessageJudge {
    /// Nothing is known yet; with a lane for each of `lanes`.
    pub fn new(
        names: LaneNames,
        late: Duration,
        base: (Instant, SystemTime),
        steps: Arc<[RateStep]>,
        lanes: Vec<MessageLane>,
    ) -> Self {
        let counts = vec![CountsByTrigger::default(); steps.len()];
        MessageJudge { names, late, base, steps, step: 0, lanes, ids: FxHashSet::default(), counts, complaints: vec![] }
    }

    /// So many lanes, with the first so many of the triggers.
    pub fn lanes(lanes: u32, triggers: usize) -> Vec<MessageLane> {
        (0..lanes).map(|_| MessageLane::new(triggers)).collect()
    }

    /// Takes in a batch that was acknowledged.
    pub fn acked(&mut self, Acked { lane, events, earliest, tick, cause }: &Acked) {
        self.step = cause.step;
        let of = &mut self.lanes[*lane as usize];
        of.is_quiet = false;
        let mut due = Vec::new();
        of.model.take(*tick, events, *cause, &mut due);
        if earliest != tick {
            let who = events.iter().flat_map(|event| MessagePerson::all_of(event.user, Some(event.device)));
            of.unclear.extend(who.flat_map(|person| LoadTrigger::ALL.map(|trigger| (trigger, person))));
        }
        self.expect(*lane, *tick, due);
    }

    /// All lanes are at least at this tick, and nothing is sent for now.
    pub fn advance(&mut self, tick: u64) {
        for lane in 0..self.lanes.len() as u32 {
            let of = &mut self.lanes[lane as usize];
            of.is_quiet = true;
            let mut due = Vec::new();
            of.model.advance(tick, &mut due);
            self.expect(lane, tick, due);
        }
    }

    fn expect(&mut self, lane: u32, done_to: u64, due: Vec<DueMessage>) {
        let of = &mut self.lanes[lane as usize];
        of.done_to = of.done_to.max(done_to);
        for due in due {
            let trigger = due.key.0;
            let counts = &mut self.counts[due.cause.step][trigger as usize];
            if of.unclear.contains(&(trigger, due.person)) {
                counts.unclear += 1;
            } else {
                counts.expected += 1;
                of.due.insert(due.key, due);
            }
        }
        for (message, at) in std::mem::take(&mut of.early) {
            self.come(lane, message, at);
        }
    }

    /// Takes in a message that came.
    pub fn received(&mut self, message: TriggerMessage, at: Instant) {
        let lane = message.identifiers.iter().find_map(|written| self.names.read(written)).map(|(lane, _)| lane);
        let Some(lane) = lane.filter(|lane| (*lane as usize) < self.lanes.len()) else {
            // People of runs before this one have identifiers, too.
            if message.identifiers.is_empty() {
                self.extra(&message, "came and is nobody's");
            }
            return;
        };
        if !self.ids.insert(message.message_id.clone()) {
            self.extra(&message, "came twice");
            return;
        }
        self.come(lane, message, at);
    }

    /// Judges a message, if the model is there.
    fn come(&mut self, lane: u32, message: TriggerMessage, at: Instant) {
        let trigger = LoadTrigger::named(&message.trigger);
        let key = trigger.and_then(|trigger| self.key(trigger, &message));
        let of = &mut self.lanes[lane as usize];
        // Where no more events come, what is expected is as good as later.
        let is_expected = key.is_some_and(|key| of.due.contains_key(&key));
        if message.as_of <= of.done_to || (of.is_quiet && is_expected) {
            self.judge(lane, key, &message, at);
        } else {
            of.early.push((message, at));
        }
    }

    fn judge(&mut self, lane: u32, key: Option<MessageKey>, message: &TriggerMessage, at: Instant) {
        let of = &mut self.lanes[lane as usize];
        let Some(due) = key.and_then(|key| of.due.remove(&key)) else {
            if !of.is_unclear(message, &self.names) {
                self.extra(message, "came and was not expected");
            }
            return;
        };
        let trigger = due.key.0;
        let wrong = of.differs(&due, message, &self.names, lane);
        let doubted = of.note(&due, message);
        for cause in &doubted {
            let counts = &mut self.counts[cause.step][trigger as usize];
            counts.expected -= 1;
            counts.unclear += 1;
        }
        let latency = at.saturating_duration_since(self.due_at(&due));
        let is_late = latency > self.late;
        let counts = &mut self.counts[due.cause.step][trigger as usize];
        counts.received += 1;
        counts.wrong += u64::from(wrong.is_some());
        counts.late += u64::from(is_late);
        if due.cause.counts {
            self.steps[due.cause.step].record_message(trigger, latency);
        }
        if let Some(what) = wrong {
            self.complain(message, &format!("has another {what} than expected"));
        }
        if is_late {
            self.complain(message, "came late");
        }
    }

    /// What a message is about.
    fn key(&self, trigger: LoadTrigger, message: &TriggerMessage) -> Option<MessageKey> {
        let user = || {
            let mut read = message.identifiers.iter().filter_map(|written| self.names.read(written));
            read.find_map(|(_, who)| if let LaneIdentifier::User(user) = who { Some(u64::from(user)) } else { None })
        };
        Some(match trigger {
            LoadTrigger::Order | LoadTrigger::BigOrder => {
                let order = message.payload.get("order")?.as_str()?.strip_prefix("o-")?;
                (trigger, order.parse().ok()?, 0)
            }
            LoadTrigger::Reminder => (trigger, message.payload.get("club")?.as_u64()?, 0),
            LoadTrigger::Visit | LoadTrigger::Left => (trigger, user()?, message.cause.last),
        })
    }

    /// When a message was due. The events of a batch are due when it is, also those that happened before.
    fn due_at(&self, due: &DueMessage) -> Instant {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(due.due_ms);
        due.cause.due.max(self.base.0 + at.duration_since(self.base.1).unwrap_or_default())
    }

    /// Whether nothing is missing.
    pub fn is_settled(&self) -> bool {
        self.lanes.iter().all(|of| of.due.is_empty())
    }

    /// What has not come by now is missing; what is about events that nobody has told of was not expected.
    pub fn close(&mut self) {
        for lane in 0..self.lanes.len() {
            let mut due: Vec<DueMessage> = self.lanes[lane].due.drain().map(|(_, due)| due).collect();
            due.sort_unstable_by_key(|due| due.key);
            for DueMessage { key: (trigger, id, _), cause, tick, .. } in due {
                self.counts[cause.step][trigger as usize].missing += 1;
                if self.complaints.len() < COMPLAINTS_MAX {
                    let name = trigger.name();
                    self.complaints.push(format!("message {name} of {id} in lane {lane}, due at {tick}, did not come"));
                }
            }
            for (message, _) in std::mem::take(&mut self.lanes[lane].early) {
                self.extra(&message, "came and was not expected");
            }
        }
    }

    /// What was counted at a step.
    pub fn counts(&self, step: usize) -> CountsByTrigger {
        self.counts[step]
    }

    fn extra(&mut self, message: &TriggerMessage, what: &str) {
        // One of a name that nobody gave has to stand somewhere.
        let trigger = LoadTrigger::named(&message.trigger).unwrap_or(LoadTrigger::Order);
        self.counts[self.step][trigger as usize].extra += 1;
        self.complain(message, what);
    }

    fn complain(&mut self, message: &TriggerMessage, what: &str) {
        if self.complaints.len() < COMPLAINTS_MAX {
            let TriggerMessage { message_id, as_of, .. } = message;
            self.complaints.push(format!("message {message_id} as of {as_of} {what}"));
        }
    }
}
