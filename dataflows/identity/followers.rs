//! Who follows whom: the identifiers that came to each root over links between identifiers that are not exclusive. A root to which
//! too many came lets all of them go.
//!
//! It is a filter behind the loop, so who is let go still hands its label on: otherwise it would depend on itself.

use std::collections::BTreeSet;

use differential_dataflow::{AsCollection, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;

use super::{Followed, Lead};
use crate::definitions::Reach;
use crate::limits::Limit;
use crate::model::{IdentifierId, ProfileId, Tick};
use crate::operators::WaitingRows;

/// One change of a lead, in the order in which changes are worked off.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LeadChange {
    tick: Tick,
    root: IdentifierId,
    id: IdentifierId,
    hops: u16,
    diff: i64,
}

/// Lets identifiers follow to their roots, those apart of which there are too many. Gives the moves, the identifiers that are as far from
/// their root as one may be, and the roots that let theirs go.
pub(super) fn follow<'scope>(
    leads: VecCollection<'scope, Tick, (IdentifierId, Lead), i64>,
    reach: Reach,
) -> VecCollection<'scope, Tick, Followed, i64> {
    let exchange = Exchange::new(|((_, lead), _, _): &((IdentifierId, Lead), Tick, i64)| lead.root.route());
    let rows = leads.inner.unary_frontier::<CapacityContainerBuilder<Vec<(Followed, Tick, i64)>>, _, _, _>(
        exchange,
        "Followers",
        move |_, _| {
            let mut followers = Followers::default();
            let mut waiting: WaitingRows<LeadChange> = WaitingRows::default();
            move |(input, frontier), output| {
                input.for_each(|capability, rows| {
                    let changes = rows.drain(..).map(|((id, Lead { root, hops }), tick, diff)| LeadChange {
                        tick,
                        root,
                        id,
                        hops,
                        diff,
                    });
                    waiting.take_in(&capability, changes);
                });
                waiting.complete(
                    frontier,
                    consolidate,
                    |change| &change.tick,
                    |capability, changes| {
                        let mut session = output.session(capability);
                        let changes: Vec<LeadChange> = changes.collect();
                        for changes in changes.chunk_by(|a, b| (a.tick, a.root) == (b.tick, b.root)) {
                            followers.change(changes, &reach, |row, diff| session.give((row, changes[0].tick, diff)));
                        }
                    },
                );
            }
        },
    );
    rows.as_collection()
}

/// What comes and goes in the same tick is nothing.
fn consolidate(changes: &mut Vec<LeadChange>) {
    changes.sort_unstable();
    let same = |a: &LeadChange| (a.tick, a.root, a.id, a.hops);
    changes.dedup_by(|next, kept| {
        let is_same = same(next) == same(kept);
        kept.diff += if is_same { next.diff } else { 0 };
        is_same
    });
    changes.retain(|change| change.diff != 0);
}

/// Who came to whom over links, by root.
#[derive(Default)]
struct Followers(BTreeSet<(IdentifierId, IdentifierId)>);

impl Followers {
    /// Works off the changes of one root at one tick.
    fn change(&mut self, changes: &[LeadChange], reach: &Reach, mut give: impl FnMut(Followed, i64)) {
        let root = changes[0].root;
        let max = reach.followers_per_profile_max;
        let moved = |id: IdentifierId| Followed::Moved(id, ProfileId::of_root(root));
        let had_too_many = self.of(root).nth(max).is_some();
        // An identifier may go over one way and come over another.
        let mut net: Vec<(IdentifierId, i64)> = Vec::with_capacity(changes.len());
        for LeadChange { id, hops, diff, .. } in changes {
            if *hops >= reach.hops_max {
                give(Followed::AtLimit(Limit::Hops, *id), *diff);
            }
            if *hops == 0 {
                give(moved(*id), *diff);
                continue;
            }
            match net.last_mut().filter(|(last, _)| last == id) {
                Some((_, sum)) => *sum += diff,
                None => net.push((*id, *diff)),
            }
        }
        net.retain(|(_, diff)| *diff != 0);
        let gone: Vec<IdentifierId> = net.iter().filter(|(_, diff)| *diff < 0).map(|(id, _)| *id).collect();
        let come: Vec<IdentifierId> = net.iter().filter(|(_, diff)| *diff > 0).map(|(id, _)| *id).collect();
        gone.iter().for_each(|id| _ = self.0.remove(&(root, *id)));
        come.iter().for_each(|id| _ = self.0.insert((root, *id)));
        let has_too_many = self.of(root).nth(max).is_some();
        match (had_too_many, has_too_many) {
            (false, false) => {
                gone.into_iter().for_each(|id| give(moved(id), -1));
                come.into_iter().for_each(|id| give(moved(id), 1));
            }
            (false, true) => {
                // Both lists are sorted, as all changes are.
                let stayed = self.of(root).filter(|id| come.binary_search(id).is_err());
                stayed.chain(gone).for_each(|id| give(moved(id), -1));
            }
            (true, false) => self.of(root).for_each(|id| give(moved(id), 1)),
            (true, true) => {}
        }
        if had_too_many != has_too_many {
            give(Followed::AtLimit(Limit::Followers, root), if has_too_many { 1 } else { -1 });
        }
    }

    /// Those of a root, in their order.
    fn of(&self, root: IdentifierId) -> impl Iterator<Item = IdentifierId> {
        let (first, last) = (IdentifierId::from_bytes([0; 16]), IdentifierId::from_bytes([0xff; 16]));
        self.0.range((root, first)..=(root, last)).map(|(_, id)| *id)
    }
}
