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
///
/// As wide as a `Vec`, so that an event is no larger for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identifiers {
    all: Box<[Identifier]>,
    weak: u32,
}

impl Identifiers {
    /// These identifiers, of which the last ones, so many, are weak.
    pub fn new(all: Box<[Identifier]>, weak: usize) -> Self {
        debug_assert!(weak <= all.len(), "the weak ones are among them");
        Identifiers { all, weak: u32::try_from(weak).unwrap_or(u32::MAX) }
    }

    /// Those that the event states.
    pub fn strong(&self) -> &[Identifier] {
        &self.all[..self.first_weak()]
    }

    /// All of them, each with how surely it is one of the event's.
    pub fn with_strength(&self) -> impl Iterator<Item = (&Identifier, Strength)> {
        let weak = self.first_weak();
        let strength = move |place| if place < weak { Strength::Strong } else { Strength::Weak };
        self.all.iter().enumerate().map(move |(place, identifier)| (identifier, strength(place)))
    }

    fn first_weak(&self) -> usize {
        self.all.len().saturating_sub(self.weak as usize)
    }
}

impl Deref for Identifiers {
    type Target = [Identifier];

    fn deref(&self) -> &[Identifier] {
        &self.all
    }
}

impl<'i> IntoIterator for &'i Identifiers {
    type Item = &'i Identifier;
    type IntoIter = std::slice::Iter<'i, Identifier>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
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
