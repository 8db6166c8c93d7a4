//! The one place where the stages are put together, in the order in which an event meets them.
//!
//! ```text
//!  events ─► observe ─┬─ evidence ──────► resolve ── moves ──┐
//!                     │                  ▲  │ decisions      │
//!                     ├─ mentions ───► records ── aliases ────┼───► follow ─► corrections
//!                     │                  └──────┐             ▼                   ▼
//!                     ├─ candidates ─► values ──┴─ parts ─► gather ───────────► derive ─┬─► memberships ─► members, sizes
//!                     │                  ▲           ▲                                  └─► desired
//!                     └─ parts ──────► release ──────┘
//!  queries ─────────────────────────────────────────────────────────────────────► answer
//! ```

use std::sync::Arc;

use differential_dataflow::difference::Present;
use differential_dataflow::input::{Input, InputSession};
use differential_dataflow::trace::ExertionLogic;
use differential_dataflow::{AsCollection, VecCollection};
use timely::WorkerConfig;
use timely::dataflow::operators::core::Input as _;
use timely::dataflow::operators::{Concatenate, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

use crate::arrangements::Arrangements;
use crate::batches::arrange_by_key;
use crate::definitions::{Definitions, TriggerStart};
pub use crate::layout::Layout;
use crate::limits::{HELD_BACK_MS, Limit};
use crate::model::{IdentifierId, Part, Tick, Weight};
use crate::observations::Arrival;
use crate::observer::{Evidence, Holder, Link};
use crate::operators::{AtOnce, ChangeReceiver, Fact, Split, hand_on, release};
use crate::records::{Aside, Joined};
use crate::relations::{Answer, Collections, Query, Told};
use crate::{aliases, audiences, identity, observations, profiles, reads, records, relations, traits, values};

/// Who takes what comes out, on one worker.
pub struct Receivers {
    /// Changes of relations.
    pub changes: Told,
    /// Answers to questions, each as it comes. They arrive at the worker that asked.
    pub answers: ChangeReceiver<Answer>,
}

/// What goes in, on one worker. Dropping it says that nothing will come in any more.
pub struct Inputs {
    arrivals: InputSession<Tick, Arrival, Present>,
    queries: InputSession<Tick, Query, i64>,
    held: InputHandleVec<Tick, ()>,
    at_once: AtOnce,
}

/// How far the dataflow has come, seen from one worker.
pub struct Completion(ProbeHandle<Tick>);

/// Prepares the configuration of workers.
///
/// Differential merges batches of an arrangement as updates come in, and leaves a merge half done, with its sources still
/// in memory, when they cease. This lets it finish what it has begun, a little at a time.
pub fn configure(config: &mut WorkerConfig) {
    /// Updates merged at a time: some tens of microseconds, so that no tick waits for it.
    const EFFORT_UPDATES: usize = 2_000;
    let logic: ExertionLogic = Arc::new(|levels| {
        let is_merging = levels.iter().any(|(_level, batches, _updates)| *batches > 1);
        is_merging.then_some(EFFORT_UPDATES)
    });
    config.set("differential/default_exert_logic".to_owned(), logic);
}

/// Builds the dataflow on one worker. `triggers` says where the occurrences of each begin; without an entry at the first tick.
///
/// What holds state has a name that says what it holds: people see it in `deltaic top`.
pub fn build(
    worker: &mut Worker,
    definitions: &Arc<Definitions>,
    layout: Layout,
    triggers: Arc<[TriggerStart]>,
    receivers: Receivers,
) -> (Inputs, Completion, Arrangements) {
    worker.dataflow_named::<Tick, _, _>("Deltaic", |scope| {
        let at_once = AtOnce::all();
        let completion = ProbeHandle::new();
        let mut arrangements = Arrangements::default();
        let (arrivals_input, arrivals) = scope.new_collection::<Arrival, Present>();
        let (queries_input, queries) = scope.new_collection::<Query, i64>();
        let (held_input, held) = scope.new_input::<Vec<()>>();

        let observed = observations::observe(arrivals.inner, definitions);
        let due = release(observed.parts, "Parts not yet due", at_once.clone(), completion.clone());
        let (changes, parts) = values::split(due);
        let values = values::retain_best(changes.concat(observed.candidates), definitions);
        let ByKind { parts: of_identifiers, linked, moved, limits } =
            split_by_kind(records::records(observed.mentions), values);
        let resolved = identity::resolve(
            observed.evidence.concat(linked),
            definitions.identity.reach,
            layout.processes > 1,
            &mut arrangements,
        );
        let limits = limits.concat(resolved.limits.clone().map(|(limit, _)| limit));
        let at_limits = identity::at_limits(resolved.limits);
        let moves = arrange_by_key(resolved.moves, "Moves");
        let parts = profiles::gather(
            [parts, of_identifiers, resolved.decisions],
            moves.clone(),
            at_once.clone(),
            &mut arrangements,
        );
        let aliases = arrange_by_key(aliases::follow(moved), "Aliases");
        let corrections = aliases::corrections(parts.clone(), aliases.clone());
        let derived = traits::derive(parts.clone(), corrections.clone(), definitions, triggers, at_once.clone());
        let of_profiles = traits::at_limits(&derived, definitions, at_once.clone());
        let limits = of_profiles.into_iter().fold(limits, |limits, of_profiles| limits.concat(of_profiles));
        let memberships = audiences::memberships(&derived, at_once.clone());
        let members = audiences::members(memberships.clone(), at_once.clone());
        let sizes = audiences::sizes(memberships.clone());

        arrangements.watch(&moves);
        arrangements.watch(&parts);
        arrangements.watch(&aliases);
        arrangements.watch(&corrections);
        arrangements.watch(&derived);
        arrangements.watch(&members);
        arrangements.watch(&sizes);
        arrangements.watch(&at_limits);

        let collections = Collections {
            moves,
            aliases,
            parts,
            corrections,
            derived,
            memberships,
            members,
            sizes,
            at_limits,
            limits,
            has_crossings: definitions.triggers.iter().any(|trigger| trigger.on.is_crossing()),
            at_once: at_once.clone(),
        };
        let answers = reads::answer(queries.inner, &collections, held, definitions);
        let asker = |answer: &Answer| answer.asker as u64;
        let answers = hand_on(answers, "Deliver answers", asker, receivers.answers);
        let changes = relations::deliver_changes(&receivers.changes, &collections, &layout);
        scope.concatenate(changes.into_iter().chain([answers])).probe_with(&completion);
        let inputs = Inputs { arrivals: arrivals_input, queries: queries_input, held: held_input, at_once };
        (inputs, Completion(completion), arrangements)
    })
}

/// What is known of identifiers, by what it is.
struct ByKind<'scope> {
    /// What they hold.
    parts: values::HeldParts<'scope>,
    /// The evidence that aliases give of those that are not exclusive.
    linked: VecCollection<'scope, Tick, (IdentifierId, Fact<Evidence>), Present>,
    /// The links by which aliases move those that are.
    moved: VecCollection<'scope, Tick, (IdentifierId, Link), i64>,
    /// Which limits they have reached.
    limits: VecCollection<'scope, Tick, Limit, i64>,
}

type ObservedParts<'scope> = VecCollection<'scope, Tick, Result<(Holder, Part), Aside>, Weight>;

fn split_by_kind<'scope>(records: ObservedParts<'scope>, values: ObservedParts<'scope>) -> ByKind<'scope> {
    let mut split = Split::of([records.inner, values.inner], "Of identifiers");
    let (mut to_parts, parts) = split.outlet();
    let (mut to_linked, linked) = split.outlet();
    let (mut to_moved, moved) = split.outlet();
    let (mut to_limits, limits) = split.outlet();
    split.build(move |(row, tick, weight): (_, Tick, Weight)| {
        let diff = weight.0.signum() as i64;
        match row {
            Ok(part) => to_parts.give((part, tick, weight)),
            Err(Aside::Limit(limit)) => to_limits.give((limit, tick, diff)),
            Err(Aside::Alias(alias)) => match *alias {
                (id, Joined::Linked(link)) => identity::evidence_of_alias(id, link, diff > 0)
                    .for_each(|(id, evidence)| to_linked.give(((id, Fact::More(evidence)), tick, Present))),
                (id, Joined::Moved(link)) => to_moved.give(((id, link), tick, diff)),
            },
        }
    });
    ByKind {
        parts: parts.as_collection(),
        linked: linked.as_collection(),
        moved: moved.as_collection(),
        limits: limits.as_collection(),
    }
}

impl Inputs {
    /// Puts in what arrives, each at its tick, which must not be before [`Inputs::time`]. Facts come before all events, at ticks
    /// before theirs: whatever the tick, they are as of the one at which they were settled.
    pub fn send(&mut self, arrivals: impl IntoIterator<Item = (Tick, Arrival)>) {
        for (tick, arrival) in arrivals {
            self.arrivals.update_at(arrival, tick, Present);
        }
    }

    /// Puts a question, to be answered as of `tick`, which must not be before [`Inputs::time`].
    pub fn ask(&mut self, tick: Tick, query: Query) {
        self.queries.update_at(query, tick, 1);
    }

    /// Puts a question that is answered at once, as of the tick that it names. That is complete, and not before what [`Inputs::hold`]
    /// was last told.
    pub fn ask_now(&mut self, query: Query) {
        self.queries.update(query, 1);
        self.queries.flush();
    }

    /// Takes a question back: nobody waits for the answer. There may be one all the same.
    pub fn withdraw(&mut self, query: Query) {
        self.queries.update(query, -1);
    }

    /// Says that no question will name a tick before `tick`. It need not be said of every tick: what lies behind is forgotten a little
    /// later then, and each time costs something.
    pub fn hold(&mut self, tick: Tick) {
        if tick >= self.held.time().after_ms(HELD_BACK_MS) {
            self.held.advance_to(tick);
        }
    }

    /// How much is worked off at a time, on this worker: at first everything.
    pub fn at_once(&self) -> &AtOnce {
        &self.at_once
    }

    /// Says that nothing will come in before `tick`.
    pub fn advance_to(&mut self, tick: Tick) {
        self.arrivals.advance_to(tick);
        self.queries.advance_to(tick);
        self.arrivals.flush();
        self.queries.flush();
    }

    /// The tick that input is at.
    pub fn time(&self) -> Tick {
        *self.arrivals.time()
    }
}

#[cfg(test)]
mod effort;

impl Completion {
    /// All ticks before this one are complete: what they caused has been received. [`Tick::MAX`] once nothing can come.
    pub fn frontier(&self) -> Tick {
        self.0.with_frontier(|frontier| frontier.first().copied().unwrap_or(Tick::MAX))
    }
}
