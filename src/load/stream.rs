//! The stream: what people do, from a seed.
//!
//! There is one stream for each connection (a *lane*), with people of its own, so that all events of a person and of a device go
//! over one connection, in order. The same seed, people, lanes and mix give the same stream, whatever the machine: times
//! are the caller's, all else comes from the seed. The generator (PCG) and the distribution (Zipf) are libraries that keep
//! their values stable.
//!
//! With triggers, every other person is a *regular*: has one device, says the user in every event, and never shares the device or the user with
//! anybody. So it is known who they are from their first event on, and what a trigger has to tell of them. All else of the stream is the same.
//!
//! An event that links a user and a device is never within the same millisecond as another one that links either of them:
//! whose device it is then, and which attribute is the last, would depend on hashes.

use rand::RngExt;
use rand_distr::{Distribution, Zipf};
use rand_pcg::Pcg64Mcg;

use super::mix::{ActionKind, Mix};

/// The devices that each person begins with.
const DEVICES_PER_PERSON: u32 = 2;

/// Where people live. `berliners` are those of the first.
pub const CITIES: [&str; 5] = ["Berlin", "Köln", "Leipzig", "Mainz", "Ulm"];

/// Whether a person is a regular, where there are any.
pub fn is_regular(person: u32) -> bool {
    person.is_multiple_of(2)
}

/// The device of a regular.
pub fn device_of_regular(person: u32) -> u32 {
    person * DEVICES_PER_PERSON
}

/// What a stream is like.
#[derive(Clone, Debug)]
pub struct StreamShape {
    /// The seed of all lanes.
    pub seed: u64,
    /// People of all lanes together.
    pub people: u32,
    /// The exponent of Zipf's law, by which people are more or less active; 0 for all alike.
    pub skew: f64,
    /// What people do.
    pub mix: Mix,
    /// The share of logins that are on somebody else's device.
    pub moves: f64,
    /// How many lanes there are.
    pub lanes: u32,
    /// Whether there are regulars.
    pub has_regulars: bool,
}

/// Something that somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadEvent {
    /// Its number in its lane: no two events have the same.
    pub number: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// On which device.
    pub device: u32,
    /// As which user, where that is said.
    pub user: Option<u32>,
    /// What.
    pub what: LoadAction,
}

/// What somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadAction {
    /// Looked at a page.
    Page,
    /// Looked at a product.
    View,
    /// Put a product into the cart.
    Cart,
    /// Bought for so much.
    Purchase {
        /// The total.
        cents: u32,
    },
    /// Logged in. The user is always said.
    Login {
        /// Whether the address is said, too.
        email: bool,
        /// The place in [`CITIES`], where it is said.
        city: Option<usize>,
    },
}

/// The stream of one lane.
#[derive(Debug)]
pub struct Stream {
    random: Pcg64Mcg,
    popularity: Zipf<f64>,
    mix: Mix,
    moves: f64,
    people: u32,
    has_regulars: bool,
    number: u64,
    /// The time of the latest event.
    at_ms: u64,
    /// Who was linked at that time: `(user, device)`.
    linked: Vec<(u32, u32)>,
}

impl Stream {
    /// The stream of a lane.
    pub fn new(shape: &StreamShape, lane: u32) -> Self {
        let people = (shape.people / shape.lanes).max(1);
        // Odd numbers far apart, so that neighbouring seeds and lanes have nothing in common.
        let seed = u128::from(shape.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let seed = seed ^ (u128::from(lane) + 1).wrapping_mul(0xd1b5_4a32_d192_ed03_2545_f491_4f6c_dd1d);
        let popularity = Zipf::new(f64::from(people), shape.skew).expect("the command line has checked the exponent");
        let StreamShape { mix, moves, has_regulars, .. } = *shape;
        let (random, linked) = (Pcg64Mcg::new(seed), Vec::new());
        Stream { random, popularity, mix, moves, people, has_regulars, number: 0, at_ms: 0, linked }
    }

    /// The next so many events, which happen evenly in the `over_ms` up to `until_ms`, but not before those that came
    /// before.
    pub fn batch(&mut self, events: u32, until_ms: u64, over_ms: u64) -> Vec<LoadEvent> {
        let from_ms = until_ms.saturating_sub(over_ms).max(self.at_ms);
        let over_ms = until_ms.saturating_sub(from_ms);
        let at_ms = |place: u32| from_ms + over_ms * u64::from(place + 1) / u64::from(events);
        (0..events).map(|place| self.next(at_ms(place))).collect()
    }

    /// The next event, which happens at `at_ms`, or when the one before did.
    pub fn next(&mut self, at_ms: u64) -> LoadEvent {
        if at_ms > self.at_ms {
            self.at_ms = at_ms;
            self.linked.clear();
        }
        let number = self.number;
        self.number += 1;
        // The ranks of Zipf's law begin at 1.
        let person = (self.popularity.sample(&mut self.random) as u32).clamp(1, self.people) - 1;
        let own = person * DEVICES_PER_PERSON + self.random.random_range(0..DEVICES_PER_PERSON);
        let kind = self.mix.at(self.random.random_range(0..self.mix.whole()));
        let (own, user, what) = match kind {
            ActionKind::Page => (own, None, LoadAction::Page),
            ActionKind::View => (own, None, LoadAction::View),
            ActionKind::Cart => (own, None, LoadAction::Cart),
            ActionKind::Purchase => {
                let cents = self.random.random_range(1_000..10_000);
                // Half of the buyers are logged in: what they do stays with them when the device goes to somebody else.
                let user = self.random.random_bool(0.5).then_some(person);
                (own, user, LoadAction::Purchase { cents })
            }
            ActionKind::Login => {
                let user =
                    if self.random.random_bool(self.moves) { self.random.random_range(0..self.people) } else { person };
                let email = self.random.random_bool(0.5);
                let city = self.random.random_bool(0.3).then(|| self.random.random_range(0..CITIES.len()));
                (own, Some(user), LoadAction::Login { email, city })
            }
        };
        let regular = Some(person).filter(|person| self.has_regulars && is_regular(*person));
        let (device, user) = match regular {
            Some(regular) => (device_of_regular(regular), Some(regular)),
            // Nobody logs in as a regular.
            None if self.has_regulars => (own, user.map(|user| if is_regular(user) { person } else { user })),
            None => (own, user),
        };
        let (user, what) = match user {
            // They are linked already. Only of two logins it matters which one is the last.
            Some(_) if regular.is_some() && !matches!(what, LoadAction::Login { .. }) => (user, what),
            Some(_) if regular.is_some() && self.linked.iter().any(|(_, on)| *on == device) => (user, LoadAction::Page),
            Some(user) if self.linked.iter().any(|(of, on)| *of == user || *on == device) => (None, LoadAction::Page),
            Some(user) => {
                self.linked.push((user, device));
                (Some(user), what)
            }
            None => (None, what),
        };
        LoadEvent { number, at_ms: self.at_ms, device, user, what }
    }
}

#[cfg(test)]
mod tests;
