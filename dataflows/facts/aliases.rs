//! What alias calls say of one identifier, as far as it is kept.

use serde::{Deserialize, Serialize};

use super::keep;
use crate::observer::{Alias, Link};

/// All that alias calls say of an identifier; nearly always nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Aliases(Option<Box<Known>>);

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Known {
    /// See [`Alias::Target`].
    is_target: bool,
    /// See [`Alias::Untrusted`].
    is_untrusted: bool,
    /// Of [`Alias::Moved`], the one that counts.
    moved: Option<Link>,
    /// Of [`Alias::Link`], those that are kept of links.
    links: Vec<Link>,
}

impl Aliases {
    /// Takes in one more.
    pub fn take_in(&mut self, alias: Alias) {
        let known = self.0.get_or_insert_default();
        match alias {
            Alias::Target => known.is_target = true,
            Alias::Untrusted => known.is_untrusted = true,
            Alias::Moved(link) => {
                let counts = known.moved.as_ref().is_none_or(|known| known.precedence() < link.precedence());
                if counts {
                    known.moved = Some(link);
                }
            }
            Alias::Link(link) => keep(&mut known.links, link),
        }
    }

    /// The same for the borrowed.
    pub fn all(&self) -> impl Iterator<Item = Alias> {
        self.clone().into_all()
    }

    /// Aliases that say the same.
    pub fn into_all(self) -> impl Iterator<Item = Alias> {
        let Known { is_target, is_untrusted, moved, links } = self.0.map(|known| *known).unwrap_or_default();
        let flags = [is_target.then_some(Alias::Target), is_untrusted.then_some(Alias::Untrusted)];
        flags.into_iter().flatten().chain(moved.map(Alias::Moved)).chain(links.into_iter().map(Alias::Link))
    }
}

impl FromIterator<Alias> for Aliases {
    fn from_iter<I: IntoIterator<Item = Alias>>(aliases: I) -> Self {
        let mut all = Aliases::default();
        aliases.into_iter().for_each(|alias| all.take_in(alias));
        all
    }
}
