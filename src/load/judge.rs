//! The judge: holds the changes that come as webhook calls against those that the model expects.
//!
//! A row is an identifier in an audience. Of each the model says when it comes and goes, to the tick: the tick of a batch is the
//! token of its answer, and the batches of a lane are sent one after the other. So every change that comes must be an expected
//! one: the same row, action and `as_of`. What may differ is what README says of destinations: an entry and an exit that meet
//! before they are sent cancel, so expected changes may stay away in pairs. And while a change of a device waits, its device
//! may go to another member of the same audience, which is told as a later `as_of`; so of devices that one need only be before
//! the next expected change.
//!
//! Not judged: traits (the destination has none), the order among different identifiers, and what reads answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};

use super::body::{Identifier, Names};
use super::model::{AUDIENCES, Members, Model, Transition};
use super::stream::Event;
use super::tally::{Stage, Step};
use crate::receive::server::{Action, Change};

pub mod desk;

/// Complaints that are kept to be shown; the rest is only counted.
const COMPLAINTS_MAX: usize = 20;

/// Which batch something was caused by.
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    /// When the batch was due.
    pub due: Instant,
    /// The place of its step.
    pub step: usize,
    /// Whether its latency counts: not in the warm-up.
    pub counts: bool,
}

/// A batch that was acknowledged.
#[derive(Debug)]
pub struct Acked {
    /// Where it was sent.
    pub lane: u32,
    /// What was sent.
    pub events: Vec<Event>,
    /// The earliest tick that it can have: that of the answer, unless an attempt before had no clear answer.
    pub earliest: u64,
    /// The tick of the answer.
    pub tick: u64,
    /// Which batch.
    pub cause: Cause,
}

/// How many changes there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The model expects them.
    pub expected: u64,
    /// They came.
    pub received: u64,
    /// They stayed away in pairs, as they may.
    pub cancelled: u64,
    /// They did not come.
    pub missing: u64,
    /// They came and were not expected.
    pub extra: u64,
    /// They came, but too late.
    pub late: u64,
}

impl Counts {
    /// Changes that were wrong.
    pub fn wrong(&self) -> u64 {
        self.missing + self.extra + self.late
    }
}

/// How the final states compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Rows that the model has.
    pub members: u64,
    /// Rows that only one of the two has.
    pub different: u64,
}

#[derive(Debug)]
struct Expected {
    /// The ticks that it may come from; one, where the answer was clear.
    ticks: (u64, u64),
    enters: bool,
    step: usize,
    cause: Option<Cause>,
}

type Key = (Identifier, usize);

#[derive(Debug, Default)]
struct Row {
    /// Whether the receiver has it, by the calls alone.
    present: bool,
    expected: VecDeque<Expected>,
}

#[derive(Clone, Copy, Debug)]
struct Arrived {
    key: Key,
    enters: bool,
    as_of: u64,
    at: Instant,
}

#[derive(Debug, Default)]
struct Lane {
    model: Model,
    /// The model has taken in everything up to this tick.
    done_to: u64,
    rows: FxHashMap<Key, Row>,
    /// Rows of which something is expected.
    open: FxHashSet<Key>,
    /// What came before the model was there: the call can be faster than the answer to the sender.
    early: Vec<Arrived>,
}

/// The judge.
#[derive(Debug)]
pub struct Judge {
    names: Names,
    late: Duration,
    steps: Arc<[Step]>,
    counts: Vec<Counts>,
    lanes: Vec<Lane>,
    step: usize,
    fences: FxHashSet<String>,
    complaints: Vec<String>,
}

impl Judge {
    /// A judge of a new run; a change that comes later than `late` is wrong.
    pub fn new(names: Names, lanes: u32, late: Duration, steps: Arc<[Step]>) -> Self {
        let counts = steps.iter().map(|_| Counts::default()).collect();
        let lanes = (0..lanes).map(|_| Lane::default()).collect();
        Judge { names, late, steps, counts, lanes, step: 0, fences: FxHashSet::default(), complaints: Vec::new() }
    }

    /// Takes in a batch that was acknowledged; those of a lane in their order.
    pub fn acked(&mut self, Acked { lane, events, earliest, tick, cause }: Acked) {
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
        let expected = Expected { ticks: (from, tick), enters, step: self.step, cause: cause.filter(|_| by_event) };
        of.rows.entry(key).or_default().expected.push_back(expected);
        of.open.insert(key);
        self.counts[self.step].expected += 1;
    }

    /// Takes in a change that came.
    pub fn received(&mut self, change: &Change, at: Instant) {
        let audience = AUDIENCES.iter().position(|audience| *audience == change.audience);
        for identifier in &change.identifiers {
            let (Some((lane, who)), Some(audience)) = (self.names.read(identifier), audience) else {
                // Fences; people of runs before this one, whose windows end now, are nobody's business.
                if change.audience == "fence" {
                    self.fences.insert(identifier.clone());
                }
                continue;
            };
            let enters = change.action == Action::Add;
            let arrived = Arrived { key: (who, audience), enters, as_of: change.as_of, at };
            let Some(of) = self.lanes.get_mut(lane as usize) else { continue };
            if change.as_of > of.done_to {
                of.early.push(arrived);
            } else {
                self.judge(lane, arrived);
            }
        }
    }

    /// Judges what came early and is not early any more, in the order in which it came.
    fn judge_early(&mut self, lane: u32) {
        let of = &mut self.lanes[lane as usize];
        let done_to = of.done_to;
        let due: Vec<Arrived> = of.early.extract_if(.., |arrived| arrived.as_of <= done_to).collect();
        due.into_iter().for_each(|arrived| self.judge(lane, arrived));
    }

    fn judge(&mut self, lane: u32, arrived: Arrived) {
        let Arrived { key, enters, as_of, at } = arrived;
        let of = &mut self.lanes[lane as usize];
        let row = of.rows.entry(key).or_default();
        row.present = enters;
        let is_device = matches!(key.0, Identifier::Device(_));
        let found = row.expected.iter().rposition(|expected| expected.ticks.0 <= as_of).filter(|found| {
            let expected = &row.expected[*found];
            expected.enters == enters && (as_of <= expected.ticks.1 || is_device)
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
            self.steps[cause.step].record(Stage::Delivered, latency, 1);
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

    fn complain(&mut self, what: &str, lane: u32, (identifier, audience): Key, enters: bool, tick: u64) {
        if self.complaints.len() < COMPLAINTS_MAX {
            let (action, audience) = (if enters { "add" } else { "delete" }, AUDIENCES[audience]);
            let identifier = self.names.written(lane, identifier);
            self.complaints.push(format!("{action} {audience} {identifier} as of {tick} {what}"));
        }
    }

    /// Whether the fence with this number has come, and nothing is missing.
    pub fn is_settled(&self, fence: usize) -> bool {
        let fence = format!("user_id:{}", self.names.fence(fence));
        let is_told = |lane: &Lane| lane.open.iter().all(|key| lane.rows[key].expected.len().is_multiple_of(2));
        self.fences.contains(&fence) && self.lanes.iter().all(is_told)
    }

    /// What has not come by now is missing.
    pub fn close(&mut self) {
        for lane in 0..self.lanes.len() as u32 {
            let of = &mut self.lanes[lane as usize];
            let mut open: Vec<Key> = of.open.drain().collect();
            open.sort_unstable();
            for key in open {
                let of = &mut self.lanes[lane as usize];
                let Some(row) = of.rows.get_mut(&key) else { continue };
                let expected: Vec<Expected> = row.expected.drain(..).collect();
                let Some(last) = expected.last() else { continue };
                let missing = expected.len() as u64 % 2;
                self.counts[last.step].missing += missing;
                self.counts[last.step].cancelled += expected.len() as u64 - missing;
                if missing == 1 {
                    self.complain("did not come", lane, key, last.enters, last.ticks.1);
                }
            }
        }
    }

    /// What came, put together, against the members by the model.
    pub fn compare(&mut self) -> Comparison {
        let mut comparison = Comparison::default();
        for lane in 0..self.lanes.len() as u32 {
            let of = &self.lanes[lane as usize];
            let mut members: FxHashMap<Identifier, Members> = of.model.members().collect();
            comparison.members += members.values().map(|bits| u64::from(bits.count_ones())).sum::<u64>();
            for ((identifier, audience), _) in of.rows.iter().filter(|(_, row)| row.present) {
                *members.entry(*identifier).or_default() ^= 1 << audience;
            }
            // What is left is a difference.
            let mut different: Vec<Key> = members
                .into_iter()
                .flat_map(|(of, bits)| {
                    (0..AUDIENCES.len()).filter(move |at| bits >> at & 1 == 1).map(move |at| (of, at))
                })
                .collect();
            different.sort_unstable();
            comparison.different += different.len() as u64;
            for key in different {
                let of = &self.lanes[lane as usize];
                let is_present = of.rows.get(&key).is_some_and(|row| row.present);
                let what =
                    if is_present { "at the receiver only, at the end" } else { "in the model only, at the end" };
                let done_to = of.done_to;
                self.complain(what, lane, key, true, done_to);
            }
        }
        comparison
    }

    /// What was counted at a step.
    pub fn counts(&self, step: usize) -> Counts {
        self.counts[step]
    }

    /// The first things that were wrong, in words.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }
}

#[cfg(test)]
mod tests;
