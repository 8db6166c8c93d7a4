//! What the oracle makes of what the clients know.

use std::collections::BTreeMap;

use dataflows::model::{Event, Position, Tick};
use deltaic::ingest::segment::{EventContext, Extractor, Stamp};
use deltaic::json::ObjectJson;
use deltaic::json::ProfileJson;
use deltaic::project::{self, Project};
use deltaic::receive::server;
use serde::Serialize;
use serde_json::Value;

use super::engine::CrashWorld;
use super::project::SOURCE;
use super::record::{CrashRecord, Fate};
use crate::oracle::OracleState;

/// All events that are there, and the project that they are for.
pub struct ExpectedAnswers {
    project: Project,
    history: Vec<(Tick, Event)>,
    states: BTreeMap<Tick, OracleState>,
}

/// What an engine is to answer as of a tick.
pub struct Answers {
    /// Profiles by each of their identifiers.
    pub profiles: BTreeMap<String, Value>,
    /// Sizes of the audiences.
    pub sizes: BTreeMap<String, u64>,
}

impl ExpectedAnswers {
    /// Of a record in which nothing is open that the log could have decided.
    pub fn of(world: &CrashWorld, record: &CrashRecord) -> Self {
        let project = project::load(world.folder(), &|_| None).unwrap_or_else(|error| panic!("{error:?}")).project;
        let extractor = Extractor::new(&project);
        let mut history = Vec::new();
        for request in record.requests() {
            // An event that is not ahead of its time is the same at whatever tick it arrived; one that is has a receipt.
            // Where the log was not looked at since it was taken, it was the only one of its tick.
            let (tick, place) = match (request.fate, request.logged) {
                (_, Some(logged)) => logged,
                (Fate::At(tick) | Fate::Before(tick), None) => (tick, 0),
                (Fate::Open | Fate::Absent, None) => continue,
            };
            let received = Stamp::from(tick);
            for (event, index) in record.events_of(request).iter().zip(place..) {
                let position = Position { tick, process: 0, index };
                history.push((tick, Event { position, ..read(&extractor, event, &received) }));
            }
        }
        ExpectedAnswers { project, history, states: BTreeMap::new() }
    }

    /// What is to be answered as of a tick.
    pub fn answers(&mut self, as_of: Tick) -> Answers {
        let definitions = self.project.definitions.clone();
        let state = self.state(as_of);
        let mut profiles = BTreeMap::new();
        let mut sizes: BTreeMap<String, u64> =
            definitions.audiences.iter().map(|audience| (audience.name.to_string(), 0)).collect();
        for profile in state.profiles.values() {
            let json = json(&ProfileJson { profile, definitions: &definitions });
            for identifier in &profile.identifiers {
                profiles.insert(identifier.to_string(), json.clone());
            }
            for audience in &profile.audiences {
                *sizes.get_mut(definitions.audiences[audience.index()].name.as_str()).unwrap() += 1;
            }
        }
        Answers { profiles, sizes }
    }

    /// What a receiver is to hold as of a tick.
    pub fn receiver(&mut self, as_of: Tick) -> server::ReceivedState {
        let definitions = self.project.definitions.clone();
        let mut held = server::ReceivedState::new();
        for row in &self.state(as_of).desired {
            let destination = &definitions.destinations[row.destination.index()].name;
            let audience = &definitions.audiences[row.audience.index()].name;
            let traits = json(&ObjectJson(row.traits.iter().map(|(name, value)| (name.as_str(), value))));
            let Value::Object(traits) = traits else { panic!("traits are an object") };
            let members = held.entry(destination.to_string()).or_default().entry(audience.to_string()).or_default();
            members.insert(row.identifier.to_string(), traits);
        }
        held
    }

    fn state(&mut self, as_of: Tick) -> &OracleState {
        let ExpectedAnswers { project, history, states } = self;
        states.entry(as_of).or_insert_with(|| OracleState::of(&project.definitions, history, as_of))
    }
}

/// The event as the engine takes it.
fn read(extractor: &Extractor, event: &Value, received: &Stamp) -> Event {
    let given = EventContext {
        source: SOURCE,
        call: None,
        received: Some(received),
        sent_at: None,
        context: None,
        is_historical: false,
        ip: None,
        position: ("", 0),
        is_placed: false,
    };
    let arrival = extractor.accept(event.to_string().as_bytes(), &given).expect("the engine took it");
    arrival.accepted.event
}

/// As it comes out of an answer: through text, in which `1` and `1.0` are not the same.
fn json(value: &impl Serialize) -> Value {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}
