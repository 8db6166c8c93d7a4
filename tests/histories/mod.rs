//! Random histories of few people on few devices, so that everything that can collide does.
//!
//! A history is a list of drafts: small descriptions of events, which shrink to something that can be read. What
//! they stand for is made by [`Case::history`], so that an index or an offset stays meaningful when others are removed.

mod arrays;
mod computed;
pub mod definitions;
mod drafts;
pub mod expressions;
pub mod firings;
mod known;
pub mod lists;
pub mod sequences;
pub mod sessions;

pub use crate::oracle::{interesting_ticks, ticks_of_change};
pub use drafts::{Case, DraftedFact, EventDraft, When, cases, integers};
pub use known::known_cases;

use dataflows::model::{Event, Identifier, IdentifierKey, Identifiers, Position, Tick};

/// The identifier that is written `type:value`, under a key that is the same in all tests.
pub fn identifier(text: &str) -> Identifier {
    let (kind, value) = text.split_once(':').expect("an identifier is written type:value");
    Identifier::new(&IdentifierKey::from_secret("test"), kind, value)
}

/// Identifiers that are written `type:value`, or `~type:value` where they are hearsay; each once. With `<type:value` it is an alias
/// call, which joins that one with the first that is stated; with `<<type:value` one from a trusted source.
pub fn identifiers<'a>(texts: impl Iterator<Item = &'a str>) -> Identifiers {
    let (mut stated, mut hearsay, mut previous, mut trusted) = (Vec::new(), Vec::new(), Vec::new(), false);
    for text in texts {
        match text.trim_start_matches(['~', '<']) {
            of if text.starts_with('~') => hearsay.push(identifier(of)),
            of if text.starts_with('<') => {
                previous.push(identifier(of));
                trusted |= text.starts_with("<<");
            }
            _ => stated.push(identifier(text)),
        }
    }
    let has_target = !stated.is_empty();
    let mut all: Vec<Identifier> = Vec::new();
    let mut weak = 0;
    for (one, is_weak) in stated.into_iter().map(|one| (one, 0)).chain(hearsay.into_iter().map(|one| (one, 1))) {
        if !all.contains(&one) {
            all.push(one);
            weak += is_weak;
        }
    }
    let identifiers = Identifiers::new(all.into(), weak);
    if has_target { identifiers.with_alias(0, previous, trusted) } else { identifiers }
}

/// The events of a batch as an engine on its own takes them at a tick: in their order.
pub fn accepted_at(tick: Tick, events: &[Event]) -> impl Iterator<Item = (Tick, Event)> {
    let at = move |index| Position { tick, process: 0, index };
    events.iter().zip(0..).map(move |(event, index)| (tick, Event { position: at(index), ..event.clone() }))
}
