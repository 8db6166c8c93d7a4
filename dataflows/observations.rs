//! First stage: what arrives, taken apart by what it is about, and each part sent its way.
//!
//! Stateless: one event in, a handful of rows out (see [`crate::observer`]).

use std::sync::Arc;

use differential_dataflow::difference::Present;
use differential_dataflow::{AsCollection, VecCollection};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::definitions::Definitions;
use crate::facts::{FactUpdate, Facts, Replacement};
use crate::model::{Event, IdentifierId, Part, Tick, Weight};
use crate::observer::{AliasContribution, Evidence, Holder, Mention, Observation, Observer, SightingBasis};
use crate::operators::Fact;
use crate::records::Mentions;
use crate::values::{ValueChange, ValueChanges};

/// What the dataflow is fed with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Arrival {
    /// An event.
    Event(Event),
    /// What events before said of one identifier.
    Facts(Box<(IdentifierId, Facts)>),
    /// What events before said of one identifier is something else from this tick on.
    Replacement(Box<Replacement>),
}

/// What events say of identifiers, by what it is about.
pub struct Observations<'scope> {
    /// Identifiers that were seen, with what was set on them, or that alias calls named.
    pub mentions: Mentions<'scope>,
    /// Links, from each end that can move, and decisions on consent that were made through it.
    pub evidence: VecCollection<'scope, Tick, (IdentifierId, Fact<Evidence>), Present>,
    /// Candidates for measures that keep only the best value and have no window. Of those that are void it says whether the
    /// identifier is exclusive.
    pub candidates: ValueChanges<'scope>,
    /// Parts that come, or go, when the given tick is reached.
    pub parts: VecCollection<'scope, Tick, ((Holder, Part), Tick), Weight>,
}

type RowsBuilder<T> = CapacityContainerBuilder<Vec<T>>;
type RoutedRow<D, R> = (D, Tick, R);

/// Takes what arrives apart.
pub fn observe<'scope>(
    arrivals: StreamVec<'scope, Tick, (Arrival, Tick, Present)>,
    definitions: &Arc<Definitions>,
) -> Observations<'scope> {
    let observer = Observer::new(definitions.clone());
    let mut builder = OperatorBuilder::new("Observe events".to_owned(), arrivals.scope());
    let mut input = builder.new_input(arrivals, Pipeline);
    let (mentions_out, mentions) = builder.new_output();
    let (evidence_out, evidence) = builder.new_output();
    let (candidates_out, candidates) = builder.new_output();
    let (parts_out, parts) = builder.new_output();
    let mut mentions_out = OutputBuilder::<
        _,
        RowsBuilder<RoutedRow<(IdentifierId, Fact<Mention, Option<SightingBasis>>), Present>>,
    >::from(mentions_out);
    let mut evidence_out =
        OutputBuilder::<_, RowsBuilder<RoutedRow<(IdentifierId, Fact<Evidence>), Present>>>::from(evidence_out);
    let mut candidates_out =
        OutputBuilder::<_, RowsBuilder<RoutedRow<(IdentifierId, Fact<ValueChange, bool>), Present>>>::from(
            candidates_out,
        );
    let mut parts_out = OutputBuilder::<_, RowsBuilder<RoutedRow<((Holder, Part), Tick), Weight>>>::from(parts_out);
    builder.build(move |_| {
        move |_frontiers| {
            let mut mentions_out = mentions_out.activate();
            let mut evidence_out = evidence_out.activate();
            let mut candidates_out = candidates_out.activate();
            let mut parts_out = parts_out.activate();
            input.for_each(|capability, data| {
                let mut mentions = mentions_out.session_with_builder(&capability);
                let mut evidence = evidence_out.session_with_builder(&capability);
                let mut candidates = candidates_out.session_with_builder(&capability);
                let mut parts = parts_out.session_with_builder(&capability);
                for (arrival, tick, Present) in data.drain(..) {
                    let mut give = |told| match told {
                        FactUpdate::MentionsVoid(id, seen) => mentions.give(((id, Fact::Void(seen)), tick, Present)),
                        FactUpdate::EvidenceVoid(id) => evidence.give(((id, Fact::Void(())), tick, Present)),
                        FactUpdate::ValuesVoid(id, exclusive) => {
                            candidates.give(((id, Fact::Void(exclusive)), tick, Present))
                        }
                        FactUpdate::Observed(Observation::Sighting(id, sighting)) => {
                            mentions.give(((id, Fact::More(Mention::Sighting(sighting))), tick, Present));
                        }
                        FactUpdate::Observed(Observation::Alias(id, alias)) if *alias == AliasContribution::Target => {
                            evidence.give(((id, Fact::More(Evidence::Target)), tick, Present));
                        }
                        FactUpdate::Observed(Observation::Alias(id, alias)) => {
                            mentions.give(((id, Fact::More(Mention::Alias(alias))), tick, Present));
                        }
                        FactUpdate::Observed(Observation::Link(id, link)) => {
                            evidence.give(((id, Fact::More(Evidence::Link(link))), tick, Present));
                        }
                        FactUpdate::Observed(Observation::Decided(id, decisions)) => {
                            evidence.give(((id, Fact::More(Evidence::Decided(decisions))), tick, Present));
                        }
                        FactUpdate::Observed(Observation::Candidate(id, candidate)) => {
                            candidates.give(((id, Fact::More(candidate.into())), tick, Present));
                        }
                        FactUpdate::Observed(Observation::Part(holder, part, at, weight)) => {
                            parts.give((((holder, part), at), tick, weight));
                        }
                    };
                    match arrival {
                        Arrival::Event(event) => {
                            observer.observe(event, tick, &mut |seen| give(FactUpdate::Observed(seen)))
                        }
                        Arrival::Facts(of_one) => of_one.1.tell(of_one.0, &mut |seen| give(FactUpdate::Observed(seen))),
                        Arrival::Replacement(replacement) => replacement.tell(&mut give),
                    }
                }
            });
        }
    });
    Observations {
        mentions: mentions.as_collection(),
        evidence: evidence.as_collection(),
        candidates: candidates.as_collection(),
        parts: parts.as_collection(),
    }
}
