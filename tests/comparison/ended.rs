//! Random measures that count ended sessions, over random histories of few people who do much at a time.

use std::ops::Range;

use dataflows::definitions::{
    Audience, Definitions, EndedSessions, EventFilter, EventTerm, FieldId, Measure, MeasureId, MeasureShape, Period,
    PersonTerm, RunningTerm, SequenceEnd, Session, Trait, Window,
};
use dataflows::expression::{Comparison, Expression};
use dataflows::model::{Event, EventName, Tick, Value};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::dataflow::{Dataflow, Restored};
use super::itself::Oracle;
use super::sequences::{dense, measure as any_sequence, window};
use super::sessions::{WHO, measure as any_session, seeds, terms};
use super::{ComparisonRun, ComparisonSubject, compare, replaced, runner, some_cases, told};
use crate::histories::Case;
use crate::histories::definitions::{ANYTHING, CATEGORY, ORDERED, OverPerson, SHIPPED, TAGS, TOTAL, VIEWED, order};
use crate::histories::expressions::{compare as compared, field, is_missing, literal};
use crate::histories::sequences::events;
use crate::histories::sessions::of_all;

/// Sessions of one history, the measures that count them, and the sequences that have them as steps.
const SESSIONS: usize = 3;
const COUNTED: usize = 5;
const SEQUENCES: usize = 4;

/// What an ended session is called.
fn name_of(session: MeasureId) -> EventName {
    EventName::of_derived(&format!("s{session} ended"))
}

/// What can be said of a session.
fn said(session: &Session) -> Vec<RunningTerm> {
    let of_value = |(value, place): (&Measure, u16)| terms(value).iter().map(move |of| RunningTerm::Value(place, *of));
    let of_values = session.values.iter().zip(0..).flat_map(of_value);
    [RunningTerm::Start, RunningTerm::Duration, RunningTerm::Events].into_iter().chain(of_values).collect()
}

/// The sessions of a measure as events, of which some fields say something of them: mostly what may be in such a field.
pub fn ended(session: MeasureId, of: &Session, choices: &[u8]) -> EndedSessions {
    let said = said(of);
    let of_field = |(field, choice): (&usize, &u8)| {
        let any = said[usize::from(*choice) % said.len()];
        let term = match (*field, choice % 4) {
            (_, 3) => any,
            (SHIPPED, _) => RunningTerm::Start,
            (TOTAL, 0) => RunningTerm::Duration,
            (TOTAL, _) => RunningTerm::Events,
            _ => any,
        };
        (choice / 4 % 5 > 0).then(|| (FieldId::new(*field), term))
    };
    let fields = [TOTAL, CATEGORY, ANYTHING, SHIPPED, TAGS];
    EndedSessions { name: name_of(session), session, fields: fields.iter().zip(choices).filter_map(of_field).collect() }
}

/// Has steps of a sequence, or what follows on them, take ended sessions, at least one.
pub fn take_ended(measure: &mut Measure, all: &[EndedSessions], choices: &[u8]) {
    let MeasureShape::Sequence(sequence) = &mut measure.shape else { panic!("it is a sequence") };
    let last = match &mut sequence.end {
        SequenceEnd::Match => None,
        SequenceEnd::Absent(filter, _) | SequenceEnd::Dropped(filter, ..) => Some(filter),
    };
    let filters: Vec<&mut EventFilter> = sequence.steps.iter_mut().map(|step| &mut step.takes).chain(last).collect();
    let mut taken: Vec<usize> = Vec::new();
    let has_one = choices.iter().take(filters.len()).any(|choice| choice % 3 == 0);
    for (place, (filter, choice)) in filters.into_iter().zip(choices).enumerate() {
        let which = usize::from(*choice) / 3 % all.len();
        let name = all[which].name.clone();
        match choice % 3 {
            1 if !filter.events.is_empty() => filter.events.push(name),
            2 if place > 0 || has_one => continue,
            1 if place > 0 || has_one => continue,
            _ => filter.events = vec![name],
        }
        filter.events.sort();
        taken.push(which);
    }
    measure.events = sequence.events();
    let is_taken = |(place, _): &(usize, &EndedSessions)| taken.contains(place);
    measure.ended = all.iter().enumerate().filter(is_taken).map(|(_, ended)| ended.clone()).collect();
}

fn period() -> impl Strategy<Value = Option<Period>> {
    let aged = (window(), prop::option::of(window())).prop_map(|(to, further)| {
        let from = |further: Window| Window { length_ms: to.length_ms + further.length_ms, ..further };
        Period::Aged { to, from: further.map(from) }
    });
    prop_oneof![
        2 => Just(None),
        4 => window().prop_map(|window| Some(Period::Within(window))),
        2 => aged.prop_map(Some),
    ]
}

/// What counts ended sessions, of which these are to be chosen, and maybe other events.
fn counting() -> impl Strategy<Value = Measure> {
    let timestamp = || Expression::Term(EventTerm::Timestamp);
    let shape = prop_oneof![
        3 => Just(MeasureShape::Count),
        2 => Just(MeasureShape::Sum(field(TOTAL))),
        1 => Just(MeasureShape::Least(field(ANYTHING))),
        1 => Just(MeasureShape::Greatest(field(TOTAL))),
        1 => Just(MeasureShape::Earliest(field(SHIPPED))),
        1 => Just(MeasureShape::Earliest(field(ANYTHING))),
        1 => Just(MeasureShape::Latest(timestamp())),
        1 => Just(MeasureShape::Latest(field(ANYTHING))),
        1 => Just(MeasureShape::Latest(field(TAGS))),
        2 => Just(MeasureShape::Distinct(field(ANYTHING))),
        1 => Just(MeasureShape::Distinct(timestamp())),
        2 => Just(MeasureShape::Tally(field(TOTAL))),
        1 => Just(MeasureShape::Tally(field(ANYTHING))),
        2 => Just(MeasureShape::Recent(timestamp(), 3)),
        1 => Just(MeasureShape::Recent(field(ANYTHING), 2)),
    ];
    let condition = prop_oneof![
        4 => Just(None),
        1 => Just(Some(compared(field(TOTAL), Comparison::GreaterOrEqual, literal(2.0)))),
        1 => Just(Some(is_missing(field(CATEGORY)))),
        1 => Just(Some(is_missing(field(ANYTHING)))),
    ];
    let names: [&[&str]; 4] = [&[], &[ORDERED], &[VIEWED, "identify"], &[ORDERED, VIEWED]];
    let names = prop_oneof![3 => Just(names[0]), 2 => prop::sample::select(names.to_vec())];
    (shape, condition, names, period()).prop_map(|(shape, condition, names, within)| Measure {
        events: events(names).events,
        condition,
        within,
        ..of_all(shape)
    })
}

/// What is shown of a measure.
fn shown(id: MeasureId, measure: &Measure) -> Vec<PersonTerm> {
    match &measure.shape {
        MeasureShape::Count => vec![PersonTerm::Count(id)],
        MeasureShape::Sum(_) => vec![PersonTerm::Count(id), PersonTerm::Sum(id), PersonTerm::Average(id)],
        MeasureShape::Distinct(_) => vec![PersonTerm::Distinct(id), PersonTerm::List(id, 2), PersonTerm::List(id, 100)],
        MeasureShape::Tally(_) => vec![
            PersonTerm::Top(id, 0),
            PersonTerm::Top(id, 1),
            PersonTerm::CountOf(id, Value::number(1.0).expect("it is finite")),
            PersonTerm::Percentile(id, 500_000),
            PersonTerm::Deviation(id),
        ],
        MeasureShape::Recent(..) => vec![PersonTerm::Recent(id)],
        MeasureShape::Sequence(sequence) if matches!(sequence.end, SequenceEnd::Dropped(..)) => {
            vec![PersonTerm::Matches(id)]
        }
        MeasureShape::Sequence(_) => {
            vec![PersonTerm::Matches(id), PersonTerm::Completions(id), PersonTerm::LastCompletion(id)]
        }
        _ => vec![PersonTerm::Sample(id)],
    }
}

/// Who is in an audience by what is shown.
fn condition(shown: &PersonTerm) -> OverPerson {
    match shown {
        PersonTerm::Matches(_) => Expression::Term(shown.clone()),
        PersonTerm::Count(_) | PersonTerm::Distinct(_) => {
            compared(Expression::Term(shown.clone()), Comparison::GreaterOrEqual, literal(2.0))
        }
        _ => is_missing(Expression::Term(shown.clone())),
    }
}

/// Sessions, and what counts those that have ended, each of which everything is shown.
fn definitions(seed: u64, case: &Case) -> Definitions {
    let choices = || prop::collection::vec(any::<u8>(), 8);
    let drafts = (
        prop::collection::vec((any_session(), choices()), SESSIONS),
        prop::collection::vec((counting(), prop::collection::btree_set(0..SESSIONS, 1..3)), COUNTED),
        prop::collection::vec((any_sequence(), choices()), SEQUENCES),
    );
    let drafts = drafts.new_tree(&mut runner(seed, 1)).expect("measures can always be made").current();
    let (sessions, counted, sequences) = drafts;
    let of_session = |(place, (measure, choices)): (usize, &(Measure, Vec<u8>))| {
        ended(MeasureId::new(place), measure.shape.session().expect("it is a session"), choices)
    };
    let all: Vec<EndedSessions> = sessions.iter().enumerate().map(of_session).collect();
    let mut measures: Vec<Measure> = sessions.into_iter().map(|(measure, _)| measure).collect();
    for (mut measure, of) in counted {
        measure.ended = of.into_iter().map(|place| all[place].clone()).collect();
        measure.events.extend(measure.ended.iter().map(|ended| ended.name.clone()));
        measure.events.sort();
        measures.push(measure);
    }
    for (mut measure, choices) in sequences {
        take_ended(&mut measure, &all, &choices);
        measures.push(measure);
    }
    let terms = measures.iter().enumerate().skip(SESSIONS);
    let terms: Vec<PersonTerm> = terms.flat_map(|(place, measure)| shown(MeasureId::new(place), measure)).collect();
    let trait_of = |(place, term): (usize, &PersonTerm)| Trait {
        name: format!("t{place:02}").into(),
        expression: Expression::Term(term.clone()),
    };
    let audience_of = |(place, term): (usize, &PersonTerm)| Audience {
        name: format!("a{place:02}").into(),
        condition: condition(term),
    };
    let usual = case.definitions();
    let mut definitions = Definitions {
        identity: usual.identity,
        fields: usual.fields,
        traits: terms.iter().enumerate().map(trait_of).collect(),
        audiences: terms.iter().enumerate().map(audience_of).collect(),
        measures,
        ..Definitions::default()
    };
    definitions.order = order(&definitions);
    definitions
}

/// A history, and what counts the sessions of it that have ended.
fn case_of(seed: u64, events_max: usize) -> (Case, Definitions) {
    let case = some_cases(seed, 1, events_max).swap_remove(0);
    let case = if seed.is_multiple_of(5) { case } else { dense(case, &WHO) };
    let definitions = definitions(seed, &case);
    (case, definitions)
}

#[track_caller]
fn check(subject: &dyn ComparisonSubject, of: Range<u64>) {
    for seed in seeds(of) {
        let (case, definitions) = case_of(seed, 30);
        if let Err(reason) = compare(subject, &definitions, &case.history()) {
            panic!("seed {seed}: {}\n{}\nof {:#?}", told(&case), reason, definitions.measures);
        }
    }
}

/// The oracle, with measures that are a little different.
struct MistakenEnds(fn(&mut Definitions));

impl ComparisonSubject for MistakenEnds {
    fn run(&self, definitions: &Definitions, batches: &[(Tick, Vec<Event>)], read_at: &[Tick]) -> ComparisonRun {
        let mut definitions = definitions.clone();
        self.0(&mut definitions);
        Oracle.run(&definitions, batches, read_at)
    }
}

#[test]
fn small_mistakes_in_ended_sessions_are_found() {
    #[track_caller]
    fn check(mistake: fn(&mut Definitions)) {
        let is_found = |seed| {
            let (case, definitions) = case_of(seed, 30);
            compare(&MistakenEnds(mistake), &definitions, &case.history()).is_err()
        };
        assert!((0..40).any(is_found), "a mistake is to be found");
    }
    fn ended(definitions: &mut Definitions) -> impl Iterator<Item = &mut EndedSessions> {
        definitions.measures.iter_mut().flat_map(|measure| &mut measure.ended)
    }
    check(|all| {
        for measure in &mut all.measures {
            if let MeasureShape::Session(session) = &mut measure.shape {
                session.gap_ms += 1;
            }
        }
    });
    check(|all| all.measures.iter_mut().for_each(|measure| measure.ended.clear()));
    check(|all| ended(all).for_each(|ended| _ = ended.fields.pop()));
    check(|all| {
        // Values are asked for by their places.
        let is_own =
            |ended: &&mut EndedSessions| ended.fields.iter().all(|(_, term)| !matches!(term, RunningTerm::Value(..)));
        ended(all).filter(is_own).for_each(|ended| ended.session = MeasureId::new(0));
    });
    check(|all| {
        for (_, term) in ended(all).flat_map(|ended| &mut ended.fields).filter(|(_, term)| *term == RunningTerm::Events)
        {
            *term = RunningTerm::Duration;
        }
    });
    check(|all| {
        for period in all.measures.iter_mut().filter_map(|measure| measure.within.as_mut()) {
            if let Period::Within(window) = period {
                window.length_ms += 1;
            }
        }
    });
    check(|all| {
        for period in all.measures.iter_mut().filter_map(|measure| measure.within.as_mut()) {
            if let Period::Aged { to, .. } = period {
                to.length_ms += 1;
            }
        }
    });
}

#[test]
fn random_ended_sessions_are_counted() {
    check(&Dataflow::of(1), 0..40);
    check(&Dataflow { due_at_once: 2, ticks_at_once: 5, ..Dataflow::of(3) }, 1_000..1_020);
}

#[test]
fn random_ended_sessions_are_counted_after_a_restart() {
    check(&Restored { before: Dataflow::of(3), after: Dataflow::of(1) }, 2_000..2_025);
    check(&Restored { before: Dataflow::of(1), after: Dataflow::of(3) }, 3_000..3_020);
}

#[test]
fn events_are_taken_out_of_random_ended_sessions() {
    let (one, three) = (Dataflow::of(1), Dataflow { ticks_at_once: 4, due_at_once: 2, ..Dataflow::of(3) });
    for seed in seeds(4_000..4_010) {
        let (case, definitions) = case_of(seed, 15);
        replaced::check(&format!("seed {seed} of {:#?}", definitions.measures), &case, &definitions, 3, (&three, &one));
    }
}
