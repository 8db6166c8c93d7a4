//! The definitions of `examples/load/deltaic.toml`, once more.

use std::collections::BTreeSet;

use crate::load::body::LaneIdentifier;

/// The audiences of `examples/load`, in the order of the bits of [`AudienceSet`].
pub const AUDIENCES: [&str; 10] = [
    "spenders",
    "cart_abandoners",
    "keen",
    "big_ticket",
    "reachable",
    "reachable_spenders",
    "known_viewers",
    "berliners",
    "newcomers",
    "hot",
];

/// The window of `hot`, the one that ends while a test runs.
pub const SHORT_WINDOW_MS: u64 = 3_000;

/// The audiences that somebody is in, a bit each.
pub type AudienceSet = u16;

/// The windows, each with its length and grain in milliseconds.
pub(super) const WINDOWS: [(u64, u64); 5] =
    [(60 * 60_000, 1_000), (60 * 60_000, 1_000), (30 * 60_000, 1_000), (3 * 60 * 60_000, 5_000), (SHORT_WINDOW_MS, 1)];
pub(super) const CARTS_60M: usize = 0;
pub(super) const ORDERS_60M: usize = 1;
pub(super) const VIEWS_30M: usize = 2;
pub(super) const ORDERS_3H: usize = 3;
pub(super) const VIEWS_3S: usize = 4;

/// What events are kept with. Of the two that make up a person, the user stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum FactHolder {
    User(u32),
    Device(u32),
}

impl FactHolder {
    /// Whom it is written as.
    pub fn identifier(self) -> LaneIdentifier {
        match self {
            FactHolder::User(user) => LaneIdentifier::User(user),
            FactHolder::Device(device) => LaneIdentifier::Device(device),
        }
    }
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub(super) struct LoadFacts {
    pub cents: u64,
    pub cents_max: u32,
    pub views: u32,
    pub carts: u32,
    /// The first half of the hash of the identifier, once it is asked for.
    pub hash: Option<u64>,
    /// How many events are in each of [`WINDOWS`].
    pub in_window: [u32; WINDOWS.len()],
}

impl LoadFacts {
    /// Adds those of another part of the same person.
    pub fn add(&mut self, part: &LoadFacts) {
        self.cents += part.cents;
        self.cents_max = self.cents_max.max(part.cents_max);
        self.views += part.views;
        self.carts += part.carts;
        self.in_window.iter_mut().zip(part.in_window).for_each(|(all, of_part)| *all += of_part);
    }
}

/// What is known of a user, beside the facts.
#[derive(Debug, Default)]
pub(super) struct User {
    pub devices: BTreeSet<u32>,
    pub has_email: bool,
    pub city: Option<usize>,
}

/// The definitions of `examples/load/deltaic.toml`.
pub(super) fn members(facts: &LoadFacts, user: &User, is_user: bool) -> AudienceSet {
    let spends = facts.cents >= 50_000;
    let conditions = [
        spends,
        facts.in_window[CARTS_60M] > 0 && facts.in_window[ORDERS_60M] == 0,
        facts.in_window[VIEWS_30M] >= 3 && facts.in_window[ORDERS_3H] > 0,
        facts.cents_max >= 9_500,
        user.has_email,
        spends && user.has_email,
        is_user && facts.views >= 5,
        user.city == Some(0),
        !is_user && facts.carts > 0,
        facts.in_window[VIEWS_3S] >= 2,
    ];
    conditions.iter().rev().fold(0, |members, holds| members << 1 | AudienceSet::from(*holds))
}
