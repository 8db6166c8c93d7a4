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
use differential_dataflow::difference::{IsZero, Monoid, Semigroup};
use differential_dataflow::hashable::Hashable;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::cursor::{CursorList, cursor_list};
use differential_dataflow::trace::implementations::spine_fueled::SpineBatch;
use differential_dataflow::trace::{BatchCursor, Cursor, Navigable, TraceReader};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Map;
use timely::progress::Antichain;
use timely::progress::frontier::{AntichainRef, MutableAntichain};

use crate::aliases::AliasesTrace;
use crate::audiences::{MembersTrace, SizesTrace};
use crate::batches::ValSpine;
use crate::definitions::{AudienceId, Definitions};
use crate::identity::AtLimitsTrace;
use crate::limits::Limit;
use crate::model::{
    Answer, Derived, Found, IdentifierId, Member, Part, Profile, ProfileId, Query, Question, Record, Setting, Text,
    Tick, Topic, Value, Weight,
};
use crate::operators::visits;
use crate::profiles::{MovesTrace, PartsTrace};
use crate::traits::{DerivedTrace, are_many, together};

mod held;
mod looked_at;
mod waiting;

use held::HeldLists;
use looked_at::{LookStep, LookedAt};
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
type PartsBatch = <PartsTrace as TraceReader>::Batch;
type PartsCursor = (CursorList<BatchCursor<PartsTrace>>, Vec<PartsBatch>);
type UpdatesBuilder<D> = CapacityContainerBuilder<Vec<Row<D>>>;
type ProfilesByKey<'scope, K> = Arranged<'scope, TraceAgent<ValSpine<K, ProfileId, Tick, i64>>>;

/// What questions are answered from.
pub struct ReadSources<'a, 'scope> {
    /// Roots by identifier.
    pub moves: &'a Arranged<'scope, MovesTrace>,
    /// What profiles are by now that are another one.
    pub aliases: &'a Arranged<'scope, AliasesTrace>,
    /// Parts by profile.
    pub parts: &'a Arranged<'scope, PartsTrace>,
    /// What parts there are more, or less, for aliases.
    pub corrections: &'a Arranged<'scope, PartsTrace>,
    /// What is derived, by profile.
    pub derived: &'a Arranged<'scope, DerivedTrace>,
    /// Members by audience.
    pub members: &'a Arranged<'scope, MembersTrace>,
    /// Sizes of audiences.
    pub sizes: &'a Arranged<'scope, SizesTrace>,
    /// Identifiers at a limit.
    pub at_limits: &'a Arranged<'scope, AtLimitsTrace>,
    /// Where time stands still for as long as somebody may ask about it.
    pub held: StreamVec<'scope, Tick, ()>,
}

/// Answers questions.
pub fn answer<'scope>(
    queries: StreamVec<'scope, Tick, Row<Query>>,
    sources: &ReadSources<'_, 'scope>,
    definitions: &Definitions,
) -> StreamVec<'scope, Tick, Row<Answer>> {
    let routed = find_profile(queries.flat_map(one_by_one), sources);
    let routed = follow_alias(routed, sources);
    look_up(routed, sources, definitions)
}

/// A question for several identifiers as a question for each, since each has a worker of its own. Others stay as they are.
fn one_by_one((query, tick, diff): Row<Query>) -> impl Iterator<Item = Row<Query>> {
    let Query { id, asker, as_of, passed, question } = query;
    let (one, many) = match question {
        Question::Consents { purpose, of } => (None, Some((purpose, of))),
        other => (Some(other), None),
    };
    let each = many.into_iter().flat_map(|(purpose, of)| {
        of.into_iter().map(move |of| Question::Consents { purpose: purpose.clone(), of: vec![of] })
    });
    one.into_iter().chain(each).map(move |question| (Query { id, asker, as_of, passed, question }, tick, diff))
}

/// The identifier that a question is about, if it is about one.
fn identifier_of(question: &Question) -> Option<IdentifierId> {
    match question {
        Question::Profile(id) => Some(*id),
        Question::Consents { of, .. } => of.first().copied(),
        Question::Sizes
        | Question::Audit(_)
        | Question::Members { .. }
        | Question::AtLimits(_)
        | Question::Profiles { .. } => None,
    }
}

/// Finds the profile of the identifier that is asked for, and the workers that are to answer.
fn find_profile<'scope>(
    queries: StreamVec<'scope, Tick, Row<Query>>,
    sources: &ReadSources<'_, 'scope>,
) -> StreamVec<'scope, Tick, Row<Routed>> {
    let peers = queries.scope().peers() as u64;
    // The route by which `moves` is arranged.
    let route = |query: &Query| identifier_of(&query.question).map_or(query.id, |id| id.hashed());
    let moves = (sources.moves, sources.held.clone());
    send_on("Find profile", queries, route, moves, move |query, root_of, give| {
        if let Some(id) = identifier_of(&query.question) {
            let root = root_of(&id).unwrap_or(ProfileId::of_root(id));
            give(Routed { query, profile: root, route: root.hashed() });
        } else {
            (0..peers).for_each(|route| give(Routed { query: query.clone(), profile: ProfileId::default(), route }));
        }
    })
}

/// Finds the profile that the one that was found is by now. Its parts and its alias are at the same worker.
fn follow_alias<'scope>(
    routed: StreamVec<'scope, Tick, Row<Routed>>,
    sources: &ReadSources<'_, 'scope>,
) -> StreamVec<'scope, Tick, Row<Routed>> {
    send_on(
        "Follow alias",
        routed,
        |routed: &Routed| routed.route,
        (sources.aliases, sources.held.clone()),
        |routed, end_of, give| {
            let is_of_one = identifier_of(&routed.query.question).is_some();
            match is_of_one.then(|| end_of(&routed.profile)).flatten() {
                Some(profile) => give(Routed { profile, route: profile.hashed(), ..routed }),
                None => give(routed),
            }
        },
    )
}

/// Sends questions on, by `logic`, with the profile that a key has in `arranged` at their tick.
fn send_on<'scope, Q: RoutedQuestion, K: ExchangeData>(
    name: &str,
    questions: StreamVec<'scope, Tick, Row<Q>>,
    route: impl Fn(&Q) -> u64 + 'static,
    (arranged, held): (&ProfilesByKey<'scope, K>, StreamVec<'scope, Tick, ()>),
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
    sources: &ReadSources<'_, 'scope>,
    definitions: &Definitions,
) -> StreamVec<'scope, Tick, Row<Answer>> {
    let exchange = Exchange::new(|(routed, _, _): &Row<Routed>| routed.route);
    let mut traces = TraceReaders {
        parts: sources.parts.trace.clone(),
        corrections: sources.corrections.trace.clone(),
        derived: sources.derived.trace.clone(),
        members: sources.members.trace.clone(),
        sizes: sources.sizes.trace.clone(),
        at_limits: sources.at_limits.trace.clone(),
        audiences: definitions.audiences.len(),
        looked_at: LookedAt::by(&definitions.identity),
        held: HeldLists::default(),
    };
    let mut builder = OperatorBuilder::new("Look up".to_owned(), routed.scope());
    let mut input = builder.new_input(routed, exchange);
    // These come last of what is read, each on its way: where they are complete, so is the rest.
    let mut members = builder.new_input(sources.members.stream.clone(), Pipeline);
    let mut sizes = builder.new_input(sources.sizes.stream.clone(), Pipeline);
    let mut at_limits = builder.new_input(sources.at_limits.stream.clone(), Pipeline);
    let (output, answers) = builder.new_output();
    let mut output = OutputBuilder::<_, UpdatesBuilder<Answer>>::from(output);
    hold(&mut builder, sources.held.clone());
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
                let Query { id, asker, as_of, passed, .. } = routed.query;
                traces.held.passed(passed.unwrap_or_default());
                let found = traces.find(&routed, tick);
                let answer = Answer { id, asker, as_of, found };
                output.session_with_builder(&capability).give((answer, *capability.time(), 1));
            }
            traces.compact(&waiting.since(frontiers), held);
        }
    });
    answers
}

/// What a worker answers from.
struct TraceReaders {
    parts: PartsTrace,
    corrections: PartsTrace,
    derived: DerivedTrace,
    members: MembersTrace,
    sizes: SizesTrace,
    at_limits: AtLimitsTrace,
    audiences: usize,
    looked_at: LookedAt,
    held: HeldLists,
}

impl TraceReaders {
    fn find(&mut self, routed: &Routed, tick: Tick) -> Found {
        match routed.query.question {
            Question::Profile(_) => Found::Profile(self.profile(routed.profile, tick)),
            Question::Consents { ref purpose, ref of } => {
                let decided = self.record(routed.profile, tick).get(&Topic::Consent(purpose.clone()));
                Found::Consents(if decided == Some(Value::Bool(true)) { of.clone() } else { Vec::new() })
            }
            Question::Sizes => Found::Sizes((0..self.audiences).map(|index| self.size(index, tick)).collect()),
            Question::Audit(part) => {
                let audiences = 0..self.audiences;
                let sizes = audiences.clone().map(|index| self.size(index, tick)).collect();
                Found::Audit(
                    sizes,
                    audiences.map(|index| self.members_in(part, AudienceId::new(index), tick)).collect(),
                )
            }
            Question::Members { audience, as_of, after, limit } => {
                if as_of.is_some_and(|as_of| !self.held.go_on(as_of)) {
                    return Found::Gone;
                }
                if as_of.is_none() {
                    let updates = self.updates();
                    self.held.begin(tick, updates);
                }
                let of = as_of.unwrap_or(tick);
                let members = self.members(audience, after, limit, of);
                Found::Members(members.into_iter().filter_map(|id| self.member(id, of)).collect())
            }
            Question::AtLimits(most) => Found::AtLimits(self.at_limits(most, tick)),
            Question::Profiles { after, limit } => {
                let ids = self.profiles(after, limit, tick);
                Found::Profiles(ids.into_iter().filter_map(|id| self.profile(id, tick)).collect())
            }
        }
    }

    /// A cursor over the parts of all profiles, as they are corrected.
    fn all_parts(&mut self) -> PartsCursor {
        let mut batches = all_batches(&mut self.parts);
        batches.extend(all_batches(&mut self.corrections));
        cursor_list(batches)
    }

    /// A cursor over the parts of one profile from `first` on; nothing where it has none.
    fn parts_from(&mut self, id: ProfileId, first: &Part) -> Option<PartsCursor> {
        let mut batches = all_batches(&mut self.parts);
        batches.extend(all_batches(&mut self.corrections));
        // Seeking a value seeks it in all batches, and panics in one that has run out of keys.
        batches.retain(|batch| {
            let mut cursor = batch.cursor();
            cursor.seek_key(batch, &id);
            cursor.get_key(batch) == Some(&id)
        });
        let (mut cursor, storage) = cursor_list(batches);
        cursor.seek_key(&storage, &id);
        cursor.get_key(&storage)?;
        cursor.seek_val(&storage, first);
        Some((cursor, storage))
    }

    /// The identifiers that are looked at, sorted.
    fn identifiers(&mut self, id: ProfileId, tick: Tick) -> Vec<Text> {
        let mut identifiers = Vec::new();
        let Some((mut cursor, storage)) = self.parts_from(id, &Part::Identifier(Text::default())) else {
            return identifiers;
        };
        let mut look = self.looked_at.begin();
        while let Some(Part::Identifier(text)) = cursor.get_val(&storage) {
            let text = text.clone();
            let is_there = !amount_at(&mut cursor, &storage, tick).is_zero();
            let (is_looked_at, step) = look.step(&text, is_there);
            match step {
                LookStep::Next => cursor.step_val(&storage),
                LookStep::Seek(next) => cursor.seek_val(&storage, &Part::Identifier(next)),
                LookStep::Enough => break,
            }
            identifiers.extend(is_looked_at.then_some(text));
        }
        identifiers
    }

    /// What is set, by the latest write to each topic: of the records, or where they are many of what is derived of them.
    fn record(&mut self, id: ProfileId, tick: Tick) -> Record {
        let (mut records, mut count) = (Vec::new(), Weight::zero());
        if let Some((mut cursor, storage)) = self.parts_from(id, &Part::Record(Record::default())) {
            while let Some(Part::Record(record)) = cursor.get_val(&storage) {
                let record = record.clone();
                let amount = amount_at(&mut cursor, &storage, tick);
                if !amount.is_zero() {
                    records.push(record);
                    count.plus_equals(&amount);
                }
                if are_many(count) {
                    return self.settings(id, tick).into_iter().collect();
                }
                cursor.step_val(&storage);
            }
        }
        together(records.iter())
    }

    /// What is derived of many records.
    fn settings(&mut self, id: ProfileId, tick: Tick) -> Vec<Setting> {
        let mut settings = Vec::new();
        self.visit_derived(id, tick, |derived| {
            if let Derived::Setting(setting) = derived {
                settings.push((**setting).clone());
            }
        });
        settings
    }

    fn member(&mut self, id: ProfileId, tick: Tick) -> Option<Member> {
        let identifiers = self.identifiers(id, tick);
        (!identifiers.is_empty()).then_some(Member { id, identifiers })
    }

    fn profile(&mut self, id: ProfileId, tick: Tick) -> Option<Profile> {
        let identifiers = self.identifiers(id, tick);
        if identifiers.is_empty() {
            return None;
        }
        let (mut traits, mut audiences, mut settings) = (Vec::new(), Vec::new(), Vec::new());
        self.visit_derived(id, tick, |derived| match derived {
            Derived::Float(id, bits) => {
                traits.extend(Value::number(f64::from_bits(*bits)).map(|number| (*id, number)));
            }
            Derived::Other(id, value) => traits.push((*id, (**value).clone())),
            Derived::Member(audience) => audiences.push(*audience),
            Derived::Desired(..) => {}
            Derived::Setting(setting) => settings.push((**setting).clone()),
        });
        // Numbers come before others.
        traits.sort_unstable_by_key(|(id, _)| *id);
        let record = if settings.is_empty() { self.record(id, tick) } else { settings.into_iter().collect() };
        Some(Profile { id, identifiers, record, traits, audiences })
    }

    /// Visits what is derived of a profile.
    fn visit_derived(&mut self, id: ProfileId, tick: Tick, mut visit: impl FnMut(&Derived)) {
        let (mut cursor, storage) = open(&mut self.derived);
        cursor.seek_key(&storage, &id);
        if cursor.get_key(&storage) != Some(&id) {
            return;
        }
        while let Some(derived) = cursor.get_val(&storage) {
            if amount_at(&mut cursor, &storage, tick) > 0 {
                visit(derived);
            }
            cursor.step_val(&storage);
        }
    }

    fn size(&mut self, index: usize, tick: Tick) -> u64 {
        let audience = AudienceId::new(index);
        let (mut cursor, storage) = open(&mut self.sizes);
        cursor.seek_key(&storage, &audience);
        if cursor.get_key(&storage) != Some(&audience) {
            return 0;
        }
        amount_at(&mut cursor, &storage, tick).try_into().unwrap_or(0)
    }

    fn members(&mut self, audience: AudienceId, after: Option<ProfileId>, limit: usize, tick: Tick) -> Vec<ProfileId> {
        let mut members = Vec::new();
        self.visit_members(audience, after.unwrap_or_default(), tick, |profile, is_member| {
            if is_member && Some(profile) != after && members.len() < limit {
                members.push(profile);
            }
            members.len() < limit
        });
        members
    }

    /// How many members an audience has in a part of all profiles.
    fn members_in(&mut self, part: u8, audience: AudienceId, tick: Tick) -> u64 {
        let mut count = 0;
        self.visit_members(audience, ProfileId::first_of_part(part), tick, |profile, is_member| {
            count += u64::from(is_member && profile.part() == part);
            profile.part() == part
        });
        count
    }

    /// Visits members of an audience in the order of their ids, from `first` on, as long as `visit` says so; also those who were members
    /// not long ago: they can be many.
    fn visit_members(
        &mut self,
        audience: AudienceId,
        first: ProfileId,
        tick: Tick,
        mut visit: impl FnMut(ProfileId, bool) -> bool,
    ) {
        let mut batches = all_batches(&mut self.members);
        // Seeking a value seeks it in all batches, and panics in one that has run out of keys: only those that have the
        // audience are looked at.
        batches.retain(|batch| {
            let mut cursor = batch.cursor();
            cursor.seek_key(batch, &audience);
            cursor.get_key(batch) == Some(&audience)
        });
        let (mut cursor, storage) = cursor_list(batches);
        cursor.seek_key(&storage, &audience);
        cursor.seek_val(&storage, &first);
        while let Some(profile) = cursor.get_val(&storage).copied() {
            let is_member = amount_at(&mut cursor, &storage, tick) > 0;
            if !visit(profile, is_member) {
                break;
            }
            cursor.step_val(&storage);
        }
    }

    /// The first identifiers at each limit of identity.
    fn at_limits(&mut self, most: usize, tick: Tick) -> Vec<(Limit, IdentifierId)> {
        let mut found = Vec::new();
        let (mut cursor, storage) = open(&mut self.at_limits);
        while let Some(limit) = cursor.get_key(&storage).copied() {
            let mut count = 0;
            while let (true, Some(id)) = (count < most, cursor.get_val(&storage).copied()) {
                if amount_at(&mut cursor, &storage, tick) > 0 {
                    found.push((limit, id));
                    count += 1;
                }
                cursor.step_val(&storage);
            }
            cursor.step_key(&storage);
        }
        found
    }

    fn profiles(&mut self, after: Option<ProfileId>, limit: usize, tick: Tick) -> Vec<ProfileId> {
        let mut profiles = Vec::new();
        let (mut cursor, storage) = self.all_parts();
        if let Some(after) = after {
            cursor.seek_key(&storage, &after);
        }
        while let Some(profile) = cursor.get_key(&storage).filter(|_| profiles.len() < limit) {
            // Every profile has an identifier, and those sort first.
            let mut there = false;
            while let (false, Some(Part::Identifier(_))) = (there, cursor.get_val(&storage)) {
                there = !amount_at(&mut cursor, &storage, tick).is_zero();
                cursor.step_val(&storage);
            }
            if there && Some(*profile) != after {
                profiles.push(*profile);
            }
            cursor.step_key(&storage);
        }
        profiles
    }

    /// Updates in what lists are read from.
    fn updates(&mut self) -> usize {
        updates(&mut self.parts) + updates(&mut self.corrections) + updates(&mut self.members)
    }

    /// Lets go of what cannot be asked about any more, `since` being the earliest tick that a new question can be put at, and `held`
    /// where the earliest is that it can name.
    fn compact(&mut self, since: &Antichain<Tick>, held: &MutableAntichain<Tick>) {
        if self.held.oldest().is_some() {
            let mut held = std::mem::take(&mut self.held);
            held.release(|| self.updates());
            self.held = held;
        }
        let named = with(since, held);
        let of_lists: Antichain<Tick> = named.iter().copied().chain(self.held.oldest()).collect();
        compact(&mut self.parts, of_lists.clone(), since);
        compact(&mut self.corrections, of_lists.clone(), since);
        compact(&mut self.members, of_lists, since);
        compact(&mut self.derived, named.clone(), since);
        compact(&mut self.sizes, named.clone(), since);
        compact(&mut self.at_limits, named, since);
    }
}

/// How many updates a trace holds.
fn updates<Tr: TraceReader<Time = Tick, Batch: SpineBatch>>(trace: &mut Tr) -> usize {
    all_batches(trace).iter().map(SpineBatch::len).sum()
}

/// A cursor over all that a trace holds.
fn open<Tr>(trace: &mut Tr) -> (CursorList<BatchCursor<Tr>>, Vec<Tr::Batch>)
where
    Tr: TraceReader<Time = Tick, Batch: Navigable>,
{
    cursor_list(all_batches(trace))
}

/// All that a trace holds.
fn all_batches<Tr: TraceReader<Time = Tick>>(trace: &mut Tr) -> Vec<Tr::Batch> {
    // No upper bound: every batch is within it, so there always is a clean cut.
    trace.batches_through(AntichainRef::new(&[])).unwrap_or_default()
}

/// How many times what is under the cursor is there at `tick`.
fn amount_at<C, R>(cursor: &mut C, storage: &C::Storage, tick: Tick) -> R
where
    C: for<'a> Cursor<Time = Tick, TimeGat<'a> = &'a Tick, DiffGat<'a> = &'a R>,
    R: Monoid,
{
    visits::count();
    let mut amount = R::zero();
    cursor.map_times(storage, |time, diff| {
        if *time <= tick {
            amount.plus_equals(diff);
        }
    });
    amount
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

/// Lets a trace forget what can no longer be asked about: times before `times` are one. Batches of ticks before `batches` may be
/// merged all the same: what is read is always all of them.
fn compact<Tr: TraceReader<Time = Tick>>(trace: &mut Tr, times: Antichain<Tick>, batches: &Antichain<Tick>) {
    trace.set_logical_compaction(times.borrow());
    trace.set_physical_compaction(batches.borrow());
}
