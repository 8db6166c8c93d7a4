//! What alias calls say of one identifier, until an event carries it, and from then on.

use std::collections::BTreeMap;

use super::Joined;
use crate::facts::keep;
use crate::limits::Limit;
use crate::model::{IdentifierId, Weight};
use crate::observer::{AliasContribution, Link};

/// Of an identifier that an alias call has named.
#[derive(Default)]
pub(super) struct Aliased {
    /// Whether an event carries it.
    pub is_carried: bool,
    /// Links that are not told yet, as many as are kept of links: whoever repeats an alias that nothing comes of adds nothing.
    waiting: Vec<Link>,
    /// Those that were told, to others that are not exclusive either.
    neighbours: BTreeMap<IdentifierId, Link>,
    /// If it is exclusive: the link that counts, and the one that was told.
    moved: [Option<Link>; 2],
    /// Whether a source said the same that may not, and whether that was told.
    is_untrusted: [bool; 2],
}

/// What is told.
pub(super) enum AliasOutcome {
    /// It is joined with another one.
    Joined(Joined),
    /// It would be.
    Limit(Limit),
}

impl Aliased {
    /// Takes in one more.
    pub fn take_in(&mut self, alias: AliasContribution) {
        match alias {
            // It says nothing of when it is carried.
            AliasContribution::Target => {}
            AliasContribution::Link(link) => keep(&mut self.waiting, link),
            AliasContribution::Untrusted => self.is_untrusted[0] = true,
            AliasContribution::Moved(link) => {
                if self.moved[0].as_ref().is_none_or(|known| known.precedence() < link.precedence()) {
                    self.moved[0] = Some(link);
                }
            }
        }
    }

    /// Tells what counts by now, if an event carries it.
    pub fn tell(&mut self, mut give: impl FnMut(AliasOutcome, Weight)) {
        if !self.is_carried {
            return;
        }
        for link in self.waiting.drain(..) {
            let is_new = link.owner || self.neighbours.insert(link.other, link.clone()).is_none();
            if is_new {
                give(AliasOutcome::Joined(Joined::Linked(link)), Weight::ONE);
            }
        }
        let [counts, told] = &mut self.moved;
        if counts != told {
            told.take().into_iter().for_each(|link| give(AliasOutcome::Joined(Joined::Moved(link)), Weight::GONE));
            told.clone_from(counts);
            told.clone().into_iter().for_each(|link| give(AliasOutcome::Joined(Joined::Moved(link)), Weight::ONE));
        }
        let [is_untrusted, is_told] = &mut self.is_untrusted;
        if *is_untrusted && !std::mem::replace(is_told, true) {
            give(AliasOutcome::Limit(Limit::Aliases), Weight::ONE);
        }
    }

    /// Whether there is nothing to remember.
    pub fn is_done(&self) -> bool {
        self.is_carried && self.neighbours.is_empty() && self.moved[0].is_none() && !self.is_untrusted[0]
    }

    /// Takes back what was told. What was said of an identifier that is not exclusive is its evidence, and void with that.
    pub fn take_back(self, mut give: impl FnMut(AliasOutcome, Weight)) {
        let Aliased { neighbours, moved: [_, moved], is_untrusted: [_, is_untrusted], .. } = self;
        let neighbours = neighbours.into_values().map(Joined::Linked);
        for joined in neighbours.chain(moved.map(Joined::Moved)) {
            give(AliasOutcome::Joined(joined), Weight::GONE);
        }
        if is_untrusted {
            give(AliasOutcome::Limit(Limit::Aliases), Weight::GONE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Identifier, IdentifierKey, Position, Strength, Tick};

    #[test]
    fn what_is_repeated_adds_nothing() {
        let id = |text: &str| Identifier::new(&IdentifierKey::from_secret("test"), "user_id", text).id();
        let link = |owner: &str, at: u64| {
            let (at, position) = (Tick::from_ms(at), Position { tick: Tick::from_ms(at), process: 0, index: 0 });
            Link { position, other: id(owner), owner: true, at, strength: Strength::Strong }
        };
        let mut aliased = Aliased::default();
        for at in 0..1_000 {
            aliased.take_in(AliasContribution::Link(link("ann", at)));
            aliased.take_in(AliasContribution::Link(link("bob", at)));
        }
        let told = |aliased: &mut Aliased| {
            let mut told = Vec::new();
            aliased.tell(|outcome, weight| match outcome {
                AliasOutcome::Joined(Joined::Linked(link)) => told.push((link.other, link.at, weight)),
                _ => panic!("nothing else was said"),
            });
            told.sort();
            told
        };
        assert_eq!(told(&mut aliased), [], "nobody carries it");
        aliased.is_carried = true;
        let kept = |owner| [0, 999].map(|at| (id(owner), Tick::from_ms(at), Weight::ONE));
        let mut expected = [kept("ann"), kept("bob")].concat();
        expected.sort();
        assert_eq!(told(&mut aliased), expected, "of each the first and the latest");
        assert_eq!(told(&mut aliased), []);
        assert!(aliased.is_done());
    }
}
