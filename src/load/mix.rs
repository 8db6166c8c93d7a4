//! What the stream is made of: the shares of the kinds of events.

use std::str::FromStr;

use thiserror::Error;

/// What can be in the mix, in the order of [`Mix`]'s shares.
const KINDS: [&str; 5] = ["page", "view", "cart", "purchase", "login"];

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// Looks at a page.
    Page,
    /// Looks at a product.
    View,
    /// Puts a product into the cart.
    Cart,
    /// Buys.
    Purchase,
    /// Logs in.
    Login,
}

/// The shares of the kinds: cumulative, the last is the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix([u32; 5]);

/// Why a text is no mix.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("expected shares such as page=55,view=25,cart=8,purchase=4,login=8, at least one above 0; not {0:?}")]
pub struct MixError(String);

impl Mix {
    /// The sum of all shares.
    pub fn whole(&self) -> u32 {
        self.0[4]
    }

    /// The kind at a place in `0..whole()`.
    pub fn at(&self, place: u32) -> ActionKind {
        let kinds = [ActionKind::Page, ActionKind::View, ActionKind::Cart, ActionKind::Purchase, ActionKind::Login];
        kinds[self.0.iter().position(|end| place < *end).unwrap_or(0)]
    }
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let wrong = || MixError(text.to_owned());
        let mut shares = [0u32; KINDS.len()];
        for part in text.split(',') {
            let (name, share) = part.split_once('=').ok_or_else(wrong)?;
            let kind = KINDS.iter().position(|kind| *kind == name.trim()).ok_or_else(wrong)?;
            // Small enough that their sum is a number, too.
            shares[kind] = share.trim().parse().ok().filter(|share| *share <= 1_000_000).ok_or_else(wrong)?;
        }
        let mut end = 0;
        let ends = shares.map(|share| {
            end += share;
            end
        });
        if end == 0 { Err(wrong()) } else { Ok(Mix(ends)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_shares() {
        let mix: Mix = "view=2, login=1".parse().unwrap();
        assert_eq!(
            (0..mix.whole()).map(|place| mix.at(place)).collect::<Vec<_>>(),
            [ActionKind::View, ActionKind::View, ActionKind::Login]
        );
    }

    #[test]
    fn what_is_no_mix_is_told() {
        for text in ["", "page", "page=x", "pages=1", "page=0", "page=-1"] {
            assert_eq!(text.parse::<Mix>(), Err(MixError(text.to_owned())));
        }
    }
}
