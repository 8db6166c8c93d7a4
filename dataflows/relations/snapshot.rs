//! What one worker holds, as of a tick.

use std::rc::Rc;

use differential_dataflow::difference::{IsZero, Monoid, Semigroup};
use differential_dataflow::trace::cursor::{CursorList, cursor_list};
use differential_dataflow::trace::implementations::spine_fueled::SpineBatch;
use differential_dataflow::trace::{BatchCursor, Cursor, Navigable, TraceReader};
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::Collections;
use super::looked_at::{LookStep, LookedAt};
use crate::audiences::{MembersTrace, SizesTrace};
use crate::definitions::{AudienceId, Definitions};
use crate::identity::AtLimitsTrace;
use crate::limits::Limit;
use crate::model::{Derived, IdentifierId, Part, Profile, ProfileId, Record, Setting, Text, Tick, Value, Weight};
use crate::operators::visits;
use crate::profiles::PartsTrace;
use crate::traits::{DerivedTrace, are_many, together};

type PartsBatch = <PartsTrace as TraceReader>::Batch;
type PartsCursor = (CursorList<BatchCursor<PartsTrace>>, Vec<PartsBatch>);

/// What relations are read from on one worker: the past of each collection, back to where it is kept.
pub(crate) struct Traces {
    parts: PartsTrace,
    corrections: PartsTrace,
    derived: DerivedTrace,
    members: MembersTrace,
    sizes: SizesTrace,
    at_limits: AtLimitsTrace,
    audiences: usize,
    looked_at: Rc<LookedAt>,
    /// Updates that were looked at so far.
    visits: usize,
}

/// What one worker holds, as of a tick. Its rows are those of the profiles that it holds; sizes are its share.
pub struct Snapshot<'t> {
    traces: &'t mut Traces,
    tick: Tick,
    profile: ProfileId,
}

impl Traces {
    /// Those of these collections.
    pub fn of(collections: &Collections<'_>, definitions: &Definitions) -> Self {
        Traces {
            parts: collections.parts.trace.clone(),
            corrections: collections.corrections.trace.clone(),
            derived: collections.derived.trace.clone(),
            members: collections.members.trace.clone(),
            sizes: collections.sizes.trace.clone(),
            at_limits: collections.at_limits.trace.clone(),
            audiences: definitions.audiences.len(),
            looked_at: Rc::new(LookedAt::by(&definitions.identity)),
            visits: 0,
        }
    }

    /// All as of a tick, for a question that led to this profile.
    pub fn at(&mut self, tick: Tick, profile: ProfileId) -> Snapshot<'_> {
        Snapshot { traces: self, tick, profile }
    }

    /// Updates in what lists of members are read from, and in everything.
    pub fn updates(&mut self) -> [usize; 2] {
        let of_members = updates(&mut self.parts) + updates(&mut self.corrections) + updates(&mut self.members);
        let others = updates(&mut self.derived) + updates(&mut self.sizes) + updates(&mut self.at_limits);
        [of_members, of_members + others]
    }

    /// Lets go of what cannot be asked about any more: of what lists of members are read from before the first of these times, of the rest
    /// before the second. `since` is the earliest tick that a new question can be put at.
    pub fn compact(&mut self, [of_members, others]: [Antichain<Tick>; 2], since: &Antichain<Tick>) {
        compact(&mut self.parts, of_members.clone(), since);
        compact(&mut self.corrections, of_members.clone(), since);
        compact(&mut self.members, of_members, since);
        compact(&mut self.derived, others.clone(), since);
        compact(&mut self.sizes, others.clone(), since);
        compact(&mut self.at_limits, others, since);
    }
}

impl Snapshot<'_> {
    /// The profile that the question led to.
    pub fn profile(&self) -> ProfileId {
        self.profile
    }

    /// How many updates have been looked at, ever.
    pub fn visits(&self) -> usize {
        self.traces.visits
    }

    /// How many audiences there are.
    pub fn audiences(&self) -> usize {
        self.traces.audiences
    }

    /// How many times what is under the cursor is there.
    fn amount<C, R>(&mut self, cursor: &mut C, storage: &C::Storage) -> R
    where
        C: for<'a> Cursor<Time = Tick, TimeGat<'a> = &'a Tick, DiffGat<'a> = &'a R>,
        R: Monoid,
    {
        self.traces.visits += 1;
        amount_at(cursor, storage, self.tick)
    }

    /// A cursor over the parts of all profiles, as they are corrected.
    fn all_parts(&mut self) -> PartsCursor {
        let mut batches = all_batches(&mut self.traces.parts);
        batches.extend(all_batches(&mut self.traces.corrections));
        cursor_list(batches)
    }

    /// A cursor over the parts of one profile from `first` on; nothing where it has none.
    fn parts_from(&mut self, id: ProfileId, first: &Part) -> Option<PartsCursor> {
        let mut batches = all_batches(&mut self.traces.parts);
        batches.extend(all_batches(&mut self.traces.corrections));
        let (mut cursor, storage) = of_key(batches, &id);
        cursor.get_key(&storage)?;
        cursor.seek_val(&storage, first);
        Some((cursor, storage))
    }

    /// Visits the profiles that this worker holds or held, in the order of their ids, from `first` on, as long as `visit` says so.
    pub fn visit_profiles(&mut self, first: Option<ProfileId>, visit: impl FnMut(&mut Self, ProfileId) -> bool) {
        let parts = self.all_parts();
        self.visit_keys(parts, first, visit);
    }

    fn visit_keys<B>(
        &mut self,
        (mut cursor, storage): (CursorList<B::Cursor>, Vec<B>),
        first: Option<ProfileId>,
        mut visit: impl FnMut(&mut Self, ProfileId) -> bool,
    ) where
        B: Navigable,
        B::Cursor: for<'a> Cursor<Key<'a> = &'a ProfileId>,
    {
        if let Some(first) = first {
            cursor.seek_key(&storage, &first);
        }
        while let Some(profile) = cursor.get_key(&storage).copied() {
            if !visit(self, profile) {
                break;
            }
            cursor.step_key(&storage);
        }
    }

    /// Visits all identifiers that a profile has or had, sorted, from `first` on, as long as `visit` says so. Says whether it still does.
    pub fn visit_identifiers(
        &mut self,
        id: ProfileId,
        first: Text,
        mut visit: impl FnMut(&mut Self, &Text, bool) -> bool,
    ) -> bool {
        let Some((mut cursor, storage)) = self.parts_from(id, &Part::Identifier(first)) else { return true };
        while let Some(Part::Identifier(text)) = cursor.get_val(&storage) {
            let text = text.clone();
            let amount: Weight = self.amount(&mut cursor, &storage);
            if !visit(self, &text, !amount.is_zero()) {
                return false;
            }
            cursor.step_val(&storage);
        }
        true
    }

    /// The identifiers of a profile that are shown, sorted: of people with very many not all of them.
    pub fn identifiers(&mut self, id: ProfileId) -> Vec<Text> {
        let mut identifiers = Vec::new();
        let Some((mut cursor, storage)) = self.parts_from(id, &Part::Identifier(Text::default())) else {
            return identifiers;
        };
        let looked_at = self.traces.looked_at.clone();
        let mut look = looked_at.begin();
        while let Some(Part::Identifier(text)) = cursor.get_val(&storage) {
            let text = text.clone();
            let amount: Weight = self.amount(&mut cursor, &storage);
            let (is_looked_at, step) = look.step(&text, !amount.is_zero());
            match step {
                LookStep::Next => cursor.step_val(&storage),
                LookStep::Seek(next) => cursor.seek_val(&storage, &Part::Identifier(next)),
                LookStep::Enough => break,
            }
            identifiers.extend(is_looked_at.then_some(text));
        }
        identifiers
    }

    /// What is set of a profile, by the latest write to each topic: of the records, or where they are many of what is derived of them.
    pub fn record(&mut self, id: ProfileId) -> Record {
        let (mut records, mut count) = (Vec::new(), Weight::zero());
        if let Some((mut cursor, storage)) = self.parts_from(id, &Part::Record(Record::default())) {
            while let Some(Part::Record(record)) = cursor.get_val(&storage) {
                let record = record.clone();
                let amount: Weight = self.amount(&mut cursor, &storage);
                if !amount.is_zero() {
                    records.push(record);
                    count.plus_equals(&amount);
                }
                if are_many(count) {
                    return self.settings(id).into_iter().collect();
                }
                cursor.step_val(&storage);
            }
        }
        together(records.iter())
    }

    /// What is derived of many records.
    fn settings(&mut self, id: ProfileId) -> Vec<Setting> {
        let mut settings = Vec::new();
        self.visit_derived(id, |derived| {
            if let Derived::Setting(setting) = derived {
                settings.push((**setting).clone());
            }
        });
        settings
    }

    /// All that is known of a person; nothing where there is no such profile.
    pub fn person(&mut self, id: ProfileId) -> Option<Profile> {
        let identifiers = self.identifiers(id);
        if identifiers.is_empty() {
            return None;
        }
        let (mut traits, mut audiences, mut settings) = (Vec::new(), Vec::new(), Vec::new());
        self.visit_derived(id, |derived| match derived {
            Derived::Float(id, bits) => {
                traits.extend(Value::number(f64::from_bits(*bits)).map(|number| (*id, number)));
            }
            Derived::Other(id, value) => traits.push((*id, (**value).clone())),
            Derived::Member(audience) => audiences.push(*audience),
            Derived::Desired(..)
            | Derived::AtLimit(_)
            | Derived::Fires(_)
            | Derived::Waits(_)
            | Derived::Refused(_)
            | Derived::Limited(_)
            | Derived::Crossing(_) => {}
            Derived::Setting(setting) => settings.push((**setting).clone()),
        });
        // Numbers come before others.
        traits.sort_unstable_by_key(|(id, _)| *id);
        let record = if settings.is_empty() { self.record(id) } else { settings.into_iter().collect() };
        Some(Profile { id, identifiers, record, traits, audiences })
    }

    /// Visits the profiles of which anything is or was derived, in the order of their ids, from `first` on, as long as `visit` says so.
    pub fn visit_derived_profiles(
        &mut self,
        first: Option<ProfileId>,
        visit: impl FnMut(&mut Self, ProfileId) -> bool,
    ) {
        let derived = open(&mut self.traces.derived);
        self.visit_keys(derived, first, visit);
    }

    /// Visits what is derived of a profile, sorted.
    pub fn visit_derived(&mut self, id: ProfileId, mut visit: impl FnMut(&Derived)) {
        let (mut cursor, storage) = open(&mut self.traces.derived);
        cursor.seek_key(&storage, &id);
        if cursor.get_key(&storage) != Some(&id) {
            return;
        }
        while let Some(derived) = cursor.get_val(&storage) {
            let amount: i64 = self.amount(&mut cursor, &storage);
            if amount > 0 {
                visit(derived);
            }
            cursor.step_val(&storage);
        }
    }

    /// This worker's share of the size of an audience.
    pub fn size(&mut self, audience: AudienceId) -> u64 {
        let (mut cursor, storage) = open(&mut self.traces.sizes);
        cursor.seek_key(&storage, &audience);
        if cursor.get_key(&storage) != Some(&audience) {
            return 0;
        }
        let amount: i64 = self.amount(&mut cursor, &storage);
        amount.try_into().unwrap_or(0)
    }

    /// Whether a profile of this worker is in an audience.
    pub fn is_member(&mut self, audience: AudienceId, profile: ProfileId) -> bool {
        let mut is_there = false;
        self.visit_members(audience, profile, |_, id, is_member| {
            is_there = is_member && id == profile;
            false
        });
        is_there
    }

    /// How many members an audience has in a part of all profiles.
    pub fn members_in(&mut self, part: u8, audience: AudienceId) -> u64 {
        let mut count = 0;
        self.visit_members(audience, ProfileId::first_of_part(part), |_, profile, is_member| {
            count += u64::from(is_member && profile.part() == part);
            profile.part() == part
        });
        count
    }

    /// Visits the members of all audiences, in the order of (audience, profile), from `first` on, as long as `visit` says so; also those who
    /// were members not long ago: they can be many.
    pub fn visit_memberships(
        &mut self,
        first: Option<(AudienceId, ProfileId)>,
        mut visit: impl FnMut(&mut Self, (AudienceId, ProfileId), bool) -> bool,
    ) {
        let (first, mut from) = first.unwrap_or((AudienceId::new(0), ProfileId::default()));
        for audience in (first.index()..self.audiences()).map(AudienceId::new) {
            let mut goes_on = true;
            self.visit_members(audience, std::mem::take(&mut from), |at, profile, is_member| {
                goes_on = visit(at, (audience, profile), is_member);
                goes_on
            });
            if !goes_on {
                break;
            }
        }
    }

    fn visit_members(
        &mut self,
        audience: AudienceId,
        first: ProfileId,
        mut visit: impl FnMut(&mut Self, ProfileId, bool) -> bool,
    ) {
        let (mut cursor, storage) = of_key(all_batches(&mut self.traces.members), &audience);
        if cursor.get_key(&storage).is_none() {
            return;
        }
        cursor.seek_val(&storage, &first);
        while let Some(profile) = cursor.get_val(&storage).copied() {
            let amount: i64 = self.amount(&mut cursor, &storage);
            if !visit(self, profile, amount > 0) {
                break;
            }
            cursor.step_val(&storage);
        }
    }

    /// Visits the identifiers that are or were at a limit of identity, in the order of (limit, identifier), from `first` on, as long as
    /// `visit` says so.
    pub fn visit_at_limits(
        &mut self,
        first: Option<(Limit, IdentifierId)>,
        mut visit: impl FnMut(&mut Self, (Limit, IdentifierId), bool) -> bool,
    ) {
        let from = |limit: Limit| first.filter(|(first, _)| *first == limit).map(|(_, id)| id).unwrap_or_default();
        let limits = Limit::OF_IDENTITY.into_iter().filter(|limit| first.is_none_or(|(first, _)| *limit >= first));
        for limit in limits {
            let (mut cursor, storage) = of_key(all_batches(&mut self.traces.at_limits), &limit);
            if cursor.get_key(&storage).is_none() {
                continue;
            }
            cursor.seek_val(&storage, &from(limit));
            while let Some(id) = cursor.get_val(&storage).copied() {
                let amount: i64 = self.amount(&mut cursor, &storage);
                if !visit(self, (limit, id), amount > 0) {
                    return;
                }
                cursor.step_val(&storage);
            }
        }
    }
}

/// A cursor over the values of one key; over nothing where no batch has it.
///
/// Seeking a value seeks it in all batches, and panics in one that has run out of keys: so only those that have the key are looked at.
fn of_key<B, K>(mut batches: Vec<B>, key: &K) -> (CursorList<B::Cursor>, Vec<B>)
where
    B: Navigable,
    B::Cursor: for<'a> Cursor<Key<'a> = &'a K>,
    K: Ord + 'static,
{
    batches.retain(|batch| {
        let mut cursor = batch.cursor();
        cursor.seek_key(batch, key);
        cursor.get_key(batch) == Some(key)
    });
    let (mut cursor, storage) = cursor_list(batches);
    cursor.seek_key(&storage, key);
    (cursor, storage)
}

/// How many updates a trace holds.
fn updates<Tr: TraceReader<Time = Tick, Batch: SpineBatch>>(trace: &mut Tr) -> usize {
    all_batches(trace).iter().map(SpineBatch::len).sum()
}

/// A cursor over all that a trace holds.
pub(crate) fn open<Tr>(trace: &mut Tr) -> (CursorList<BatchCursor<Tr>>, Vec<Tr::Batch>)
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
pub(crate) fn amount_at<C, R>(cursor: &mut C, storage: &C::Storage, tick: Tick) -> R
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

/// Lets a trace forget what can no longer be asked about: times before `times` are one. Batches of ticks before `batches` may be
/// merged all the same: what is read is always all of them.
pub(crate) fn compact<Tr: TraceReader<Time = Tick>>(trace: &mut Tr, times: Antichain<Tick>, batches: &Antichain<Tick>) {
    trace.set_logical_compaction(times.borrow());
    trace.set_physical_compaction(batches.borrow());
}
