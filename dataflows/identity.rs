//! Third stage: which profile each identifier belongs to (docs/concepts/who-is-who.md).
//!
//! The result is kept as *moves*: (identifier, root) for those identifiers only whose root is not themselves. Exclusive
//! identifiers never move (rule 1). Of the others, those that were seen with an exclusive one belong to the latest (rule 2),
//! which needs no iteration. The rest take their root from their neighbours (rules 3 and 4): only they enter the loop, and
//! those of rule 2 that are their neighbours.
//!
//! A weak link places only what no other link places. So the links of an identifier with owners are all weak or none of them is, and
//! what came to an identifier over a weak link, be it from an owner, loses to all that came without one.
//!
//! How far links lead is limited ([`Reach`]), each time by a function of the links that there are: an identifier with too many of them
//! is not in the loop at all, a label goes over so many links, and a root to which too many came lets all of them go.
//!
//! The links of an identifier that is not exclusive also say to whom decisions on consent belong that were made through it
//! ([`crate::consent`]), so these come out here too.

mod followers;
mod links;

use std::cmp::Ordering;

use differential_dataflow::difference::Present;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::{AsCollection, VecCollection};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use timely::dataflow::channels::pact::Pipeline;
use timely::order::Product;

use self::links::Links;
use crate::arrangements::Arrangements;
use crate::batches::{ValBatcher, ValBuilder, ValSpine, arrange_by_key};
use crate::consent::Tenure;
use crate::definitions::Reach;
use crate::limits::Limit;
use crate::model::{EventOrder, IdentifierId, IdentityChange, Part, ProfileId, Record, Strength, Tick, Weight};
use crate::observer::{Evidence, Holder, Link};
use crate::operators::{Fact, FoldSlot, LoopVariable, Split, fold, join};

/// Identifiers by the limit that they are at.
pub type AtLimitsTrace = TraceAgent<ValSpine<Limit, IdentifierId, Tick, i64>>;

/// How an identifier came to its root. The least one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Label {
    /// False where the root was handed on from an identifier that rule 2 placed.
    unplaced: bool,
    /// Whether one of the links on the way was weak; of no meaning where it is unplaced.
    weak: bool,
    /// Links between that identifier and this one; where it is unplaced, between the root and this one.
    hops: u16,
    /// The root.
    root: IdentifierId,
    /// The neighbour that it came from; the identifier itself where it starts.
    from: IdentifierId,
}

impl Label {
    /// What an identifier starts from: its owner, where it has one, or itself.
    fn start(id: IdentifierId, owner: Option<IdentifierId>, weak: bool) -> Self {
        Label { unplaced: owner.is_none(), weak, hops: 0, root: owner.unwrap_or(id), from: id }
    }

    /// The label that a neighbour of `id`, which has this label, may take over a link of this strength; nothing where that is too far.
    fn handed_on(self, id: IdentifierId, strength: Strength, hops_max: u16) -> Option<Self> {
        let weak = !self.unplaced && (self.weak || strength == Strength::Weak);
        (self.hops < hops_max).then(|| Label { weak, hops: self.hops + 1, from: id, ..self })
    }

    /// Where it leads an identifier; nothing where that has its move already, or needs none.
    fn lead(&self, id: IdentifierId) -> Option<Lead> {
        let Label { root, hops, .. } = *self;
        // Rule 2 has placed the identifier, unless over a weak link, or it is its own root.
        let is_known = hops == 0 && !self.unplaced && !self.weak;
        (!is_known && root != id).then_some(Lead { root, hops })
    }
}

/// The order of the rules: the nearest of those that are placed, then the smaller root; of those that are not, the smallest root. Where it
/// came from only decides between equals.
impl Ord for Label {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |label: &Label| (label.unplaced, label.weak);
        let (hops, root) = (self.hops.cmp(&other.hops), self.root.cmp(&other.root));
        rank(self)
            .cmp(&rank(other))
            .then(if self.unplaced { root.then(hops) } else { hops.then(root) })
            .then(self.from.cmp(&other.from))
    }
}

impl PartialOrd for Label {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where a label leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Lead {
    /// The root.
    root: IdentifierId,
    /// Links between two identifiers that are not exclusive on the way there.
    hops: u16,
}

/// What the links of one identifier amount to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum LinkContribution {
    /// Rule 2: it belongs to this exclusive identifier.
    Owner(IdentifierId),
    /// A label may come to it from this identifier, which is not exclusive either, over a link of this strength.
    Neighbour(IdentifierId, Strength),
    /// It has neighbours, and this is where it starts from.
    Start(Label),
}

/// What follows from the evidence on one identifier.
#[derive(Clone, Debug)]
enum EvidenceOutcome {
    /// What its links say of an identifier.
    Contributes(IdentifierId, LinkContribution),
    /// What this one decided on consent through it.
    Decided(Holder, Record),
    /// It has too many links.
    Full(IdentifierId),
}

/// Where an identifier is, by its own links or by those of others.
#[derive(Clone, Debug)]
enum Followed {
    /// It is in this profile, which is that of another one.
    Moved(IdentifierId, ProfileId),
    /// It is at this limit.
    AtLimit(Limit, IdentifierId),
}

/// Who is who, and what follows from it for consent.
pub struct Resolved<'scope> {
    /// The moves: identifiers whose root is another one, with the profile of that root.
    pub moves: VecCollection<'scope, Tick, (IdentifierId, ProfileId), i64>,
    /// The latest decisions of each holder that were made through an identifier that is not exclusive.
    pub decisions: VecCollection<'scope, Tick, (Holder, Part), Weight>,
    /// The identifiers at a limit.
    pub limits: VecCollection<'scope, Tick, (Limit, IdentifierId), i64>,
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

/// What an alias that gives a link to an identifier that is not exclusive, or takes it back, is for both ends.
pub fn evidence_of_alias(id: IdentifierId, link: Link, comes: bool) -> impl Iterator<Item = (IdentifierId, Evidence)> {
    // What an identifier hears of itself is its evidence, and void with it. Others follow the difference.
    let joined = (!link.owner).then_some((link.other, Evidence::Joined(id, comes)));
    let own = comes.then_some((id, Evidence::Link(link)));
    joined.into_iter().chain(own)
}

/// Resolves identities from what is known of each identifier that is not exclusive. In a cluster, several logs say that.
pub fn resolve<'scope>(
    evidence: VecCollection<'scope, Tick, (IdentifierId, Fact<Evidence>), Present>,
    reach: Reach,
    is_cluster: bool,
    arrangements: &mut Arrangements,
) -> Resolved<'scope> {
    let links_max = reach.links_per_identifier_max;
    let mut recovered = Recovered::new(is_cluster);
    let mut owners = Vec::new();
    let outcomes = fold(evidence, "Links", IdentifierId::route, move |id, slot: FoldSlot<'_, Links>, seen, give| {
        let (links, tick, mut void) = (slot.state, slot.tick, slot.void);
        let before = void.as_ref().map_or(&*links, |(void, ())| void);
        let (owner, start, held) =
            (before.certain_owner(links_max), before.start(*id, links_max), before.held().to_vec());
        let was_full = before.has_too_many(links_max);
        // Each says from where a label may come to it: so one that has too many neighbours says nothing, whatever they do.
        let mut neighbour = |(other, strength), diff| {
            give(EvidenceOutcome::Contributes(other, LinkContribution::Neighbour(*id, strength)), diff)
        };
        if let Some((void, ())) = &mut void {
            void.counted_neighbours(links_max).for_each(|known| neighbour(known, -1));
            links.inherit(void);
            links.counted_neighbours(links_max).for_each(|known| neighbour(known, 1));
        }
        if recovered.is_cluster {
            if void.is_some() {
                recovered.forget(id);
            }
            owners.clear();
            let mut seen = seen.inspect(|evidence| match evidence {
                Evidence::Link(link) if link.owner => owners.push((link.other, link.order())),
                _ => {}
            });
            let owner = links.owner();
            links.see(*id, &mut seen, recovered.of(id, owner, tick), links_max, neighbour);
            recovered.take_in(*id, tick, &owners);
        } else {
            links.see(*id, seen, None, links_max, neighbour);
        }
        let mut replace = |before: Option<LinkContribution>, after: Option<LinkContribution>| {
            if before != after {
                before.into_iter().for_each(|contribution| give(EvidenceOutcome::Contributes(*id, contribution), -1));
                after.into_iter().for_each(|contribution| give(EvidenceOutcome::Contributes(*id, contribution), 1));
            }
        };
        replace(owner.map(LinkContribution::Owner), links.certain_owner(links_max).map(LinkContribution::Owner));
        replace(start.map(LinkContribution::Start), links.start(*id, links_max).map(LinkContribution::Start));
        let is_full = links.has_too_many(links_max);
        if was_full != is_full {
            give(EvidenceOutcome::Full(*id), if is_full { 1 } else { -1 });
        }
        if held != links.held() {
            let mut decided = |held: &[(Holder, Record)], diff: i64| {
                held.iter().for_each(|(holder, record)| give(EvidenceOutcome::Decided(*holder, record.clone()), diff));
            };
            decided(&held, -1);
            decided(links.held(), 1);
        }
    });
    let mut split = Split::of([outcomes.inner], "Outcomes of links");
    let (mut to_owned, owned) = split.outlet();
    let (mut to_starts, starts) = split.outlet();
    let (mut to_neighbours, neighbours) = split.outlet();
    let (mut to_decisions, decisions) = split.outlet();
    split.build(move |(outcome, tick, diff): (_, Tick, i64)| match outcome {
        EvidenceOutcome::Contributes(id, LinkContribution::Owner(root)) => {
            to_owned.give((Followed::Moved(id, ProfileId::of_root(root)), tick, diff));
        }
        EvidenceOutcome::Contributes(id, LinkContribution::Start(label)) => to_starts.give(((id, label), tick, diff)),
        EvidenceOutcome::Contributes(id, LinkContribution::Neighbour(other, strength)) => {
            to_neighbours.give(((id, (other, strength)), tick, diff));
        }
        EvidenceOutcome::Decided(holder, record) => {
            to_decisions.give(((holder, Part::Record(record)), tick, Weight(i128::from(diff))));
        }
        EvidenceOutcome::Full(id) => to_owned.give((Followed::AtLimit(Limit::Links, id), tick, diff)),
    });
    let leads = spread(starts.as_collection(), neighbours.as_collection(), reach.hops_max, arrangements);
    let mut split = Split::of([owned, followers::follow(leads, reach).inner], "Moves and limits");
    let (mut to_moves, moves) = split.outlet();
    let (mut to_limits, limits) = split.outlet();
    split.build(move |(followed, tick, diff)| match followed {
        Followed::Moved(id, profile) => to_moves.give(((id, profile), tick, diff)),
        Followed::AtLimit(limit, id) => to_limits.give(((limit, id), tick, diff)),
    });
    Resolved { moves: moves.as_collection(), decisions: decisions.as_collection(), limits: limits.as_collection() }
}

/// The identifiers at each limit. Each worker arranges those that it has found.
pub fn at_limits<'scope>(
    limits: VecCollection<'scope, Tick, (Limit, IdentifierId), i64>,
) -> Arranged<'scope, AtLimitsTrace> {
    arrange_core(limits.inner, Pipeline, "Identifiers at limits", ValBatcher::new)
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

/// Hands labels on from neighbour to neighbour until nothing changes; gives where they lead to.
fn spread<'scope>(
    starts: VecCollection<'scope, Tick, (IdentifierId, Label), i64>,
    neighbours: VecCollection<'scope, Tick, (IdentifierId, (IdentifierId, Strength)), i64>,
    hops_max: u16,
    arrangements: &mut Arrangements,
) -> VecCollection<'scope, Tick, (IdentifierId, Lead), i64> {
    let outer = starts.scope();
    let neighbours = arrange_by_key(neighbours, "Neighbours");
    arrangements.watch(&neighbours);
    outer.scoped::<Product<Tick, u32>, _, _>("Resolve identities", |scope| {
        let neighbours = neighbours.enter(scope);
        let (variable, proposals) = LoopVariable::new(scope);
        let proposals = arrange_by_key(proposals, "Proposed labels");
        arrangements.watch(&proposals);
        let labels = proposals
            .reduce_abelian::<_, ValBuilder<_, _, _, _>, ValSpine<IdentifierId, Label, _, i64>, _, _>(
                "Min label",
                |_id, labels, least| least.push((*labels[0].0, 1)),
                |buffer, id, updates| {
                    buffer.clear();
                    buffer.extend(updates.drain(..).map(|(label, time, diff)| ((*id, label), time, diff)));
                },
            );
        arrangements.watch(&labels);
        let next = join(labels.clone(), neighbours, "Propagate labels", move |id, label, (neighbour, strength)| {
            // What came from there can only be worse there by now.
            let label = if label.from == *neighbour { None } else { label.handed_on(*id, *strength, hops_max) };
            Some((*neighbour, label?))
        });
        variable.set(starts.enter(scope), next);
        labels.flat_map_ref(|id, label| Some((*id, label.lead(*id)?))).leave(outer)
    })
}

#[cfg(test)]
mod tests {
    use differential_dataflow::input::Input;
    use timely::dataflow::operators::Capture;
    use timely::dataflow::operators::capture::Extract;

    use super::*;
    use crate::model::Position;
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
                let resolved = resolve(evidence, Reach::default(), true, &mut Arrangements::default());
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
