//! Last stage: questions, answered from the arrangements as of their tick.
//!
//! A question travels like an event: to the worker that knows the identifier's root, on to the worker that holds that
//! profile (or to all workers, each of which answers for its share), and back to the one that asked. It waits there until
//! everything at its tick has arrived, so an answer is never ahead of or behind the tick that it is said to be of.
//!
//! While much is worked off, that can take long. So a question may also name a tick that is complete: it is answered at once, on the
//! same way, whatever the tick at which it is put. For that, nothing is forgotten from the tick on at which `held` is, an input that
//! nothing ever comes in by.

use differential_dataflow::ExchangeData;
use differential_dataflow::hashable::Hashable;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::Cursor;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Map;
use timely::progress::Antichain;

use crate::batches::ValSpine;
use crate::definitions::Definitions;
use crate::model::{IdentifierId, ProfileId, Tick};
use crate::relations::snapshot::{Traces, amount_at, compact, open};
use crate::relations::{Answer, Collections, Found, Held, ListPage, Place, Query, Question};

mod held;
mod waiting;

use held::HeldLists;
use waiting::{Ready, RoutedQuestion, WaitingQuestions, hold, with};

/// A question on its way to a worker that can answer it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Routed {
    query: Query,
    /// The profile that is asked for, where one is.
    profile: ProfileId,
    /// Decides on the worker.
    route: u64,
}

type Row<D> = (D, Tick, i64);
type UpdatesBuilder<D> = CapacityContainerBuilder<Vec<Row<D>>>;
type ProfilesByKey<'scope, K> = Arranged<'scope, TraceAgent<ValSpine<K, ProfileId, Tick, i64>>>;

/// Where time stands still for as long as somebody may ask about it.
type HeldTime<'scope> = StreamVec<'scope, Tick, ()>;

/// Answers questions.
pub fn answer<'scope>(
    queries: StreamVec<'scope, Tick, Row<Query>>,
    collections: &Collections<'scope>,
    held: HeldTime<'scope>,
    definitions: &Definitions,
) -> StreamVec<'scope, Tick, Row<Answer>> {
    let routed = find_profile(queries.flat_map(one_by_one), (&collections.moves, held.clone()));
    let routed = follow_alias(routed, (&collections.aliases, held.clone()));
    look_up(routed, (collections, held), definitions)
}

/// A question for several keys as a question for each, since each has a worker of its own. Others stay as they are.
fn one_by_one((query, tick, diff): Row<Query>) -> impl Iterator<Item = Row<Query>> {
    let Query { id, asker, as_of, passed, key, question } = query;
    let (one, many) = match question {
        Question::LookUp(keys) if keys.keys() > 1 => (None, keys.one_by_one()),
        one => (Some(one), Vec::new()),
    };
    let each = one.into_iter().chain(many.into_iter().map(Question::LookUp)).zip(key..);
    each.map(move |(question, key)| (Query { id, asker, as_of, passed, key, question }, tick, diff))
}

/// Where a question is answered.
fn place_of(query: &Query) -> Place {
    match &query.question {
        Question::LookUp(key) => key.place().unwrap_or(Place::Everywhere),
        Question::Scan(_) => Place::Everywhere,
    }
}

/// Finds the profile of the identifier that is asked for, and the workers that are to answer.
fn find_profile<'scope>(
    queries: StreamVec<'scope, Tick, Row<Query>>,
    moves: (&ProfilesByKey<'scope, IdentifierId>, HeldTime<'scope>),
) -> StreamVec<'scope, Tick, Row<Routed>> {
    let peers = queries.scope().peers() as u64;
    // The route by which `moves` is arranged.
    let route = |query: &Query| match place_of(query) {
        Place::OfIdentifier(id) => id.hashed(),
        Place::OfProfile(_) | Place::Everywhere => query.id,
    };
    send_on("Find profile", queries, route, moves, move |query, root_of, give| match place_of(&query) {
        Place::OfIdentifier(id) => {
            let root = root_of(&id).unwrap_or(ProfileId::of_root(id));
            give(Routed { query, profile: root, route: root.hashed() });
        }
        Place::OfProfile(profile) => give(Routed { query, profile, route: profile.hashed() }),
        Place::Everywhere => {
            (0..peers).for_each(|route| give(Routed { query: query.clone(), profile: ProfileId::default(), route }));
        }
    })
}

/// Finds the profile that the one that was found is by now. Its parts and its alias are at the same worker.
fn follow_alias<'scope>(
    routed: StreamVec<'scope, Tick, Row<Routed>>,
    aliases: (&ProfilesByKey<'scope, ProfileId>, HeldTime<'scope>),
) -> StreamVec<'scope, Tick, Row<Routed>> {
    let route = |routed: &Routed| routed.route;
    send_on("Follow alias", routed, route, aliases, |routed, end_of, give| {
        let is_of_one = place_of(&routed.query) != Place::Everywhere;
        match is_of_one.then(|| end_of(&routed.profile)).flatten() {
            Some(profile) => give(Routed { profile, route: profile.hashed(), ..routed }),
            None => give(routed),
        }
    })
}

/// Sends questions on, by `logic`, with the profile that a key has in `arranged` at their tick.
fn send_on<'scope, Q: RoutedQuestion, K: ExchangeData>(
    name: &str,
    questions: StreamVec<'scope, Tick, Row<Q>>,
    route: impl Fn(&Q) -> u64 + 'static,
    (arranged, held): (&ProfilesByKey<'scope, K>, HeldTime<'scope>),
    mut logic: impl FnMut(Q, &mut dyn FnMut(&K) -> Option<ProfileId>, &mut dyn FnMut(Routed)) + 'static,
) -> StreamVec<'scope, Tick, Row<Routed>> {
    let exchange = Exchange::new(move |(question, _, _): &Row<Q>| route(question));
    let mut trace = arranged.trace.clone();
    let mut builder = OperatorBuilder::new(name.to_owned(), questions.scope());
    let mut input = builder.new_input(questions, exchange);
    let mut changes = builder.new_input(arranged.stream.clone(), Pipeline);
    let (output, routed) = builder.new_output();
    let mut output = OutputBuilder::<_, UpdatesBuilder<Routed>>::from(output);
    hold(&mut builder, held);
    builder.build(move |_| {
        let mut waiting = WaitingQuestions::default();
        move |frontiers| {
            let Some((held, frontiers)) = frontiers.split_last() else { return };
            let mut withdrawn = Vec::new();
            input.for_each(|capability, data| withdrawn.extend(waiting.take_in(capability.retain_least(0), data)));
            changes.for_each(|_, _| {});
            let mut output = output.activate();
            for (capability, question) in withdrawn {
                let at = *capability.time();
                let mut session = output.session_with_builder(&capability);
                logic(question, &mut |key| value_of(&mut trace, key, at), &mut |routed| session.give((routed, at, -1)));
            }
            for Ready { capability, tick, question } in waiting.ready(frontiers) {
                let at = *capability.time();
                let mut session = output.session_with_builder(&capability);
                logic(question, &mut |key| value_of(&mut trace, key, tick), &mut |routed| {
                    session.give((routed, at, 1))
                });
            }
            let since = waiting.since(frontiers);
            compact(&mut trace, with(&since, held), &since);
        }
    });
    routed
}

/// Answers from what this worker holds.
fn look_up<'scope>(
    routed: StreamVec<'scope, Tick, Row<Routed>>,
    (collections, held): (&Collections<'scope>, HeldTime<'scope>),
    definitions: &Definitions,
) -> StreamVec<'scope, Tick, Row<Answer>> {
    let exchange = Exchange::new(|(routed, _, _): &Row<Routed>| routed.route);
    let mut traces = Traces::of(collections, definitions);
    let mut lists = HeldLists::default();
    let mut builder = OperatorBuilder::new("Look up".to_owned(), routed.scope());
    let mut input = builder.new_input(routed, exchange);
    // These come last of what is read, each on its way: where they are complete, so is the rest.
    let mut members = builder.new_input(collections.members.stream.clone(), Pipeline);
    let mut sizes = builder.new_input(collections.sizes.stream.clone(), Pipeline);
    let mut at_limits = builder.new_input(collections.at_limits.stream.clone(), Pipeline);
    let (output, answers) = builder.new_output();
    let mut output = OutputBuilder::<_, UpdatesBuilder<Answer>>::from(output);
    hold(&mut builder, held);
    builder.build(move |_| {
        let mut waiting = WaitingQuestions::default();
        move |frontiers| {
            let Some((held, frontiers)) = frontiers.split_last() else { return };
            // Of those that are retracted and do not wait here, nobody waits for the answer.
            input.for_each(|capability, data| _ = waiting.take_in(capability.retain_least(0), data));
            members.for_each(|_, _| {});
            sizes.for_each(|_, _| {});
            at_limits.for_each(|_, _| {});
            let mut output = output.activate();
            for Ready { capability, tick, question: routed } in waiting.ready(frontiers) {
                let Query { id, asker, as_of, passed, key, .. } = routed.query;
                lists.passed(passed.unwrap_or_default());
                let found = find(&mut traces, &mut lists, &routed, tick);
                let answer = Answer { id, asker, as_of, key, found };
                output.session_with_builder(&capability).give((answer, *capability.time(), 1));
            }
            let since = waiting.since(frontiers);
            lists.release(|| traces.updates());
            let named = with(&since, held);
            let kept = [Held::Members, Held::Everything]
                .map(|kept| named.iter().copied().chain(lists.oldest(kept)).collect::<Antichain<Tick>>());
            traces.compact(kept, &since);
        }
    });
    answers
}

/// What this worker has to say.
fn find(traces: &mut Traces, lists: &mut HeldLists, routed: &Routed, tick: Tick) -> Found {
    match &routed.query.question {
        Question::LookUp(key) => Found::Row(key.answer(&mut traces.at(tick, routed.profile))),
        Question::Scan(of) => {
            let as_of = match of.list() {
                (ListPage::Only, _) => tick,
                (ListPage::First, held) => {
                    lists.begin(tick, held, traces.updates());
                    tick
                }
                (ListPage::Next(as_of), held) if lists.go_on(as_of, held) => as_of,
                (ListPage::Next(_), _) => return Found::Gone,
            };
            Found::Page(of.answer(&mut traces.at(as_of, routed.profile)))
        }
    }
}

/// The profile that `key` has at `tick`, of those that a trace holds.
fn value_of<K: ExchangeData>(
    trace: &mut TraceAgent<ValSpine<K, ProfileId, Tick, i64>>,
    key: &K,
    tick: Tick,
) -> Option<ProfileId> {
    let (mut cursor, storage) = open(trace);
    cursor.seek_key(&storage, key);
    if cursor.get_key(&storage) != Some(key) {
        return None;
    }
    while let Some(value) = cursor.get_val(&storage) {
        if amount_at(&mut cursor, &storage, tick) > 0 {
            return Some(*value);
        }
        cursor.step_val(&storage);
    }
    None
}
