//! Between the third stage and the fifth: exclusive identifiers that an alias made into another one.
//!
//! Exclusive identifiers never move, and what is kept of them stands under their own profile for good. So an alias between two of
//! them takes nothing away there: it is a *correction* of the parts of both, in a second arrangement that whoever reads parts
//! reads beside the first. Profiles without an alias have no row in it.
//!
//! Of an identifier the latest alias counts; where that leads to one which has an alias too, it is followed. A circle is cut at
//! its oldest alias. Aliases are few, so one worker follows them all.

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::{AsCollection, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;

use crate::batches::{ValSpine, arrange_by_key};
use crate::model::{EventOrder, IdentifierId, ProfileId, Tick, Weight};
use crate::observer::Link;
use crate::operators::{WaitingRows, join};
use crate::profiles::{MovesTrace, PartsTrace};

/// The profile that a profile is by now, of those that an alias leads elsewhere.
pub type AliasesTrace = TraceAgent<ValSpine<ProfileId, ProfileId, Tick, i64>>;

type AliasRow<D> = (D, Tick, i64);

/// Where the links that count lead: each profile that is another one by now, once.
pub fn follow<'scope>(
    links: VecCollection<'scope, Tick, (IdentifierId, Link), i64>,
) -> VecCollection<'scope, Tick, (ProfileId, ProfileId), i64> {
    let exchange = Exchange::new(|_: &AliasRow<(IdentifierId, Link)>| 0);
    links
        .inner
        .unary_frontier::<CapacityContainerBuilder<Vec<AliasRow<(ProfileId, ProfileId)>>>, _, _, _>(
            exchange,
            "Follow aliases",
            |_, _| {
                let mut chains = Chains::default();
                let mut waiting: WaitingRows<(Tick, i64, IdentifierId, Link)> = WaitingRows::default();
                move |(input, frontier), output| {
                    input.for_each(|capability, rows| {
                        let rows = rows.drain(..).map(|((id, link), tick, diff)| (tick, diff, id, link));
                        waiting.take_in(&capability, rows);
                    });
                    waiting.complete(
                        frontier,
                        // Of a tick, what goes comes first.
                        |rows| rows.sort_unstable(),
                        |row| &row.0,
                        |capability, rows| {
                            let mut session = output.session(capability);
                            let rows: Vec<_> = rows.collect();
                            for rows in rows.chunk_by(|a, b| a.0 == b.0) {
                                let changes = rows.iter().map(|(_, diff, id, link)| (*id, link, *diff > 0));
                                chains.change(changes, |id, other, diff| {
                                    let row = (ProfileId::of_root(id), ProfileId::of_root(other));
                                    session.give((row, rows[0].0, diff));
                                });
                            }
                        },
                    );
                }
            },
        )
        .as_collection()
}

/// What is to be taken away from the parts of each profile, and added to them.
pub fn corrections<'scope>(
    parts: Arranged<'scope, PartsTrace>,
    aliases: Arranged<'scope, AliasesTrace>,
) -> Arranged<'scope, PartsTrace> {
    let moved = join(parts, aliases, "Parts of aliases", |from, part, to| Some(((*from, *to), part.clone())));
    let both = moved.inner.flat_map(|(((from, to), part), tick, weight)| {
        [((from, part.clone()), tick, Weight(weight.0.wrapping_neg())), ((to, part), tick, weight)]
    });
    arrange_by_key(both.as_collection(), "Corrections by profile")
}

/// Who is who, from the moves up to the exclusive identifiers and from there on.
pub fn identities<'scope>(
    moves: Arranged<'scope, MovesTrace>,
    aliases: Arranged<'scope, AliasesTrace>,
) -> VecCollection<'scope, Tick, (IdentifierId, ProfileId), i64> {
    let moves = moves.as_collection(|id, root| (*id, *root));
    let by_root = arrange_by_key(moves.clone().map(|(id, root)| (root, ProfileId::of_root(id))), "Moves by root");
    let moved = join(by_root, aliases.clone(), "Moves of aliases", |from, id, to| Some((id.root(), (*from, *to))));
    let both =
        moved.inner.flat_map(|((id, (from, to)), tick, diff)| [((id, from), tick, -diff), ((id, to), tick, diff)]);
    moves.concat(both.as_collection()).concat(aliases.as_collection(|from, to| (from.root(), *to)))
}

/// The aliases that count, and where they lead.
#[derive(Default)]
struct Chains {
    /// The target of each identifier, and how new that is.
    targets: BTreeMap<IdentifierId, (EventOrder, IdentifierId)>,
    /// The other way round.
    previous: BTreeMap<IdentifierId, BTreeSet<IdentifierId>>,
    /// Who is somebody else in the end.
    ends: BTreeMap<IdentifierId, IdentifierId>,
}

impl Chains {
    /// Links come or go, first those that go. Gives what follows for each identifier that leads somewhere else than before.
    fn change<'l>(
        &mut self,
        changes: impl Iterator<Item = (IdentifierId, &'l Link, bool)> + Clone,
        mut give: impl FnMut(IdentifierId, IdentifierId, i64),
    ) {
        // Whose way leads through one of these, or did.
        let mut concerned = BTreeSet::new();
        changes.clone().for_each(|(id, ..)| self.all_before(id, &mut concerned));
        for (id, link, comes) in changes.clone() {
            if comes {
                self.targets.insert(id, (link.order(), link.other));
                self.previous.entry(link.other).or_default().insert(id);
            } else {
                self.targets.remove(&id);
                if let Some(previous) = self.previous.get_mut(&link.other) {
                    previous.remove(&id);
                    if previous.is_empty() {
                        self.previous.remove(&link.other);
                    }
                }
            }
        }
        let mut seen = BTreeSet::new();
        changes.for_each(|(id, ..)| self.all_before(id, &mut seen));
        concerned.append(&mut seen);

        let mut ends = BTreeMap::new();
        for id in concerned {
            let end = Some(self.end(id, &mut ends)).filter(|end| *end != id);
            let before = match end {
                Some(end) => self.ends.insert(id, end),
                None => self.ends.remove(&id),
            };
            if before != end {
                before.into_iter().for_each(|end| give(id, end, -1));
                end.into_iter().for_each(|end| give(id, end, 1));
            }
        }
    }

    /// Adds an identifier, and all whose way leads through it.
    fn all_before(&self, id: IdentifierId, seen: &mut BTreeSet<IdentifierId>) {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.previous.get(&id).into_iter().flatten());
            }
        }
    }

    /// Where the way of an identifier ends. `ends` has those of others that were followed, and gets those on this way.
    fn end(&self, id: IdentifierId, ends: &mut BTreeMap<IdentifierId, IdentifierId>) -> IdentifierId {
        let mut way = Vec::new();
        let mut on_it = BTreeSet::new();
        let mut here = id;
        let end = loop {
            if let Some(end) = ends.get(&here) {
                break *end;
            }
            if !on_it.insert(here) {
                let circle = way.iter().skip_while(|met| **met != here);
                break circle
                    .min_by_key(|met| (self.targets.get(met).map(|(order, _)| *order), **met))
                    .map_or(here, |met| *met);
            }
            way.push(here);
            match self.targets.get(&here) {
                Some((_, next)) => here = *next,
                None => break here,
            }
        };
        ends.extend(way.into_iter().map(|met| (met, end)));
        end
    }
}
