//! The records of the person at hand, as far as anything is made of them.
//!
//! Nearly everybody has one record, or a few, which are put together when one of them changes. A person with thousands of devices, each
//! with a record, would cost all of them at each change. Of such people the writes are kept by topic, in their order, from change to
//! change: then a change costs what it changes.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::person::{Known, Moment, Past, Turn, add};
use super::plan::Plan;
use super::together;
use crate::limits::KEPT_FROM;
use crate::model::{Part, Position, Record, Setting, Tick, Topic, Value, Weight};

/// The records of the person at hand.
#[derive(Default)]
pub struct Records {
    /// The turn at which they were learned.
    person: u64,
    /// Those that there are, sorted, and what they come to; where they are not many.
    few: Vec<(Record, Weight)>,
    merged: Known<Record>,
    many: Option<Box<Writes>>,
}

/// A topic whose value is another one: what it was, and what it is.
pub type Difference = (Topic, Option<Value>, Option<Value>);

/// Of writes to one topic the greatest stays.
type Write = (Tick, Position, Option<Value>);

/// The writes of many records, to the topics that anything depends on.
#[derive(Default)]
pub struct Writes {
    records: i128,
    topics: FxHashMap<Topic, BTreeMap<Write, Weight>>,
    /// The tick at which some last changed, and what may be another value since then.
    changed_at: u64,
    before: BTreeMap<Topic, Option<Value>>,
}

impl Records {
    /// Goes on to another person, of whom this was kept.
    pub fn next_person(&mut self, kept: Option<Box<Writes>>) {
        self.person = 0;
        self.many = kept;
    }

    /// What is to be kept of the person at hand.
    pub fn take_kept(&mut self) -> Option<Box<Writes>> {
        self.many.take().filter(|writes| writes.records > KEPT_FROM as i128 / 2)
    }

    /// Learns them.
    pub fn learn(&mut self, turn: Turn, plan: &Plan, past: &mut Past) {
        if self.person == turn.person() {
            return;
        }
        self.person = turn.person();
        if self.many.is_some() {
            return;
        }
        self.few.clear();
        past.visit(&Part::Record(Record::default()), |part, weight| match part {
            Part::Record(record) => {
                self.few.push((record.clone(), weight));
                true
            }
            _ => false,
        });
        if self.few.len() > KEPT_FROM {
            self.many = Some(Box::new(Writes::of(&self.few, plan)));
        } else {
            self.merged.learn(turn, together(self.few.iter().map(|(record, _)| record)));
        }
    }

    /// One of those that are known is about to change.
    pub fn learn_around(&mut self, record: &Record, turn: Turn, plan: &Plan) {
        if let Some(writes) = &mut self.many {
            writes.learn_around(record, turn, plan);
        }
    }

    /// One of those that are known comes, or goes.
    pub fn apply(&mut self, record: &Record, weight: Weight, turn: Turn, plan: &Plan) {
        if let Some(writes) = &mut self.many {
            return writes.apply(record, weight, plan);
        }
        add(&mut self.few, record, weight);
        if self.few.len() > KEPT_FROM {
            let mut writes = Writes::of(&self.few, plan);
            // What they came to is not settled yet, and so it is that of before.
            let before = self.merged.at(turn, Moment::After);
            writes.changed_at = turn.tick();
            writes.before = plan.of_topic.keys().map(|topic| (topic.clone(), before.get(topic))).collect();
            self.many = Some(Box::new(writes));
        }
    }

    /// All changes of a tick have been applied: gives what they changed.
    pub fn settle(&mut self, turn: Turn) -> Vec<Difference> {
        if let Some(writes) = &self.many {
            return writes.differences();
        }
        let before = self.merged.take();
        let after = together(self.few.iter().map(|(record, _)| record));
        let differences = differences(&before, &after);
        self.merged.change(turn, before, after);
        differences
    }

    /// What a topic that anything depends on is set to, once they are known.
    pub fn get(&self, topic: &Topic, turn: Turn, moment: Moment) -> Option<Value> {
        let Some(writes) = &self.many else { return self.merged.at(turn, moment).get(topic) };
        let changed = matches!(moment, Moment::Before) && writes.changed_at == turn.tick();
        match writes.before.get(topic).filter(|_| changed) {
            Some(before) => before.clone(),
            None => writes.get(topic),
        }
    }
}

impl Writes {
    fn of(records: &[(Record, Weight)], plan: &Plan) -> Self {
        let mut writes = Writes::default();
        records.iter().for_each(|(record, weight)| writes.apply(record, *weight, plan));
        writes
    }

    fn learn_around(&mut self, record: &Record, turn: Turn, plan: &Plan) {
        if self.changed_at != turn.tick() {
            self.changed_at = turn.tick();
            self.before.clear();
        }
        for setting in record.settings() {
            for topic in plan.set_by.get(&setting.topic).into_iter().flatten() {
                if !self.before.contains_key(topic) {
                    let before = self.get(topic);
                    self.before.insert(topic.clone(), before);
                }
            }
        }
    }

    fn apply(&mut self, record: &Record, weight: Weight, plan: &Plan) {
        self.records += weight.0;
        for Setting { topic, at, position, value } in record.settings() {
            if !plan.set_by.contains_key(&topic) {
                continue;
            }
            let write = (at, position, value);
            let writes = self.topics.entry(topic).or_default();
            let count = writes.entry(write.clone()).or_default();
            count.0 += weight.0;
            if count.0 == 0 {
                writes.remove(&write);
            }
        }
    }

    /// A write to an attribute is one to every path below it.
    fn get(&self, topic: &Topic) -> Option<Value> {
        let latest = |topic: &Topic| self.topics.get(topic)?.last_key_value().map(|(write, _)| write);
        let (at, position, value) = latest(topic)?;
        if let Topic::Attribute(name) = topic {
            let mut above = name.match_indices('.').map(|(end, _)| Topic::Attribute(name[..end].into()));
            if above.any(|above| latest(&above).is_some_and(|above| (above.0, above.1) > (*at, *position))) {
                return None;
            }
        }
        value.clone()
    }

    fn differences(&self) -> Vec<Difference> {
        let differences = self.before.iter().map(|(topic, was)| (topic.clone(), was.clone(), self.get(topic)));
        differences.filter(|(_, was, is)| was != is).collect()
    }
}

/// The topics whose values differ, each with the one before and the one after.
fn differences(before: &Record, after: &Record) -> Vec<Difference> {
    let (mut before, mut after) = (before.settings().into_iter().peekable(), after.settings().into_iter().peekable());
    let value = |setting: Option<Setting>| setting.and_then(|setting| setting.value);
    let mut differences = Vec::new();
    while let Some(topic) = [before.peek(), after.peek()].into_iter().flatten().map(|setting| &setting.topic).min() {
        let topic = topic.clone();
        let was = value(before.next_if(|setting| setting.topic == topic));
        let is = value(after.next_if(|setting| setting.topic == topic));
        if was != is {
            differences.push((topic, was, is));
        }
    }
    differences
}
