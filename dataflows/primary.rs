//! Which identifier an event is about: its *primary*, the strongest usable one that it carries, of one type the first
//! (docs/concepts/who-is-who.md).
//!
//! A rule of its own, because not only observations follow it: who asks about an event's person must ask for the same one.

use std::cmp::Ordering;

use compact_str::CompactString;
use rustc_hash::FxHashMap;

use crate::blocked::Blocklist;
use crate::definitions::IdentityRules;
use crate::model::{Identifier, Identifiers, Strength};

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

    /// The identifiers beside this one that are not blocked, each with how surely it is one of the event's.
    pub fn usable_beside<'e>(
        &self,
        primary: &'e Identifier,
        identifiers: &'e Identifiers,
    ) -> impl Iterator<Item = (&'e Identifier, Strength)> {
        let others = identifiers.with_strength().filter(|(identifier, _)| identifier.id() != primary.id());
        others.filter(|(identifier, _)| self.is_usable(identifier))
    }

    /// The strongest usable one, of one type the first that the event carries; one that it has by hearsay where it states none.
    /// Nothing where all are blocked.
    pub fn primary<'e>(&self, identifiers: &'e Identifiers) -> Option<&'e Identifier> {
        let strongest = |of: &'e [Identifier]| {
            of.iter().filter(|one| self.is_usable(one)).min_by(|a, b| self.compare_strength(a, b))
        };
        strongest(identifiers.strong()).or_else(|| strongest(identifiers))
    }

    /// The stronger first. Types that the project does not list come after those that it does, in the order of their names.
    fn compare_strength(&self, a: &Identifier, b: &Identifier) -> Ordering {
        let rank = |identifier: &Identifier| self.ranks.get(identifier.kind()).copied().unwrap_or(usize::MAX);
        rank(a).cmp(&rank(b)).then_with(|| a.kind().cmp(b.kind()))
    }
}
