//! Random sequences over random histories of few people who do much at a time.

use std::ops::Range;

use dataflows::definitions::{
    Audience, AudienceId, Definitions, EvaluationStep, EventFilter, Measure, MeasureId, MeasureShape, PersonTerm,
    Sequence, SequenceEnd, SequenceStep, Trait, TraitId, Window,
};
use dataflows::expression::{Comparison, Expression};
use dataflows::model::{Event, Tick};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::dataflow::{Dataflow, Restored};
use super::itself::Oracle;
use super::{ComparisonRun, ComparisonSubject, compare, from_environment, runner, some_cases, told};
use crate::histories::definitions::{ANYTHING, CATEGORY, ORDERED, TOTAL, VIEWED};
use crate::histories::expressions::{compare as compared, field, literal};
use crate::histories::sequences::{events, sequence};
use crate::histories::{Case, When};

/// Sequences of one history.
const SEQUENCES: usize = 6;

/// How far apart events are in most of these histories.
pub const NEAR_MS: u64 = 12;

/// Short ones, some of which let go of events much later than they have to, and one that lets go of nothing.
pub fn window() -> impl Strategy<Value = Window> {
    let window = |(length_ms, grain_ms)| Window { length_ms, grain_ms };
    prop::sample::select(&[(5, 1), (10, 7), (20, 17), (30, 1), (1_000, 1), (60_000, 10)][..]).prop_map(window)
}

pub fn filter() -> impl Strategy<Value = EventFilter> {
    let names: [&[&str]; 6] = [&[ORDERED], &[VIEWED], &["identify"], &[ORDERED, VIEWED], &[VIEWED, "identify"], &[]];
    let condition = prop_oneof![
        4 => Just(None),
        1 => Just(Some(compared(field(TOTAL), Comparison::GreaterOrEqual, literal(10.0)))),
        1 => Just(Some(Expression::IsMissing(Box::new(field(CATEGORY))))),
    ];
    let names = prop_oneof![2 => prop::sample::select(names[..2].to_vec()), 3 => prop::sample::select(names.to_vec())];
    (names, condition).prop_map(|(names, condition)| EventFilter { condition, ..events(names) })
}

/// How long something may take, at least a millisecond.
pub fn wait_ms() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 1..NEAR_MS, 2 => prop::sample::select(&[18, 25, 32, 60, 1_000, 60_004][..])]
}

fn times() -> impl Strategy<Value = u16> {
    prop_oneof![3 => Just(1), 1 => 2..4u16]
}

/// Some sequence.
pub fn measure() -> impl Strategy<Value = Measure> {
    let step = (filter(), times(), prop_oneof![1 => Just(None), 1 => wait_ms().prop_map(Some)]);
    let step = step.prop_map(|(takes, times, within_ms)| SequenceStep { takes, times, within_ms });
    let end = prop_oneof![
        Just(SequenceEnd::Match),
        (filter(), wait_ms()).prop_map(|(absent, wait_ms)| SequenceEnd::Absent(absent, wait_ms)),
        (filter(), times(), wait_ms()).prop_map(|(next, times, wait_ms)| SequenceEnd::Dropped(next, times, wait_ms)),
    ];
    let same = prop_oneof![
        4 => Just(None),
        1 => prop::sample::select(&[CATEGORY, ANYTHING, TOTAL][..]).prop_map(|of| Some(field(of))),
    ];
    (prop::collection::vec(step, 1..4), end, same, window()).prop_map(|(mut steps, end, same, window)| {
        // There is nothing before the first.
        steps[0].within_ms = None;
        sequence(steps, end, same, window)
    })
}

/// Some sequences, of each of which everything is shown.
fn definitions(seed: u64, case: &Case) -> Definitions {
    let measures = prop::collection::vec(measure(), SEQUENCES).new_tree(&mut runner(seed, 1));
    let measures = measures.expect("sequences can always be made").current();
    let term = |of: fn(MeasureId) -> PersonTerm, index| Expression::Term(of(MeasureId::new(index)));
    let trait_of = |(index, of): (usize, fn(MeasureId) -> PersonTerm)| {
        // Who has dropped out has completed nothing.
        let sequence = measures[index / 2].shape.sequence().expect("they all are");
        let of = if matches!(sequence.end, SequenceEnd::Dropped(..)) { PersonTerm::Matches } else { of };
        Trait { name: format!("t{index}").into(), expression: term(of, index / 2) }
    };
    let both: [fn(MeasureId) -> PersonTerm; 2] = [PersonTerm::Completions, PersonTerm::LastCompletion];
    let traits: Vec<Trait> = both.into_iter().cycle().take(2 * SEQUENCES).enumerate().map(trait_of).collect();
    let audiences = (0..SEQUENCES)
        .map(|index| Audience { name: format!("a{index}").into(), condition: term(PersonTerm::Matches, index) });
    let of_traits = (0..traits.len()).map(|id| EvaluationStep::Trait(TraitId::new(id)));
    let of_audiences = (0..SEQUENCES).map(|id| EvaluationStep::Audience(AudienceId::new(id)));
    let usual = case.definitions();
    Definitions {
        identity: usual.identity,
        fields: usual.fields,
        measures,
        traits,
        audiences: audiences.collect(),
        order: of_traits.chain(of_audiences).collect(),
        ..Definitions::default()
    }
}

/// A person and two devices that are now hers and now another one's.
const WHO: [&[&str]; 8] = [
    &["user_id:1"],
    &["device_id:d1"],
    &["user_id:1"],
    &["anonymous_id:a1"],
    &["user_id:1", "device_id:d1"],
    &["user_id:1", "anonymous_id:a1"],
    &["user_id:2", "device_id:d1"],
    &["user_id:2"],
];

/// The same history in a short time, and of few: of these, by turns.
pub fn dense(case: Case, who: &[&[&'static str]]) -> Case {
    let mut drafts = case.drafts;
    for (draft, place) in drafts.iter_mut().zip(0usize..) {
        let chance = draft.gap_ms as usize + draft.who.len() * 3 + place * place;
        draft.gap_ms %= NEAR_MS;
        draft.when = match draft.when {
            When::Ago(ms) => When::Ago(ms % (3 * NEAR_MS)),
            When::Ahead(ms) => When::Ahead(ms % NEAR_MS),
            when => when,
        };
        draft.who = who[chance % who.len()].to_vec();
    }
    Case { drafts, rules: 0, ..case }
}

/// A history, and sequences that are looked for in it.
fn case_of(seed: u64) -> (Case, Definitions) {
    let case = some_cases(seed, 1, 30).swap_remove(0);
    let case = if seed.is_multiple_of(4) { case } else { dense(case, &WHO) };
    let definitions = definitions(seed, &case);
    (case, definitions)
}

#[track_caller]
fn check(subject: &dyn ComparisonSubject, seeds: Range<u64>) {
    let first = from_environment("DELTAIC_TEST_SEED").unwrap_or(1);
    let many = from_environment("DELTAIC_TEST_CASES").unwrap_or(1);
    for seed in (seeds.start..seeds.start + (seeds.end - seeds.start) * many).map(|seed| first * 10_000 + seed) {
        let (case, definitions) = case_of(seed);
        if let Err(reason) = compare(subject, &definitions, &case.history()) {
            panic!("seed {seed}: {}\nof {:#?}\n{reason}", told(&case), definitions.measures);
        }
    }
}

/// The oracle, with sequences that are a little different.
struct Mistaken(fn(&mut Sequence));

impl ComparisonSubject for Mistaken {
    fn run(&self, definitions: &Definitions, batches: &[(Tick, Vec<Event>)], read_at: &[Tick]) -> ComparisonRun {
        let mut definitions = definitions.clone();
        for measure in &mut definitions.measures {
            let MeasureShape::Sequence(sequence) = &mut measure.shape else { panic!("they all are") };
            self.0(sequence);
        }
        Oracle.run(&definitions, batches, read_at)
    }
}

#[test]
fn small_mistakes_in_sequences_are_found() {
    #[track_caller]
    fn check(mistake: fn(&mut Sequence)) {
        let is_found = |seed| {
            let (case, definitions) = case_of(seed);
            compare(&Mistaken(mistake), &definitions, &case.history()).is_err()
        };
        assert!((0..60).any(is_found), "a mistake is to be found");
    }
    fn near_ms(sequence: &mut Sequence) -> impl Iterator<Item = &mut u64> {
        sequence.steps.iter_mut().filter_map(|step| step.within_ms.as_mut())
    }
    check(|sequence| near_ms(sequence).for_each(|ms| *ms += 1));
    check(|sequence| near_ms(sequence).for_each(|ms| *ms -= 1));
    check(|sequence| sequence.same = None);
    check(|sequence| sequence.steps.reverse());
    check(|sequence| sequence.steps.iter_mut().for_each(|step| step.times = step.times.min(2)));
    check(|sequence| sequence.steps.iter_mut().for_each(|step| step.takes.condition = None));
    check(|sequence| match &mut sequence.end {
        SequenceEnd::Absent(_, wait_ms) => *wait_ms += 1,
        SequenceEnd::Match | SequenceEnd::Dropped(..) => {}
    });
    check(|sequence| match &mut sequence.end {
        SequenceEnd::Dropped(_, _, wait_ms) => *wait_ms += 1,
        SequenceEnd::Match | SequenceEnd::Absent(..) => {}
    });
    check(|sequence| match &mut sequence.end {
        SequenceEnd::Dropped(_, times, _) => *times = 1,
        SequenceEnd::Match | SequenceEnd::Absent(..) => {}
    });
    check(|sequence| match &sequence.end {
        SequenceEnd::Dropped(next, 1, ms) => sequence.end = SequenceEnd::Absent(next.clone(), *ms),
        SequenceEnd::Match | SequenceEnd::Absent(..) | SequenceEnd::Dropped(..) => {}
    });
}

#[test]
fn random_sequences_are_found() {
    check(&Dataflow::of(1), 0..60);
    check(&Dataflow { due_at_once: 2, ticks_at_once: 5, ..Dataflow::of(3) }, 1_000..1_030);
}

#[test]
fn random_sequences_go_on_after_a_restart() {
    check(&Restored { before: Dataflow::of(3), after: Dataflow::of(1) }, 2_000..2_040);
    check(&Restored { before: Dataflow::of(1), after: Dataflow::of(3) }, 3_000..3_030);
}
