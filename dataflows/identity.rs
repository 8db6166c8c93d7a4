//! Third stage: which profile each identifier belongs to (DESIGN §4).
//!
//! The result is kept as *moves*: (identifier, root) for those identifiers only whose root is not themselves. Exclusive
//! identifiers never move (rule 1). Of the others, those that were seen with an exclusive one belong to the latest (rule 2),
//! which needs no iteration. The rest take their root from their neighbours (rules 3 and 4): only they enter the loop, and
//! those of rule 2 that are their neighbours.
//!
//! A weak link places only what no other link places. So the links of an identifier with owners are all weak or none of them is, and
//! what came to an identifier over a weak link, be it from an owner, loses to all that came without one.
//!
//! The links of an identifier that is not exclusive also say to whom decisions on consent belong that were made through it
//! ([`crate::consent`]), so these come out here too.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;

use differential_dataflow::difference::Present;
use differential_dataflow::operators::iterate::Variable;
use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};
use differential_dataflow::{AsCollection, VecCollection};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::core::OkErr;
use timely::dataflow::operators::vec::Map;
use timely::order::Product;

use crate::arrangements::Arrangements;
use crate::consent::{self, Owners, Tenure};
use crate::limits::OWNERS_PER_IDENTIFIER_MAX;
use crate::model::{
    Decisions, EventOrder, IdentifierId, IdentityChange, Part, Position, ProfileId, Record, Strength, Tick, Weight,
};
use crate::observer::{Evidence, Holder, Link};
use crate::operators::{Fact, Slot, fold, join};

/// How an identifier came to its root. The least one wins, so the order of the fields is that of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Label {
    /// False where the root was handed on from an identifier that rule 2 placed.
    unplaced: bool,
    /// Whether one of the links on the way was weak; of no meaning where it is unplaced.
    weak: bool,
    /// Links between that identifier and this one; zero for all that are unplaced.
    hops: u16,
    /// The root.
    root: IdentifierId,
}

impl Label {
    /// The label that a neighbour of one with this label may take, over a link of this strength.
    fn handed_on(self, strength: Strength) -> Self {
        if self.unplaced {
            return self;
        }
        // A chain of 65,535 devices is no person; beyond it distance no longer decides.
        Label { weak: self.weak || strength == Strength::Weak, hops: self.hops.saturating_add(1), ..self }
    }
}

/// What the links of one identifier amount to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Standing {
    /// Rule 2: it belongs to this exclusive identifier.
    Owner(IdentifierId),
    /// It has a link of this strength to this identifier, which is not exclusive either.
    Neighbour(IdentifierId, Strength),
    /// It has neighbours, and this is where it starts from.
    Start(Label),
}

/// What follows from the evidence on one identifier.
#[derive(Clone, Debug)]
enum Outcome {
    /// How it stands.
    Stands(IdentifierId, Standing),
    /// What this one decided on consent through it.
    Decided(Holder, Record),
}

/// What the links of one identifier that is not exclusive amount to. Nearly all have one owner and no more, so only that is
/// inline.
struct Links {
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
    weak: Option<Box<Weak>>,
    shared: Option<Box<Shared>>,
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
struct Shared {
    owners: Owners,
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
    fn see(
        &mut self,
        id: IdentifierId,
        seen: &mut dyn Iterator<Item = Evidence>,
        recovered: Option<&mut Tenure>,
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
                self.meet(link.other, link.strength, &mut give);
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
                Evidence::Link(link) if !link.owner => self.meet(link.other, link.strength, &mut give),
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
    fn counts(&mut self, strength: Strength, shared: &mut Shared) -> bool {
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

    /// Gives a neighbour that is new, or known better than before.
    fn meet(&mut self, other: IdentifierId, strength: Strength, give: &mut impl FnMut((IdentifierId, Strength), i64)) {
        let more = self.more.get_or_insert_default();
        let Err(place) = more.neighbours.binary_search(&other) else { return };
        match strength {
            Strength::Strong => {
                more.neighbours.insert(place, other);
                give((other, Strength::Strong), 1);
                if let Some(weak) = &mut more.weak
                    && let Ok(place) = weak.neighbours.binary_search(&other)
                {
                    weak.neighbours.remove(place);
                    give((other, Strength::Weak), -1);
                }
            }
            Strength::Weak => {
                let neighbours = &mut more.weak.get_or_insert_default().neighbours;
                if let Err(place) = neighbours.binary_search(&other) {
                    neighbours.insert(place, other);
                    give((other, Strength::Weak), 1);
                }
            }
        }
    }

    fn weak(&self) -> Option<&Weak> {
        self.more.as_ref()?.weak.as_deref()
    }

    fn is_weakly_owned(&self) -> bool {
        self.weak().is_some_and(|weak| weak.owned)
    }

    fn shared(&self) -> Option<&Shared> {
        self.more.as_ref()?.shared.as_deref()
    }

    /// What there is of it, or what it would be.
    fn take_shared(&mut self, recovered: Option<Tenure>) -> Box<Shared> {
        let taken = self.more.as_mut().and_then(|more| more.shared.take());
        taken.unwrap_or_else(|| {
            let unplaced = |at| EventOrder { at, position: Position::UNKNOWN };
            let unplaced = Tenure { first: unplaced(self.owner_first), latest: unplaced(self.owner_at) };
            let tenure = recovered.unwrap_or(unplaced);
            let owners = self.owner().map(|owner| (owner, tenure)).into_iter().collect();
            Box::new(Shared { owners, ..Shared::default() })
        })
    }

    /// What was decided through it, by whom.
    fn held(&self) -> &[(Holder, Record)] {
        self.shared().map_or(&[], |shared| &shared.held)
    }

    fn neighbours(&self) -> impl Iterator<Item = (IdentifierId, Strength)> {
        let strong = self.more.iter().flat_map(|more| &more.neighbours).map(|id| (*id, Strength::Strong));
        let weak = self.weak().into_iter().flat_map(|weak| &weak.neighbours).map(|id| (*id, Strength::Weak));
        strong.chain(weak)
    }

    fn owner(&self) -> Option<IdentifierId> {
        (self.owner_at < Tick::MAX).then_some(self.owner)
    }

    /// The owner, where nothing can change that: not for a weak one that competes with neighbours.
    fn certain_owner(&self) -> Option<IdentifierId> {
        self.owner().filter(|_| !self.is_weakly_owned() || !self.may_have_neighbours())
    }

    /// Where the identifier `id` starts from in the loop; nothing where it has no business there.
    fn start(&self, id: IdentifierId) -> Option<Label> {
        let label = match self.owner() {
            Some(root) => Label { unplaced: false, weak: self.is_weakly_owned(), hops: 0, root },
            None => Label { unplaced: true, weak: false, hops: 0, root: id },
        };
        self.may_have_neighbours().then_some(label)
    }

    fn may_have_neighbours(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.is_target) || self.neighbours().next().is_some()
    }
}

impl Shared {
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
        let holder = |of| Holder { id: of, settled: of != id };
        let held = consent::holders(id, &self.owners, &self.decisions.all());
        self.held = held.into_iter().map(|(of, record)| (holder(of), record)).collect();
        if let Some(owner) = one_too_many {
            self.owners.remove(&owner);
        }
    }
}

/// Who is who, and what follows from it for consent.
pub struct Resolved<'scope> {
    /// The moves: identifiers whose root is another one, with the profile of that root.
    pub moves: VecCollection<'scope, Tick, (IdentifierId, ProfileId), i64>,
    /// The latest decisions of each holder that were made through an identifier that is not exclusive.
    pub decisions: VecCollection<'scope, Tick, (Holder, Part), Weight>,
}

/// Of identifiers with one owner whose links came as facts: these links with their positions.
///
/// The processes of a cluster have checkpoints as of different ticks, so links of one may come as facts although they are later than
/// some that follow from the log of another. Until all of these have come, the positions are needed.
struct Recovered {
    is_cluster: bool,
    /// The owner, and its links.
    tenures: FxHashMap<IdentifierId, (IdentifierId, Tenure)>,
    /// The last tick of a position among them.
    until: Tick,
}

impl Recovered {
    fn new(is_cluster: bool) -> Self {
        Recovered { is_cluster, tenures: FxHashMap::default(), until: Tick::default() }
    }

    /// Those of an identifier with its owner, where they are needed at `tick`.
    fn of(&mut self, id: &IdentifierId, owner: Option<IdentifierId>, tick: Tick) -> Option<&mut Tenure> {
        if tick > self.until {
            self.tenures = FxHashMap::default();
        }
        self.tenures.get_mut(id).filter(|(of, _)| Some(*of) == owner).map(|(_, tenure)| tenure)
    }

    /// What came of an identifier is void.
    fn forget(&mut self, id: &IdentifierId) {
        self.tenures.remove(id);
    }

    /// Takes in the links of an identifier with owners, each with the owner, that came at `tick`.
    fn take_in(&mut self, id: IdentifierId, tick: Tick, links: &[(IdentifierId, EventOrder)]) {
        // Events come at the ticks at which the log has them, facts long before.
        let Some((owner, first)) = links.first().filter(|(_, order)| order.position.tick > tick) else { return };
        self.until = links.iter().map(|(_, order)| order.position.tick).fold(self.until, Tick::max);
        if links.iter().all(|(other, _)| other == owner) {
            let known = self.tenures.get(&id).filter(|(of, _)| of == owner);
            let mut tenure = known.map_or(Tenure::of(*first), |(_, tenure)| *tenure);
            links.iter().for_each(|(_, order)| tenure.extend(*order));
            self.tenures.insert(id, (*owner, tenure));
        }
    }
}

/// Resolves identities from what is known of each identifier that is not exclusive, and from the links that aliases give to it. In a
/// cluster, several logs say that.
pub fn resolve<'scope>(
    evidence: VecCollection<'scope, Tick, (IdentifierId, Fact<Evidence>), Present>,
    aliases: VecCollection<'scope, Tick, (IdentifierId, Link), i64>,
    is_cluster: bool,
    arrangements: &mut Arrangements,
) -> Resolved<'scope> {
    // What an identifier hears of itself is its evidence, and void with it. Others follow the difference.
    let links = aliases.inner.clone().flat_map(|((id, link), tick, diff)| {
        (diff > 0).then_some(((id, Fact::More(Evidence::Link(link))), tick, Present))
    });
    let targets = aliases.flat_map(|(id, link)| (!link.owner).then_some((link.other, (id, Strength::Strong))));
    let evidence = evidence.concat(links.as_collection());
    let mut recovered = Recovered::new(is_cluster);
    let mut owners = Vec::new();
    let outcomes = fold(evidence, "Links", IdentifierId::route, move |id, slot: Slot<'_, Links>, seen, give| {
        let (links, tick) = (slot.state, slot.tick);
        let before = slot.void.as_ref().map_or(&*links, |(void, ())| void);
        let (owner, start, held) = (before.certain_owner(), before.start(*id), before.held().to_vec());
        let mut neighbour =
            |(other, strength), diff| give(Outcome::Stands(*id, Standing::Neighbour(other, strength)), diff);
        for known in slot.void.iter().flat_map(|(void, ())| void.neighbours()) {
            neighbour(known, -1);
        }
        if recovered.is_cluster {
            if slot.void.is_some() {
                recovered.forget(id);
            }
            owners.clear();
            let mut seen = seen.inspect(|evidence| match evidence {
                Evidence::Link(link) if link.owner => owners.push((link.other, link.order())),
                _ => {}
            });
            let owner = links.owner();
            links.see(*id, &mut seen, recovered.of(id, owner, tick), neighbour);
            recovered.take_in(*id, tick, &owners);
        } else {
            links.see(*id, seen, None, neighbour);
        }
        let mut replace = |before: Option<Standing>, after: Option<Standing>| {
            if before != after {
                before.into_iter().for_each(|standing| give(Outcome::Stands(*id, standing), -1));
                after.into_iter().for_each(|standing| give(Outcome::Stands(*id, standing), 1));
            }
        };
        replace(owner.map(Standing::Owner), links.certain_owner().map(Standing::Owner));
        replace(start.map(Standing::Start), links.start(*id).map(Standing::Start));
        if held != links.held() {
            let mut decided = |held: &[(Holder, Record)], diff: i64| {
                held.iter().for_each(|(holder, record)| give(Outcome::Decided(*holder, record.clone()), diff));
            };
            decided(&held, -1);
            decided(links.held(), 1);
        }
    });
    let (standings, decisions) =
        outcomes.inner.ok_err::<Vec<_>, _, Vec<_>, _, _>(|(outcome, tick, diff)| match outcome {
            Outcome::Stands(id, standing) => Ok(((id, standing), tick, diff)),
            Outcome::Decided(holder, record) => Err(((holder, Part::Record(record)), tick, Weight(i128::from(diff)))),
        });
    let (owners, rest) = standings.ok_err::<Vec<_>, _, Vec<_>, _, _>(|((id, standing), tick, diff)| match standing {
        Standing::Owner(root) => Ok(((id, ProfileId::of_root(root)), tick, diff)),
        other => Err(((id, other), tick, diff)),
    });
    let (starts, neighbours) = rest.ok_err::<Vec<_>, _, Vec<_>, _, _>(|((id, standing), tick, diff)| match standing {
        Standing::Start(label) => Ok(((id, label), tick, diff)),
        Standing::Neighbour(other, strength) => Err(((id, (other, strength)), tick, diff)),
        Standing::Owner(other) => Err(((id, (other, Strength::Strong)), tick, diff)),
    });
    let neighbours = neighbours.as_collection().concat(targets);
    let moves = owners.as_collection().concat(spread(starts.as_collection(), neighbours, arrangements));
    Resolved { moves, decisions: decisions.as_collection() }
}

/// What the updates of one tick to the moves mean, sorted by identifier: merges and splits.
///
/// `updates` are consolidated and sorted.
pub fn changes(updates: &[((IdentifierId, ProfileId), i64)]) -> Vec<IdentityChange> {
    let of_one = updates.chunk_by(|((a, _), _), ((b, _), _)| a == b);
    let change = of_one.filter_map(|rows| {
        let ((identifier, _), _) = *rows.first()?;
        // Without a move an identifier is its own root.
        let root = |sign: i64| {
            let row = rows.iter().find(|(_, diff)| diff.signum() == sign);
            row.map_or(ProfileId::of_root(identifier), |((_, root), _)| *root)
        };
        Some(IdentityChange { identifier, from: root(-1), to: root(1) })
    });
    change.collect()
}

/// Hands labels on from neighbour to neighbour until nothing changes, and gives the moves that follow.
fn spread<'scope>(
    starts: VecCollection<'scope, Tick, (IdentifierId, Label), i64>,
    neighbours: VecCollection<'scope, Tick, (IdentifierId, (IdentifierId, Strength)), i64>,
    arrangements: &mut Arrangements,
) -> VecCollection<'scope, Tick, (IdentifierId, ProfileId), i64> {
    let outer = starts.scope();
    let neighbours = neighbours.arrange_by_key_named("Neighbours");
    arrangements.watch(&neighbours);
    outer.scoped::<Product<Tick, u32>, _, _>("Resolve identities", |scope| {
        let neighbours = neighbours.enter(scope);
        let starts = starts.enter(scope);
        let (variable, proposals) = Variable::new(scope, Product::new(Tick::default(), 1));
        let proposals = proposals.concat(starts).arrange_by_key_named("Proposed labels");
        arrangements.watch(&proposals);
        let labels = proposals
            .reduce_abelian::<_, ValBuilder<_, _, _, _>, ValSpine<IdentifierId, Label, _, i64>, _, _>(
                "Least labels",
                |_id, labels, least| least.push((*labels[0].0, 1)),
                |buffer, id, updates| {
                    buffer.clear();
                    buffer.extend(updates.drain(..).map(|(label, time, diff)| ((*id, label), time, diff)));
                },
            );
        arrangements.watch(&labels);
        variable.set(join(labels.clone(), neighbours, "Labels handed on", |_id, label, (neighbour, strength)| {
            Some((*neighbour, label.handed_on(*strength)))
        }));
        labels
            .flat_map_ref(|id, label| {
                // Identifiers that rule 2 placed have their move already, unless a weak link did; those that are their own root
                // need none.
                let handed_on = label.unplaced || label.weak || label.hops > 0;
                (handed_on && label.root != *id).then_some((*id, ProfileId::of_root(label.root)))
            })
            .leave(outer)
    })
}

#[cfg(test)]
mod tests {
    use differential_dataflow::input::Input;
    use timely::dataflow::operators::Capture;
    use timely::dataflow::operators::capture::Extract;

    use super::*;
    use crate::model::{Identifier, IdentifierKey};

    fn id(text: &str) -> IdentifierId {
        Identifier::new(&IdentifierKey::from_secret("test"), "any", text).id()
    }

    /// A link with an owner at this time of the event, which the log of the process has at this tick.
    fn link(owner: &str, at: u64, process: u16, tick: u64) -> Fact<Evidence> {
        let position = Position { tick: Tick::from_ms(tick), process, index: 0 };
        let (other, at) = (id(owner), Tick::from_ms(at));
        Fact::More(Evidence::Link(Link { position, other, owner: true, at, strength: Strength::Strong }))
    }

    /// Whose a device is after links that come at these ticks.
    fn owner(links: Vec<(u64, Fact<Evidence>)>) -> Vec<ProfileId> {
        let captured = timely::execute_directly(move |worker| {
            worker.dataflow::<Tick, _, _>(|scope| {
                let (mut input, evidence) = scope.new_collection::<(IdentifierId, Fact<Evidence>), Present>();
                for (tick, fact) in links {
                    input.update_at((id("device"), fact), Tick::from_ms(tick), Present);
                }
                let (_, aliases) = scope.new_collection();
                let resolved = resolve(evidence, aliases, true, &mut Arrangements::default());
                resolved.moves.inner.capture()
            })
        });
        let mut moves: Vec<_> = captured.extract().into_iter().flat_map(|(_, rows)| rows).collect();
        moves.iter_mut().for_each(|(_, tick, _)| *tick = Tick::default());
        differential_dataflow::consolidation::consolidate_updates(&mut moves);
        moves.into_iter().map(|((_, root), _, _)| root).collect()
    }

    /// The checkpoint of one process is newer than that of another, which has an earlier link of the same time in its log.
    #[test]
    fn of_equal_times_the_later_in_the_log_wins_over_checkpoints_of_different_ticks() {
        let owned_by = |owner| vec![ProfileId::of_root(id(owner))];
        for (one, other) in [("u1", "u4"), ("u4", "u1")] {
            let facts = || (1, link(one, 5, 0, 90));
            assert_eq!(owner(vec![facts(), (60, link(other, 5, 1, 60))]), owned_by(one), "it is older");
            assert_eq!(
                owner(vec![facts(), (90, link(other, 5, 1, 90))]),
                owned_by(other),
                "the second process comes later"
            );
            assert_eq!(owner(vec![facts(), (95, link(other, 5, 1, 95))]), owned_by(other));
            assert_eq!(owner(vec![facts(), (60, link(other, 6, 1, 60))]), owned_by(other), "it happened later");
            // Facts of both processes, in two pieces; one more link of the first one in between.
            let twice = vec![facts(), (2, link(one, 4, 1, 50)), (55, link(one, 5, 1, 55)), (60, link(other, 5, 1, 60))];
            assert_eq!(owner(twice), owned_by(one));
            let three =
                vec![facts(), (70, link(other, 5, 1, 70)), (80, link(one, 5, 1, 80)), (85, link(other, 5, 1, 85))];
            assert_eq!(owner(three), owned_by(one));
        }
    }

    /// The positions of links that were replaced say nothing of those that took their place.
    #[test]
    fn links_that_are_void_leave_no_position_behind() {
        let owned_by = |owner| vec![ProfileId::of_root(id(owner))];
        for (one, other) in [("u1", "u4"), ("u4", "u1")] {
            let facts = (1, link(one, 5, 0, 90));
            let void = (2, Fact::Void(()));
            let again = (2, link(one, 5, 0, 40));
            let later = (60, link(other, 5, 1, 60));
            assert_eq!(
                owner(vec![facts.clone(), void, again, later.clone()]),
                owned_by(other),
                "what stands for it is older"
            );
            assert_eq!(owner(vec![facts, later]), owned_by(one));
        }
    }
}
