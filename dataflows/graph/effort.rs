//! What one event costs does not grow with what the person has already: rows are counted, of people that are ten times as large.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::logging::{DifferentialEvent, DifferentialEventBuilder};
use timely::logging::{TimelyEvent, TimelyEventBuilder};

use super::{Inputs, Layout, Receivers, build};
use crate::definitions::{
    Audience, AudienceId, Definitions, DestinationView, EvaluationStep, EventTerm, Field, FieldId, FieldRoot,
    ListedTrait, Measure, MeasureId, MeasureShape, Period, PersonTerm, Trait, TraitId, Window,
};
use crate::expression::Expression;
use crate::model::{Event, Identifier, IdentifierKey, Identifiers, Position, Tick, Value};
use crate::observations::Arrival;
use crate::operators::visits;
use crate::relations::{
    Answer, AnyRow, Consents, DesiredRows, Found, LimitsReached, LookUp, Memberships, ProfileRef, Profiles, Query,
    Question, Relation, Told,
};

/// Everybody with an address, an anonymous id, a name or a city, who is sent on with these; and of what they looked at, how many
/// different things, the greatest, the latest, and the first one within a second.
fn definitions() -> Definitions {
    let has = |kind: &str| Expression::Term(PersonTerm::Has(kind.into()));
    let is_set = |name: &str| {
        let attribute = Expression::Term(PersonTerm::Attribute(name.into(), None));
        Expression::Not(Box::new(Expression::IsMissing(Box::new(attribute))))
    };
    let condition = Expression::Or(vec![has("email"), has("anonymous_id"), is_set("name"), is_set("address.city")]);
    let value = || Expression::Term(EventTerm::Field(FieldId::new(0)));
    let window = Window { length_ms: 1_000, grain_ms: 1 };
    let shapes = [
        (MeasureShape::Distinct(value()), None),
        (MeasureShape::Greatest(value()), None),
        (MeasureShape::Latest(value()), None),
        (MeasureShape::Earliest(value()), Some(window)),
        (MeasureShape::Tally(value()), None),
        (MeasureShape::Recent(value(), 3), None),
    ];
    let measure = |(shape, within): (MeasureShape, Option<Window>)| Measure {
        events: vec!["page".into()],
        each: None,
        condition: None,
        shape,
        within: within.map(Period::Within),
        ended: Vec::new(),
    };
    let derived = |(index, name): (usize, &str)| {
        let measure = MeasureId::new(index);
        let term = match index {
            0 => PersonTerm::Distinct(measure),
            4 => PersonTerm::Top(measure, 0),
            5 => PersonTerm::Recent(measure),
            _ => PersonTerm::Sample(measure),
        };
        Trait { name: name.into(), expression: Expression::Term(term) }
    };
    let traits = ["different", "greatest", "latest", "earliest", "most frequent", "last three"]
        .into_iter()
        .enumerate()
        .map(derived)
        .collect();
    Definitions {
        fields: vec![Field { root: FieldRoot::Properties, path: vec!["value".into()], kind: None }],
        measures: shapes.into_iter().map(measure).collect(),
        traits,
        audiences: vec![Audience { name: "reachable".into(), condition }],
        order: (0..6)
            .map(|id| EvaluationStep::Trait(TraitId::new(id)))
            .chain([EvaluationStep::Audience(AudienceId::new(0))])
            .collect(),
        destinations: vec![DestinationView {
            name: "mail".into(),
            audiences: vec![AudienceId::new(0)],
            identifiers: vec!["anonymous_id".into(), "email".into()],
            traits: vec![ListedTrait::Attribute("name".into()), ListedTrait::Attribute("address.city".into())],
            requires_consent: None,
        }],
        ..Definitions::default()
    }
}

/// An event of these identifiers, written `type:value` with spaces between, and with them attributes, `name=value`, and what was looked
/// at, `=value`.
fn event(at: u64, index: u32, who: &str) -> Event {
    let key = IdentifierKey::from_secret("test");
    let identifier = |text: &str| {
        let (kind, value) = text.split_once(':').expect("it is written so");
        Identifier::new(&key, kind, value)
    };
    let position = Position { tick: Tick::from_ms(at), process: 0, index };
    let (settings, identifiers): (Vec<&str>, Vec<&str>) = who.split(' ').partition(|word| word.contains('='));
    let settings = settings.into_iter().map(|word| word.split_once('=').expect("it has one"));
    let (fields, mut attributes): (Vec<_>, Vec<_>) = settings.partition(|(name, _)| name.is_empty());
    attributes.sort_unstable();
    let set = |value: &str| Some(Value::text(value)).filter(|_| !value.is_empty());
    Event {
        timestamp: Tick::from_ms(at),
        position,
        name: "page".into(),
        identifiers: Identifiers::new(identifiers.into_iter().map(identifier).collect(), 0),
        fields: fields.into_iter().map(|(_, value)| (FieldId::new(0), Value::text(value))).collect(),
        attributes: attributes.into_iter().map(|(name, value)| (name.into(), set(value))).collect(),
        ..Event::default()
    }
}

/// Whether it is asked, as of the tick of each event, who that is and whether they consent: as for an event that is sent on.
#[derive(Clone, Copy)]
enum AskMode {
    Nothing,
    Person,
}

/// What is asked as of the tick of an event: of its first identifier.
fn questions(at: u64, who: &str) -> [Question; 2] {
    let id = event(at, 0, who).identifiers.iter().next().expect("it has one").id();
    let profile = Profiles::into_any(vec![ProfileRef::Identifier(id)]);
    [profile, Consents::into_any(vec![(id, "ads".into())])].map(Question::LookUp)
}

/// The rows that each of these events touches, which come one a tick, after all of the others.
fn effort(before: Vec<String>, events: &[&str], asked: AskMode) -> Vec<usize> {
    let events: Vec<String> = events.iter().map(|event| (*event).to_owned()).collect();
    timely::execute_directly(move |worker| {
        let rows = Rc::new(Cell::new(0));
        let mut register = worker.log_register().expect("it has a clock");
        let sent = rows.clone();
        register.insert::<TimelyEventBuilder, _>("timely", move |_, events| {
            for (_, event) in events.iter_mut().flat_map(|events| events.drain(..)) {
                if let TimelyEvent::Messages(event) = event
                    && event.is_send
                {
                    sent.set(sent.get() + usize::try_from(event.record_count).expect("it is a count"));
                }
            }
        });
        let arranged = rows.clone();
        register.insert::<DifferentialEventBuilder, _>("differential/arrange", move |_, events| {
            for (_, event) in events.iter_mut().flat_map(|events| events.drain(..)) {
                if let DifferentialEvent::Batch(event) = event {
                    arranged.set(arranged.get() + event.length);
                }
            }
        });
        drop(register);
        let answered = Rc::new(Cell::new(0));
        let counted = answered.clone();
        let receivers = Receivers {
            changes: Told::of(&[Memberships::NAME, DesiredRows::NAME, LimitsReached::NAME], Box::new(|_, _| {})),
            answers: Box::new(move |_, answers| {
                let is_known = |answer: &(Answer, i64)| !matches!(answer.0.found, Found::Row(AnyRow::Profiles(None)));
                counted.set(counted.get() + answers.into_iter().filter(is_known).count());
            }),
        };
        let (mut inputs, completion, _) =
            build(worker, &Arc::new(definitions()), Layout::local(1), Arc::from([]), receivers);
        let mut take = |inputs: &mut Inputs, tick: u64, who: &[String], asked: AskMode| {
            let arrival = |(who, index): (&String, u32)| (Tick::from_ms(tick), Arrival::Event(event(tick, index, who)));
            inputs.send(who.iter().zip(0..).map(arrival));
            if let (AskMode::Person, [who]) = (asked, who) {
                for (id, question) in (2 * tick..).zip(questions(tick, who)) {
                    inputs.ask(Tick::from_ms(tick), Query::new(id, 0, question));
                }
            }
            inputs.advance_to(Tick::from_ms(tick + 1));
            worker.step_while(|| completion.frontier() <= Tick::from_ms(tick));
            worker.log_register().expect("it has a clock").flush();
            rows.get() + visits::so_far()
        };
        let mut so_far = take(&mut inputs, 1, &before, AskMode::Nothing);
        let mut each = Vec::new();
        for (tick, who) in (2..).zip(events) {
            let now = take(&mut inputs, tick, &[who], asked);
            each.push(now - so_far);
            so_far = now;
        }
        let expected = if matches!(asked, AskMode::Person) { 2 * each.len() } else { 0 };
        assert_eq!(answered.get(), expected, "all is answered");
        each
    })
}

/// The same events after so much, and after ten times as much.
#[track_caller]
fn check(count: usize, before: impl Fn(usize) -> Vec<String>, events: &[&str]) {
    check_asked(count, before, events, AskMode::Nothing);
}

/// The same, where it is also asked whose they are.
#[track_caller]
fn check_asked(count: usize, before: impl Fn(usize) -> Vec<String>, events: &[&str], asked: AskMode) {
    let [small, large] = [count, 10 * count].map(|count| effort(before(count), events, asked));
    assert_eq!(small.len(), events.len());
    for ((small, large), event) in small.iter().zip(&large).zip(events) {
        assert!(*small > 0, "it is counted");
        // What is looked at of a type, and what one link may bring along, do not depend on how much there is.
        assert!(large <= &(small + small / 4 + 8), "{event}: {small} rows and then {large}");
    }
}

#[test]
fn identifiers_of_as_many_types_on_one_person() {
    let before = |count| (0..count).map(|n| format!("user_id:1 t{n}:x")).collect();
    check(300, before, &["user_id:1 tt:x", "user_id:1 tt:x", "user_id:1 email:a", "user_id:1 anonymous_id:a"]);
}

#[test]
fn anonymous_ids_of_one_person() {
    let before = |count| (0..count).map(|n| format!("user_id:1 anonymous_id:{n:05}")).collect();
    check(
        300,
        before,
        &["user_id:1 anonymous_id:z", "user_id:2 anonymous_id:z", "user_id:1 anonymous_id:0", "user_id:1 email:a"],
    );
}

#[test]
fn a_hub_that_changes_hands() {
    let before = |count| (0..count).map(|n| format!("email:a anonymous_id:{n}")).collect();
    check(300, before, &["user_id:1 email:a", "user_id:2 email:a", "email:a anonymous_id:z", "email:a"]);
}

#[test]
fn a_chain_whose_end_changes_hands() {
    let before = |count: usize| (0..count).map(|n| format!("email:{n} email:{}", n + 1)).collect();
    check(200, before, &["user_id:1 email:0", "user_id:2 email:0", "email:0"]);
}

/// Devices of one person that say things of it, each for itself.
fn devices(count: usize, said: impl Fn(usize) -> String) -> Vec<String> {
    let device = |n: usize| [format!("anonymous_id:{n:05} {}", said(n)), format!("user_id:1 anonymous_id:{n:05}")];
    (0..count).flat_map(device).collect()
}

#[test]
fn devices_of_one_person_with_attributes() {
    check(
        300,
        |count| devices(count, |n| format!("name=n{n} address.city=c address.zip=z{n} x{n}=1")),
        &[
            "anonymous_id:00007 name=a",
            "anonymous_id:00007 address=",
            "anonymous_id:00008 address.city=b",
            "user_id:2 anonymous_id:00008",
            "user_id:1 name=c x1=2",
            "user_id:1 x1=3",
            "user_id:1",
        ],
    );
}

/// The topics are as many. Of each person there are more records than are put together.
#[test]
fn reads_of_one_person_whose_devices_have_attributes() {
    check_asked(
        300,
        |count| devices(count, |n| format!("name=n{n} address.city=c address.zip=z{n}")),
        &[
            "anonymous_id:00007 page=a",
            "anonymous_id:00007 address=",
            "anonymous_id:00008 address.city=b",
            "user_id:2 anonymous_id:00008",
            "user_id:1 name=c",
            "user_id:1",
        ],
        AskMode::Person,
    );
}

/// Of what is written below a path and was left out by a later write there, nothing is looked at again.
#[test]
fn paths_below_one_that_is_written_again_and_again() {
    let before = |count| {
        let mut before = devices(count, |n| format!("address.x{n}=1"));
        before.push("user_id:1 address=".to_owned());
        before
    };
    let events = ["user_id:1 address=", "user_id:1 address.city=b", "anonymous_id:00007 address=", "user_id:1"];
    check_asked(300, before, &events, AskMode::Person);
}

#[test]
fn devices_of_one_person_that_looked_at_things() {
    check(
        300,
        |count| devices(count, |n| format!("=v{n}")),
        &[
            "anonymous_id:00007 =v3",
            "anonymous_id:00007 =a",
            "user_id:1 =z",
            "user_id:2 anonymous_id:00008",
            "user_id:1 anonymous_id:00008 =b",
        ],
    );
}

#[test]
fn things_that_one_person_looked_at() {
    check(300, |count| (0..count).map(|n| format!("user_id:1 =v{n}")).collect(), &["user_id:1 =v3", "user_id:1 =a"]);
}
