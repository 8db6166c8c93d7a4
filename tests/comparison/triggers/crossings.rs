//! Audiences whose entries and exits random histories have, and what counts these.

use compact_str::CompactString;
use dataflows::definitions::{
    Audience, AudienceId, EventFilter, EventTerm, Measure, MeasureShape, Occasion, Period, PersonTerm, RunningTerm,
    SequenceEnd, SequenceStep, Trigger, Window,
};
use dataflows::expression::{Arithmetic, Comparison, Expression};
use dataflows::model::{EventName, ValueType};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::super::runner;
use super::drafts::TriggerMaker;
use crate::histories::definitions::{ORDERED, OverPerson, TOTAL, VIEWED};
use crate::histories::expressions::{arithmetic, compare, field, is_missing, literal, measure as measure_of, not};
use crate::histories::sequences::{events, sequence, step};
use crate::histories::sessions::{of_all, session};

/// Audiences over what arrives, then over who entered and left these, then one over what fires.
const AUDIENCES: usize = 6;
/// Those over what arrives.
const BASES: usize = 3;

/// How many conditions there are over what arrives, and over entries and exits.
const BASE_CONDITIONS: usize = 13;
const UPPER_CONDITIONS: usize = 8;

/// The place of the first of these audiences among all.
const FIRST: usize = 1;

fn name_of(place: usize) -> CompactString {
    format!("in{place}").into()
}

fn audience(place: usize) -> AudienceId {
    AudienceId::new(FIRST + place)
}

fn within(length_ms: u64) -> Option<Window> {
    Some(Window { length_ms, grain_ms: 1 })
}

/// The records of who enters an audience, or leaves it.
fn crossing(place: usize, how: &str) -> EventName {
    EventName::of_derived(&format!("{} {how}", name_of(place)))
}

fn each(names: Vec<EventName>, shape: MeasureShape, length_ms: Option<u64>) -> Measure {
    let within = length_ms.and_then(within).map(Period::Within);
    Measure { events: names, within, ..of_all(shape) }
}

fn is_positive(count: OverPerson) -> OverPerson {
    compare(count, Comparison::Greater, literal(0.0))
}

fn term(term: PersonTerm) -> OverPerson {
    Expression::Term(term)
}

/// Of who is in an audience of the first kind.
fn base(maker: &mut TriggerMaker, place: usize) -> OverPerson {
    let mut count = |measure| term(PersonTerm::Count(maker.keep(measure)));
    match place {
        0 => is_positive(count(measure_of(VIEWED, MeasureShape::Count, within(10)))),
        1 => not(is_positive(count(measure_of(ORDERED, MeasureShape::Count, within(25))))),
        2 => compare(
            arithmetic(count(measure_of(ORDERED, MeasureShape::Count, None)), Arithmetic::Remainder, literal(2.0)),
            Comparison::Equal,
            literal(1.0),
        ),
        3 => compare(count(measure_of(ORDERED, MeasureShape::Count, None)), Comparison::GreaterOrEqual, literal(2.0)),
        4 => {
            let to = Window { length_ms: 6, grain_ms: 1 };
            let from = Some(Window { length_ms: 20, grain_ms: 7 });
            let aged =
                Measure { within: Some(Period::Aged { to, from }), ..measure_of(VIEWED, MeasureShape::Count, None) };
            is_positive(count(aged))
        }
        5 => {
            let visit = maker.keep(session(&[], 5, None, Vec::new()));
            term(PersonTerm::Running(visit, RunningTerm::IsThere))
        }
        6 => {
            let visit = maker.keep(session(&[], 3, None, Vec::new()));
            not(term(PersonTerm::Running(visit, RunningTerm::IsThere)))
        }
        7 => {
            let bought = [VIEWED, ORDERED].map(|name| step(events(&[name])));
            let over = Window { length_ms: 30, grain_ms: 1 };
            term(PersonTerm::Matches(maker.keep(sequence(bought.to_vec(), SequenceEnd::Match, None, over))))
        }
        8 => {
            let over = Window { length_ms: 60, grain_ms: 17 };
            let end = SequenceEnd::Absent(events(&[ORDERED]), 8);
            term(PersonTerm::Matches(maker.keep(sequence(vec![step(events(&[VIEWED]))], end, None, over))))
        }
        9 => {
            let city = term(PersonTerm::Attribute("city".into(), Some(ValueType::Text)));
            compare(city, Comparison::Equal, literal("Berlin"))
        }
        10 => term(PersonTerm::Consent("marketing".into())),
        11 => term(PersonTerm::Has("device_id".into())),
        _ => {
            let spent = maker.keep(measure_of(ORDERED, MeasureShape::Sum(field(TOTAL)), within(40)));
            compare(term(PersonTerm::Sum(spent)), Comparison::GreaterOrEqual, literal(10.0))
        }
    }
}

/// Of who is in an audience that hangs on the entries and exits of one before it.
fn upper(maker: &mut TriggerMaker, place: usize, of: usize) -> OverPerson {
    let [entered, left] = ["entered", "left"].map(|how| crossing(of, how));
    let timestamp = || Expression::Term(EventTerm::Timestamp);
    let filter = |name: &EventName| EventFilter { events: vec![name.clone()], condition: None };
    let over = |length_ms| Window { length_ms, grain_ms: 1 };
    let mut count = |names, length_ms| term(PersonTerm::Count(maker.keep(each(names, MeasureShape::Count, length_ms))));
    match place {
        0 => Expression::And(vec![term(PersonTerm::Audience(audience(of))), is_positive(count(vec![left], None))]),
        1 => is_positive(count(vec![entered], Some(15))),
        2 => is_positive(count(vec![left], Some(8))),
        3 => compare(count(vec![entered, left], Some(50)), Comparison::GreaterOrEqual, literal(2.0)),
        4 => {
            let [entered, left] = [entered, left]
                .map(|name| maker.keep(each(vec![name], MeasureShape::Latest(timestamp()), None)))
                .map(|id| term(PersonTerm::Sample(id)));
            let is_later = compare(entered, Comparison::GreaterOrEqual, left.clone());
            Expression::Or(vec![is_missing(left), is_later])
        }
        5 => {
            let mut visit = session(&[], 6, None, Vec::new());
            visit.events = vec![ORDERED.into(), entered, left];
            visit.events.sort();
            term(PersonTerm::Running(maker.keep(visit), RunningTerm::IsThere))
        }
        6 => {
            let steps = vec![
                step(filter(&entered)),
                SequenceStep { within_ms: Some(20), ..step(EventFilter { events: Vec::new(), condition: None }) },
            ];
            term(PersonTerm::Matches(maker.keep(sequence(steps, SequenceEnd::Match, None, over(60)))))
        }
        _ => {
            let end = SequenceEnd::Absent(filter(&left), 7);
            term(PersonTerm::Matches(maker.keep(sequence(vec![step(filter(&entered))], end, None, over(60)))))
        }
    }
}

/// The audiences, behind those that are there.
pub fn audiences(maker: &mut TriggerMaker, seed: u64) -> Vec<Audience> {
    let drafts = prop::collection::vec((0..BASE_CONDITIONS, 0..UPPER_CONDITIONS, 0..AUDIENCES), AUDIENCES);
    let drafts = drafts.new_tree(&mut runner(seed, 1)).expect("audiences can always be made").current();
    let condition = |(place, (of_arrivals, of_crossings, of)): (usize, (usize, usize, usize))| match place {
        0..BASES => base(maker, of_arrivals),
        place if place + 1 < AUDIENCES => upper(maker, of_crossings, of % place),
        _ => {
            let fired = EventName::of_derived("t0 fired");
            is_positive(term(PersonTerm::Count(maker.keep(each(vec![fired], MeasureShape::Count, Some(12))))))
        }
    };
    let conditions: Vec<OverPerson> = drafts.into_iter().enumerate().map(condition).collect();
    let conditions = conditions.into_iter().enumerate();
    conditions.map(|(place, condition)| Audience { name: name_of(place), condition }).collect()
}

/// What is written of who enters and leaves them.
pub fn triggers() -> Vec<Trigger> {
    let of = |place: usize| {
        [("entered", Occasion::Entered(audience(place))), ("left", Occasion::Left(audience(place)))]
            .map(|(how, on)| Trigger::of_crossing(format!("{} {how}", name_of(place)).into(), on))
    };
    (0..AUDIENCES).flat_map(of).collect()
}

/// What a trigger can be on: some of their entries and exits.
pub fn crossed(seed: u64) -> EventFilter {
    let place = seed as usize / 5 % BASES;
    let both = ["entered", "left"].map(|how| crossing(place, how));
    let events = match seed % 3 {
        0 => both[..1].to_vec(),
        1 => both[1..].to_vec(),
        _ => both.to_vec(),
    };
    EventFilter { events, condition: None }
}
