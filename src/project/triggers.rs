//! `[triggers]`: what sends one message because something happened.

use std::collections::BTreeMap;

use compact_str::CompactString;
use dataflows::calendar::Zone;
use dataflows::definitions::{
    AudienceId, CronSchedule, DestinationId, FieldRoot, FiringLimit, OccurrenceTerm, PathStep, PersonTerm,
};
use dataflows::model::{EventName, ValueType};

use super::clock::place_clocks;
use super::derived_events::{self, DerivedAtHand};
use super::destinations::{ResolvedDestinations, known_identifiers};
use super::duration::parse_ms;
use super::infer::{Checker, FieldUse, Scope};
use super::names::{Alphabet, check_count, check_name};
use super::parse::parse;
use super::problem::{ProjectProblem, TextSpan};
use super::sequences::TypedSequence;
use super::sessions::{self, TypedSession};
use super::suggestion::{did_you_mean, listed};
use super::syntax::NameNode;
use super::text::SubstitutedText;
use super::typed::{EventReference, PersonName, Typed, TypedKind};
use super::types::{Class, Variable};
use super::written::{WrittenOccasion, WrittenRoute, WrittenTrigger};
use crate::limits::{TRIGGER_PAYLOAD_MAX, TRIGGERS_MAX};

/// How late a message may be where a trigger does not say.
const MAX_LATENESS_MS: u64 = 15 * 60 * 1_000;

/// How late a session may be where it is sent as an event.
const SENT_LATENESS_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// How long a firing counts at least.
const KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// What the names of the event that a trigger is on begin with.
const EVENT: &str = "event";

/// What is asked of every occurrence.
const TIME: &str = "occurred_at";

/// A trigger, of which the names are resolved and the types have variables.
pub(super) struct TypedTrigger {
    pub(super) name: CompactString,
    pub(super) place: TextSpan,
    pub(super) on: TypedOccasion,
    pub(super) wait_ms: u64,
    pub(super) max_lateness_ms: u64,
    pub(super) when: Option<Typed<PersonName>>,
    pub(super) unless: Option<Typed<PersonName>>,
    pub(super) at_most: Option<FiringLimit>,
    pub(super) requires_consent: Option<CompactString>,
    pub(super) routes: TypedRoutes,
    pub(super) payload: Vec<(CompactString, Typed<PersonName>)>,
    /// The types that go with the message.
    pub(super) identifiers: Vec<CompactString>,
    /// What it is on, as it is written.
    pub(super) cause: CompactString,
    /// In the records of its firings: which events those are for, and what is the same in all of them.
    pub(super) record: [FieldUse; 2],
    /// How long a firing counts.
    pub(super) kept_ms: u64,
}

/// What a trigger is on.
pub(super) enum TypedOccasion {
    /// An event, with what is looked at of it.
    Event {
        event: EventName,
        condition: Option<Typed<EventReference>>,
        looked_at: Vec<Typed<EventReference>>,
    },
    Session(TypedSession),
    Sequence(TypedSequence),
    Schedule(Box<CronSchedule>, AudienceId),
}

/// Where the message goes.
pub(super) enum TypedRoutes {
    All(Vec<DestinationId>),
    First(Vec<(Option<Typed<PersonName>>, DestinationId)>),
}

/// What can be asked of the occurrence at hand while the expressions of a trigger are checked.
pub(super) enum OccurrenceScope {
    /// Fields of the event, each as it is written.
    Event(BTreeMap<String, (u16, Variable)>, Vec<Typed<EventReference>>, Option<DerivedAtHand>),
    Session(TypedSession),
    Other,
}

/// A trigger as far as others may refer to it.
pub(super) struct DeclaredTrigger {
    pub(super) name: SubstitutedText,
    /// The names in its payload.
    pub(super) payload: Vec<CompactString>,
}

/// What is derived from what the project declares, by the name under which it is an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DerivedEvent<'n> {
    Ended(&'n str),
    Completed(&'n str),
    Fired,
    /// Of an audience.
    Crossed,
}

fn derived<'n>(checker: &Checker, name: &'n str) -> Option<DerivedEvent<'n>> {
    let (of, what) = name.rsplit_once(' ')?;
    match what {
        "ended" => checker.sessions.contains_key(of).then_some(DerivedEvent::Ended(of)),
        "completed" => checker.sequences.contains_key(of).then_some(DerivedEvent::Completed(of)),
        "fired" => checker.triggers.contains_key(of).then_some(DerivedEvent::Fired),
        "entered" | "left" => checker.audiences.contains_key(of).then_some(DerivedEvent::Crossed),
        _ => None,
    }
}

/// The event of this name, as a definition writes it.
pub(super) fn event_name(checker: &mut Checker, name: &str, place: TextSpan) -> EventName {
    match derived(checker, name) {
        Some(DerivedEvent::Fired | DerivedEvent::Ended(_) | DerivedEvent::Crossed) => EventName::of_derived(name),
        Some(DerivedEvent::Completed(sequence)) => {
            let problem = ProjectProblem::at(place, format!("`{name}` is derived, and only triggers can be on it"));
            let help = format!(
                "elsewhere it is count_of({sequence}) and last_of({sequence}); an event that is sent under this name is \
                 \"track:{name}\""
            );
            checker.report(problem.help(help));
            EventName::from(name)
        }
        None => {
            no_such_thing(checker, name, place);
            EventName::from(name)
        }
    }
}

/// Takes note of the names of all triggers: any expression may name their firings.
pub(super) fn declare(checker: &mut Checker, declared: &[DeclaredTrigger]) {
    let first = declared.first().map(|trigger| trigger.name.place);
    check_count(declared.len(), TRIGGERS_MAX, "triggers", first, &mut checker.problems);
    for DeclaredTrigger { name, payload } in declared {
        check_name(name, "a trigger", Alphabet::Word, &mut checker.problems);
        checker.triggers.insert(name.value.as_str().into(), payload.clone());
    }
}

/// Checks the triggers of a project, whose destinations are these; sorted by name.
pub(super) fn resolve(
    checker: &mut Checker,
    mut written: Vec<WrittenTrigger>,
    destinations: &ResolvedDestinations,
) -> Vec<TypedTrigger> {
    written.sort_by(|a, b| a.name.value.cmp(&b.name.value));
    written.truncate(TRIGGERS_MAX);
    let mut resolved: Vec<TypedTrigger> =
        written.into_iter().filter_map(|trigger| one(checker, trigger, destinations)).collect();
    resolved.extend(sent_sessions(checker, destinations));
    resolved
}

/// What sends the sessions that have ended to destinations which list them among their events.
fn sent_sessions(checker: &mut Checker, destinations: &ResolvedDestinations) -> Vec<TypedTrigger> {
    let mut names: Vec<&EventName> = destinations.forwards.iter().flat_map(|forward| &forward.events).collect();
    names.sort();
    names.dedup();
    let mut triggers = Vec::new();
    for name in names {
        let session = sessions::ended_name(name).and_then(|session| checker.sessions.get(session)?.clone());
        let (Some(session), Some(name)) = (session, name.derived()) else { continue };
        let Some(record) = record(checker, TextSpan::default()) else { continue };
        let asked = session.asked().map(|(name, term)| (CompactString::from(name), term));
        let mut payload: Vec<(CompactString, Typed<PersonName>)> = asked
            .map(|(name, term)| {
                let kind = TypedKind::Term(PersonName::Term(PersonTerm::Occurrence(OccurrenceTerm::Session(term))));
                (name, Typed { variable: checker.types.unknown(), kind })
            })
            .collect();
        payload.sort_by(|(a, _), (b, _)| a.cmp(b));
        triggers.push(TypedTrigger {
            name: name.into(),
            place: TextSpan::default(),
            on: TypedOccasion::Session(session),
            wait_ms: 0,
            max_lateness_ms: SENT_LATENESS_MS,
            when: None,
            unless: None,
            at_most: None,
            requires_consent: None,
            routes: TypedRoutes::All(Vec::new()),
            payload,
            identifiers: Vec::new(),
            cause: name.into(),
            record,
            kept_ms: 2 * SENT_LATENESS_MS,
        });
    }
    triggers
}

fn one(checker: &mut Checker, written: WrittenTrigger, destinations: &ResolvedDestinations) -> Option<TypedTrigger> {
    let name = CompactString::from(written.name.value.as_str());
    let wait_ms = written.wait_ms.unwrap_or_default();
    let (mut occasion, scope, cause) = match written.on? {
        WrittenOccasion::Name(on) if on.is_broken => return None,
        WrittenOccasion::Name(on) => {
            let (occasion, scope) = occasion(checker, &on, written.condition)?;
            (occasion, scope, CompactString::from(on.value))
        }
        WrittenOccasion::Schedule { cron, zone, audience } => {
            let idle = [("where", written.condition.is_some()), ("wait", written.wait_ms.is_some())];
            if let Some((key, _)) = idle.into_iter().find(|(_, is_there)| *is_there) {
                let message = format!("trigger `{name}` is on a schedule, and has `{key}`");
                let problem = ProjectProblem::at(written.name.place, message);
                checker.report(problem.help("`cron` says when, and `audience` and `when` for whom"));
            }
            let (schedule, audience) = schedule(checker, cron, zone, audience)?;
            let cause = CompactString::from(schedule.pattern());
            (TypedOccasion::Schedule(Box::new(schedule), audience), OccurrenceScope::Other, cause)
        }
    };
    checker.occurrence = Some(scope);
    let mut condition = |text: Option<SubstitutedText>, what: &str| {
        expression(checker, text, Some(&format!("`{what}` of trigger `{}`", written.name.value)))
    };
    let (when, unless) = (condition(written.when, "when"), condition(written.unless, "unless"));
    let routes = routes(checker, written.destinations, written.name.place, destinations);
    if written.payload.len() > TRIGGER_PAYLOAD_MAX {
        let count = written.payload.len();
        let problem = ProjectProblem::at(written.name.place, format!("`payload` has {count} entries"));
        checker.report(problem.help(format!("at most {TRIGGER_PAYLOAD_MAX} are possible")));
    }
    let mut payload = Vec::with_capacity(written.payload.len());
    for (key, text) in written.payload.into_iter().take(TRIGGER_PAYLOAD_MAX) {
        let key_name = CompactString::from(key.value.as_str());
        payload.extend(expression(checker, text, None).map(|typed| (key_name, typed)));
    }
    payload.sort_by(|(a, _), (b, _)| a.cmp(b));
    if let (TypedOccasion::Event { looked_at, .. }, Some(OccurrenceScope::Event(_, found, _))) =
        (&mut occasion, checker.occurrence.take())
    {
        *looked_at = found;
    }
    checker.occurrence = None;
    let at_most = written.at_most.and_then(|text| at_most(checker, &text));
    let requires_consent = written.requires_consent.map(|purpose| checker.purposes.of(&purpose, &mut checker.problems));
    let identifiers = known_identifiers(written.identifiers.unwrap_or_default(), checker);
    let over_ms = if let TypedOccasion::Sequence(sequence) = &occasion { sequence.over.length_ms } else { 0 };
    let kept_ms = at_most.map_or(0, |limit| limit.period_ms).max(over_ms).max(KEPT_MS);
    let record = record(checker, written.name.place)?;
    Some(TypedTrigger {
        name,
        place: written.name.place,
        on: occasion,
        wait_ms,
        max_lateness_ms: written.max_lateness_ms.unwrap_or(MAX_LATENESS_MS),
        when,
        unless,
        at_most,
        requires_consent,
        routes: routes?,
        payload,
        identifiers,
        cause,
        record,
        kept_ms,
    })
}

/// What a trigger is on, and what can be asked of it.
fn occasion(
    checker: &mut Checker,
    on: &SubstitutedText,
    condition: Option<SubstitutedText>,
) -> Option<(TypedOccasion, OccurrenceScope)> {
    let name = on.value.trim();
    let of = derived(checker, name);
    if let (Some(condition), Some(DerivedEvent::Ended(_) | DerivedEvent::Completed(_))) = (&condition, of) {
        let problem = ProjectProblem::at(condition.place, format!("`where` is about an event, and `{name}` is none"));
        checker.report(problem.help("say it in `when`"));
    }
    match of {
        Some(DerivedEvent::Ended(session)) => {
            // What was wrong with it is reported.
            let session = checker.sessions.get(session)?.clone()?;
            Some((TypedOccasion::Session(session.clone()), OccurrenceScope::Session(session)))
        }
        Some(DerivedEvent::Completed(sequence)) => {
            let sequence = checker.sequences.get(sequence)?.clone()?;
            Some((TypedOccasion::Sequence(sequence), OccurrenceScope::Other))
        }
        Some(DerivedEvent::Fired | DerivedEvent::Crossed) | None => {
            let problems = checker.problems.len();
            super::event_names::check_event_name(on, &mut checker.problems);
            let event = event_name(checker, name, on.place);
            if of.is_none() {
                bare_name(checker, on);
                checker.doubts.event(on);
            }
            if checker.problems.len() > problems {
                return None;
            }
            let at_hand = derived_events::at_hand(checker, &event);
            checker.at_hand.clone_from(&at_hand);
            let condition = condition.filter(|text| !text.is_broken).and_then(|text| {
                let node = checker.settle(parse(&text))?;
                checker.doubts.of_event(&node);
                checker.begin_use();
                Some(checker.expect(&node, ValueType::Bool, "the condition in `where`"))
            });
            checker.at_hand = None;
            let looked_at = Vec::new();
            let scope = OccurrenceScope::Event(BTreeMap::new(), Vec::new(), at_hand);
            Some((TypedOccasion::Event { event, condition, looked_at }, scope))
        }
    }
}

/// Times that come again, and for whom.
fn schedule(
    checker: &mut Checker,
    cron: Option<SubstitutedText>,
    zone: Option<SubstitutedText>,
    audience: Option<SubstitutedText>,
) -> Option<(CronSchedule, AudienceId)> {
    let zone = match zone {
        None => Some(Zone::utc()),
        Some(zone) => {
            let found = Zone::named(&zone.value);
            if found.is_none() && !zone.is_broken {
                let problem = ProjectProblem::at(zone.place, format!("unknown time zone `{}`", zone.value));
                let names = Zone::names();
                let near = did_you_mean(&zone.value, names.iter().map(String::as_str));
                checker.report(problem.help(near.unwrap_or_else(|| "such as \"Europe/Berlin\"".to_owned())));
            }
            found
        }
    };
    let audience = audience.filter(|audience| !audience.is_broken);
    let id = audience.as_ref().and_then(|audience| checker.audiences.get(audience.value.as_str()).copied());
    if let (Some(audience), None) = (&audience, id) {
        let hint = did_you_mean(&audience.value, checker.audiences.keys().map(|name| name.as_str()));
        let problem = ProjectProblem::at(audience.place, format!("unknown audience `{}`", audience.value));
        checker.report(problem.maybe_help(hint));
    }
    let cron = cron.filter(|cron| !cron.is_broken)?;
    let schedule = CronSchedule::new(&cron.value, zone?).map_err(|wrong| {
        let problem = ProjectProblem::at(cron.place, format!("`{}` is no cron pattern: {wrong}", cron.value));
        checker.report(problem.help(
            "minute, hour, day of the month, month and day of the week: \"0 9 * * 1\" is nine o'clock on Mondays",
        ));
    });
    Some((schedule.ok()?, id?))
}

/// Reports a name that looks like something derived of what the project does not declare.
fn no_such_thing(checker: &mut Checker, name: &str, place: TextSpan) {
    let Some((of, what)) = name.rsplit_once(' ').filter(|_| derived(checker, name).is_none()) else { return };
    let is_of = [
        (checker.sessions.contains_key(of), "a session", "ended"),
        (checker.sequences.contains_key(of), "a sequence", "completed"),
        (checker.triggers.contains_key(of), "a trigger", "fired"),
        (checker.audiences.contains_key(of) && !what.starts_with("enter"), "an audience", "left"),
        (checker.audiences.contains_key(of), "an audience", "entered"),
    ];
    if let Some((_, kind, happens)) = is_of.into_iter().find(|(is_one, ..)| *is_one) {
        let problem = ProjectProblem::at(place, format!("`{of}` is {kind}, and `{name}` is nothing of it"));
        let help = format!("write \"{of} {happens}\"; an event that is sent under this name is \"track:{name}\"");
        checker.report(problem.help(help));
        return;
    }
    let known: Vec<&str> = match what {
        "ended" => checker.sessions.keys().map(CompactString::as_str).collect(),
        "completed" => checker.sequences.keys().map(CompactString::as_str).collect(),
        "fired" => checker.triggers.keys().map(CompactString::as_str).collect(),
        "entered" | "left" => checker.audiences.keys().map(CompactString::as_str).collect(),
        _ => return,
    };
    if let Some(near) = did_you_mean(of, known.iter().copied()) {
        let problem = ProjectProblem::at(place, format!("nothing of the name `{of}` is {what}"));
        checker.report(problem.help(near));
    }
}

/// Reports what a trigger cannot be on: the name of something of which events are derived, or the text of a schedule.
fn bare_name(checker: &mut Checker, on: &SubstitutedText) {
    let name = on.value.trim();
    let help = if checker.audiences.contains_key(name) {
        format!("`{name}` is an audience: write \"{name} entered\" or \"{name} left\"")
    } else if checker.sessions.contains_key(name) {
        format!("`{name}` is a session: write \"{name} ended\"")
    } else if checker.sequences.contains_key(name) {
        format!("`{name}` is a sequence: write \"{name} completed\"")
    } else if checker.triggers.contains_key(name) {
        format!("`{name}` is a trigger: write \"{name} fired\"")
    } else {
        return;
    };
    let problem = ProjectProblem::at(on.place, format!("`{name}` is no event"));
    checker.report(problem.help(format!("{help}; an event that is sent under this name is \"track:{name}\"")));
}

/// An expression over the person and the occurrence; a condition where `role` says what of.
fn expression(checker: &mut Checker, text: Option<SubstitutedText>, role: Option<&str>) -> Option<Typed<PersonName>> {
    let text = text.filter(|text| !text.is_broken)?;
    let node = checker.settle(parse(&text).and_then(place_clocks))?;
    checker.doubts.of_person(&node);
    Some(match role {
        Some(role) => checker.expect(&node, ValueType::Bool, role),
        None => checker.check(&node),
    })
}

fn routes(
    checker: &mut Checker,
    written: Vec<WrittenRoute>,
    place: TextSpan,
    destinations: &ResolvedDestinations,
) -> Option<TypedRoutes> {
    if written.is_empty() {
        let problem = ProjectProblem::at(place, "the trigger has no destinations");
        checker.report(problem.help("list where its messages go: destinations = [\"NAME\"]"));
        return None;
    }
    let is_first = written.iter().any(|route| route.is_choice);
    let mut found: Vec<(Option<Typed<PersonName>>, DestinationId)> = Vec::with_capacity(written.len());
    let mut is_wrong = false;
    let count = written.len();
    for (index, WrittenRoute { condition, to, is_choice }) in written.into_iter().enumerate() {
        let Some(to) = to.filter(|to| !to.is_broken) else {
            is_wrong = true;
            continue;
        };
        let Some(id) = destinations.id_of(&to.value) else {
            let known: Vec<&str> = destinations.views.iter().map(|view| view.name.as_str()).collect();
            let help = did_you_mean(&to.value, known.iter().copied()).unwrap_or_else(|| match known.is_empty() {
                true => "declare it in [destinations.NAME]".to_owned(),
                false => format!("there are {}", listed(&known)),
            });
            checker.report(ProjectProblem::at(to.place, format!("unknown destination `{}`", to.value)).help(help));
            is_wrong = true;
            continue;
        };
        if is_first && !is_choice {
            let problem = ProjectProblem::at(to.place, "either all destinations are names, or each is `{ if, to }`");
            checker.report(problem.help(format!("write {{ to = \"{}\" }}", to.value)));
        }
        if is_first && condition.is_none() && index + 1 < count {
            let problem = ProjectProblem::at(to.place, "what follows on a destination without `if` is never chosen");
            checker.report(problem.help("put it last, or give it a condition"));
        }
        if !is_first && found.iter().any(|(_, other)| *other == id) {
            checker.report(ProjectProblem::at(to.place, format!("`{}` is listed twice", to.value)));
        }
        if let Some(destination) = destinations.destinations.get(id.index()).filter(|of| !of.kind.takes_events()) {
            let message = format!("destination `{}` takes no events, and so no messages", to.value);
            let help = format!("send them to a destination of another type than `{}`", destination.kind.name());
            checker.report(ProjectProblem::at(to.place, message).help(help));
        }
        let has_condition = condition.is_some();
        let condition = expression(checker, condition, Some(&format!("`if` of destination `{}`", to.value)));
        is_wrong |= has_condition && condition.is_none();
        found.push((condition, id));
    }
    if is_wrong {
        return None;
    }
    Some(match is_first {
        true => TypedRoutes::First(found),
        false => TypedRoutes::All(found.into_iter().map(|(_, to)| to).collect()),
    })
}

/// `1 per 24 h`.
fn at_most(checker: &mut Checker, text: &SubstitutedText) -> Option<FiringLimit> {
    if text.is_broken {
        return None;
    }
    let parts = text.value.split_once(" per ").and_then(|(count, period)| {
        let count = count.trim().parse::<u32>().ok().filter(|count| (1..=1_000).contains(count))?;
        Some((count, parse_ms(period.trim()).ok()?))
    });
    if parts.is_none() {
        let problem = ProjectProblem::at(text.place, "expected `at_most` as a number and a time");
        checker.report(problem.help("such as \"1 per 24 h\", from 1 to 1000"));
    }
    parts.map(|(count, period_ms)| FiringLimit { count, period_ms })
}

/// What the records of firings say of their events.
fn record(checker: &mut Checker, place: TextSpan) -> Option<[FieldUse; 2]> {
    checker.begin_use();
    let mut field = |name: &str| {
        let path = vec![PathStep::from("firing"), PathStep::from(name)];
        let found = checker.field(FieldRoot::Context, path, place);
        checker.settle(found)
    };
    let (span, same) = (field("span")?, field("same")?);
    let demanded = checker.types.demand((span.1, place), ValueType::Text, "the events of a firing");
    checker.settle(demanded);
    checker.begin_use();
    Some([span.0, same.0])
}

/// What a name in an expression of a trigger stands for, with its type, where it is about the occurrence.
pub(super) fn named(
    checker: &mut Checker,
    name: &NameNode,
    place: TextSpan,
) -> Result<Option<(PersonName, Variable)>, ProjectProblem> {
    let Some(mut scope) = checker.occurrence.take() else { return Ok(None) };
    let found = of_occurrence(checker, &mut scope, name, place);
    checker.occurrence = Some(scope);
    found
}

fn of_occurrence(
    checker: &mut Checker,
    scope: &mut OccurrenceScope,
    name: &NameNode,
    place: TextSpan,
) -> Result<Option<(PersonName, Variable)>, ProjectProblem> {
    let term = |term| PersonName::Term(PersonTerm::Occurrence(term));
    match (name.path.as_slice(), scope) {
        ([only], _) if only == TIME && name.beyond.is_empty() => {
            let variable = checker.types.known(Class::Is(ValueType::Time), place);
            Ok(Some((term(OccurrenceTerm::Time), variable)))
        }
        ([first, rest @ ..], OccurrenceScope::Event(known, looked_at, at_hand))
            if first == EVENT && !rest.is_empty() =>
        {
            let written = name.written();
            if let Some((index, variable)) = known.get(&written) {
                return Ok(Some((term(OccurrenceTerm::Value(*index)), *variable)));
            }
            let of_event = NameNode { path: rest.to_vec(), ..name.clone() };
            checker.begin_use();
            if super::event::root_of(&rest[0]).is_none() && rest != ["timestamp"] {
                let problem = ProjectProblem::at(place, format!("an event has no `{}`", rest.join(".")));
                return Err(problem.help(format!("did you mean `event.properties.{}`?", rest.join("."))));
            }
            checker.at_hand.clone_from(at_hand);
            let found = EventReference::name(checker, &of_event, place);
            checker.at_hand = None;
            let (reference, variable) = found?;
            checker.begin_use();
            let index = u16::try_from(looked_at.len()).unwrap_or(u16::MAX);
            known.insert(written, (index, variable));
            looked_at.push(Typed { variable, kind: TypedKind::Term(reference) });
            Ok(Some((term(OccurrenceTerm::Value(index)), variable)))
        }
        ([first, rest @ ..], _) if first == EVENT && !rest.is_empty() => {
            let problem = ProjectProblem::at(place, format!("`{}`: this trigger is on no event", name.written()));
            Err(problem.help("of a session there is `session.NAME`; of all there is `occurred_at`"))
        }
        ([first, value], OccurrenceScope::Session(session))
            if first == "session" && !checker.sessions.contains_key(value.as_str()) =>
        {
            sessions::value_of(checker, session, value, place)
                .map(|found| found.map(|(asked, variable)| (term(OccurrenceTerm::Session(asked)), variable)))
        }
        ([first, value], _) if first == "session" && !checker.sessions.contains_key(value.as_str()) => {
            let problem = ProjectProblem::at(place, format!("`{}`: this trigger is on no session", name.written()));
            Err(problem.help("session.NAME.VALUE is that of the session that is running"))
        }
        ([first, _, ..], OccurrenceScope::Event(..)) if super::event::root_of(first).is_some() => {
            let written = name.written();
            let problem = ProjectProblem::at(place, format!("`{written}` belongs to an event, not to a person"));
            Err(problem.help(format!("that of the event that the trigger is on is `event.{written}`")))
        }
        _ => Ok(None),
    }
}
