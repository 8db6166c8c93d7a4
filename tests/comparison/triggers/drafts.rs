//! What random triggers are drawn from, and histories for them.

use compact_str::CompactString;
use dataflows::definitions::{
    Audience, Definitions, DestinationId, DestinationView, EventFilter, EventTerm, Field, FieldRoot, FiringLimit,
    Measure, MeasureId, MeasureShape, Occasion, OccurrenceTerm, Period, PersonTerm, RunTerm, RunningTerm, SequenceEnd,
    SequenceStep, Trait, TraitId, Trigger, TriggerRoutes, Window,
};
use dataflows::expression::{Arithmetic, Comparison, Expression, Function};
use dataflows::model::{Event, EventName, Firing, Value, ValueType};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::super::ended::{ended, take_ended};
use super::super::sequences::{NEAR_MS, dense, filter, wait_ms, window};
use super::super::{runner, some_cases, told};
use super::crossings;
use crate::histories::Case;
use crate::histories::definitions::{ANYTHING, CATEGORY, ORDERED, OverPerson, TOTAL, VIEWED, order};
use crate::histories::expressions::{
    arithmetic, compare as compared, field, is_missing, literal, measure as measure_of, not, null,
};
use crate::histories::firings::PlayedLog;
use crate::histories::sequences::{events, sequence, step};
use crate::histories::sessions::{of_all, session};

/// The first field that is said of firings: their span. Then what is the same in all events, and what is in payloads.
const SPAN: usize = 11;
pub const SAME: usize = 12;
const AMOUNT: usize = 13;
const WHAT: usize = 14;

/// The conditions that can be asked of all occurrences. Behind them are those of one kind.
const CONDITIONS: usize = 14;
/// How many conditions there are of each kind.
const OF_KIND: usize = 3;

/// A trigger to be.
#[derive(Clone, Debug)]
struct TriggerDraft {
    on: OccasionDraft,
    wait_ms: u64,
    when: Option<usize>,
    unless: Option<usize>,
    at_most: Option<(u32, u64)>,
    consents: bool,
    /// Conditions of destinations; those beyond the last are none. Nothing where all are meant.
    routes: Option<Vec<usize>>,
}

/// What it is on.
#[derive(Clone, Debug)]
enum OccasionDraft {
    Event(EventFilter),
    Session {
        names: &'static [&'static str],
        gap_ms: u64,
        per: Option<&'static str>,
    },
    Sequence(Measure),
    /// So many triggers before it.
    Fired(usize),
}

fn sequences() -> impl Strategy<Value = Measure> {
    let times = prop_oneof![3 => Just(1), 1 => Just(2u16)];
    let step = (filter(), times, prop_oneof![1 => Just(None), 1 => wait_ms().prop_map(Some)]);
    let step = step.prop_map(|(takes, times, within_ms)| SequenceStep { takes, times, within_ms });
    let end = prop_oneof![
        1 => Just(SequenceEnd::Match),
        1 => (filter(), wait_ms()).prop_map(|(absent, wait_ms)| SequenceEnd::Absent(absent, wait_ms)),
    ];
    let same = prop_oneof![
        2 => Just(None),
        1 => prop::sample::select(&[CATEGORY, ANYTHING, TOTAL][..]).prop_map(|of| Some(field(of))),
    ];
    (prop::collection::vec(step, 1..3), end, same, window()).prop_map(|(mut steps, end, same, window)| {
        // There is nothing before the first.
        steps[0].within_ms = None;
        sequence(steps, end, same, window)
    })
}

fn occasion() -> impl Strategy<Value = OccasionDraft> {
    const NAMES: [&[&str]; 4] = [&[ORDERED], &[VIEWED], &[ORDERED, VIEWED], &[]];
    let gap_ms = prop_oneof![4 => 1..NEAR_MS, 1 => prop::sample::select(&[18, 25, 32][..])];
    let per =
        prop_oneof![2 => Just(None), 1 => prop::sample::select(&["anonymous_id", "device_id"][..]).prop_map(Some)];
    let session = (prop::sample::select(&NAMES[..]), gap_ms, per);
    prop_oneof![
        2 => filter().prop_map(OccasionDraft::Event),
        3 => session.prop_map(|(names, gap_ms, per)| OccasionDraft::Session { names, gap_ms, per }),
        4 => sequences().prop_map(OccasionDraft::Sequence),
        2 => (1..3usize).prop_map(OccasionDraft::Fired),
    ]
}

fn draft() -> impl Strategy<Value = TriggerDraft> {
    let condition = || 0..CONDITIONS + OF_KIND;
    let sometimes = |of| prop::option::weighted(0.3, of);
    let wait_ms = prop_oneof![2 => Just(0), 2 => 1..30u64];
    let at_most = (1..3u32, 5..40u64);
    let routes = prop::collection::vec(0..CONDITIONS + OF_KIND + 4, 1..3);
    (
        occasion(),
        wait_ms,
        sometimes(condition()),
        sometimes(condition()),
        prop::option::of(at_most),
        any::<u8>(),
        prop::option::of(routes),
    )
        .prop_map(|(on, wait_ms, when, unless, at_most, chance, routes)| {
            let consents = chance.is_multiple_of(6);
            TriggerDraft { on, wait_ms, when, unless, at_most, consents, routes }
        })
}

/// Puts definitions together.
pub struct TriggerMaker {
    measures: Vec<Measure>,
}

impl TriggerMaker {
    /// The measure, kept once.
    pub fn keep(&mut self, measure: Measure) -> MeasureId {
        let known = self.measures.iter().position(|known| *known == measure);
        MeasureId::new(known.unwrap_or_else(|| {
            self.measures.push(measure);
            self.measures.len() - 1
        }))
    }

    /// Has a sequence take ended sessions.
    fn take_ended(&mut self, sequence: &mut Measure, seed: u64) {
        let value = measure_of(ORDERED, MeasureShape::Sum(field(TOTAL)), None);
        let visit = session(&[], 3 + seed % 4, None, vec![value]);
        let of_device = session(&[ORDERED, VIEWED], 4, Some("device_id"), Vec::new());
        // Whatever they were drawn from.
        let choices = (0..8).map(|place| (seed >> place) as u8 ^ (sequence.events.len() * 5 + place) as u8);
        let choices: Vec<u8> = choices.collect();
        let mut of = |measure: Measure| {
            let session = measure.shape.session().expect("it is a session").clone();
            ended(self.keep(measure), &session, &choices)
        };
        let all = [of(visit), of(of_device)];
        take_ended(sequence, &all, &choices);
    }

    /// One of the conditions, of a trigger on this.
    fn condition(&mut self, place: usize, name: &str, on: &OccasionDraft) -> OverPerson {
        let term = Expression::Term::<PersonTerm>;
        let occurrence = |of| Expression::Term(PersonTerm::Occurrence(of));
        let number = |value: f64| literal::<PersonTerm>(value);
        let within = |length_ms| Some(Window { length_ms, grain_ms: 1 });
        let at_least = |a, b| compared(a, Comparison::GreaterOrEqual, b);
        match place {
            0 => {
                let orders = self.keep(measure_of(ORDERED, MeasureShape::Count, None));
                at_least(term(PersonTerm::Count(orders)), number(2.0))
            }
            1 => term(PersonTerm::Has("device_id".into())),
            2 => term(PersonTerm::Consent("other".into())),
            3 => {
                let city = term(PersonTerm::Attribute("city".into(), Some(ValueType::Text)));
                compared(city, Comparison::Equal, literal("Berlin"))
            }
            4 => {
                let spent = self.keep(measure_of(ORDERED, MeasureShape::Sum(field(TOTAL)), within(20)));
                at_least(term(PersonTerm::Sum(spent)), number(10.0))
            }
            5 => {
                let visit = self.keep(session(&[], 5, None, Vec::new()));
                term(PersonTerm::Running(visit, RunningTerm::IsThere))
            }
            6 => null(),
            7 | 8 => {
                let own = Measure {
                    events: vec![name_of_firings(name)],
                    ..measure_of("", MeasureShape::Count, within(if place == 7 { 30 } else { 60_000 }))
                };
                let own = self.keep(own);
                compared(term(PersonTerm::Count(own)), Comparison::Less, number(1.0))
            }
            9 => {
                let ago = Expression::Call(Function::Shift(-12), vec![term(PersonTerm::Now)]);
                at_least(occurrence(OccurrenceTerm::Time), ago)
            }
            10 => term(PersonTerm::Trait(TraitId::new(1))),
            11 => not(term(PersonTerm::Trait(TraitId::new(1)))),
            12 => {
                let bought = [VIEWED, ORDERED].map(|name| step(events(&[name])));
                let bought = sequence(bought.to_vec(), SequenceEnd::Match, None, Window { length_ms: 30, grain_ms: 1 });
                term(PersonTerm::Matches(self.keep(bought)))
            }
            13 => {
                let views = self.keep(measure_of(VIEWED, MeasureShape::Count, within(10)));
                at_least(term(PersonTerm::Count(views)), number(1.0))
            }
            place => match (on, place - CONDITIONS) {
                (OccasionDraft::Event(_) | OccasionDraft::Fired(_), 0) => {
                    at_least(occurrence(OccurrenceTerm::Value(0)), number(10.0))
                }
                (OccasionDraft::Event(_) | OccasionDraft::Fired(_), 1) => {
                    is_missing(occurrence(OccurrenceTerm::Value(1)))
                }
                (OccasionDraft::Session { .. }, 0) => {
                    at_least(occurrence(OccurrenceTerm::Session(RunningTerm::Events)), number(2.0))
                }
                (OccasionDraft::Session { .. }, 1) => {
                    let carts = RunningTerm::Value(0, RunTerm::Count);
                    compared(occurrence(OccurrenceTerm::Session(carts)), Comparison::Equal, number(0.0))
                }
                (OccasionDraft::Session { .. }, 2) => {
                    at_least(occurrence(OccurrenceTerm::Session(RunningTerm::Duration)), number(0.003))
                }
                _ => literal(Value::Bool(true)),
            },
        }
    }

    /// What is in the message.
    fn payload(&mut self, on: &OccasionDraft) -> Vec<(CompactString, OverPerson)> {
        let occurrence = |of| Expression::Term(PersonTerm::Occurrence(of));
        let of_session = |term| occurrence(OccurrenceTerm::Session(term));
        let mut payload: Vec<(CompactString, OverPerson)> = match on {
            OccasionDraft::Event(_) | OccasionDraft::Fired(_) => vec![
                ("amount".into(), occurrence(OccurrenceTerm::Value(0))),
                ("what".into(), occurrence(OccurrenceTerm::Value(1))),
                ("when".into(), occurrence(OccurrenceTerm::Value(2))),
            ],
            OccasionDraft::Session { .. } => vec![
                ("amount".into(), of_session(RunningTerm::Value(1, RunTerm::Sum))),
                ("begun".into(), of_session(RunningTerm::Start)),
                ("count".into(), of_session(RunningTerm::Events)),
                ("what".into(), of_session(RunningTerm::Value(2, RunTerm::Sample))),
            ],
            OccasionDraft::Sequence(sequence) => {
                let sequence = self.keep(sequence.clone());
                vec![
                    ("amount".into(), Expression::Term(PersonTerm::Trait(TraitId::new(0)))),
                    ("count".into(), Expression::Term(PersonTerm::Completions(sequence))),
                ]
            }
        };
        payload.push(("at".into(), occurrence(OccurrenceTerm::Time)));
        payload.push(("orders".into(), Expression::Term(PersonTerm::Trait(TraitId::new(0)))));
        payload.sort_by(|a, b| a.0.cmp(&b.0));
        payload
    }

    /// What gives the occurrences of a trigger that is so many places behind the first.
    fn occasion(&mut self, on: &OccasionDraft, place: usize, wait_ms: u64) -> Occasion {
        let timestamp = || Expression::Term(EventTerm::Timestamp);
        let of_events = |events, condition, values| Measure {
            events,
            condition,
            within: Some(Period::UntilDue { after_ms: wait_ms }),
            ..of_all(MeasureShape::Events(values))
        };
        match on {
            OccasionDraft::Event(EventFilter { events, condition }) => {
                let values = vec![field(TOTAL), field(CATEGORY), timestamp()];
                Occasion::Event(self.keep(of_events(events.clone(), condition.clone(), values)))
            }
            OccasionDraft::Fired(before) => {
                let name = place.checked_sub(*before).map(name_of).expect("it was looked at");
                let values = vec![field(AMOUNT), field(WHAT), timestamp()];
                Occasion::Event(self.keep(of_events(vec![name_of_firings(&name)], None, values)))
            }
            OccasionDraft::Session { names, gap_ms, per } => {
                let values = vec![
                    measure_of(ORDERED, MeasureShape::Count, None),
                    measure_of(ORDERED, MeasureShape::Sum(field(TOTAL)), None),
                    of_all(MeasureShape::Latest(field(ANYTHING))),
                ];
                let values = values.into_iter().map(|value| match names.is_empty() || !value.events.is_empty() {
                    true => value,
                    false => Measure { events: events(names).events, ..value },
                });
                let values = values.filter(|value| {
                    names.is_empty() || value.events.iter().all(|name| events(names).events.contains(name))
                });
                let mut values: Vec<Measure> = values.collect();
                // Values that are asked for by their place are there.
                while values.len() < 3 {
                    values.insert(
                        0,
                        Measure {
                            events: events(names).events,
                            ..of_all(if values.len() == 2 {
                                MeasureShape::Count
                            } else {
                                MeasureShape::Sum(field(TOTAL))
                            })
                        },
                    );
                }
                Occasion::SessionEnd(self.keep(session(names, *gap_ms, *per, values)))
            }
            OccasionDraft::Sequence(sequence) => Occasion::Completion(self.keep(sequence.clone())),
        }
    }

    fn trigger(&mut self, draft: TriggerDraft, place: usize, max_lateness_ms: u64) -> Trigger {
        let name = name_of(place);
        // There is none before the first.
        let on = match draft.on {
            OccasionDraft::Fired(before) if before > place => OccasionDraft::Event(events(&[ORDERED])),
            on => on,
        };
        let firings = Measure {
            events: vec![name_of_firings(&name)],
            within: Some(Period::Within(Window::new(30 * 86_400_000))),
            ..of_all(MeasureShape::Events(vec![field(SPAN), field(SAME)]))
        };
        let mut condition = |place: usize| (place < CONDITIONS + OF_KIND).then(|| self.condition(place, &name, &on));
        let routes = match &draft.routes {
            None => TriggerRoutes::All([0, 1].map(DestinationId::new).to_vec()),
            Some(conditions) => TriggerRoutes::First(
                conditions.iter().enumerate().map(|(to, place)| (condition(*place), DestinationId::new(to))).collect(),
            ),
        };
        let (when, unless) = (draft.when.and_then(&mut condition), draft.unless.and_then(&mut condition));
        Trigger {
            cause: name.clone(),
            on: self.occasion(&on, place, draft.wait_ms),
            wait_ms: draft.wait_ms,
            max_lateness_ms,
            when,
            unless,
            at_most: draft.at_most.map(|(count, period_ms)| FiringLimit { count, period_ms }),
            requires_consent: draft.consents.then(|| "marketing".into()),
            routes,
            identifiers: Vec::new(),
            payload: self.payload(&on),
            firings: Some(self.keep(firings)),
            name,
        }
    }
}

fn name_of(place: usize) -> CompactString {
    format!("t{place}").into()
}

fn name_of_firings(trigger: &str) -> EventName {
    EventName::of_derived(&format!("{trigger} fired"))
}

/// Whether the histories of a seed tell who enters audiences and leaves them.
pub fn has_crossings(seed: u64) -> bool {
    seed.is_multiple_of(5)
}

/// Whether sequences of a seed have ended sessions as steps.
fn has_ended_sessions(seed: u64) -> bool {
    seed % 5 > 2
}

/// Some triggers.
fn definitions(seed: u64, case: &Case) -> Definitions {
    let drafts = (prop::collection::vec(draft(), 1..6), prop_oneof![2 => Just(900_000), 1 => 50..200u64]);
    let (mut drafts, max_lateness_ms) =
        drafts.new_tree(&mut runner(seed, 1)).expect("triggers can always be made").current();
    let mut maker = TriggerMaker { measures: Vec::new() };
    let orders = maker.keep(measure_of(ORDERED, MeasureShape::Count, None));
    let orders = || Expression::Term(PersonTerm::Count(orders));
    let is_odd = compared(arithmetic(orders(), Arithmetic::Remainder, literal(2.0)), Comparison::Equal, literal(1.0));
    let mut audiences = vec![Audience { name: "everybody".into(), condition: literal(Value::Bool(true)) }];
    let mut triggers = Vec::new();
    if has_crossings(seed) {
        audiences.extend(crossings::audiences(&mut maker, seed));
        triggers.extend(crossings::triggers());
        drafts[0].on = OccasionDraft::Event(crossings::crossed(seed));
    }
    if has_ended_sessions(seed) {
        for draft in &mut drafts {
            if let OccasionDraft::Sequence(sequence) = &mut draft.on {
                maker.take_ended(sequence, seed);
            }
        }
    }
    let drafts = drafts.into_iter().enumerate();
    triggers.extend(drafts.map(|(place, draft)| maker.trigger(draft, place, max_lateness_ms)));
    let usual = case.definitions();
    let said = |root, name: &str, kind| Field { root, path: vec![name.into()], kind };
    let mut fields = usual.fields;
    assert_eq!(fields.len(), SPAN, "the others follow");
    fields.extend([
        said(FieldRoot::Event, "span", Some(ValueType::Text)),
        said(FieldRoot::Event, "same", None),
        said(FieldRoot::Properties, "amount", None),
        said(FieldRoot::Properties, "what", None),
    ]);
    let view = |name: &str| DestinationView {
        name: name.into(),
        audiences: Vec::new(),
        identifiers: Vec::new(),
        traits: Vec::new(),
        requires_consent: None,
    };
    let mut definitions = Definitions {
        identity: usual.identity,
        fields,
        measures: maker.measures,
        traits: vec![
            Trait { name: "orders".into(), expression: orders() },
            Trait { name: "orders_odd".into(), expression: is_odd },
        ],
        audiences,
        destinations: ["mailer", "warehouse"].map(view).to_vec(),
        triggers,
        ..Definitions::default()
    };
    definitions.order = order(&definitions);
    definitions
}

/// One who does much, with two devices that are now and then another one's.
const WHO: [&[&str]; 10] = [
    &["user_id:1"],
    &["device_id:d1"],
    &["user_id:1", "device_id:d1"],
    &["user_id:1"],
    &["user_id:1", "anonymous_id:a1"],
    &["user_id:2", "device_id:d1"],
    &["anonymous_id:a1"],
    &["device_id:d1", "user_id:1"],
    &["user_id:2"],
    &["device_id:d1", "anonymous_id:a1"],
];

/// Two people of whom nothing moves.
const APART: [&[&str]; 4] =
    [&["user_id:1", "device_id:d1"], &["user_id:1"], &["user_id:2", "anonymous_id:a1"], &["device_id:d1", "user_id:1"]];

/// A history, triggers, and whether some of what fires never comes back.
#[derive(Clone)]
pub struct TriggerCase {
    seed: u64,
    /// The history without what fires.
    pub case: Case,
    /// With the triggers.
    pub definitions: Definitions,
    is_lossy: bool,
}

impl TriggerCase {
    /// The case of a seed.
    pub fn of(seed: u64) -> Self {
        let mut case = some_cases(seed, 1, 60).swap_remove(0);
        if has_crossings(seed) {
            // All of everybody is looked at whenever anything changes.
            case.drafts.truncate(30);
        }
        let case = dense(Case { without_order: 0, ..case }, if seed.is_multiple_of(2) { &APART } else { &WHO });
        let definitions = definitions(seed, &case);
        TriggerCase { seed, case, definitions, is_lossy: seed.is_multiple_of(3) }
    }

    /// After how long what fires is in the log, one after the other.
    pub fn comes_back(&self) -> impl FnMut(&Firing) -> Option<u64> + use<> {
        let (mut chance, is_lossy) = (self.seed, self.is_lossy);
        move |_| {
            // Numbers that have nothing to do with each other (of a linear congruential generator).
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let drawn = chance >> 33;
            match drawn % 8 {
                0 if is_lossy => None,
                1 if is_lossy => Some(drawn % 300),
                _ => Some(1 + drawn / 8 % 30),
            }
        }
    }

    /// The same with less in it, of which this is still so.
    pub fn shrunk(mut self, is_so: &dyn Fn(&Self) -> bool) -> Self {
        loop {
            let mut smaller = Vec::new();
            for place in 0..self.definitions.triggers.len() {
                let mut one = self.clone();
                one.definitions.triggers.remove(place);
                smaller.push(one);
            }
            for place in 0..self.case.drafts.len() {
                let mut one = self.clone();
                let gone = one.case.drafts.remove(place);
                // What follows stays where it is.
                if let Some(next) = one.case.drafts.get_mut(place) {
                    next.gap_ms += gone.gap_ms;
                }
                smaller.push(one);
            }
            for place in 0..self.definitions.triggers.len() {
                let simpler: [fn(&mut Trigger); 6] = [
                    |one| one.when = None,
                    |one| one.unless = None,
                    |one| one.at_most = None,
                    |one| one.requires_consent = None,
                    |one| one.payload.clear(),
                    |one| one.routes = TriggerRoutes::All(Vec::new()),
                ];
                for simpler in simpler {
                    let mut one = self.clone();
                    simpler(&mut one.definitions.triggers[place]);
                    if one.definitions != self.definitions {
                        smaller.push(one);
                    }
                }
            }
            let Some(one) = smaller.into_iter().find(is_so) else { return self };
            self = one;
        }
    }

    /// All that is to be known of it, with what was recorded.
    pub fn told(&self, log: &PlayedLog) -> String {
        let Definitions { triggers, measures, audiences, .. } = &self.definitions;
        let mut text = format!("seed {}: {}", self.seed, told(&self.case));
        triggers.iter().for_each(|trigger| text += &format!("{trigger:?}\n"));
        for (place, measure) in measures.iter().enumerate() {
            let is_asked = |term: &PersonTerm| term.measure() == Some(MeasureId::new(place));
            let asks = |expression: &OverPerson| {
                let mut asks = false;
                expression.for_each_term(&mut |term| asks |= is_asked(term));
                asks
            };
            let is_of =
                |one: &Trigger| one.on.measure().is_some_and(|id| id.index() == place) || one.expressions().any(asks);
            // Audiences and other measures ask for the rest.
            if has_crossings(self.seed) || has_ended_sessions(self.seed) || triggers.iter().any(is_of) {
                text += &format!("  {place}: {measure:?}\n");
            }
        }
        audiences.iter().skip(1).for_each(|audience| text += &format!("{audience:?}\n"));
        for (tick, event) in log.history.iter().filter(|(_, event)| event.name.derived().is_some()) {
            let Event { timestamp, position, name, identifiers, fields, .. } = event;
            let whose = identifiers.iter().next().map(|one| one.text().to_string()).unwrap_or_default();
            text += &format!("  record at {tick} of {timestamp}: {name} {whose} {fields:?} {position:?}\n");
        }
        text
    }
}
