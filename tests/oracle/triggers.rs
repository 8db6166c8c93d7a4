//! What triggers fire (docs/concepts/triggers.md), tick after tick, from all that has arrived until then.
//!
//! At each tick at which anything can be due, all occurrences of everybody are listed anew. What is remembered from tick to tick is only what
//! the page says of time itself: what was decided, what fired and is not in the log, and what waits for that.
//!
//! Where the page leaves it open, this is how it is read:
//!
//! - An occurrence is told by its last event. So a session is decided when it is due, or when its last event arrives; another event that comes
//!   late does not have it decided once more.
//! - What waits is looked for once more when it is decided. Where nothing of it is left, it is as it was.
//! - Where a person loses an identifier, the state before has nothing of what arrives then; the time is that tick's all the same. Nobody waits
//!   for what fired before that: it is as if it were in the log.
//! - Firings are among all events (`*`) nowhere.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::definitions::{
    Definitions, FiringLimit, IdentityRules, Measure, MeasureId, MeasureShape, Occasion, OccurrenceTerm, PersonTerm,
    SequenceEnd, Trigger, TriggerId, TriggerRoutes,
};
use dataflows::model::{
    Event, EventName, EventOrder, EventSpan, Firing, IdentifierId, Identifiers, Position, ProfileId, Text, Tick, Value,
};

use super::crossings::{OracleCrowd, crossings};
use super::expression::{evaluate, is_true};
use super::measures::{counts, event_term, is_named};
use super::person::{AskedPerson, OraclePerson};
use super::records::firing_record;
use super::sequences::{OracleCompletion, completed};
use super::sessions::{FoundStretch, all_sessions, asked, ended_events, with_ended};
use super::ticks::ticks_of_change;
use super::{OraclePeople, arrived};

/// What is decided at one tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TickDecisions {
    /// What fires.
    pub fires: BTreeSet<Firing>,
    /// The records that came then and are not to be sent.
    pub refused: BTreeSet<Position>,
}

impl TickDecisions {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.fires.is_empty() && self.refused.is_empty()
    }
}

/// One trigger, and one person.
type OfWhom = (TriggerId, ProfileId);

/// Decides tick after tick.
pub struct TriggerOracle<'d> {
    definitions: &'d Definitions,
    /// What fired and is not in the log yet, where others may wait for that, each with when it was decided.
    open: BTreeMap<OfWhom, Vec<(Tick, Firing)>>,
    /// What waits, as it was when it would have been decided.
    waiting: BTreeMap<OfWhom, Vec<OracleOccurrence<'d>>>,
    /// The completions that were decided.
    decided: BTreeSet<(OfWhom, EventOrder)>,
    /// Whose identifiers were at the tick before.
    owners: BTreeMap<Text, ProfileId>,
    /// Everybody at the tick before, where it is told who enters and leaves.
    crowd: OracleCrowd,
}

/// An occurrence of one person.
struct OracleOccurrence<'d> {
    /// When it is due.
    due: Tick,
    /// When it is decided, unless it has to wait.
    at: Tick,
    /// Its last event.
    last: EventOrder,
    of: OccurrenceOf<'d>,
}

/// What it is an occurrence of.
enum OccurrenceOf<'d> {
    /// An event, of which this is known.
    Event(Vec<Option<Value>>),
    Session(FoundStretch<'d>),
    Completion(OracleCompletion<'d>),
}

impl OracleOccurrence<'_> {
    /// The first to the last event, where it is not over by a firing.
    fn span(&self, records: &[RecordedFiring]) -> Option<EventSpan> {
        let last = self.last;
        let same = self.same();
        let of_same = || records.iter().filter(|record| record.same == same);
        let is_spent = |order: EventOrder| of_same().any(|record| record.span.contains(order));
        let first = match &self.of {
            OccurrenceOf::Event(_) => last,
            OccurrenceOf::Session(session) => {
                let first = session.orders[0];
                let is_apart = |record: &RecordedFiring| record.span.last < first || last < record.span.first;
                if !of_same().all(is_apart) {
                    return None;
                }
                first
            }
            OccurrenceOf::Completion(completion) => completion.begins(&is_spent)?,
        };
        (!is_spent(last)).then_some(EventSpan { first, last })
    }

    /// What is the same of all its events, where that is asked for; or the identifier whose session it is, where each has its own.
    fn same(&self) -> Option<Value> {
        match &self.of {
            OccurrenceOf::Event(_) => None,
            OccurrenceOf::Session(session) => session.owner.map(|owner| Value::text(&owner.to_string())),
            OccurrenceOf::Completion(completion) => completion.same().cloned(),
        }
    }
}

/// A firing that a person has on record.
struct RecordedFiring {
    arrival: Tick,
    decided: Tick,
    position: Position,
    span: EventSpan,
    same: Option<Value>,
}

impl<'d> TriggerOracle<'d> {
    /// Before anything has happened.
    pub fn new(definitions: &'d Definitions) -> Self {
        TriggerOracle {
            definitions,
            open: BTreeMap::new(),
            waiting: BTreeMap::new(),
            decided: BTreeSet::new(),
            owners: BTreeMap::new(),
            crowd: OracleCrowd::default(),
        }
    }

    /// What is decided at a tick, which is after those before. There has to be one for each of [`trigger_ticks`], and one when a wait ends.
    pub fn decide(&mut self, history: &[(Tick, Event)], now: Tick) -> TickDecisions {
        let mut decisions = TickDecisions::default();
        let before = arrived(history, now.before());
        let history = arrived(history, now);
        let everybody = OraclePeople::of(self.definitions, &history);
        decisions.fires.extend(crossings(self.definitions, &mut self.crowd, &everybody, now));
        let OraclePeople { people, owners, .. } = everybody;
        self.stop_waiting(&before, &owners, now, &mut decisions);
        let by_measures = self.definitions.triggers.iter().enumerate().filter(|(_, trigger)| !trigger.on.is_crossing());
        for (place, trigger) in by_measures {
            let id = TriggerId::new(place);
            for (profile, person) in &people {
                let of_whom = (id, *profile);
                let records = recorded(self.definitions, trigger, person, now);
                decisions.refused.extend(refused(self.definitions, trigger, &records, now));
                let is_over = |(tick, firing): &(Tick, Firing)| {
                    now >= wait_ends(trigger, (*tick, firing)) || is_in_the_log(trigger, (*tick, firing.span), &history)
                };
                if let Some(open) = self.open.get_mut(&of_whom) {
                    open.retain(|one| !is_over(one));
                }
                let mut undecided = self.waiting.remove(&of_whom).unwrap_or_default();
                undecided.extend(occurrences(self.definitions, trigger, (person, now)));
                undecided.sort_by_key(|one| (one.at, one.last));
                if undecided.is_empty() {
                    continue;
                }
                let asked = person.asked(self.definitions, *profile, now);
                for occurrence in undecided {
                    if self.open.get(&of_whom).is_some_and(|open| !open.is_empty()) {
                        self.waiting.entry(of_whom).or_default().push(occurrence);
                        continue;
                    }
                    let is_completion = matches!(occurrence.of, OccurrenceOf::Completion(_));
                    if is_completion && !self.decided.insert((of_whom, occurrence.last)) {
                        continue;
                    }
                    let occurrence = if occurrence.at == now {
                        Some(occurrence)
                    } else {
                        as_it_is(self.definitions, trigger, occurrence, (person, now))
                    };
                    let Some(occurrence) = occurrence else { continue };
                    if let Some(firing) = fires(self.definitions, id, &occurrence, (&asked, now), &records, person) {
                        self.fire(of_whom, now, firing, &mut decisions);
                    }
                }
            }
        }
        self.owners = owners;
        decisions
    }

    /// It fires; others wait for that where it is not too late for a record.
    fn fire(&mut self, of_whom: OfWhom, now: Tick, firing: Firing, decisions: &mut TickDecisions) {
        let trigger = &self.definitions.triggers[of_whom.0.index()];
        if firing.due.after_ms(trigger.max_lateness_ms) > now {
            self.open.entry(of_whom).or_default().push((now, firing.clone()));
        }
        decisions.fires.insert(firing);
    }

    /// When the wait for a firing that is not in the log ends at the latest.
    pub fn waits_end(&self) -> impl Iterator<Item = Tick> {
        let of = |trigger: &TriggerId| &self.definitions.triggers[trigger.index()];
        let each = self.open.iter().flat_map(|((trigger, _), open)| open.iter().map(move |one| (trigger, one)));
        each.map(move |(trigger, (tick, firing))| wait_ends(of(trigger), (*tick, firing)))
    }

    /// Decides what waits of people who lose an identifier at this tick, by what had arrived before it.
    fn stop_waiting(
        &mut self,
        before: &[(Tick, Event)],
        owners: &BTreeMap<Text, ProfileId>,
        now: Tick,
        decisions: &mut TickDecisions,
    ) {
        let is_lost = |(identifier, owner): &(&Text, &ProfileId)| owners.get(*identifier) != Some(*owner);
        let losers: BTreeSet<ProfileId> = self.owners.iter().filter(is_lost).map(|(_, owner)| *owner).collect();
        let mut open: BTreeMap<OfWhom, Vec<(Tick, Firing)>> =
            self.open.extract_if(.., |(_, profile), _| losers.contains(profile)).collect();
        let waiting: Vec<(OfWhom, Vec<OracleOccurrence<'d>>)> =
            self.waiting.extract_if(.., |(_, profile), _| losers.contains(profile)).collect();
        if waiting.is_empty() {
            return;
        }
        let OraclePeople { people, .. } = OraclePeople::of(self.definitions, before);
        for (of_whom, mut undecided) in waiting {
            let (id, profile) = of_whom;
            let trigger = &self.definitions.triggers[id.index()];
            // What fired and is not in the log, each with when it was decided.
            let mut fired = open.remove(&of_whom).unwrap_or_default();
            undecided.sort_by_key(|one| (one.at, one.last));
            for occurrence in undecided {
                let is_completion = matches!(occurrence.of, OccurrenceOf::Completion(_));
                if is_completion && !self.decided.insert((of_whom, occurrence.last)) {
                    continue;
                }
                // As if it were, with records that have come now.
                let records: Vec<Event> = (0..)
                    .zip(&fired)
                    .map(|(index, (decided, firing))| {
                        let position = Position { tick: now, process: u16::MAX, index };
                        let identifiers = holder(&people[&profile], &firing.holder);
                        firing_record(self.definitions, firing, (*decided, position), identifiers)
                    })
                    .collect();
                let mut person = people[&profile].clone();
                person.events.extend(records.iter().map(|record| {
                    let holder = record.identifiers.iter().next().expect("it is of somebody");
                    (now, record, holder.id())
                }));
                let Some(occurrence) = as_it_is(self.definitions, trigger, occurrence, (&person, now)) else {
                    continue;
                };
                let recorded = recorded(self.definitions, trigger, &person, now);
                let asked = person.asked(self.definitions, profile, now);
                if let Some(firing) = fires(self.definitions, id, &occurrence, (&asked, now), &recorded, &person) {
                    fired.push((now, firing.clone()));
                    self.fire(of_whom, now, firing, decisions);
                }
            }
        }
    }
}

/// The identifier of a person that has this text, as events carry it.
fn holder(person: &OraclePerson<'_>, text: &Text) -> Identifiers {
    let mut carried = person.events.iter().flat_map(|(_, event, _)| event.identifiers.iter());
    let found = carried.find(|one| one.text() == text).expect("some event has carried it");
    Identifiers::new([found.clone()].into(), 0)
}

/// The ticks at which something can be decided, but for the ends of waits.
pub fn trigger_ticks(definitions: &Definitions, history: &[(Tick, Event)]) -> BTreeSet<Tick> {
    let by_measures = definitions.triggers.iter().filter(|trigger| !trigger.on.is_crossing());
    let afters: BTreeSet<u64> = by_measures.clone().flat_map(|trigger| afters_ms(definitions, trigger)).collect();
    let of_event = |(arrival, event): &(Tick, Event)| {
        let at = event.timestamp.min(*arrival);
        let dues = afters.iter().map(move |after_ms| at.after_ms(*after_ms));
        dues.chain([*arrival]).collect::<Vec<_>>()
    };
    let first = history.iter().map(|(arrival, _)| *arrival).min().unwrap_or_default();
    let mut ticks: BTreeSet<Tick> = history.iter().flat_map(of_event).filter(|tick| *tick >= first).collect();
    // Whatever changes may have somebody enter or leave.
    if by_measures.count() < definitions.triggers.len() {
        ticks.extend(ticks_of_change(definitions, history));
    }
    ticks
}

/// How long after an event an occurrence may be due of which it is, or the session that it ends is, the last event.
fn afters_ms(definitions: &Definitions, trigger: &Trigger) -> Vec<u64> {
    let after_ms = trigger.wait_ms + after_last_ms(definitions, trigger);
    let gap_ms = |id: MeasureId| definitions.measures[id.index()].shape.session().expect("it is a session").gap_ms;
    let ended = &of_trigger(definitions, trigger).ended;
    [after_ms].into_iter().chain(ended.iter().map(|ended| gap_ms(ended.session) + after_ms)).collect()
}

/// How long after its last event an occurrence is due without any `wait`.
fn after_last_ms(definitions: &Definitions, trigger: &Trigger) -> u64 {
    match &of_trigger(definitions, trigger).shape {
        MeasureShape::Session(session) => session.gap_ms,
        MeasureShape::Sequence(sequence) => match sequence.end {
            SequenceEnd::Absent(_, wait_ms) => wait_ms,
            SequenceEnd::Match => 0,
            SequenceEnd::Dropped(..) => panic!("nobody has completed that"),
        },
        _ => 0,
    }
}

/// The measure that a trigger is on.
fn of_trigger<'d>(definitions: &'d Definitions, trigger: &Trigger) -> &'d Measure {
    let measure = trigger.on.measure().expect("it is on no schedule");
    &definitions.measures[measure.index()]
}

/// When nobody waits any more for the record of what was decided at a tick: it would be too late.
fn wait_ends(trigger: &Trigger, (decided, firing): (Tick, &Firing)) -> Tick {
    firing.due.after_ms(trigger.max_lateness_ms).max(decided.next())
}

/// The name of the records of a trigger.
fn name_of_records(trigger: &Trigger) -> EventName {
    EventName::of_derived(&format!("{} fired", trigger.name))
}

/// Whether what was decided at a tick has a record.
fn is_in_the_log(trigger: &Trigger, (decided, span): (Tick, EventSpan), history: &[(Tick, Event)]) -> bool {
    let is_it = |event: &Event| {
        let says_span = event.fields.iter().any(|(_, value)| *value == Value::text(&span.to_string()));
        event.name == name_of_records(trigger) && event.timestamp == decided && says_span
    };
    history.iter().any(|(_, event)| is_it(event))
}

/// The firings of a person that count at `now`, in the order of the log.
fn recorded(definitions: &Definitions, trigger: &Trigger, person: &OraclePerson<'_>, now: Tick) -> Vec<RecordedFiring> {
    let measure = &definitions.measures[trigger.firings.expect("it has firings").index()];
    let MeasureShape::Events(values) = &measure.shape else { panic!("firings are events") };
    let of_event = |(arrival, event, holder): &(Tick, &Event, IdentifierId)| {
        let is_firing = event.name == name_of_records(trigger)
            && counts(measure.within.as_ref(), *holder, *arrival, event.timestamp, now);
        let value = |index: usize| evaluate(&values[index], &|term| event_term(definitions, event, term));
        let span = value(0).and_then(Value::into_text).filter(|_| is_firing)?.parse().ok()?;
        let (decided, position) = (event.timestamp, event.position);
        Some(RecordedFiring { arrival: *arrival, decided, position, span, same: value(1) })
    };
    let mut records: Vec<RecordedFiring> = person.events.iter().filter_map(of_event).collect();
    records.sort_by_key(|record| record.position);
    records
}

/// The records that came at `now` and are not to be sent: others came before them.
fn refused(definitions: &Definitions, trigger: &Trigger, records: &[RecordedFiring], now: Tick) -> Vec<Position> {
    let is_of_sessions = of_trigger(definitions, trigger).shape.session().is_some();
    let is_refused = |(place, record): &(usize, &RecordedFiring)| {
        let before = &records[..*place];
        let EventSpan { first, last } = record.span;
        let is_within = |earlier: &RecordedFiring| {
            earlier.same == record.same
                && (is_of_sessions && earlier.span.overlaps(&record.span)
                    || earlier.span.contains(first)
                    || earlier.span.contains(last))
        };
        let is_one_too_many = trigger.at_most.is_some_and(|limit| {
            let counts = |other: &&RecordedFiring| other.decided.after_ms(limit.period_ms) > record.decided;
            before.iter().filter(counts).count() >= limit.count as usize
        });
        record.arrival == now && (before.iter().any(is_within) || is_one_too_many)
    };
    records.iter().enumerate().filter(is_refused).map(|(_, record)| record.position).collect()
}

/// Whether one more is no more than there may be.
fn is_below(limit: FiringLimit, records: &[RecordedFiring], now: Tick) -> bool {
    let is_recent = |record: &&RecordedFiring| record.decided.after_ms(limit.period_ms) > now;
    records.iter().filter(is_recent).count() < limit.count as usize
}

/// The occurrences of a person that are to be decided at `now`, unless they have to wait.
fn occurrences<'d>(
    definitions: &'d Definitions,
    trigger: &'d Trigger,
    (person, now): (&OraclePerson<'_>, Tick),
) -> Vec<OracleOccurrence<'d>> {
    let measure = of_trigger(definitions, trigger);
    let due = |last: EventOrder| last.at.after_ms(after_last_ms(definitions, trigger) + trigger.wait_ms);
    let mut occurrences: Vec<OracleOccurrence<'d>> = Vec::new();
    match trigger.on {
        Occasion::Event(_) => {
            let MeasureShape::Events(values) = &measure.shape else { panic!("it keeps events") };
            for (arrival, event, _) in &person.events {
                let lookup = |term: &_| event_term(definitions, event, term);
                let is_meant = measure.condition.as_ref().is_none_or(|condition| is_true(condition, &lookup));
                if !is_named(&measure.events, event) || !is_meant {
                    continue;
                }
                let last = EventOrder { at: event.timestamp, position: event.position };
                occurrences.push(OracleOccurrence {
                    due: due(last),
                    at: due(last).max(*arrival),
                    last,
                    of: OccurrenceOf::Event(values.iter().map(|value| evaluate(value, &lookup)).collect()),
                });
            }
        }
        Occasion::SessionEnd(_) => {
            for session in all_sessions(definitions, measure, &person.events, now) {
                let last = session.last();
                if session.has_ended {
                    occurrences.push(OracleOccurrence {
                        due: due(last),
                        at: due(last).max(session.arrived),
                        last,
                        of: OccurrenceOf::Session(session),
                    });
                }
            }
        }
        Occasion::Schedule(..) | Occasion::Entered(_) | Occasion::Left(_) => panic!("it is by a measure"),
        Occasion::Completion(_) => {
            let arrives = person.events.iter().any(|(arrival, ..)| *arrival == now);
            // When it was made is not known yet: now at the latest, and not now where nothing arrives.
            let may_be_asked = |last| due(last) == now || (arrives && due(last) < now);
            let ended = ended_events(definitions, measure, &person.events, now);
            for one in completed(definitions, measure, (&with_ended(&person.events, &ended), now), &may_be_asked) {
                let last = one.last();
                occurrences.push(OracleOccurrence {
                    due: due(last),
                    at: due(last).max(one.made),
                    last,
                    of: OccurrenceOf::Completion(one),
                });
            }
        }
    }
    occurrences.retain(|one| one.at == now);
    occurrences
}

/// What has waited, as it is now; nothing where that is something else by now.
fn as_it_is<'d>(
    definitions: &'d Definitions,
    trigger: &'d Trigger,
    waited: OracleOccurrence<'d>,
    (person, now): (&OraclePerson<'_>, Tick),
) -> Option<OracleOccurrence<'d>> {
    let measure = of_trigger(definitions, trigger);
    let of = match &waited.of {
        OccurrenceOf::Event(_) => None,
        OccurrenceOf::Session(session) => {
            let is_it = |other: &FoundStretch<'_>| {
                other.owner == session.owner && other.orders[0] <= waited.last && waited.last <= other.last()
            };
            let found = all_sessions(definitions, measure, &person.events, now).into_iter().find(is_it);
            if found.as_ref().is_some_and(|found| found.last() != waited.last) {
                return None;
            }
            found.map(OccurrenceOf::Session)
        }
        OccurrenceOf::Completion(completion) => {
            let is_it = |other: &OracleCompletion<'_>| other.same() == completion.same();
            let ended = ended_events(definitions, measure, &person.events, now);
            let events = with_ended(&person.events, &ended);
            let of_last = completed(definitions, measure, (&events, now), &|last| last == waited.last);
            of_last.into_iter().find(is_it).map(OccurrenceOf::Completion)
        }
    };
    Some(match of {
        Some(of) => OracleOccurrence { of, ..waited },
        None => waited,
    })
}

/// What fires for an occurrence, by the rules of the page in their order.
fn fires(
    definitions: &Definitions,
    id: TriggerId,
    occurrence: &OracleOccurrence<'_>,
    (person, now): (&AskedPerson<'_>, Tick),
    records: &[RecordedFiring],
    with_identifiers: &OraclePerson<'_>,
) -> Option<Firing> {
    let trigger = &definitions.triggers[id.index()];
    let lookup = |term: &PersonTerm| match term {
        PersonTerm::Occurrence(term) => said_of(occurrence, *term),
        term => person.term(term),
    };
    let is_true = |condition: &_| is_true(condition, &lookup);
    // Rules 1 to 3.
    if !trigger.when.as_ref().is_none_or(is_true)
        || trigger.unless.as_ref().is_some_and(is_true)
        || !trigger.requires_consent.as_ref().is_none_or(|purpose| person.consents(purpose))
    {
        return None;
    }
    // Rule 4.
    let to = match &trigger.routes {
        TriggerRoutes::All(all) => all.clone(),
        TriggerRoutes::First(routes) => {
            let is_meant = |condition: &Option<_>| condition.as_ref().is_none_or(is_true);
            vec![routes.iter().find(|(condition, _)| is_meant(condition))?.1]
        }
    };
    // Rule 5.
    let span = occurrence.span(records)?;
    // Rule 6.
    if trigger.at_most.is_some_and(|limit| !is_below(limit, records, now)) {
        return None;
    }
    let value = |(name, value): &(_, _)| Some((Clone::clone(name), evaluate(value, &lookup)?));
    Some(Firing {
        trigger: id,
        holder: strongest(&definitions.identity, with_identifiers),
        span,
        same: occurrence.same(),
        due: occurrence.due,
        to,
        payload: trigger.payload.iter().filter_map(value).collect(),
    })
}

/// What is asked of the occurrence itself.
fn said_of(occurrence: &OracleOccurrence<'_>, term: OccurrenceTerm) -> Option<Value> {
    match (term, &occurrence.of) {
        (OccurrenceTerm::Time, _) => Some(Value::Time(occurrence.last.at.into())),
        (OccurrenceTerm::Value(place), OccurrenceOf::Event(values)) => values[usize::from(place)].clone(),
        (OccurrenceTerm::Session(term), OccurrenceOf::Session(session)) => asked(Some(&session.found), term),
        _ => None,
    }
}

/// The identifier of a person whose type is the strongest; of one type the one that sorts first.
pub fn strongest(rules: &IdentityRules, person: &OraclePerson<'_>) -> Text {
    let strength = |text: &Text| {
        let kind = text.split(':').next().expect("split gives at least one part").to_owned();
        let place = rules.strength.iter().position(|known| *known == kind).unwrap_or(usize::MAX);
        (place, kind, text.clone())
    };
    person.identifiers.iter().min_by_key(|text| strength(text)).expect("somebody has an identifier").clone()
}
