//! The records of the person at hand.
//!
//! Nearly everybody has one record, or a few, which are put together when one of them changes. A person with thousands of devices, each
//! with a record, would cost all of them at each change, and at each read. Of such people the writes are kept by topic, in their order,
//! from change to change: then a change costs what it changes. And what they come to is derived, setting by setting: then a read costs
//! what there is to read.

use std::cmp::{max, min};
use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use rustc_hash::FxHashMap;

use super::person::{Known, Moment, Past, Turn, add};
use super::together;
use crate::limits::KEPT_FROM;
use crate::model::{Derived, EventOrder, Part, Record, Setting, Topic, Value, Weight};
use crate::operators::visits;

/// Whether so many records are so many that their settings are derived: whoever has them is read by these. Equal records count each, so
/// that of those that count, there are no more that differ.
pub fn are_many(records: Weight) -> bool {
    records.0 > KEPT_FROM as i128
}

/// The records of the person at hand.
#[derive(Default)]
pub struct Records {
    /// The turn at which they were learned.
    person: u64,
    /// Those that there are, sorted, and what they come to; where they are not many.
    few: Vec<(Record, Weight)>,
    merged: Known<Record>,
    /// Where they are many, or were and are still half as many.
    many: Option<Box<Writes>>,
}

/// A topic whose value is another one: what it was, and what it is.
pub type Difference = (Topic, Option<Value>, Option<Value>);

/// Of writes to one topic the greatest stays.
type Write = (EventOrder, Option<Value>);

/// The writes of many records.
#[derive(Default)]
pub struct Writes {
    records: Weight,
    topics: FxHashMap<Topic, BTreeMap<Write, Weight>>,
    /// By the path above them: the attributes below a path, in the order of their latest writes. A later write at the path leaves them
    /// out, so one that comes or goes there concerns those in between.
    below: FxHashMap<CompactString, BTreeSet<(EventOrder, CompactString)>>,
    /// The tick at which some last changed; how many there were before it, and the latest writes to the topics of those that changed.
    changed_at: u64,
    records_before: Weight,
    before: BTreeMap<Topic, Option<Write>>,
}

impl Records {
    /// Goes on to another person, of whom this was kept.
    pub fn next_person(&mut self, kept: Option<Box<Writes>>) {
        self.person = 0;
        self.many = kept;
    }

    /// What is to be kept of the person at hand.
    pub fn take_kept(&mut self) -> Option<Box<Writes>> {
        let mut writes = self.many.take().filter(|writes| writes.records.0 > KEPT_FROM as i128 / 2)?;
        writes.before.clear();
        Some(writes)
    }

    /// Learns them.
    pub fn learn(&mut self, turn: Turn, past: &mut Past) {
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
        if are_many(self.count_few()) {
            self.many = Some(Box::new(Writes::of(&self.few)));
        } else {
            self.merged.learn(turn, together(self.few.iter().map(|(record, _)| record)));
        }
    }

    /// Some of those that are known are about to change, after which there are so many more.
    pub fn begin(&mut self, more: Weight, turn: Turn) {
        if self.many.is_none() && are_many(Weight(self.count_few().0 + more.0)) {
            self.many = Some(Box::new(Writes::of(&self.few)));
        }
        if let Some(writes) = &mut self.many {
            writes.changed_at = turn.tick();
            writes.records_before = writes.records;
            writes.before.clear();
        }
    }

    /// One of them comes, or goes.
    pub fn apply(&mut self, record: &Record, weight: Weight) {
        match &mut self.many {
            Some(writes) => writes.change(record, weight),
            None => add(&mut self.few, record, weight),
        }
    }

    /// All changes of a tick have been applied: gives what they changed.
    pub fn settle(&mut self, turn: Turn, give: &mut impl FnMut(Derived, i64)) -> Vec<Difference> {
        if let Some(writes) = &self.many {
            return writes.settle(give);
        }
        let before = self.merged.take();
        let after = together(self.few.iter().map(|(record, _)| record));
        let differences = differences(&before, &after);
        self.merged.change(turn, before, after);
        differences
    }

    /// What a topic is set to, once they are known.
    pub fn get(&self, topic: &Topic, turn: Turn, moment: Moment) -> Option<Value> {
        let Some(writes) = &self.many else { return self.merged.at(turn, moment).get(topic) };
        let moment = if writes.changed_at == turn.tick() { moment } else { Moment::After };
        writes.stays(topic, moment)?.1.clone()
    }

    fn count_few(&self) -> Weight {
        Weight(self.few.iter().map(|(_, weight)| weight.0).sum())
    }
}

impl Writes {
    fn of(records: &[(Record, Weight)]) -> Self {
        let mut writes = Writes::default();
        records.iter().for_each(|(record, weight)| writes.change(record, *weight));
        writes.before.clear();
        writes
    }

    fn change(&mut self, record: &Record, weight: Weight) {
        self.records.0 += weight.0;
        for Setting { topic, at, position, value } in record.settings() {
            let write = (EventOrder { at, position }, value);
            let writes = self.topics.entry(topic.clone()).or_default();
            let before = writes.last_key_value().map(|(latest, _)| latest.clone());
            let count = writes.entry(write.clone()).or_default();
            count.0 += weight.0;
            if count.0 == 0 {
                writes.remove(&write);
            }
            let after = writes.last_key_value().map(|((order, _), _)| *order);
            if writes.is_empty() {
                self.topics.remove(&topic);
            }
            self.move_below(&topic, before.as_ref().map(|(order, _)| *order), after);
            self.before.entry(topic).or_insert(before);
        }
    }

    /// Keeps the attributes below each path in their order, of which this has another latest write.
    fn move_below(&mut self, topic: &Topic, before: Option<EventOrder>, after: Option<EventOrder>) {
        if before == after {
            return;
        }
        for path in paths_above(topic) {
            let below = self.below.entry(path.into()).or_default();
            let Topic::Attribute(name) = topic else { continue };
            if let Some(before) = before {
                below.remove(&(before, name.clone()));
            }
            below.extend(after.map(|after| (after, name.clone())));
            if below.is_empty() {
                self.below.remove(path);
            }
        }
    }

    /// The latest write to a topic.
    fn latest(&self, topic: &Topic, moment: Moment) -> Option<&Write> {
        match (moment, self.before.get(topic)) {
            (Moment::Before, Some(before)) => before.as_ref(),
            _ => self.topics.get(topic)?.last_key_value().map(|(write, _)| write),
        }
    }

    /// The write to a topic that stays: a write to an attribute is one to every path below it.
    fn stays(&self, topic: &Topic, moment: Moment) -> Option<&Write> {
        let write = self.latest(topic, moment)?;
        let is_later = |path: &str| {
            let above = self.latest(&Topic::Attribute(path.into()), moment);
            above.is_some_and(|above| above.0 > write.0)
        };
        (!paths_above(topic).any(is_later)).then_some(write)
    }

    /// What is derived of a topic.
    fn row(&self, topic: &Topic, moment: Moment) -> Option<Derived> {
        let (EventOrder { at, position }, value) = self.stays(topic, moment)?.clone();
        Some(Derived::Setting(Box::new(Setting { topic: topic.clone(), at, position, value })))
    }

    fn settle(&self, give: &mut impl FnMut(Derived, i64)) -> Vec<Difference> {
        let concerned = self.concerned();
        match [self.records_before, self.records].map(are_many) {
            [false, false] => {}
            [true, true] => {
                for topic in &concerned {
                    let [before, after] = [Moment::Before, Moment::After].map(|moment| self.row(topic, moment));
                    if before != after {
                        before.into_iter().for_each(|row| give(row, -1));
                        after.into_iter().for_each(|row| give(row, 1));
                    }
                }
            }
            [false, true] => {
                let rows = self.topics.keys().filter_map(|topic| self.row(topic, Moment::After));
                rows.for_each(|row| give(row, 1));
            }
            [true, false] => {
                let gone = self.before.keys().filter(|topic| !self.topics.contains_key(topic));
                let rows = self.topics.keys().chain(gone).filter_map(|topic| self.row(topic, Moment::Before));
                rows.for_each(|row| give(row, -1));
            }
        }
        let value = |topic: &Topic, moment| self.stays(topic, moment).and_then(|(_, value)| value.clone());
        let differences = concerned.into_iter().filter_map(|topic| {
            let [was, is] = [Moment::Before, Moment::After].map(|moment| value(&topic, moment));
            (was != is).then_some((topic, was, is))
        });
        differences.collect()
    }

    /// The topics of which another write may stay than before.
    fn concerned(&self) -> BTreeSet<Topic> {
        let mut concerned: BTreeSet<Topic> = self.before.keys().cloned().collect();
        for topic in self.before.keys() {
            let Topic::Attribute(name) = topic else { continue };
            let Some(below) = self.below.get(name) else { continue };
            let [was, is] = [Moment::Before, Moment::After].map(|moment| Some(self.latest(topic, moment)?.0));
            let [first, end] = [min(was, is), max(was, is)].map(|order| (order.unwrap_or_default(), "".into()));
            concerned.extend(
                below.range(first..end).inspect(|_| visits::count()).map(|(_, name)| Topic::Attribute(name.clone())),
            );
        }
        concerned
    }
}

/// The paths above an attribute.
fn paths_above(topic: &Topic) -> impl Iterator<Item = &str> {
    let name = if let Topic::Attribute(name) = topic { name.as_str() } else { "" };
    name.match_indices('.').map(|(end, _)| &name[..end])
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
