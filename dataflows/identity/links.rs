//! What the links of one identifier amount to, as far as that needs no look at another one.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::collections::btree_map::Entry;

use super::Label;
use crate::consent::{self, OwnerTenures, Tenure};
use crate::limits::OWNERS_PER_IDENTIFIER_MAX;
use crate::model::{Decisions, EventOrder, IdentifierId, Position, Record, Strength, Tick};
use crate::observer::{Evidence, Holder, Link};

/// What the links of one identifier that is not exclusive amount to. Nearly all have one owner and no more, so only that is
/// inline.
pub(super) struct Links {
    /// The owner: the one that was sighted latest.
    owner: IdentifierId,
    /// The time of the owner's latest sighting; [`Tick::MAX`] where there is no owner. An `Option` would cost another word
    /// for every identifier.
    owner_at: Tick,
    /// The time of the owner's first sighting, where it is the only one and nothing was decided.
    owner_first: Tick,
    more: Option<Box<More>>,
}

/// What few have.
#[derive(Default)]
struct More {
    /// Identifiers that are not exclusive either and were seen with it, sorted.
    neighbours: Vec<IdentifierId>,
    /// Whether these, with those that are weak, were too many. Then none of them is known any more.
    is_crowded: bool,
    weak: Option<Box<Weak>>,
    shared: Option<Box<SharedIdentifier>>,
    /// Those that aliases join with it. They are not its own evidence, and can be taken back: so all of them are known.
    previous: BTreeSet<IdentifierId>,
    /// Whether an alias may make it the neighbour of another one.
    is_target: bool,
}

/// Of an identifier with weak links.
#[derive(Default)]
struct Weak {
    /// Whether the links with its owners are weak. Then there is no other with any owner.
    owned: bool,
    /// Identifiers that are not exclusive either and were only seen with it by hearsay, sorted.
    neighbours: Vec<IdentifierId>,
}

/// Of an identifier that several exclusive ones were seen with, or through which something was decided.
#[derive(Default)]
struct SharedIdentifier {
    owners: OwnerTenures,
    decisions: Decisions,
    /// What follows for whom.
    held: Vec<(Holder, Record)>,
}

impl Default for Links {
    fn default() -> Self {
        Links { owner: IdentifierId::default(), owner_at: Tick::MAX, owner_first: Tick::MAX, more: None }
    }
}

impl Links {
    /// Takes in the evidence of one tick, in the order of the log; gives the neighbours that it brought, or took away.
    pub fn see(
        &mut self,
        id: IdentifierId,
        seen: &mut dyn Iterator<Item = Evidence>,
        recovered: Option<&mut Tenure>,
        links_max: usize,
        mut give: impl FnMut((IdentifierId, Strength), i64),
    ) {
        let Some(first) = seen.next() else { return };
        let second = seen.next();
        if let (Evidence::Link(link), None) = (&first, &second)
            && self.shared().is_none()
            && (!link.owner || self.owner().is_none_or(|owner| owner == link.other))
            && (!link.owner || (link.strength == Strength::Strong && !self.is_weakly_owned()))
        {
            // Nearly always.
            if link.owner {
                let (at, since) = self.owner().map_or((link.at, link.at), |_| (self.owner_at, self.owner_first));
                (self.owner, self.owner_at, self.owner_first) = (link.other, at.max(link.at), since.min(link.at));
                recovered.into_iter().for_each(|tenure| tenure.extend(link.order()));
            } else {
                self.meet(link.other, link.strength, links_max, &mut give);
            }
            return;
        }
        let mut shared = self.take_shared(recovered.copied());
        // Positions grow with ticks, so whatever the owner's is, it comes before those of this tick: it need not be kept, except
        // while a cluster recovers.
        let tenure = self.owner().and_then(|owner| shared.owners.get(&owner));
        let latest = tenure.map(|tenure| tenure.latest).filter(|latest| latest.at == self.owner_at);
        let mut owner_position = latest.map_or(Position::UNKNOWN, |latest| latest.position);
        for evidence in [Some(first), second].into_iter().flatten().chain(seen) {
            match evidence {
                Evidence::Link(link) if !link.owner => self.meet(link.other, link.strength, links_max, &mut give),
                Evidence::Link(link) if !self.counts(link.strength, &mut shared) => {}
                Evidence::Link(link) => {
                    shared.sight(&link);
                    let Link { position, other, at, .. } = link;
                    // The latest by its own time, then in the log; of one event's, or where the log did not keep its order, the smaller.
                    let is_later =
                        |owner| (at, position, Reverse(other)) > (self.owner_at, owner_position, Reverse(owner));
                    if self.owner().is_none_or(is_later) {
                        (self.owner, self.owner_at, owner_position) = (other, at, position);
                    }
                }
                Evidence::Decided(decisions) => shared.decisions = shared.decisions.and(&decisions),
                Evidence::Target => self.more.get_or_insert_default().is_target = true,
                Evidence::Joined(other, comes) => self.join(other, comes, links_max, &mut give),
            }
        }
        if shared.decisions.is_empty() && shared.owners.len() <= 1 {
            self.owner_first = shared.owners.values().next().map_or(Tick::MAX, |tenure| tenure.first.at);
            return;
        }
        shared.hold(id, self.owner(), self.owner_at);
        self.more.get_or_insert_default().shared = Some(shared);
    }

    /// Whether a link with an owner counts. The first one that is not weak voids those that are.
    fn counts(&mut self, strength: Strength, shared: &mut SharedIdentifier) -> bool {
        let is_weak = strength == Strength::Weak;
        match (self.owner(), self.is_weakly_owned()) {
            (Some(_), weakly) if weakly == is_weak => return true,
            (Some(_), false) => return false,
            (Some(_), true) => {
                self.owner_at = Tick::MAX;
                shared.owners.clear();
            }
            (None, _) => {}
        }
        if is_weak || self.is_weakly_owned() {
            self.more.get_or_insert_default().weak.get_or_insert_default().owned = is_weak;
        }
        true
    }

    /// Gives a neighbour that is new, or known better than before; where it is one too many, takes back all.
    fn meet(
        &mut self,
        other: IdentifierId,
        strength: Strength,
        links_max: usize,
        give: &mut impl FnMut((IdentifierId, Strength), i64),
    ) {
        let counted = !self.has_too_many(links_max);
        let more = self.more.get_or_insert_default();
        if more.is_crowded {
            return;
        }
        let mut give_if = |neighbour, diff| {
            if counted {
                give(neighbour, diff)
            }
        };
        let Err(place) = more.neighbours.binary_search(&other) else { return };
        match strength {
            Strength::Strong => {
                more.neighbours.insert(place, other);
                give_if((other, Strength::Strong), 1);
                if let Some(weak) = &mut more.weak
                    && let Ok(place) = weak.neighbours.binary_search(&other)
                {
                    weak.neighbours.remove(place);
                    give_if((other, Strength::Weak), -1);
                }
            }
            Strength::Weak => {
                let neighbours = &mut more.weak.get_or_insert_default().neighbours;
                if let Err(place) = neighbours.binary_search(&other) {
                    neighbours.insert(place, other);
                    give_if((other, Strength::Weak), 1);
                }
            }
        }
        if counted && self.has_too_many(links_max) {
            self.neighbours().for_each(|neighbour| give(neighbour, -1));
        }
        self.forget_if_crowded(links_max);
    }

    /// An alias joins another one with it, or does no more.
    fn join(
        &mut self,
        other: IdentifierId,
        comes: bool,
        links_max: usize,
        give: &mut impl FnMut((IdentifierId, Strength), i64),
    ) {
        let counted = !self.has_too_many(links_max);
        let before = counted.then(|| self.neighbours().collect::<Vec<_>>());
        let previous = &mut self.more.get_or_insert_default().previous;
        let changed = if comes { previous.insert(other) } else { previous.remove(&other) };
        match before {
            _ if !changed => {}
            Some(_) if !self.has_too_many(links_max) => give((other, Strength::Strong), if comes { 1 } else { -1 }),
            Some(before) => before.into_iter().for_each(|neighbour| give(neighbour, -1)),
            None if !self.has_too_many(links_max) => self.neighbours().for_each(|neighbour| give(neighbour, 1)),
            None => {}
        }
    }

    /// Whether it has more neighbours than one may have, so that none of them counts.
    pub fn has_too_many(&self, links_max: usize) -> bool {
        let Some(more) = &self.more else { return false };
        let weak: &[IdentifierId] = more.weak.as_ref().map_or(&[], |weak| &weak.neighbours);
        let own = more.neighbours.len() + weak.len();
        if more.is_crowded || own > links_max || more.previous.len() > links_max {
            return true;
        }
        let is_own = |id: &&IdentifierId| more.neighbours.binary_search(id).is_ok() || weak.binary_search(id).is_ok();
        !more.previous.is_empty() && own + more.previous.iter().filter(|id| !is_own(id)).count() > links_max
    }

    /// What its own evidence says comes and never goes: of too many it is enough to know that.
    fn forget_if_crowded(&mut self, links_max: usize) {
        let Some(more) = &mut self.more else { return };
        let weak = more.weak.as_ref().map_or(0, |weak| weak.neighbours.len());
        if more.neighbours.len() + weak > links_max {
            more.is_crowded = true;
            more.neighbours = Vec::new();
            more.weak.iter_mut().for_each(|weak| weak.neighbours = Vec::new());
        }
    }

    /// Takes over what is not its own evidence from a state that is void.
    pub fn inherit(&mut self, void: &mut Links) {
        let previous = void.more.as_mut().map(|more| std::mem::take(&mut more.previous)).unwrap_or_default();
        if !previous.is_empty() {
            self.more.get_or_insert_default().previous = previous;
        }
    }

    fn weak(&self) -> Option<&Weak> {
        self.more.as_ref()?.weak.as_deref()
    }

    pub fn is_weakly_owned(&self) -> bool {
        self.weak().is_some_and(|weak| weak.owned)
    }

    fn shared(&self) -> Option<&SharedIdentifier> {
        self.more.as_ref()?.shared.as_deref()
    }

    /// What there is of it, or what it would be.
    fn take_shared(&mut self, recovered: Option<Tenure>) -> Box<SharedIdentifier> {
        let taken = self.more.as_mut().and_then(|more| more.shared.take());
        taken.unwrap_or_else(|| {
            let unplaced = |at| EventOrder { at, position: Position::UNKNOWN };
            let unplaced = Tenure { first: unplaced(self.owner_first), latest: unplaced(self.owner_at) };
            let tenure = recovered.unwrap_or(unplaced);
            let owners = self.owner().map(|owner| (owner, tenure)).into_iter().collect();
            Box::new(SharedIdentifier { owners, ..SharedIdentifier::default() })
        })
    }

    /// What was decided through it, by whom.
    pub fn held(&self) -> &[(Holder, Record)] {
        self.shared().map_or(&[], |shared| &shared.held)
    }

    pub fn neighbours(&self) -> impl Iterator<Item = (IdentifierId, Strength)> {
        let strong = self.more.iter().flat_map(|more| &more.neighbours).map(|id| (*id, Strength::Strong));
        let weak = self.weak().into_iter().flat_map(|weak| &weak.neighbours).map(|id| (*id, Strength::Weak));
        let previous = self.more.iter().flat_map(|more| &more.previous).map(|id| (*id, Strength::Strong));
        strong.chain(weak).chain(previous)
    }

    /// The neighbours that count.
    pub fn counted_neighbours(&self, links_max: usize) -> impl Iterator<Item = (IdentifierId, Strength)> {
        let count = !self.has_too_many(links_max);
        self.neighbours().filter(move |_| count)
    }

    pub fn owner(&self) -> Option<IdentifierId> {
        (self.owner_at < Tick::MAX).then_some(self.owner)
    }

    /// The owner, where nothing can change that: not for a weak one that competes with neighbours.
    pub fn certain_owner(&self, links_max: usize) -> Option<IdentifierId> {
        self.owner().filter(|_| !self.is_weakly_owned() || !self.may_have_neighbours(links_max))
    }

    /// Where the identifier `id` starts from in the loop; nothing where it has no business there.
    pub fn start(&self, id: IdentifierId, links_max: usize) -> Option<Label> {
        self.may_have_neighbours(links_max).then(|| Label::start(id, self.owner(), self.is_weakly_owned()))
    }

    pub fn may_have_neighbours(&self, links_max: usize) -> bool {
        let Some(more) = &self.more else { return false };
        (more.is_target || self.neighbours().next().is_some()) && !self.has_too_many(links_max)
    }
}

impl SharedIdentifier {
    /// Takes in a link with an owner.
    fn sight(&mut self, link: &Link) {
        match self.owners.entry(link.other) {
            Entry::Occupied(mut known) => known.get_mut().extend(link.order()),
            Entry::Vacant(new) => _ = new.insert(Tenure::of(link.order())),
        }
        if self.owners.len() > OWNERS_PER_IDENTIFIER_MAX {
            self.owners.pop_last();
        }
    }

    /// Works out whom the decisions count for.
    fn hold(&mut self, id: IdentifierId, owner: Option<IdentifierId>, owner_at: Tick) {
        if self.decisions.is_empty() {
            return;
        }
        let one_too_many = owner.filter(|owner| !self.owners.contains_key(owner));
        if let Some(owner) = one_too_many {
            let latest = EventOrder { at: owner_at, position: Position::UNKNOWN };
            self.owners.insert(owner, Tenure::of(latest));
        }
        let holder = |of| Holder { id: of, exclusive: of != id };
        let held = consent::holders(id, &self.owners, &self.decisions.all());
        self.held = held.into_iter().map(|(of, record)| (holder(of), record)).collect();
        if let Some(owner) = one_too_many {
            self.owners.remove(&owner);
        }
    }
}
