//! The judge: holds the changes that come as webhook calls against those that the model expects.
//!
//! A row is an identifier in an audience. Of each the model says when it comes and goes, to the tick: the tick of a batch is the
//! token of its answer, and the batches of a lane are sent one after the other. So every change that comes must be an expected
//! one: the same row, action and `as_of`. What may differ is what docs/reference/destinations.md says: an entry and an exit that meet
//! before they are sent cancel, so expected changes may stay away in pairs. And while a change of a device waits, its device
//! may go to another member of the same audience, which is told as a later `as_of`; so of devices that one need only be before
//! the next expected change.
//!
//! Where an engine did not answer and took the batch all the same, as one that was killed may, its tick is only known to be between
//! two: then windows that end in between can be reported although they are right.
//!
//! With triggers there are messages, too; `messages` says what must hold of them.
//!
//! Not judged: traits (the destination has none), the order among different identifiers, and what reads answer.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustc_hash::FxHashSet;

use super::body::{LaneIdentifier, LaneNames};
use super::model::{AUDIENCES, Transition};
use super::tally::{LoadStage, RateStep};
use crate::receive::event::TriggerMessage;
use crate::receive::server::{ReceivedAction, ReceivedChange};

mod closing;
pub mod handle;
mod lane;
mod messages;
mod papers;

use lane::{ExpectedChange, LaneJudge, LaneKey, RowArrival};
pub use messages::CountsByTrigger;
use messages::MessageJudge;
pub use papers::{Acked, Cause, ChangeCounts, FinalComparison, MessageCounts};

/// Complaints that are kept to be shown; the rest is only counted.
const COMPLAINTS_MAX: usize = 20;

/// The judge.
#[derive(Debug)]
pub struct Judge {
    names: LaneNames,
    late: Duration,
    steps: Arc<[RateStep]>,
    counts: Vec<ChangeCounts>,
    lanes: Vec<LaneJudge>,
    step: usize,
    fences: FxHashSet<String>,
    complaints: Vec<String>,
    /// Where there are triggers.
    messages: Option<MessageJudge>,
}

impl Judge {
    /// A judge of a new run; a change that comes later than `late` is wrong.
    pub fn new(names: LaneNames, lanes: u32, late: Duration, steps: Arc<[RateStep]>) -> Self {
        let counts = steps.iter().map(|_| ChangeCounts::default()).collect();
        let lanes = (0..lanes).map(|number| LaneJudge::new(names.clone(), number)).collect();
        let (fences, complaints) = (FxHashSet::default(), Vec::new());
        Judge { names, late, steps, counts, lanes, step: 0, fences, complaints, messages: None }
    }

    /// With the first so many of the triggers; `base` is the same moment by both clocks.
    pub fn with_triggers(self, triggers: usize, base: (Instant, SystemTime)) -> Self {
        let lanes = MessageJudge::lanes(self.lanes.len() as u32, triggers);
        let messages = || MessageJudge::new(self.names.clone(), self.late, base, self.steps.clone(), lanes);
        Judge { messages: (triggers > 0).then(messages), ..self }
    }

    /// Takes in a batch that was acknowledged; those of a lane in their order.
    pub fn acked(&mut self, acked: Acked) {
        if let Some(messages) = &mut self.messages {
            messages.acked(&acked);
        }
        let Acked { lane, events, earliest, tick, cause } = acked;
        self.step = cause.step;
        let of = &mut self.lanes[lane as usize];
        let mut transitions = Vec::new();
        of.model.take(tick, &events, &mut transitions);
        of.done_to = tick;
        for transition in transitions {
            let from = if transition.tick == tick { earliest } else { transition.tick };
            self.expect(lane, from, &transition, Some(cause));
        }
        self.judge_early(lane);
    }

    /// All lanes are at least at this tick.
    pub fn advance(&mut self, tick: u64) {
        if let Some(messages) = &mut self.messages {
            messages.advance(tick);
        }
        for lane in 0..self.lanes.len() as u32 {
            let of = &mut self.lanes[lane as usize];
            let mut transitions = Vec::new();
            of.model.advance(tick, &mut transitions);
            of.done_to = of.done_to.max(tick);
            for transition in transitions {
                self.expect(lane, transition.tick, &transition, None);
            }
            self.judge_early(lane);
        }
    }

    fn expect(&mut self, lane: u32, from: u64, transition: &Transition, cause: Option<Cause>) {
        let Transition { tick, identifier, audience, enters, by_event } = *transition;
        let key = (identifier, audience);
        let of = &mut self.lanes[lane as usize];
        let expected =
            ExpectedChange { ticks: (from, tick), enters, step: self.step, cause: cause.filter(|_| by_event) };
        of.rows.entry(key).or_default().expected.push_back(expected);
        of.open.insert(key);
        self.counts[self.step].expected += 1;
    }

    /// Takes in a change that came.
    pub fn received(&mut self, change: &ReceivedChange, at: Instant) {
        let audience = AUDIENCES.iter().position(|audience| *audience == change.audience);
        for identifier in &change.identifiers {
            let (Some((lane, who)), Some(audience)) = (self.names.read(identifier), audience) else {
                // Fences; people of runs before this one, whose windows end now, are nobody's business.
                if change.audience == "fence" {
                    self.fences.insert(identifier.clone());
                }
                continue;
            };
            let enters = change.action == ReceivedAction::Add;
            let arrived = RowArrival { key: (who, audience), enters, as_of: change.as_of, at };
            let Some(of) = self.lanes.get_mut(lane as usize) else { continue };
            if change.as_of > of.done_to {
                of.early.push(arrived);
            } else {
                self.judge(lane, arrived);
            }
        }
    }

    /// Takes in a message that came.
    pub fn told(&mut self, message: TriggerMessage, at: Instant) {
        if let Some(messages) = &mut self.messages {
            messages.received(message, at);
        }
    }

    /// Judges what came early and is not early any more, in the order in which it came.
    fn judge_early(&mut self, lane: u32) {
        let of = &mut self.lanes[lane as usize];
        let done_to = of.done_to;
        let due: Vec<RowArrival> = of.early.extract_if(.., |arrived| arrived.as_of <= done_to).collect();
        due.into_iter().for_each(|arrived| self.judge(lane, arrived));
    }

    fn judge(&mut self, lane: u32, arrived: RowArrival) {
        let RowArrival { key, enters, as_of, at } = arrived;
        let of = &mut self.lanes[lane as usize];
        let row = of.rows.entry(key).or_default();
        row.present = enters;
        let fits = |expected: &ExpectedChange| {
            let (from, to) = expected.ticks;
            expected.enters == enters && (from..=to).contains(&as_of)
        };
        let is_device = matches!(key.0, LaneIdentifier::Device(_));
        let found = row.expected.iter().rposition(fits).or_else(|| {
            let latest = row.expected.iter().rposition(|expected| expected.ticks.1 <= as_of)?;
            (is_device && row.expected[latest].enters == enters).then_some(latest)
        });
        let Some(found) = found else {
            self.counts[self.step].extra += 1;
            self.complain("came and was not expected", lane, key, enters, as_of);
            return;
        };
        let passed_over = row.expected.drain(..found).count() as u64;
        let Some(expected) = row.expected.pop_front() else { return };
        if row.expected.is_empty() {
            of.open.remove(&key);
        }
        let counts = &mut self.counts[expected.step];
        counts.received += 1;
        let missing = passed_over % 2;
        counts.missing += missing;
        counts.cancelled += passed_over - missing;
        let latency = expected.cause.map(|cause| (cause, at.saturating_duration_since(cause.due)));
        if let Some((cause, latency)) = latency.filter(|(cause, _)| cause.counts) {
            self.steps[cause.step].record(LoadStage::Delivered, latency, 1);
        }
        let is_late = latency.is_some_and(|(_, latency)| latency > self.late);
        counts.late += u64::from(is_late);
        if missing == 1 {
            self.complain("did not come, but what follows it did", lane, key, !enters, as_of);
        }
        if is_late {
            self.complain("came late", lane, key, enters, as_of);
        }
    }

    fn complain(&mut self, what: &str, lane: u32, (identifier, audience): LaneKey, enters: bool, tick: u64) {
        if self.complaints.len() < COMPLAINTS_MAX {
            let (action, audience) = (if enters { "add" } else { "delete" }, AUDIENCES[audience]);
            let identifier = self.names.written(lane, identifier);
            self.complaints.push(format!("{action} {audience} {identifier} as of {tick} {what}"));
        }
    }

    /// What was counted at a step.
    pub fn counts(&self, step: usize) -> ChangeCounts {
        self.counts[step]
    }

    /// What was counted of messages at a step.
    pub fn message_counts(&self, step: usize) -> CountsByTrigger {
        self.messages.as_ref().map_or_else(CountsByTrigger::default, |messages| messages.counts(step))
    }

    /// The first things that were wrong, in words.
    pub fn complaints(&self) -> Vec<String> {
        let messages = self.messages.iter().flat_map(|messages| &messages.complaints);
        self.complaints.iter().chain(messages).cloned().collect()
    }
}

#[cfg(test)]
mod tests;
