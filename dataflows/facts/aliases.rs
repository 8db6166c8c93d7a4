//! What alias calls say of one identifier, as far as it is kept.

use serde::{Deserialize, Serialize};

use super::keep;
use crate::observer::{AliasContribution, Link};

/// All that alias calls say of an identifier; nearly always nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Aliases(Option<Box<KnownAlias>>);

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct KnownAlias {
    /// See [`AliasContribution::Target`].
    is_target: bool,
    /// See [`AliasContribution::Untrusted`].
    is_untrusted: bool,
    /// Of [`AliasContribution::Moved`], the one that counts.
    moved: Option<Link>,
    /// Of [`AliasContribution::Link`], those that are kept of links.
    links: Vec<Link>,
}

impl Aliases {
    /// Takes in one more.
    pub fn take_in(&mut self, alias: AliasContribution) {
        let known = self.0.get_or_insert_default();
        match alias {
            AliasContribution::Target => known.is_target = true,
            AliasContribution::Untrusted => known.is_untrusted = true,
            AliasContribution::Moved(link) => {
                let counts = known.moved.as_ref().is_none_or(|known| known.precedence() < link.precedence());
                if counts {
                    known.moved = Some(link);
                }
            }
            AliasContribution::Link(link) => keep(&mut known.links, link),
        }
    }

    /// The same for the borrowed.
    pub fn all(&self) -> impl Iterator<Item = AliasContribution> {
        self.clone().into_all()
    }

    /// Aliases that say the same.
    pub fn into_all(self) -> impl Iterator<Item = AliasContribution> {
        let KnownAlias { is_target, is_untrusted, moved, links } = self.0.map(|known| *known).unwrap_or_default();
        let flags =
            [is_target.then_some(AliasContribution::Target), is_untrusted.then_some(AliasContribution::Untrusted)];
        flags
            .into_iter()
            .flatten()
            .chain(moved.map(AliasContribution::Moved))
            .chain(links.into_iter().map(AliasContribution::Link))
    }
}

impl FromIterator<AliasContribution> for Aliases {
    fn from_iter<I: IntoIterator<Item = AliasContribution>>(aliases: I) -> Self {
        let mut all = Aliases::default();
        aliases.into_iter().for_each(|alias| all.take_in(alias));
        all
    }
}
