//! The prediction: which identifiers are in which audiences of `examples/load`, tick by tick.
//!
//! A plain single-threaded computation that shares nothing with the dataflow: what happened is counted by the device or user
//! that it is kept with, a person is the sum over their user id and devices, and who is touched is looked at anew. By the
//! rules of docs/concepts: an event is kept with the user id if it says one, else with the device; a device belongs to the user that it was last
//! linked with, by event time, and takes along what was done on it anonymously; an event is in a window from the later of its
//! time and its tick until its end, rounded up to the grain as shifted for whom it is kept with, unless it was too old when it came.

use std::collections::{BTreeMap, HashMap};

use dataflows::model::IdentifierKey;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::body::{LaneIdentifier, LaneNames};
use super::project::IDENTITY_KEY;
use super::stream::{LoadAction, LoadEvent};

mod audiences;

pub use audiences::{AUDIENCES, AudienceSet, SHORT_WINDOW_MS};
use audiences::{CARTS_60M, FactHolder, LoadFacts, ORDERS_3H, ORDERS_60M, User, VIEWS_3S, VIEWS_30M, WINDOWS, members};

/// An identifier that enters an audience or leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub tick: u64,
    /// Who.
    pub identifier: LaneIdentifier,
    /// The place in [`AUDIENCES`].
    pub audience: usize,
    /// Whether it enters.
    pub enters: bool,
    /// Whether an event of this tick had a part in it, and not the passing of time alone.
    pub by_event: bool,
}

/// The people of one lane.
#[derive(Debug)]
pub struct Model {
    names: LaneNames,
    lane: u32,
    key: IdentifierKey,
    facts: FxHashMap<FactHolder, LoadFacts>,
    owners: FxHashMap<u32, u32>,
    users: FxHashMap<u32, User>,
    /// When events enter windows and leave them: tick → what they are kept with, window, whether they enter.
    timers: BTreeMap<u64, Vec<(FactHolder, usize, bool)>>,
    members: FxHashMap<LaneIdentifier, AudienceSet>,
    /// Whom something has changed for since the last look, and whether that was an event.
    touched: FxHashMap<FactHolder, bool>,
}

impl Model {
    /// Nobody yet, of a lane of a run.
    pub fn new(names: LaneNames, lane: u32) -> Self {
        Model {
            names,
            lane,
            key: IdentifierKey::from_secret(IDENTITY_KEY),
            facts: FxHashMap::default(),
            owners: FxHashMap::default(),
            users: FxHashMap::default(),
            timers: BTreeMap::new(),
            members: FxHashMap::default(),
            touched: FxHashMap::default(),
        }
    }

    /// Takes in the events of a tick; ticks grow.
    pub fn take(&mut self, tick: u64, events: &[LoadEvent], to: &mut Vec<Transition>) {
        self.advance(tick.saturating_sub(1), to);
        if let Some(due) = self.timers.remove(&tick) {
            self.fire(due);
        }
        for event in events {
            self.event(tick, event);
        }
        self.settle(tick, to);
    }

    /// Lets time pass, up to and including `tick`.
    pub fn advance(&mut self, tick: u64, to: &mut Vec<Transition>) {
        while let Some(first) = self.timers.first_entry().filter(|first| *first.key() <= tick) {
            let (at, due) = first.remove_entry();
            self.fire(due);
            self.settle(at, to);
        }
    }

    /// Who is in which audiences.
    pub fn members(&self) -> impl Iterator<Item = (LaneIdentifier, AudienceSet)> {
        self.members.iter().map(|(identifier, members)| (*identifier, *members))
    }

    fn fire(&mut self, due: Vec<(FactHolder, usize, bool)>) {
        for (part, window, enters) in due {
            let count = &mut self.facts.entry(part).or_default().in_window[window];
            *count = if enters { *count + 1 } else { *count - 1 };
            self.touched.entry(part).or_insert(false);
        }
    }

    fn event(&mut self, tick: u64, event: &LoadEvent) {
        let part = event.user.map_or(FactHolder::Device(event.device), FactHolder::User);
        self.touched.insert(part, true);
        if let Some(user) = event.user {
            // Times of a lane never go back, so the last is the latest.
            self.link(user, event.device);
        }
        let facts = self.facts.entry(part).or_default();
        let windows: &[usize] = match event.what {
            LoadAction::Page => &[],
            LoadAction::View => {
                facts.views += 1;
                &[VIEWS_30M, VIEWS_3S]
            }
            LoadAction::Cart => {
                facts.carts += 1;
                &[CARTS_60M]
            }
            LoadAction::Purchase { cents } => {
                facts.cents += u64::from(cents);
                facts.cents_max = facts.cents_max.max(cents);
                &[ORDERS_60M, ORDERS_3H]
            }
            LoadAction::Login { email, city } => {
                if let FactHolder::User(user) = part {
                    let user = self.users.entry(user).or_default();
                    user.has_email |= email;
                    user.city = city.or(user.city);
                }
                &[]
            }
        };
        windows.iter().for_each(|window| self.stay(part, *window, tick, event.at_ms));
    }

    /// The user has the device from now on.
    fn link(&mut self, user: u32, device: u32) {
        self.users.entry(user).or_default().devices.insert(device);
        // Devices are looked at with their owners, so one that was nobody's needs no other look.
        self.touched.insert(FactHolder::User(user), true);
        if let Some(before) = self.owners.insert(device, user)
            && before != user
        {
            self.users.entry(before).or_default().devices.remove(&device);
            self.touched.insert(FactHolder::User(before), true);
        }
    }

    /// An event that came at `tick` is in a window for its time.
    fn stay(&mut self, part: FactHolder, window: usize, tick: u64, at_ms: u64) {
        let (length_ms, grain_ms) = WINDOWS[window];
        let end_ms = at_ms + length_ms;
        if tick >= end_ms {
            return;
        }
        let facts = self.facts.entry(part).or_default();
        let hash = *facts.hash.get_or_insert_with(|| self.names.hash(&self.key, self.lane, part.identifier()));
        if at_ms > tick {
            self.timers.entry(at_ms).or_default().push((part, window, true));
        } else {
            facts.in_window[window] += 1;
        }
        // The next end on a grid that is shifted by the hash.
        let beyond_ms = (end_ms % grain_ms + grain_ms - hash % grain_ms) % grain_ms;
        let until_ms = if beyond_ms == 0 { end_ms } else { end_ms + grain_ms - beyond_ms };
        self.timers.entry(until_ms).or_default().push((part, window, false));
    }

    /// Looks at whom something has changed for.
    fn settle(&mut self, tick: u64, to: &mut Vec<Transition>) {
        let mut people: HashMap<FactHolder, bool, FxBuildHasher> = HashMap::default();
        for (part, by_event) in self.touched.drain() {
            let person = match part {
                FactHolder::Device(device) => self.owners.get(&device).map_or(part, |owner| FactHolder::User(*owner)),
                FactHolder::User(_) => part,
            };
            *people.entry(person).or_default() |= by_event;
        }
        for (person, by_event) in people {
            let (members, identifiers) = self.look(person);
            for identifier in identifiers {
                let before = self.members.insert(identifier, members).unwrap_or(0);
                let changed = (0..AUDIENCES.len()).filter(|audience| (before ^ members) >> audience & 1 == 1);
                to.extend(changed.map(|audience| {
                    let enters = members >> audience & 1 == 1;
                    Transition { tick, identifier, audience, enters, by_event }
                }));
            }
        }
    }

    /// The audiences of a person, and their identifiers.
    fn look(&self, person: FactHolder) -> (AudienceSet, Vec<LaneIdentifier>) {
        let nobody = User::default();
        let (user, mut parts, mut identifiers) = match person {
            FactHolder::User(id) => {
                (self.users.get(&id).unwrap_or(&nobody), vec![person], vec![LaneIdentifier::User(id)])
            }
            FactHolder::Device(device) => (&nobody, vec![person], vec![LaneIdentifier::Device(device)]),
        };
        parts.extend(user.devices.iter().copied().map(FactHolder::Device));
        identifiers.extend(user.devices.iter().copied().map(LaneIdentifier::Device));
        if let FactHolder::User(id) = person
            && user.has_email
        {
            identifiers.push(LaneIdentifier::Email(id));
        }
        let mut all = LoadFacts::default();
        for facts in parts.iter().filter_map(|part| self.facts.get(part)) {
            all.add(facts);
        }
        let is_user = matches!(person, FactHolder::User(_));
        (members(&all, user, is_user), identifiers)
    }
}

#[cfg(test)]
mod tests;
