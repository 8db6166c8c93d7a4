//! What the history and `deltaic log dump` have, and what they say of the requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataflows::model::Tick;
use deltaic::history::{Archive, Folder};
use serde_json::Value;

use super::engine::CrashWorld;
use super::events;
use super::record::{CrashRecord, Fate};

/// The number of an event.
fn number(event: &Value) -> u64 {
    event["messageId"].as_str().and_then(events::number).expect("it has the id it was sent with")
}

/// The events of history and log.
pub struct LoggedEvents {
    /// The log has everything from this tick on.
    begins_at: Tick,
    /// Tick, place within the tick and text of each event, by its number.
    events: BTreeMap<u64, (Tick, u32, Value)>,
}

impl LoggedEvents {
    /// Reads the history and the log of an engine that does not run. No event is twice in either, and one that is in both is at one
    /// place.
    pub fn read(world: &CrashWorld) -> Self {
        let mut events = Self::of_history(world);
        world.log("verify");
        let dump = String::from_utf8(world.log("dump").stdout).unwrap();
        let mut of_log = BTreeSet::new();
        let (mut of_tick, mut place) = (Tick::default(), 0);
        for line in dump.lines() {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let tick = Tick::from_ms(line["tick"].as_u64().unwrap());
            place = if tick == of_tick { place + 1 } else { 0 };
            of_tick = tick;
            let event = line["event"].take();
            let number = number(&event);
            assert!(of_log.insert(number), "event {number} is in the log twice, the second time at {tick}");
            let logged = (tick, place, event);
            let before = events.entry(number).or_insert_with(|| logged.clone());
            assert_eq!(*before, logged, "event {number} is in the history at another place than in the log");
        }
        // Together they have everything.
        LoggedEvents { begins_at: Tick::default(), events }
    }

    /// What the history has; nothing where there was no checkpoint yet.
    fn of_history(world: &CrashWorld) -> BTreeMap<u64, (Tick, u32, Value)> {
        let mut events = BTreeMap::new();
        let root = world.folder().join("data/history");
        if !root.join("MANIFEST").exists() {
            return events;
        }
        let archive = Archive::open_existing(Arc::new(Folder::new(root))).unwrap();
        assert_eq!(archive.begins(), Tick::default());
        for portion in archive.portions(Tick::default(), Tick::MAX) {
            let portion = portion.unwrap();
            for placed in portion.events {
                let event: Value = serde_json::from_slice(&placed.stored.raw).unwrap();
                let number = number(&event);
                let before = events.insert(number, (portion.tick, placed.position.index, event));
                assert!(before.is_none(), "event {number} is in the history twice, once at {}", portion.tick);
            }
        }
        events
    }

    /// Checks that all that has a receipt is there, and decides on what had no answer.
    pub fn decide(&self, record: &mut CrashRecord) {
        let owners = record.owners();
        for (number, (tick, _, stored)) in &self.events {
            let request = &record.requests()[owners[number]];
            let sent = &record.events_of(request)[(number - request.events.start) as usize];
            for (name, value) in sent.as_object().expect("events are objects") {
                let mut value = value.clone();
                if name == "context" {
                    // It came from this machine.
                    value["ip"] = "127.0.0.1".into();
                }
                assert_eq!(stored[name], value, "event {number} at {tick}, {name}");
            }
        }
        for request in record.requests_mut() {
            let mut ticks = request.events.clone().map(|number| self.events.get(&number).map(|(tick, ..)| *tick));
            let first = ticks.next().expect("a request has an event");
            assert!(ticks.all(|tick| tick == first), "only a part of {request:?} is in the log, or at other ticks");
            request.logged = self.events.get(&request.events.start).map(|(tick, place, _)| (*tick, *place));
            match (request.fate, first) {
                (Fate::At(tick), found) if tick >= self.begins_at => {
                    assert_eq!(
                        found,
                        Some(tick),
                        "acknowledged, and in the log at another tick or not at all: {request:?}"
                    );
                }
                // There before it was sent for the last time.
                (Fate::Before(receipt), Some(found)) => assert!(found <= receipt, "{request:?}"),
                (Fate::Before(_), None) => {
                    assert!(self.begins_at > Tick::default(), "acknowledged, and not in the log: {request:?}");
                }
                (Fate::Open, None) if self.begins_at == Tick::default() => request.fate = Fate::Absent,
                _ => {}
            }
        }
    }
}
