//! What alias calls say of one identifier, until an event carries it, and from then on.

use std::collections::BTreeMap;

use super::Joined;
use crate::limits::Limit;
use crate::model::{IdentifierId, Weight};
use crate::observer::{Alias, Link};

/// Of an identifier that an alias call has named.
#[derive(Default)]
pub(super) struct Aliased {
    /// Whether an event carries it.
    pub is_carried: bool,
    /// Links that are not told yet.
    waiting: Vec<Link>,
    /// Those that were told, to others that are not exclusive either.
    neighbours: BTreeMap<IdentifierId, Link>,
    /// If it is exclusive: the link that counts, and the one that was told.
    moved: [Option<Link>; 2],
    /// Whether a source said the same that may not, and whether that was told.
    is_untrusted: [bool; 2],
}

/// What is told.
pub(super) enum Outcome {
    /// It is joined with another one.
    Joined(Joined),
    /// It would be.
    Limit(Limit),
}

impl Aliased {
    /// Takes in one more.
    pub fn take_in(&mut self, alias: Alias) {
        match alias {
            // It says nothing of when it is carried.
            Alias::Target => {}
            Alias::Link(link) => self.waiting.push(link),
            Alias::Untrusted => self.is_untrusted[0] = true,
            Alias::Moved(link) => {
                if self.moved[0].as_ref().is_none_or(|known| known.precedence() < link.precedence()) {
                    self.moved[0] = Some(link);
                }
            }
        }
    }

    /// Tells what counts by now, if an event carries it.
    pub fn tell(&mut self, mut give: impl FnMut(Outcome, Weight)) {
        if !self.is_carried {
            return;
        }
        for link in self.waiting.drain(..) {
            let is_new = link.owner || self.neighbours.insert(link.other, link.clone()).is_none();
            if is_new {
                give(Outcome::Joined(Joined::Linked(link)), Weight::ONE);
            }
        }
        let [counts, told] = &mut self.moved;
        if counts != told {
            told.take().into_iter().for_each(|link| give(Outcome::Joined(Joined::Moved(link)), Weight::GONE));
            told.clone_from(counts);
            told.clone().into_iter().for_each(|link| give(Outcome::Joined(Joined::Moved(link)), Weight::ONE));
        }
        let [is_untrusted, is_told] = &mut self.is_untrusted;
        if *is_untrusted && !std::mem::replace(is_told, true) {
            give(Outcome::Limit(Limit::Aliases), Weight::ONE);
        }
    }

    /// Whether there is nothing to remember.
    pub fn is_done(&self) -> bool {
        self.is_carried && self.neighbours.is_empty() && self.moved[0].is_none() && !self.is_untrusted[0]
    }

    /// Takes back what was told. What was said of an identifier that is not exclusive is its evidence, and void with that.
    pub fn take_back(self, mut give: impl FnMut(Outcome, Weight)) {
        let Aliased { neighbours, moved: [_, moved], is_untrusted: [_, is_untrusted], .. } = self;
        let neighbours = neighbours.into_values().map(Joined::Linked);
        for joined in neighbours.chain(moved.map(Joined::Moved)) {
            give(Outcome::Joined(joined), Weight::GONE);
        }
        if is_untrusted {
            give(Outcome::Limit(Limit::Aliases), Weight::GONE);
        }
    }
}
