//! People with many devices, each of which says something of them: what is kept of these people from change to change is what a plain
//! recomputation says, while devices come, speak and go.

use std::ops::Range;

use dataflows::definitions::{
    Audience, AudienceId, Definitions, DestinationView, EvaluationStep, Field, FieldRoot, ListedTrait, MeasureId,
    MeasureShape, PersonTerm, Trait, TraitId, Window,
};
use dataflows::expression::{Comparison, Expression};
use dataflows::limits::KEPT_FROM;
use dataflows::model::{Event, Tick, Value};
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};

use super::dataflow::{Dataflow, Restored};
use super::{ComparisonSubject, compare, runner, some_cases, told};
use crate::histories::expressions::{compare as compared, field, literal, measure};
use crate::histories::{Case, DraftedFact, EventDraft, When};

/// Fewer than histories usually have, so that they can be recomputed with so many devices at every tick: what is kept of a person is asked
/// in each of the ways there are.
pub fn definitions(case: &Case) -> Definitions {
    let window = Window { length_ms: 1_000, grain_ms: 1 };
    let shapes = [
        (MeasureShape::Distinct(field(0)), None),
        (MeasureShape::Distinct(field(0)), Some(window)),
        (MeasureShape::Least(field(0)), None),
        (MeasureShape::Greatest(field(0)), Some(window)),
        (MeasureShape::Earliest(field(0)), None),
        (MeasureShape::Latest(field(0)), None),
        (MeasureShape::Tally(field(0)), None),
        (MeasureShape::Tally(field(0)), Some(window)),
    ];
    let of_measure = |index: usize| {
        let measure = MeasureId::new(index);
        Expression::Term(if index < 2 { PersonTerm::Distinct(measure) } else { PersonTerm::Sample(measure) })
    };
    let tallied = |index: usize| {
        let id = MeasureId::new(index);
        let terms = [PersonTerm::Top(id, 0), PersonTerm::Top(id, 2), PersonTerm::CountOf(id, Value::text("0"))];
        let of_numbers =
            [PersonTerm::Percentile(id, 500_000), PersonTerm::Percentile(id, 912_345), PersonTerm::Deviation(id)];
        terms.into_iter().chain(of_numbers).map(Expression::Term)
    };
    let attribute = |name: &str| Expression::Term(PersonTerm::Attribute(name.into(), None));
    let names = ["different", "different_1s", "least", "greatest_1s", "first", "last"];
    let measured = names.into_iter().enumerate().map(|(index, name)| (name, of_measure(index)));
    let names = ["top", "third", "zeros", "median", "percentile", "deviation"];
    let ever = names.map(|name| name.to_owned()).into_iter().zip(tallied(6));
    let lately = names.map(|name| format!("{name}_1s")).into_iter().zip(tallied(7));
    let set = ["city", "city.a", "city.a.b", "plan"].map(|name| (name, attribute(name)));
    let mut traits: Vec<Trait> = measured
        .chain(set)
        .map(|(name, expression)| (name.to_owned(), expression))
        .chain(ever)
        .chain(lately)
        .map(|(name, expression)| Trait { name: format!("t_{name}").into(), expression })
        .collect();
    traits.sort_by(|a, b| a.name.cmp(&b.name));
    let berliners = compared(attribute("city"), Comparison::Equal, literal("Berlin"));
    let steps = (0..traits.len()).map(|id| EvaluationStep::Trait(TraitId::new(id)));
    let consents = Expression::Term(PersonTerm::Consent("marketing".into()));
    let order = steps.chain([0, 1, 2].map(|id| EvaluationStep::Audience(AudienceId::new(id)))).collect();
    let at_least_three = compared(of_measure(0), Comparison::GreaterOrEqual, literal(3.0));
    Definitions {
        fields: (0..5)
            .map(|n| Field { root: FieldRoot::Properties, path: vec![format!("x{n}").as_str().into()], kind: None })
            .collect(),
        measures: shapes.into_iter().map(|(shape, within)| measure("Order Completed", shape, within)).collect(),
        traits,
        audiences: vec![
            Audience { name: "berliners".into(), condition: berliners },
            Audience { name: "curious".into(), condition: at_least_three },
            Audience { name: "told".into(), condition: consents },
        ],
        order,
        destinations: vec![DestinationView {
            name: "mail".into(),
            audiences: vec![AudienceId::new(0), AudienceId::new(1)],
            identifiers: vec!["user_id".into()],
            traits: vec![ListedTrait::Attribute("city.a".into()), ListedTrait::Trait(TraitId::new(0))],
            requires_consent: None,
        }],
        identity: case.definitions().identity,
        ..Definitions::default()
    }
}

/// Devices, so many that those of one person are kept, and that they are not when half of them left.
fn devices() -> Vec<&'static str> {
    (0..KEPT_FROM + 4).map(|n| &*format!("anonymous_id:d{n:03}").leak()).collect()
}

/// A random history of a person who has all of these devices before, and loses most of them, and has them again.
fn case_of_many(seed: u64) -> Case {
    let devices = devices();
    let mut random = some_cases(seed, 12, 16);
    let own = random.pop().expect("there is one");
    let said: Vec<EventDraft> = random.into_iter().flat_map(|case| case.drafts).collect();
    let mut said = said.iter().cycle();
    let mut speaks = |device: &'static str, gap_ms| EventDraft {
        gap_ms,
        who: vec![device],
        // Each time of its own is a tick at which windows end and all is recomputed.
        when: When::Now,
        ..said.next().expect("something is said").clone()
    };
    let logs_in =
        |user, device, gap_ms| EventDraft { gap_ms, who: vec![user, device], when: When::Now, ..own.drafts[0].clone() };
    let mut drafts = Vec::new();
    for (device, n) in devices.iter().zip(0u64..) {
        // Half of them speak before they are that person's, and one by one they become it at few ticks.
        let gap_ms = u64::from(n.is_multiple_of(30));
        if n.is_multiple_of(2) {
            drafts.extend([speaks(device, gap_ms), logs_in("user_id:1", device, 0)]);
        } else {
            drafts.extend([logs_in("user_id:1", device, gap_ms), speaks(device, 0)]);
        }
    }
    drafts.extend(own.drafts.iter().cloned());
    for (device, n) in devices.iter().zip(0u64..).filter(|(_, n)| n % 4 > 0) {
        drafts.push(logs_in("user_id:2", device, u64::from(n.is_multiple_of(20))));
    }
    drafts.extend([speaks(devices[0], 1), speaks(devices[1], 1)]);
    drafts.extend(devices.iter().map(|device| logs_in("user_id:1", device, 0)));
    drafts.extend(devices.iter().zip(1..6).map(|(device, gap_ms)| speaks(device, gap_ms)));
    Case { drafts, without_order: own.without_order, rules: own.rules }
}

/// Devices that an address has with it, which comes and goes.
const TOGETHER: usize = 6;

/// A random history of a person who has now as many devices as can be put together one by one, and now more, each with attributes: they
/// come and go one by one and several at a time, and what they say is as old as may be. In the end all are another person's, and then
/// a third one's.
pub fn case_around_the_threshold(seed: u64, steps_count: usize) -> Case {
    let devices = devices();
    let (alone, together) = devices.split_at(devices.len() - TOGETHER);
    let sets =
        |draft: &EventDraft| matches!(&draft.what, DraftedFact::Identify { attributes, .. } if !attributes.is_empty());
    let random = some_cases(seed, 40, 16);
    let rules = random[0].rules;
    let said: Vec<EventDraft> = random.into_iter().flat_map(|case| case.drafts).filter(sets).collect();
    let mut said = said.iter().cycle();
    let mut speaks =
        |who, gap_ms| EventDraft { gap_ms, who: vec![who], ..said.next().expect("something is said").clone() };
    let nothing = || DraftedFact::Identify { attributes: Vec::new(), consent: Vec::new() };
    let meet = |who, gap_ms| EventDraft { gap_ms, process: 0, when: When::Now, who, what: nothing() };

    let mut drafts: Vec<EventDraft> = devices.iter().map(|device| speaks(device, 0)).collect();
    drafts.extend(together.iter().map(|device| meet(vec!["email:a@x.org", device], 0)));
    let mut is_hers: Vec<bool> = (0..alone.len()).map(|place| place + 3 < alone.len()).collect();
    let mut are_together = true;
    let user = |is_hers: bool| if is_hers { "user_id:1" } else { "user_id:2" };
    drafts.push(meet(vec!["user_id:1", "email:a@x.org"], 1));
    drafts.extend(is_hers.iter().zip(alone).map(|(is_hers, device)| meet(vec![user(*is_hers), device], 0)));

    let step = (0..alone.len(), 0..10u8, 0..3u64);
    let steps = vec(step, steps_count).new_tree(&mut runner(seed, 1)).expect("steps can always be made").current();
    let (mut crossed, mut were_many) = (0, false);
    for (place, roll, gap_ms) in steps {
        let hers = is_hers.iter().filter(|is_hers| **is_hers).count() + if are_together { TOGETHER } else { 0 };
        crossed += usize::from(were_many != (hers > KEPT_FROM));
        were_many = hers > KEPT_FROM;
        match roll {
            0..4 => drafts.push(speaks(devices[place], gap_ms)),
            4 => {
                are_together = !are_together;
                drafts.push(meet(vec![user(are_together), "email:a@x.org"], gap_ms));
            }
            _ => {
                let comes = if roll == 5 { were_many } else { !were_many };
                let next = (place..alone.len()).chain(0..place).find(|place| is_hers[*place] != comes);
                if let Some(place) = next {
                    is_hers[place] = comes;
                    drafts.push(meet(vec![user(comes), alone[place]], gap_ms));
                }
            }
        }
    }
    assert!(crossed > steps_count / 20, "{crossed} times");
    for previous in [vec!["user_id:2", "<<user_id:1"], vec!["user_id:3", "<<user_id:1"]] {
        drafts.push(meet(previous, 1));
        drafts.extend([speaks(devices[0], 1), speaks(together[0], 0), meet(vec!["user_id:2", devices[1]], 1)]);
    }
    Case { drafts, without_order: seed as usize % 3 * 40, rules }
}

#[track_caller]
fn check(subject: &dyn ComparisonSubject, cases: impl Iterator<Item = (u64, Case)>) {
    for (seed, case) in cases {
        let history: Vec<(Tick, Event)> = case.history();
        if let Err(reason) = compare(subject, &definitions(&case), &history) {
            panic!("seed {seed}: {}\n{reason}", told(&case));
        }
    }
}

#[test]
fn many_devices_of_one_person_come_speak_and_go() {
    // What is kept goes from one slice of the work to the next.
    let dataflow = |workers| Dataflow { due_at_once: 3, ..Dataflow::of(workers) };
    let cases = |seeds: Range<u64>| seeds.map(|seed| (seed, case_of_many(seed)));
    check(&dataflow(1), cases(0..1));
    check(&Restored { before: dataflow(3), after: dataflow(1) }, cases(1..3));
}

#[test]
fn records_of_one_person_become_many_and_few_again() {
    let cases = |seeds: Range<u64>| seeds.map(|seed| (seed, case_around_the_threshold(seed, 60)));
    let dataflow = Dataflow::of;
    check(&dataflow(1), cases(0..1));
    check(&Dataflow { due_at_once: 3, ticks_at_once: 7, ..dataflow(3) }, cases(1..2));
    check(&Restored { before: dataflow(1), after: dataflow(3) }, cases(2..3));
    check(&Restored { before: dataflow(3), after: dataflow(1) }, cases(3..5));
}
