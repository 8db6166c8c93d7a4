//! The identifiers of one event.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::Identifier;

/// How surely an event says that two identifiers are one person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Strength {
    /// By hearsay, such as what a library remembers of earlier calls: it counts only where nothing else does.
    Weak,
    /// As a statement of its own.
    #[default]
    Strong,
}

/// The identifiers that an event carries, each once: those that it states, in its order, and then those that it has by hearsay.
/// An alias call also names some that it does not carry ([`Alias`]).
///
/// As wide as a `Vec`, so that an event is no larger for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identifiers {
    /// Stated, weak, and then previous ones.
    all: Box<[Identifier]>,
    weak: u16,
    previous: u16,
    /// The place of the one that the previous ones are joined with.
    target: u16,
    trusted: bool,
}

/// What an alias call says: that identifiers are the same person, wherever other events carry them.
#[derive(Clone, Copy, Debug)]
pub struct Alias<'e> {
    /// The identifier of the event that the others are joined with.
    pub target: &'e Identifier,
    /// Those that are joined with it. The event does not carry them.
    pub previous: &'e [Identifier],
    /// Whether it may join two exclusive identifiers.
    pub trusted: bool,
}

const _: () = assert!(size_of::<Identifiers>() == size_of::<Vec<Identifier>>());

impl Identifiers {
    /// These identifiers, of which the last ones, so many, are weak.
    pub fn new(all: Box<[Identifier]>, weak: usize) -> Self {
        debug_assert!(weak <= all.len(), "the weak ones are among them");
        Identifiers { all, weak: count(weak), ..Identifiers::default() }
    }

    /// The same of an alias call: the identifier at the place `target` is one person with `previous`, which are not carried.
    pub fn with_alias(self, target: usize, previous: Vec<Identifier>, trusted: bool) -> Self {
        debug_assert!(target < self.len(), "the target is one that the event carries");
        let Identifiers { all, weak, .. } = self;
        let (target, count) = (count(target), count(previous.len()));
        Identifiers { all: all.into_iter().chain(previous).collect(), weak, previous: count, target, trusted }
    }

    /// What it says if it is of an alias call.
    pub fn alias(&self) -> Option<Alias<'_>> {
        let (carried, previous) = self.all.split_at(self.carried());
        let target = carried.get(usize::from(self.target)).filter(|_| !previous.is_empty())?;
        Some(Alias { target, previous, trusted: self.trusted })
    }

    /// All that it names, also those that it does not carry.
    pub fn named(&self) -> &[Identifier] {
        &self.all
    }

    /// Those that the event states.
    pub fn strong(&self) -> &[Identifier] {
        &self.all[..self.first_weak()]
    }

    /// All of them, each with how surely it is one of the event's.
    pub fn with_strength(&self) -> impl Iterator<Item = (&Identifier, Strength)> {
        let weak = self.first_weak();
        let strength = move |place| if place < weak { Strength::Strong } else { Strength::Weak };
        self.iter().enumerate().map(move |(place, identifier)| (identifier, strength(place)))
    }

    fn first_weak(&self) -> usize {
        self.carried().saturating_sub(self.weak.into())
    }

    fn carried(&self) -> usize {
        self.all.len().saturating_sub(self.previous.into())
    }
}

/// An event has tens of identifiers.
fn count(of: usize) -> u16 {
    u16::try_from(of).unwrap_or(u16::MAX)
}

impl Deref for Identifiers {
    type Target = [Identifier];

    fn deref(&self) -> &[Identifier] {
        &self.all[..self.carried()]
    }
}

impl<'i> IntoIterator for &'i Identifiers {
    type Item = &'i Identifier;
    type IntoIter = std::slice::Iter<'i, Identifier>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Vec<Identifier>> for Identifiers {
    /// All of them are strong.
    fn from(all: Vec<Identifier>) -> Self {
        Identifiers::new(all.into(), 0)
    }
}

impl FromIterator<Identifier> for Identifiers {
    /// All of them are strong.
    fn from_iter<I: IntoIterator<Item = Identifier>>(all: I) -> Self {
        Identifiers::new(all.into_iter().collect(), 0)
    }
}
