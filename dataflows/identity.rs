//! Third stage: which profile each identifier belongs to (DESIGN §4).
//!
//! The result is kept as *moves*: (identifier, root) for those identifiers only whose root is not themselves. Exclusive
//! identifiers never move (rule 1). Of the others, those that were seen with an exclusive one belong to the latest (rule 2),
//! which needs no iteration. The rest take their root from their neighbours (rules 3 and 4): only they enter the loop, and
//! those of rule 2 that are their neighbours.

use std::cmp::Reverse;

use differential_dataflow::difference::Present;
use differential_dataflow::operators::iterate::Variable;
use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};
use differential_dataflow::{AsCollection, VecCollection};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::core::OkErr;
use timely::order::Product;

use crate::arrangements::Arrangements;
use crate::model::{IdentifierId, IdentityChange, Position, ProfileId, Tick};
use crate::observer::Link;
use crate::operators::{Fact, Slot, fold, join};

/// How an identifier came to its root. The least one wins, so the order of the fields is that of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Label {
    /// False where the root was handed on from an identifier that rule 2 placed.
    unplaced: bool,
    /// Links between that identifier and this one; zero for all that are unplaced.
    hops: u16,
    /// The root.
    root: IdentifierId,
}

impl Label {
    /// The label that a neighbour of one with this label may take.
    fn handed_on(self) -> Self {
        // A chain of 65,535 devices is no person; beyond it distance no longer decides.
        Label { hops: if self.unplaced { 0 } else { self.hops.saturating_add(1) }, ..self }
    }
}

/// What the links of one identifier amount to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Standing {
    /// Rule 2: it belongs to this exclusive identifier.
    Owner(IdentifierId),
    /// It has a link to this identifier, which is not exclusive either.
    Neighbour(IdentifierId),
    /// It has neighbours, and this is where it starts from.
    Start(Label),
}

/// What the links of one identifier that is not exclusive amount to. Nearly all have one owner and no more, so only that is
/// inline.
struct Links {
    /// The owner: the one that was sighted latest.
    owner: IdentifierId,
    /// The time of the owner's latest sighting; [`Tick::MAX`] where there is no owner. An `Option` would cost another word
    /// for every identifier.
    owner_at: Tick,
    neighbours: Option<Box<Neighbours>>,
}

/// Identifiers that are not exclusive either and were seen with it, sorted.
#[derive(Default)]
struct Neighbours(Vec<IdentifierId>);

impl Default for Links {
    fn default() -> Self {
        Links { owner: IdentifierId::default(), owner_at: Tick::MAX, neighbours: None }
    }
}

impl Links {
    /// Takes in the links of one tick, in the order of the log; gives the neighbours that they brought.
    fn see(&mut self, links: impl Iterator<Item = Link>, mut give: impl FnMut(IdentifierId)) {
        // Positions grow with ticks, so whatever the owner's is, it comes before those of this tick: it need not be kept.
        let mut owner_position = Position::UNKNOWN;
        for Link { position, other, owner, at } in links {
            if !owner {
                let Neighbours(neighbours) = &mut **self.neighbours.get_or_insert_default();
                if let Err(place) = neighbours.binary_search(&other) {
                    neighbours.insert(place, other);
                    give(other);
                }
                continue;
            }
            // The latest by its own time, then in the log; of one event's, or where the log did not keep its order, the smaller.
            let is_later = |owner| (at, position, Reverse(other)) > (self.owner_at, owner_position, Reverse(owner));
            if self.owner().is_none_or(is_later) {
                (self.owner, self.owner_at, owner_position) = (other, at, position);
            }
        }
    }

    fn neighbours(&self) -> &[IdentifierId] {
        self.neighbours.as_ref().map_or(&[], |neighbours| &neighbours.0)
    }

    fn owner(&self) -> Option<IdentifierId> {
        (self.owner_at < Tick::MAX).then_some(self.owner)
    }

    /// Where the identifier `id` starts from in the loop; nothing where it has no business there.
    fn start(&self, id: IdentifierId) -> Option<Label> {
        let label = match self.owner() {
            Some(root) => Label { unplaced: false, hops: 0, root },
            None => Label { unplaced: true, hops: 0, root: id },
        };
        self.neighbours.is_some().then_some(label)
    }
}

/// The moves: identifiers whose root is another one, with the profile of that root.
pub fn resolve<'scope>(
    links: VecCollection<'scope, Tick, (IdentifierId, Fact<Link>), Present>,
    arrangements: &mut Arrangements,
) -> VecCollection<'scope, Tick, (IdentifierId, ProfileId), i64> {
    let standings = fold(links, "Links", IdentifierId::route, |id, slot: Slot<'_, Links>, seen, give| {
        let links = slot.state;
        let before = slot.void.as_ref().map_or(&*links, |(void, ())| void);
        let (owner, start) = (before.owner(), before.start(*id));
        for neighbour in slot.void.iter().flat_map(|(void, ())| void.neighbours()) {
            give((*id, Standing::Neighbour(*neighbour)), -1);
        }
        links.see(seen, |neighbour| give((*id, Standing::Neighbour(neighbour)), 1));
        let mut replace = |before: Option<Standing>, after: Option<Standing>| {
            if before != after {
                before.into_iter().for_each(|standing| give((*id, standing), -1));
                after.into_iter().for_each(|standing| give((*id, standing), 1));
            }
        };
        replace(owner.map(Standing::Owner), links.owner().map(Standing::Owner));
        replace(start.map(Standing::Start), links.start(*id).map(Standing::Start));
    });
    let (owners, rest) =
        standings.inner.ok_err::<Vec<_>, _, Vec<_>, _, _>(|((id, standing), tick, diff)| match standing {
            Standing::Owner(root) => Ok(((id, ProfileId::of_root(root)), tick, diff)),
            other => Err(((id, other), tick, diff)),
        });
    let (starts, neighbours) = rest.ok_err::<Vec<_>, _, Vec<_>, _, _>(|((id, standing), tick, diff)| match standing {
        Standing::Start(label) => Ok(((id, label), tick, diff)),
        Standing::Neighbour(other) | Standing::Owner(other) => Err(((id, other), tick, diff)),
    });
    owners.as_collection().concat(spread(starts.as_collection(), neighbours.as_collection(), arrangements))
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
    neighbours: VecCollection<'scope, Tick, (IdentifierId, IdentifierId), i64>,
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
        variable.set(join(labels.clone(), neighbours, "Labels handed on", |_id, label, neighbour| {
            Some((*neighbour, label.handed_on()))
        }));
        labels
            .flat_map_ref(|id, label| {
                // Identifiers that rule 2 placed have their move already; those that are their own root need none.
                let handed_on = label.unplaced || label.hops > 0;
                (handed_on && label.root != *id).then_some((*id, ProfileId::of_root(label.root)))
            })
            .leave(outer)
    })
}
