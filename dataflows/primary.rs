//! Which identifier an event is about: its *primary*, the strongest usable one that it carries, of one type the first
//! (DESIGN §4).
//!
//! A rule of its own, because not only observations follow it: who asks about an event's person must ask for the same one.

use std::cmp::Ordering;

use compact_str::CompactString;
use rustc_hash::FxHashMap;

use crate::blocked::Blocklist;
use crate::definitions::IdentityRules;
use crate::model::Identifier;

/// The rules by which primaries are picked, prepared for one look-up per identifier.
#[derive(Clone, Debug)]
pub struct Primaries {
    exclusive: Vec<CompactString>,
    blocked: Blocklist,
    ranks: FxHashMap<CompactString, usize>,
}

impl Primaries {
    /// By these rules.
    pub fn new(rules: &IdentityRules) -> Self {
        Primaries {
            exclusive: rules.exclusive.clone(),
            blocked: Blocklist::new(&rules.blocked),
            ranks: rules.strength.iter().cloned().zip(0..).collect(),
        }
    }

    /// Whether a profile has at most one identifier of this type.
    pub fn is_exclusive(&self, kind: &str) -> bool {
        self.exclusive.iter().any(|exclusive| exclusive == kind)
    }

    /// Whether this identifier identifies somebody.
    pub fn is_usable(&self, identifier: &Identifier) -> bool {
        !self.blocked.has(identifier)
    }

    /// The identifiers that are not blocked.
    pub fn usable<'e>(&self, identifiers: &'e [Identifier]) -> impl Iterator<Item = &'e Identifier> {
        identifiers.iter().filter(|identifier| self.is_usable(identifier))
    }

    /// The strongest usable one, of one type the first that the event carries; nothing where all are blocked.
    pub fn primary<'e>(&self, identifiers: &'e [Identifier]) -> Option<&'e Identifier> {
        self.usable(identifiers).min_by(|a, b| self.compare_strength(a, b))
    }

    /// The stronger first. Types that the project does not list come after those that it does, in the order of their names.
    fn compare_strength(&self, a: &Identifier, b: &Identifier) -> Ordering {
        let rank = |identifier: &Identifier| self.ranks.get(identifier.kind()).copied().unwrap_or(usize::MAX);
        rank(a).cmp(&rank(b)).then_with(|| a.kind().cmp(b.kind()))
    }
}
