//! People with many devices, each of which says something of them: what is kept of these people from change to change is what a plain
//! recomputation says, while devices come, speak and go.

use dataflows::definitions::{
    Audience, AudienceId, Definitions, DestinationView, Field, FieldRoot, Listed, MeasureId, PersonTerm, Shape, Step,
    Trait, TraitId, Window,
};
use dataflows::expression::{Comparison, Expression};
use dataflows::limits::KEPT_FROM;
use dataflows::model::{Event, Tick};

use super::dataflow::{Dataflow, Restored};
use super::{Subject, compare, some_cases, told};
use crate::histories::expressions::{compare as compared, field, literal, measure};
use crate::histories::{Case, Draft, When};

/// Fewer than histories usually have, so that they can be recomputed with so many devices at every tick: what is kept of a person is asked
/// in each of the ways there are.
fn definitions(case: &Case) -> Definitions {
    let window = Window { length_ms: 1_000, grain_ms: 1 };
    let shapes = [
        (Shape::Distinct(field(0)), None),
        (Shape::Distinct(field(0)), Some(window)),
        (Shape::Least(field(0)), None),
        (Shape::Greatest(field(0)), Some(window)),
        (Shape::Earliest(field(0)), None),
        (Shape::Latest(field(0)), None),
    ];
    let of_measure = |index: usize| {
        let measure = MeasureId::new(index);
        Expression::Term(if index < 2 { PersonTerm::Distinct(measure) } else { PersonTerm::Sample(measure) })
    };
    let attribute = |name: &str| Expression::Term(PersonTerm::Attribute(name.into(), None));
    let names = ["different", "different_1s", "least", "greatest_1s", "first", "last"];
    let measured = names.into_iter().enumerate().map(|(index, name)| (name, of_measure(index)));
    let set = ["city", "city.a", "city.a.b", "plan"].map(|name| (name, attribute(name)));
    let mut traits: Vec<Trait> =
        measured.chain(set).map(|(name, expression)| Trait { name: format!("t_{name}").into(), expression }).collect();
    traits.sort_by(|a, b| a.name.cmp(&b.name));
    let berliners = compared(attribute("city"), Comparison::Equal, literal("Berlin"));
    let steps = (0..traits.len()).map(|id| Step::Trait(TraitId::new(id)));
    let order = steps.chain([0, 1].map(|id| Step::Audience(AudienceId::new(id)))).collect();
    let at_least_three = compared(of_measure(0), Comparison::GreaterOrEqual, literal(3.0));
    Definitions {
        fields: (0..5)
            .map(|n| Field { root: FieldRoot::Properties, path: vec![format!("x{n}").into()], kind: None })
            .collect(),
        measures: shapes.into_iter().map(|(shape, within)| measure("Order Completed", shape, within)).collect(),
        traits,
        audiences: vec![
            Audience { name: "berliners".into(), condition: berliners },
            Audience { name: "curious".into(), condition: at_least_three },
        ],
        order,
        destinations: vec![DestinationView {
            name: "mail".into(),
            audiences: vec![AudienceId::new(0), AudienceId::new(1)],
            identifiers: vec!["user_id".into()],
            traits: vec![Listed::Attribute("city.a".into()), Listed::Trait(TraitId::new(0))],
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
    let said: Vec<Draft> = random.into_iter().flat_map(|case| case.drafts).collect();
    let mut said = said.iter().cycle();
    let mut speaks = |device: &'static str, gap_ms| Draft {
        gap_ms,
        who: vec![device],
        // Each time of its own is a tick at which windows end and all is recomputed.
        when: When::Now,
        ..said.next().expect("something is said").clone()
    };
    let logs_in =
        |user, device, gap_ms| Draft { gap_ms, who: vec![user, device], when: When::Now, ..own.drafts[0].clone() };
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

#[track_caller]
fn check(subject: &dyn Subject, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let case = case_of_many(seed);
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
    check(&dataflow(1), 0..1);
    check(&Restored { before: dataflow(3), after: dataflow(1) }, 1..3);
}
