//! To whom a decision on consent belongs that was made through an identifier that is not exclusive: a rule of its own.
//!
//! *A decision belongs to whom it was made for and never travels.* Made through an identifier, it is that of the exclusive one
//! that this was last linked to at that time; if there was none, of the first one after. Of each pair only the first and the latest
//! link are known, so there may be several who could be it. A withdrawal counts for all of these; a grant only for the one
//! whose latest link is the latest. So no move of a device or an address can bring somebody back who withdrew.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::model::{Decision, EventOrder, IdentifierId, Record, Setting, Topic, Value};

/// When an identifier was first and last seen with an exclusive one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The first link.
    pub first: EventOrder,
    /// The latest link.
    pub latest: EventOrder,
}

impl Tenure {
    /// Of one link.
    pub fn of(link: EventOrder) -> Self {
        Tenure { first: link, latest: link }
    }

    /// With one more link.
    pub fn extend(&mut self, link: EventOrder) {
        self.first = self.first.min(link);
        self.latest = self.latest.max(link);
    }
}

/// The exclusive identifiers that an identifier was seen with.
pub type OwnerTenures = BTreeMap<IdentifierId, Tenure>;

/// The latest decision on each purpose of everybody for whom any of `decisions` counts: those of the identifier `id`, which was
/// seen with `owners`.
pub fn holders(id: IdentifierId, owners: &OwnerTenures, decisions: &[Decision]) -> BTreeMap<IdentifierId, Record> {
    let mut held: BTreeMap<IdentifierId, Vec<Setting>> = BTreeMap::new();
    for decision in decisions {
        let setting = Setting {
            topic: Topic::Consent(decision.purpose.clone()),
            at: decision.order.at,
            position: decision.order.position,
            value: Some(Value::Bool(decision.given)),
        };
        for holder in holders_of(decision, owners) {
            held.entry(holder.unwrap_or(id)).or_default().push(setting.clone());
        }
    }
    held.into_iter().map(|(holder, settings)| (holder, settings.into_iter().collect())).collect()
}

/// For whom a decision counts; `None` where that is the identifier itself.
fn holders_of(decision: &Decision, owners: &OwnerTenures) -> Vec<Option<IdentifierId>> {
    let at = decision.order;
    // The latest link that is known up to then, of equal ones that to the smaller identifier.
    let known = owners.iter().flat_map(|(id, tenure)| [(tenure.first, Reverse(*id)), (tenure.latest, Reverse(*id))]);
    let Some((_, Reverse(last))) = known.filter(|(link, _)| *link <= at).max() else {
        let first_after = owners.iter().min_by_key(|(id, tenure)| (tenure.first, **id));
        return vec![first_after.map(|(id, _)| *id)];
    };
    let is_possible =
        |(id, tenure): &(&IdentifierId, &Tenure)| **id == last || (tenure.first <= at && at < tenure.latest);
    let possible = owners.iter().filter(is_possible);
    match decision.given {
        false => possible.map(|(id, _)| Some(*id)).collect(),
        true => {
            let one = possible.max_by_key(|(id, tenure)| (tenure.latest, Reverse(**id)));
            one.map(|(id, _)| Some(*id)).into_iter().collect()
        }
    }
}
