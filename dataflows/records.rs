//! Second stage: what is kept of each identifier: that it exists, and what was last set on it.
//!
//! It is also where aliases wait. An alias call names identifiers that it does not carry, and brings none of them into being:
//! what it says counts from when an event carries them, which is known here.

mod aliased;

use differential_dataflow::VecCollection;
use differential_dataflow::difference::Present;
use rustc_hash::FxHashMap;

use self::aliased::{AliasOutcome, Aliased};
use crate::limits::{Limit, TOPICS_PER_IDENTIFIER_MAX};
use crate::model::{IdentifierId, Part, Record, Tick, Weight};
use crate::observer::{Holder, Link, Mention, Sighting, SightingBasis};
use crate::operators::{Fact, FoldSlot, fold};

/// Mentions by identifier. Of those that are void, the identifier is what its record does not say.
pub type Mentions<'scope> = VecCollection<'scope, Tick, (IdentifierId, Fact<Mention, Option<SightingBasis>>), Present>;

/// What there is beside parts.
#[derive(Clone, Debug)]
pub enum Aside {
    /// An identifier has as many of something as it may.
    Limit(Limit),
    /// An alias counts: the previous identifier, and its link to the other one.
    Alias(Box<(IdentifierId, Joined)>),
}

/// How an alias joins the identifier that it calls the previous one.
#[derive(Clone, Debug)]
pub enum Joined {
    /// It is not exclusive, and has this link.
    Linked(Link),
    /// It is exclusive, and so is the other end.
    Moved(Link),
}

/// Each identifier, once, with the latest settings on it; which identifiers have as many as they may; and which aliases count.
pub fn records(mentions: Mentions<'_>) -> VecCollection<'_, Tick, Result<(Holder, Part), Aside>, Weight> {
    let mut aliased: FxHashMap<IdentifierId, Aliased> = FxHashMap::default();
    fold(
        mentions,
        "Records",
        IdentifierId::route,
        move |id, slot: FoldSlot<'_, Record, Option<SightingBasis>>, mentions, give| {
            let FoldSlot { state: record, mut is_new, void, .. } = slot;
            let is_full = |record: &Record| record.is_full(TOPICS_PER_IDENTIFIER_MAX);
            let aside = |outcome| match outcome {
                AliasOutcome::Joined(joined) => Err(Aside::Alias(Box::new((*id, joined)))),
                AliasOutcome::Limit(limit) => Err(Aside::Limit(limit)),
            };
            if let Some((record, seen)) = void {
                if let Some(SightingBasis { identifier, exclusive }) = seen {
                    let holder = Holder { id: *id, exclusive };
                    give(Ok((holder, Part::Identifier(identifier))), Weight::GONE);
                    if is_full(&record) {
                        give(Err(Aside::Limit(Limit::Topics)), Weight::GONE);
                    }
                    if !record.is_empty() {
                        give(Ok((holder, Part::Record(record))), Weight::GONE);
                    }
                }
                if let Some(aliased) = aliased.remove(id) {
                    aliased.take_back(|outcome, weight| give(aside(outcome), weight));
                }
            }
            // Nearly always there is none.
            let mut aliases = if aliased.is_empty() { None } else { aliased.remove(id) };
            is_new |= aliases.as_ref().is_some_and(|aliases| !aliases.is_carried);
            for mention in mentions {
                let Sighting { identifier, exclusive, settings } = match mention {
                    Mention::Sighting(sighting) => sighting,
                    Mention::Alias(alias) => {
                        aliases.get_or_insert_default().take_in(*alias);
                        continue;
                    }
                };
                let holder = Holder { id: *id, exclusive };
                let mut part = |part, weight| give(Ok((holder, part)), weight);
                if std::mem::take(&mut is_new) {
                    part(Part::Identifier(identifier), Weight::ONE);
                }
                if settings.is_empty() {
                    continue;
                }
                let after = record_together(record, &settings);
                if after == *record {
                    continue;
                }
                if !record.is_empty() {
                    part(Part::Record(record.clone()), Weight::GONE);
                }
                part(Part::Record(after.clone()), Weight::ONE);
                if is_full(&after) && !is_full(record) {
                    give(Err(Aside::Limit(Limit::Topics)), Weight::ONE);
                }
                *record = after;
            }
            if let Some(mut aliases) = aliases {
                aliases.is_carried = !is_new;
                aliases.tell(|outcome, weight| give(aside(outcome), weight));
                if !aliases.is_done() {
                    aliased.insert(*id, aliases);
                }
            }
        },
    )
}

/// Two records of one identifier as one. Of too many topics those that sort first stay: that does not depend on the order in
/// which they came.
pub fn record_together(a: &Record, b: &Record) -> Record {
    if a.is_empty() || b.is_empty() {
        return if a.is_empty() { b.clone() } else { a.clone() };
    }
    let together: Record = a.settings().into_iter().chain(b.settings()).collect();
    together.limited_to(TOPICS_PER_IDENTIFIER_MAX)
}
