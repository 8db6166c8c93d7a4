//! Which messages there must be, by what is in the log: a plain model of the triggers of [`super::firing_load`].
//!
//! The log has the events and the records of firings, each with its tick and place. From the events it is worked out what is decided at
//! which tick; a record says when those that wait for it go on. So all is exact, whenever the program was killed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use dataflows::model::Tick;
use deltaic::history::{Archive, Folder};
use deltaic::receive::server::ReceivedCall;
use serde_json::{Value, json};

use super::firing_load::{GAP_MS, LATER_WAIT_MS, VISIT_WAIT_MS};
use super::{MARKER, destination, dump};

/// Tick, process and index.
type LogPlace = (u64, u64, u64);

/// Time and place: the order of events.
type InOrder = (u64, LogPlace);

/// An event as the log has it.
#[derive(Clone, Debug)]
pub struct LoggedEvent {
    pub place: LogPlace,
    pub at_ms: u64,
    pub event: Value,
}

/// A message that there must be.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedMessage {
    pub message_id: String,
    pub decided: u64,
    pub first: u64,
    pub last: u64,
    pub payload: Value,
}

/// All that is in the log.
pub struct FiringModel {
    /// In the order of ticks and places.
    events: Vec<LoggedEvent>,
    /// By message id.
    records: BTreeMap<String, LoggedEvent>,
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value[name].as_str()
}

/// What history and log of data folders have, each event once.
pub fn logged(folders: &[&Path]) -> Vec<LoggedEvent> {
    let mut all = BTreeMap::new();
    for data in folders {
        let root = data.join("history");
        if root.join("MANIFEST").exists() {
            let archive = Archive::open_existing(Arc::new(Folder::new(root))).unwrap();
            for portion in archive.portions(Tick::default(), Tick::MAX) {
                for placed in portion.unwrap().events {
                    let position = placed.position;
                    let place = (position.tick.as_ms(), position.process.into(), position.index.into());
                    let event: Value = serde_json::from_slice(&placed.stored.raw).unwrap();
                    assert!(all.insert(place, event).is_none(), "two events at {place:?}");
                }
            }
        }
        let mut of_log = BTreeSet::new();
        for line in dump(data).lines() {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let number = |name: &str| line[name].as_u64().unwrap();
            let place = (number("tick"), number("process"), number("index"));
            assert!(of_log.insert(place), "two events at {place:?}");
            let event = line["event"].take();
            let before = all.insert(place, event.clone());
            assert!(before.as_ref().is_none_or(|before| *before == event), "{before:?} is {event} in the log");
        }
    }
    let placed = |(place, event): (LogPlace, Value)| {
        let time = text(&event, "timestamp").or(text(&event, "receivedAt")).expect("it has a time");
        let at_ms = time.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        LoggedEvent { place, at_ms: u64::try_from(at_ms).unwrap(), event }
    };
    all.into_iter().map(placed).collect()
}

impl LoggedEvent {
    pub fn tick(&self) -> u64 {
        self.place.0
    }

    pub fn order(&self) -> InOrder {
        // One that is ahead of its tick is cut to it.
        (self.at_ms.min(self.tick()), self.place)
    }

    pub fn name(&self) -> &str {
        text(&self.event, "event").unwrap_or_default()
    }

    fn user(&self) -> &str {
        text(&self.event, "userId").or(text(&self.event, "anonymousId")).unwrap_or_default()
    }

    fn n(&self) -> &Value {
        &self.event["properties"]["n"]
    }

    fn message_id(&self) -> &str {
        of_occurrence(text(&self.event, "messageId").unwrap())
    }
}

/// A message id without the hash of whose it is, where it has one.
fn of_occurrence(id: &str) -> &str {
    id.match_indices('/').nth(1).map_or(id, |(end, _)| &id[..end])
}

fn message_id(trigger: &str, (at_ms, (tick, process, index)): InOrder) -> String {
    format!("{trigger}/{at_ms}-{tick}.{process}.{index}")
}

/// Destinations, each with the id of a message.
type DeliveredIds = BTreeSet<(String, String)>;

/// What fired: from the first to the last event.
type FiredSpan = (InOrder, InOrder);

/// Somebody's occurrences of one trigger.
struct OpenOccurrences<'m> {
    trigger: &'m str,
    /// When each is decided if nothing is under way, and its last event.
    all: Vec<(u64, InOrder)>,
}

impl FiringModel {
    /// Of what the log has.
    pub fn new(logged: Vec<LoggedEvent>) -> Self {
        let (records, events) =
            logged.into_iter().partition::<Vec<_>, _>(|of| of.event["context"]["firing"].is_object());
        let mut by_id = BTreeMap::new();
        for record in records {
            let id = record.message_id().to_owned();
            assert!(by_id.insert(id.clone(), record).is_none(), "two records of {id}");
        }
        FiringModel { events, records: by_id }
    }

    /// The message ids of the events that were sent.
    pub fn sent(&self) -> BTreeSet<&str> {
        self.events.iter().map(LoggedEvent::message_id).collect()
    }

    fn of<'m>(&'m self, name: &str) -> BTreeMap<&'m str, Vec<&'m LoggedEvent>> {
        let mut of: BTreeMap<&str, Vec<&LoggedEvent>> = BTreeMap::new();
        for event in self.events.iter().filter(|event| event.name() == name) {
            of.entry(event.user()).or_default().push(event);
        }
        of
    }

    /// Decides one occurrence after the other. `look` says of one at a tick, by what fired before, what it is then, if it fires.
    fn decide(
        &self,
        OpenOccurrences { trigger, mut all }: OpenOccurrences<'_>,
        look: impl Fn(InOrder, u64, &[FiredSpan]) -> Option<(InOrder, Value)>,
    ) -> Vec<ExpectedMessage> {
        all.sort_unstable();
        let (mut messages, mut fired) = (Vec::new(), Vec::new());
        let mut free_from = 0;
        for (tick, last) in all {
            let decided = tick.max(free_from);
            let Some((first, payload)) = look(last, decided, &fired) else { continue };
            let message_id = message_id(trigger, last);
            // Where it is missing, that is told later; it then holds up nothing.
            free_from = self.records.get(&message_id).map_or(0, LoggedEvent::tick);
            fired.push((first, last));
            messages.push(ExpectedMessage { message_id, decided, first: first.0, last: last.0, payload });
        }
        messages
    }

    /// Each of these events may fire by itself.
    fn of_events(
        &self,
        (trigger, wait_ms): (&str, u64),
        events: &[&LoggedEvent],
        may: impl Fn(&LoggedEvent, u64, usize) -> bool,
    ) -> Vec<ExpectedMessage> {
        let by_order: BTreeMap<InOrder, &LoggedEvent> = events.iter().map(|event| (event.order(), *event)).collect();
        let all =
            by_order.values().map(|event| ((event.order().0 + wait_ms).max(event.tick()), event.order())).collect();
        self.decide(OpenOccurrences { trigger, all }, |last, tick, fired| {
            let event = by_order[&last];
            may(event, tick, fired.len()).then(|| (last, json!({ "n": event.n() })))
        })
    }

    /// Whether a user consents at a tick. All of one user's decisions were sent in their order.
    fn consents(&self, user: &str, tick: u64) -> bool {
        let decided =
            |event: &LoggedEvent| event.event["context"]["consent"]["categoryPreferences"]["marketing"].as_bool();
        let of_user = self.events.iter().filter(|event| event.user() == user && event.tick() <= tick);
        of_user.filter_map(decided).next_back() == Some(true)
    }

    fn visits(&self, events: &[&LoggedEvent]) -> Vec<ExpectedMessage> {
        let mut in_order = events.to_vec();
        in_order.sort_by_key(|event| event.order());
        let due = |event: &LoggedEvent| (event.order().0 + GAP_MS + VISIT_WAIT_MS).max(event.tick());
        let all = in_order.iter().map(|event| (due(event), event.order())).collect();
        self.decide(OpenOccurrences { trigger: "visited", all }, |last, tick, fired| {
            let there: Vec<InOrder> =
                in_order.iter().filter(|event| event.tick() <= tick).map(|event| event.order()).collect();
            let place = there.iter().position(|event| *event == last)?;
            if there.get(place + 1).is_some_and(|next| next.0 <= last.0 + GAP_MS) {
                return None;
            }
            let mut first = place;
            while first > 0 && there[first].0 - there[first - 1].0 <= GAP_MS {
                first -= 1;
            }
            let count = place - first + 1;
            let first = there[first];
            let is_over = |span: &FiredSpan| span.0 <= last && first <= span.1;
            (!fired.iter().any(is_over)).then(|| (first, json!({"n": count, "events": count})))
        })
    }

    fn alerts(&self, events: &[&LoggedEvent]) -> Vec<ExpectedMessage> {
        let mut in_order: Vec<InOrder> = events.iter().map(|event| event.order()).collect();
        in_order.sort_unstable();
        let all = in_order.iter().map(|event| (event.1.0, *event)).collect();
        self.decide(OpenOccurrences { trigger: "alert", all }, |last, _, fired| {
            let is_spent = |event: &&InOrder| fired.iter().any(|span| (span.0..=span.1).contains(*event));
            let left: Vec<&InOrder> = in_order.iter().filter(|event| **event <= last && !is_spent(event)).collect();
            let [.., first, _, third] = left[..] else { return None };
            (*third == last).then(|| (*first, json!({"at": super::at(last.0)})))
        })
    }

    /// What must be in the log of those who never merge.
    fn of_those_who_stay(&self) -> Vec<(&str, ExpectedMessage)> {
        let mut all = Vec::new();
        for (user, orders) in self.of("Order").into_iter().filter(|(user, _)| user.starts_with('u')) {
            let mut expected = self.of_events(("order", 0), &orders, |_, _, _| true);
            let is_later = |order: &LoggedEvent, _: u64, _: usize| order.event["properties"]["kind"] == "later";
            expected.extend(self.of_events(("later", LATER_WAIT_MS), &orders, is_later));
            expected.extend(self.of_events(("once", 0), &orders, |_, _, fired| fired == 0));
            expected.extend(self.of_events(("news", 0), &orders, |_, tick, _| self.consents(user, tick)));
            let records: Vec<&LoggedEvent> =
                self.records_of("order").filter(|record| holder(record) == format!("user_id:{user}")).collect();
            let is_great = |record: &LoggedEvent, _: u64, _: usize| record.n().as_u64() > Some(2);
            expected.extend(self.of_events(("chained", 0), &records, is_great));
            all.extend(expected.into_iter().map(|expected| (user, expected)));
        }
        for (user, views) in self.of("View") {
            all.extend(self.visits(&views).into_iter().map(|expected| (user, expected)));
        }
        for (user, fails) in self.of("Fail") {
            all.extend(self.alerts(&fails).into_iter().map(|expected| (user, expected)));
        }
        all
    }

    /// What the log has of somebody, for people.
    fn told_of(&self, who: &str) -> String {
        let is_of = |of: &&LoggedEvent| of.user() == name(who) || (self.is_record(of) && name(holder(of)) == name(who));
        let mut of_user: Vec<&LoggedEvent> = self.events.iter().chain(self.records.values()).filter(is_of).collect();
        of_user.sort_by_key(|of| of.place);
        of_user.iter().map(|of| format!("\n{:?} at {}: {}", of.place, of.at_ms, of.event)).collect()
    }

    fn is_record(&self, of: &LoggedEvent) -> bool {
        self.records.contains_key(of.message_id())
    }

    fn records_of<'m>(&'m self, trigger: &'m str) -> impl Iterator<Item = &'m LoggedEvent> {
        self.records.values().filter(move |record| self::trigger(record) == trigger)
    }

    /// Checks the log, and gives for each destination the messages that it must get, and those that it may.
    pub fn check(&self) -> (DeliveredIds, DeliveredIds) {
        let mut stay = BTreeSet::new();
        for (user, expected) in self.of_those_who_stay() {
            let record = self.records.get(&expected.message_id);
            let record = record.unwrap_or_else(|| panic!("missing: {expected:?}, {}", self.told_of(user)));
            assert_eq!(found(record), expected, "{}", self.told_of(user));
            stay.insert(expected.message_id);
        }
        let who = MergedPeople::of(&self.events);
        let is_of_merging = |record: &&LoggedEvent| holder(record).contains(":d") || holder(record).contains(":m");
        for (id, record) in &self.records {
            assert!(
                stay.contains(id) || trigger(record) == MARKER || is_of_merging(&record),
                "one too many: {id}, {record:?}, {}",
                self.told_of(holder(record))
            );
        }
        let refused = self.check_merging(&who);
        let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
        let is_sent = |(id, record): &(&String, &LoggedEvent)| !refused.contains(*id) && trigger(record) != MARKER;
        for (id, record) in self.records.iter().filter(is_sent) {
            let user = holder(record).split_once(':').unwrap().1;
            for to in record.event["context"]["firing"]["to"].as_array().unwrap() {
                let entry = (to.as_str().unwrap().to_owned(), id.clone());
                may.insert(entry.clone());
                // Who withdrew may have done so before it was sent.
                if trigger(record) != "news" || self.consents(user, u64::MAX) {
                    must.insert(entry);
                }
            }
        }
        (must, may)
    }

    /// Checks the records of those who merge. Gives the message ids of those that must not be sent.
    fn check_merging(&self, who: &MergedPeople) -> BTreeSet<String> {
        let orders: Vec<&LoggedEvent> =
            self.events.iter().filter(|event| event.name() == "Order" && !event.user().starts_with('u')).collect();
        for order in &orders {
            let fires = |trigger: &str, due: u64| {
                let id = message_id(trigger, order.order());
                let record = self.records.get(&id).unwrap_or_else(|| panic!("missing: {id} for {order:?}"));
                let found = found(record);
                assert_eq!(
                    (&found.payload, found.first, found.last),
                    (&json!({"n": order.n()}), order.order().0, order.order().0)
                );
                assert!(
                    due.max(order.tick()) <= found.decided && found.decided < record.tick(),
                    "{found:?} of {order:?}"
                );
            };
            fires("order", 0);
            if order.event["properties"]["kind"] == "later" {
                fires("later", order.order().0 + LATER_WAIT_MS);
            }
            assert!(!self.records.contains_key(&message_id("news", order.order())), "without consent: {order:?}");
            // The first one of a person.
            let person = who.person(order.user(), order.tick());
            let is_earlier = |other: &&&LoggedEvent| {
                (other.tick(), other.order()) < (order.tick(), order.order())
                    && who.person(other.user(), order.tick()) == person
            };
            if !orders.iter().any(|other| is_earlier(&other)) {
                let id = message_id("once", order.order());
                let record =
                    self.records.get(&id).unwrap_or_else(|| panic!("missing: {id}, the first order of {order:?}"));
                assert_eq!(found(record).decided, order.tick());
            }
        }
        for record in self.records_of("order").filter(|record| !holder(record).starts_with("user_id:u")) {
            let id = message_id("chained", record.order());
            let is_great = record.n().as_u64() > Some(2);
            assert_eq!(self.records.contains_key(&id), is_great, "{id} for {record:?}");
        }
        let mut once: Vec<&LoggedEvent> = self.records_of("once").collect();
        once.sort_by_key(|record| record.place);
        let mut refused = BTreeSet::new();
        for (place, record) in once.iter().enumerate() {
            let person = who.person(name(holder(record)), record.tick());
            let is_same = |other: &&LoggedEvent| who.person(name(holder(other)), record.tick()) == person;
            if once[..place].iter().any(is_same) {
                refused.insert(record.message_id().to_owned());
            }
        }
        refused
    }
}

fn name(identifier: &str) -> &str {
    identifier.split_once(':').map_or(identifier, |(_, name)| name)
}

fn holder(record: &LoggedEvent) -> &str {
    text(&record.event["context"]["firing"], "holder").unwrap()
}

/// The trigger of a record.
fn trigger(record: &LoggedEvent) -> &str {
    text(&record.event["context"]["firing"], "trigger").unwrap()
}

/// A record, as it is expected.
fn found(record: &LoggedEvent) -> ExpectedMessage {
    let span = text(&record.event["context"]["firing"], "span").unwrap();
    let (first, last) = span.split_once("..").unwrap();
    let ms = |order: &str| order.split_once('-').unwrap().0.parse().unwrap();
    ExpectedMessage {
        message_id: record.message_id().to_owned(),
        decided: record.at_ms,
        first: ms(first),
        last: ms(last),
        payload: record.event["properties"].clone(),
    }
}

/// When a device and a user became one person.
struct MergedPeople(BTreeMap<String, u64>);

impl MergedPeople {
    fn of(events: &[LoggedEvent]) -> Self {
        let mut merged = BTreeMap::new();
        for event in events {
            if let (Some(user), Some(_)) = (text(&event.event, "userId"), text(&event.event, "anonymousId")) {
                merged.entry(user[1..].to_owned()).or_insert(event.tick());
            }
        }
        MergedPeople(merged)
    }

    /// Who somebody is at a tick: a device `d7` and a user `m7` merge.
    fn person(&self, name: &str, tick: u64) -> String {
        let may_merge = name.starts_with(['d', 'm']);
        let is_merged = may_merge && self.0.get(&name[1..]).is_some_and(|merged| *merged <= tick);
        if is_merged { format!("m{}", &name[1..]) } else { name.to_owned() }
    }
}

/// Checks what came at the receiver: each message once at each destination, but for calls that were repeated as they were.
pub fn check_calls(calls: &[ReceivedCall], model: &FiringModel) {
    let (must, may) = model.check();
    let mut bodies = BTreeMap::new();
    let mut keys: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let mut latest: BTreeMap<String, (u64, u32)> = BTreeMap::new();
    for call in calls {
        let (to, key) = (destination(call), call.key().to_owned());
        let body = bodies.entry((to.clone(), key.clone())).or_insert_with(|| call.body.clone());
        assert_eq!(*body, call.body, "the same key, the same body");
        for message in call.messages().into_iter().filter(|message| message.trigger != MARKER) {
            let message_id = of_occurrence(&message.message_id);
            let id = (to.clone(), message_id.to_owned());
            let is_new = keys.entry(id.clone()).or_default().insert(key.clone());
            assert!(may.contains(&id), "one too many at {to}: {message:?}");
            let record = &model.records[message_id];
            let expected = found(record);
            let found = ExpectedMessage {
                message_id: message_id.to_owned(),
                decided: message.decided,
                first: message.cause.first,
                last: message.cause.last,
                payload: message.payload.clone().into(),
            };
            assert_eq!(found, expected);
            let place = (message.as_of, u64::from(message.index));
            assert_eq!(place, (record.tick(), record.place.2), "{message:?}");
            if call.status.is_success() {
                taken.insert(id);
            }
            let before = latest.entry(format!("{to} {}", record.place.1)).or_default();
            let at = (message.as_of, message.index);
            assert!(!is_new || *before < at, "out of order at {to}: {message:?} after {before:?}");
            *before = at.max(*before);
        }
    }
    let twice: Vec<_> = keys.iter().filter(|(_, keys)| keys.len() > 1).collect();
    assert!(twice.is_empty(), "in calls with several keys: {twice:?}");
    let missing: Vec<_> = must.difference(&taken).collect();
    assert!(missing.is_empty(), "these did not come: {missing:?}");
}

/// How often each trigger fired, the most first.
pub fn counts(model: &FiringModel) -> Vec<(Reverse<usize>, String)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    model.records.values().for_each(|record| *counts.entry(trigger(record)).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().map(|(name, count)| (Reverse(count), name.to_owned())).collect();
    counts.sort();
    counts
}
