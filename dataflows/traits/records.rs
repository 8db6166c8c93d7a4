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

use super::person::{KnownAt, Phase, ProfilePast, Turn, add};
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
    merged: KnownAt<Record>,
    /// Where they are many, or were and are still half as many.
    many: Option<Box<TopicWrites>>,
}

/// A topic whose value is another one: what it was, and what it is.
pub type Difference = (Topic, Option<Value>, Option<Value>);

/// Of writes to one topic the greatest stays.
type TopicWrite = (EventOrder, Option<Value>);

/// The writes of many records.
#[derive(Default)]
pub struct TopicWrites {
    records: Weight,
    topics: FxHashMap<Topic, BTreeMap<TopicWrite, Weight>>,
    /// By the path above them: the attributes below a path, in the order of their latest writes. A later write at the path leaves them
    /// out, so one that comes or goes there concerns those in between.
    below: FxHashMap<CompactString, BTreeSet<(EventOrder, CompactString)>>,
    /// The tick at which some last changed; how many there were before it, and the latest writes to the topics of those that changed.
    changed_at: u64,
    records_before: Weight,
    before: BTreeMap<Topic, Option<TopicWrite>>,
}

impl Records {
    /// Goes on to another person, of whom this was kept.
    pub fn next_person(&mut self, kept: Option<Box<TopicWrites>>) {
        self.person = 0;
        self.many = kept;
    }

    /// What is to be kept of the person at hand.
    pub fn take_kept(&mut self) -> Option<Box<TopicWrites>> {
        let mut writes = self.many.take().filter(|writes| writes.records.0 > KEPT_FROM as i128 / 2)?;
        writes.before.clear();
        Some(writes)
    }

    /// Learns them.
    pub fn learn(&mut self, turn: Turn, past: &mut ProfilePast) {
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
            self.many = Some(Box::new(TopicWrites::of(&self.few)));
        } else {
            self.merged.learn(turn, together(self.few.iter().map(|(record, _)| record)));
        }
    }

    /// Some of those that are known are about to change, after which there are so many more.
    pub fn begin(&mut self, more: Weight, turn: Turn) {
        if self.many.is_none() && are_many(Weight(self.count_few().0 + more.0)) {
            self.many = Some(Box::new(TopicWrites::of(&self.few)));
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
    pub fn get(&self, topic: &Topic, turn: Turn, moment: Phase) -> Option<Value> {
        let Some(writes) = &self.many else { return self.merged.at(turn, moment).get(topic) };
        let moment = if writes.changed_at == turn.tick() { moment } else { Phase::After };
        writes.stays(topic, moment)?.1.clone()
    }

    fn count_few(&self) -> Weight {
        Weight(self.few.iter().map(|(_, weight)| weight.0).sum())
    }
}

impl TopicWrites {
    fn of(records: &[(Record, Weight)]) -> Self {
        let mut writes = TopicWrites::default();
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
    fn latest(&self, topic: &Topic, moment: Phase) -> Option<&TopicWrite> {
        match (moment, self.before.get(topic)) {
            (Phase::Before, Some(before)) => before.as_ref(),
            _ => self.topics.get(topic)?.last_key_value().map(|(write, _)| write),
        }
    }

    /// The write to a topic that stays: a write to an attribute is one to every path below it.
    fn stays(&self, topic: &Topic, moment: Phase) -> Option<&TopicWrite> {
        let write = self.latest(topic, moment)?;
        let is_later = |path: &str| {
            let above = self.latest(&Topic::Attribute(path.into()), moment);
            above.is_some_and(|above| above.0 > write.0)
        };
        (!paths_above(topic).any(is_later)).then_some(write)
    }

    fn settle(&self, give: &mut impl FnMut(Derived, i64)) -> Vec<Difference> {
        let [were_many, are_many] = [self.records_before, self.records].map(are_many);
        let mut differences = Vec::new();
        for topic in self.concerned() {
            let [was, is] = [Phase::Before, Phase::After].map(|moment| self.stays(&topic, moment));
            if was == is {
                continue;
            }
            if were_many && are_many {
                was.into_iter().for_each(|write| give(row(&topic, write), -1));
                is.into_iter().for_each(|write| give(row(&topic, write), 1));
            }
            let [was, is] = [was, is].map(|write| write.and_then(|(_, value)| value.clone()));
            if was != is {
                differences.push((topic, was, is));
            }
        }
        if were_many != are_many {
            let (moment, diff) = if are_many { (Phase::After, 1) } else { (Phase::Before, -1) };
            let gone = self.before.keys().filter(|topic| !self.topics.contains_key(topic));
            for topic in self.topics.keys().chain(gone) {
                self.stays(topic, moment).into_iter().for_each(|write| give(row(topic, write), diff));
            }
        }
        differences
    }

    /// The topics of which another write may stay than before.
    fn concerned(&self) -> BTreeSet<Topic> {
        let mut concerned: BTreeSet<Topic> = self.before.keys().cloned().collect();
        for topic in self.before.keys() {
            let Topic::Attribute(name) = topic else { continue };
            let Some(below) = self.below.get(name) else { continue };
            let [was, is] = [Phase::Before, Phase::After].map(|moment| Some(self.latest(topic, moment)?.0));
            let [first, end] = [min(was, is), max(was, is)].map(|order| (order.unwrap_or_default(), "".into()));
            for (_, name) in below.range(first..end) {
                visits::count();
                concerned.insert(Topic::Attribute(name.clone()));
            }
        }
        concerned
    }
}

/// What is derived of a topic, of which this write stays.
fn row(topic: &Topic, (EventOrder { at, position }, value): &TopicWrite) -> Derived {
    let (topic, at, position, value) = (topic.clone(), *at, *position, value.clone());
    Derived::Setting(Box::new(Setting { topic, at, position, value }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Position, Tick};

    /// A number below `end`, always the same after the same ones.
    fn below(end: u64, state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % end
    }

    /// A record of few topics, some below others, at few times.
    fn record(state: &mut u64) -> Record {
        let attributes = ["a", "a", "a.b", "a.b.c", "a.b.d", "a-b", "b.c"].map(|name| Topic::Attribute(name.into()));
        let topics = [&attributes[..], &[Topic::Consent("a".into()), Topic::Consent("a.b".into())]].concat();
        let count = 1 + below(3, state);
        let setting = |_| Setting {
            topic: topics[below(topics.len() as u64, state) as usize].clone(),
            at: Tick::from_ms(below(40, state)),
            position: Position { index: below(2, state) as u32, ..Position::UNKNOWN },
            value: [None, Some(Value::Bool(true)), Some(Value::text("x"))][below(3, state) as usize].clone(),
        };
        (0..count).map(setting).collect()
    }

    /// What a person's records come to.
    fn all_together(records: &BTreeMap<Record, i128>) -> Record {
        together(records.iter().filter(|(_, weight)| **weight > 0).map(|(record, _)| record))
    }

    /// Records come and go, about as many as are many; from time to time others come between, and those of this person are kept.
    fn come_and_go(seed: u64) -> usize {
        let state = &mut { seed };
        let pool: Vec<Record> = (0..90).map(|_| record(state)).collect();
        let turn = Turn::default();
        let mut records = Records::default();
        let (mut there, mut rows) = (BTreeMap::<Record, i128>::new(), BTreeMap::<Setting, i64>::new());
        let (mut crossed, mut is_falling) = (0, false);
        for _ in 0..400 {
            let before = there.clone();
            let mut changes: BTreeMap<&Record, i128> = BTreeMap::new();
            for _ in 0..1 + below(6, state) {
                let record = &pool[below(pool.len() as u64, state) as usize];
                let comes = (below(4, state) == 0) == is_falling;
                let weight = there.entry(record.clone()).or_default();
                if comes && *weight < 2 || !comes && *weight > 0 {
                    let diff = if comes { 1 } else { -1 };
                    *weight += diff;
                    *changes.entry(record).or_default() += diff;
                }
            }
            changes.retain(|_, diff| *diff != 0);
            if changes.is_empty() {
                continue;
            }
            records.begin(Weight(changes.values().sum()), turn);
            changes.into_iter().for_each(|(record, diff)| records.apply(record, Weight(diff)));
            let differences = records.settle(turn, &mut |row, diff| {
                let Derived::Setting(setting) = row else { panic!("{row:?} is none of records") };
                *rows.entry(*setting).or_default() += diff;
            });

            let [was, is] = [&before, &there].map(all_together);
            let [were, are] = [&before, &there].map(|records| records.values().sum::<i128>());
            crossed += usize::from((were > 64) != (are > 64));
            rows.retain(|_, count| *count != 0);
            assert!(rows.values().all(|count| *count == 1));
            let expected = if are > 64 { is.settings() } else { Vec::new() };
            assert_eq!(rows.keys().cloned().collect::<Vec<_>>(), expected, "of {are} records, seed {seed}");
            let mut expected = super::differences(&was, &is);
            expected.sort();
            assert_eq!(differences, expected, "from {were} records to {are}, seed {seed}");
            for setting in was.settings().iter().chain(&is.settings()) {
                let [before, after] =
                    [Phase::Before, Phase::After].map(|moment| records.get(&setting.topic, turn, moment));
                assert_eq!([before, after], [&was, &is].map(|record| record.get(&setting.topic)));
            }

            is_falling = if is_falling { are > 25 } else { are > 70 };
            if below(5, state) == 0 {
                let kept = records.take_kept();
                assert_eq!(kept.is_some(), kept.is_some() && are > 32, "few are not kept");
                records = Records::default();
                if kept.is_none() {
                    records.few = there.iter().filter(|(_, n)| **n > 0).map(|(r, n)| (r.clone(), Weight(*n))).collect();
                    records.merged.learn(turn, is);
                }
                records.next_person(kept);
            }
        }
        crossed
    }

    #[test]
    fn what_is_derived_is_what_many_records_come_to() {
        let crossed: usize = (1..=20).map(come_and_go).sum();
        assert!(crossed > 100, "{crossed} times");
    }
}
