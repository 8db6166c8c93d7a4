//! Which identifier an event is about: its *primary*, the strongest usable one that it carries (DESIGN §4).
//!
//! A rule of its own, because not only observations follow it: who asks about an event's person must ask for the same one.

use std::cmp::Ordering;

use compact_str::CompactString;
use rustc_hash::FxHashMap;

use crate::definitions::IdentityRules;
use crate::model::Identifier;

/// The rules by which primaries are picked, prepared for one look-up per identifier.
#[derive(Clone, Debug)]
pub struct Primaries {
    rules: IdentityRules,
    ranks: FxHashMap<CompactString, usize>,
}

impl Primaries {
    /// By these rules.
    pub fn new(rules: &IdentityRules) -> Self {
        Primaries { rules: rules.clone(), ranks: rules.strength.iter().cloned().zip(0..).collect() }
    }

    /// The rules.
    pub fn rules(&self) -> &IdentityRules {
        &self.rules
    }

    /// The identifiers that are not blocked.
    pub fn usable<'e>(&self, identifiers: &'e [Identifier]) -> impl Iterator<Item = &'e Identifier> {
        identifiers.iter().filter(|identifier| !self.rules.is_blocked(identifier))
    }

    /// The strongest usable one; nothing where all are blocked.
    pub fn primary<'e>(&self, identifiers: &'e [Identifier]) -> Option<&'e Identifier> {
        self.usable(identifiers).min_by(|a, b| self.compare_strength(a, b))
    }

    /// The stronger first. Types that the project does not list come after those that it does, in the order of their names.
    fn compare_strength(&self, a: &Identifier, b: &Identifier) -> Ordering {
        let rank = |identifier: &Identifier| self.ranks.get(identifier.kind()).copied().unwrap_or(usize::MAX);
        rank(a).cmp(&rank(b)).then_with(|| a.kind().cmp(b.kind())).then_with(|| a.id().cmp(&b.id()))
    }
}
