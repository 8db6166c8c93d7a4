//! Profiles: aggregates, attributes, consent, traits, audiences, destinations.

use dataflows::definitions::{
    Audience, AudienceId, Definitions, DestinationId, DestinationView, EvaluationStep, EventTerm, Field, FieldId,
    FieldRoot, ListedTrait, Measure, MeasureId, MeasureShape, PersonTerm, Trait, TraitId, Window,
};
use dataflows::expression::{Comparison, Expression};
use dataflows::model::{Event, PointInTime, Tick, Topic, Value, ValueType};

use super::{event, placed};
use crate::histories::definitions::order;
use crate::histories::expressions::{compare, field, literal, measure, not};
use crate::oracle::{MembershipChange, OracleState, membership_changes};

/// Definitions of one measure, which one trait shows.
fn one_measure(shape: MeasureShape, term: fn(MeasureId) -> PersonTerm) -> Definitions {
    Definitions {
        fields: vec![Field { root: FieldRoot::Properties, path: vec!["x".into()], kind: None }],
        measures: vec![measure("buy", shape, None)],
        traits: vec![Trait { name: "shown".into(), expression: Expression::Term(term(MeasureId::new(0))) }],
        order: vec![EvaluationStep::Trait(TraitId::new(0))],
        ..Definitions::default()
    }
}

fn number(value: f64) -> Value {
    Value::number(value).expect("it is finite")
}

/// The value of the only trait after events "buy" of one person at the given times with the given values.
#[track_caller]
fn check_measure(
    shape: MeasureShape,
    term: fn(MeasureId) -> PersonTerm,
    events: &[(u64, Option<Value>)],
    expected: Option<Value>,
) {
    let history: Vec<(Tick, Event)> = events
        .iter()
        .map(|(at, value)| {
            let fields = value.iter().map(|value| (FieldId::new(0), value.clone())).collect();
            (Tick::from_ms(100), Event { fields, ..event(*at, "buy", "user_id:1") })
        })
        .chain([(Tick::from_ms(100), event(1, "page", "user_id:1"))])
        .collect();
    let state = OracleState::of(&one_measure(shape, term), &history, Tick::from_ms(100));
    let found = state.profiles.values().next().expect("there is one profile").traits.first().cloned();
    assert_eq!(found.map(|(_, value)| value), expected);
}

#[test]
fn counts_never_miss() {
    check_measure(MeasureShape::Count, PersonTerm::Count, &[], Some(number(0.0)));
    check_measure(MeasureShape::Count, PersonTerm::Count, &[(1, None), (1, None)], Some(number(2.0)));
    let some = |value| Some(number(value));
    check_measure(MeasureShape::Sum(field(0)), PersonTerm::Count, &[(1, some(5.0)), (2, None)], Some(number(1.0)));
    check_measure(MeasureShape::Distinct(field(0)), PersonTerm::Distinct, &[(1, None)], Some(number(0.0)));
    let three = [(1, some(5.0)), (2, some(5.0)), (3, some(6.0))];
    check_measure(MeasureShape::Distinct(field(0)), PersonTerm::Distinct, &three, Some(number(2.0)));
}

#[test]
fn sums_are_exact_in_millionths() {
    let check = |addends: &[f64], sum: Option<f64>, average: Option<f64>| {
        let events: Vec<_> = addends.iter().map(|addend| (1, Some(number(*addend)))).collect();
        check_measure(MeasureShape::Sum(field(0)), PersonTerm::Sum, &events, sum.map(number));
        check_measure(MeasureShape::Sum(field(0)), PersonTerm::Average, &events, average.map(number));
    };
    check(&[], None, None);
    check(&[0.1, 0.2], Some(0.3), Some(0.15));
    check(&[0.1; 10], Some(1.0), Some(0.1));
    check(&[0.0000005], Some(0.000001), Some(0.000001));
    check(&[-0.0000005, 3.0, 0.0], Some(2.999999), Some(2.999999 / 3.0));
    check(&[1e15, 0.25, -1e15], Some(0.25), Some(0.25 / 3.0));
    // More millionths than a float is exact to.
    check(&[99.995, 98_765_432_109.87], Some(98_765_432_209.865), Some(98_765_432_209.865 / 2.0));
    // A number beyond 1e15 is no addend.
    check(&[1.1e15, 2.0], Some(2.0), Some(2.0));
    check(&[1.1e15], None, None);
    check_measure(MeasureShape::Sum(field(0)), PersonTerm::Sum, &[(1, Some(Value::text("5")))], None);
}

#[test]
fn one_value_out_of_many() {
    let events =
        [(3, Some(number(1.0))), (1, Some(number(9.0))), (3, Some(number(5.0))), (1, Some(number(2.0))), (0, None)];
    let check = |shape, expected| check_measure(shape, PersonTerm::Sample, &events, Some(number(expected)));
    check(MeasureShape::Least(field(0)), 1.0);
    check(MeasureShape::Greatest(field(0)), 9.0);
    // At the same time, where the log did not keep its order: the smaller of the first and the larger of the last.
    check(MeasureShape::Earliest(field(0)), 2.0);
    check(MeasureShape::Latest(field(0)), 5.0);
    check_measure(MeasureShape::Latest(field(0)), PersonTerm::Sample, &[(1, None)], None);
}

#[test]
fn the_most_frequent_value() {
    let text = |value: &str| (1, Some(Value::text(value)));
    let events = [text("b"), text("a"), text("c"), text("c"), text("b"), (1, Some(number(7.0))), (1, None)];
    let shape = || MeasureShape::Tally(field(0));
    let top = |but: u16, expected: Option<Value>| {
        let term: fn(MeasureId) -> PersonTerm = match but {
            0 => |id| PersonTerm::Top(id, 0),
            1 => |id| PersonTerm::Top(id, 1),
            2 => |id| PersonTerm::Top(id, 2),
            3 => |id| PersonTerm::Top(id, 3),
            _ => |id| PersonTerm::Top(id, 4),
        };
        check_measure(shape(), term, &events, expected);
    };
    // Two of b and c each; then one of each of the others, of which the number sorts last.
    top(0, Some(Value::text("b")));
    top(1, Some(Value::text("c")));
    top(2, Some(Value::text("a")));
    top(3, Some(number(7.0)));
    top(4, None);
    check_measure(shape(), |id| PersonTerm::CountOf(id, Value::text("c")), &events, Some(number(2.0)));
    check_measure(shape(), |id| PersonTerm::CountOf(id, Value::text("7")), &events, Some(number(0.0)));
    check_measure(shape(), |id| PersonTerm::CountOf(id, number(7.0)), &events, Some(number(1.0)));
}

#[test]
fn percentiles_lie_between_values() {
    // As of PostgreSQL 16: select percentile_cont(p) within group (order by x) from (values (1), (2), (3), (10)) as v (x).
    let check = |numbers: &[f64], term: fn(MeasureId) -> PersonTerm, expected: Option<f64>| {
        let events: Vec<_> = numbers.iter().map(|value| (1, Some(number(*value)))).collect();
        check_measure(MeasureShape::Tally(field(0)), term, &events, expected.map(number));
    };
    let median: fn(MeasureId) -> PersonTerm = |id| PersonTerm::Percentile(id, 500_000);
    let of_90: fn(MeasureId) -> PersonTerm = |id| PersonTerm::Percentile(id, 900_000);
    check(&[10.0, 2.0, 3.0, 1.0], median, Some(2.5));
    check(&[10.0, 2.0, 3.0, 1.0], of_90, Some(7.9));
    check(&[10.0, 2.0, 3.0, 1.0], |id| PersonTerm::Percentile(id, 0), Some(1.0));
    check(&[10.0, 2.0, 3.0, 1.0], |id| PersonTerm::Percentile(id, 1_000_000), Some(10.0));
    check(&[3.0, 3.0, 3.0, 5.0], median, Some(3.0));
    check(&[0.1, 0.2], median, Some(0.15));
    check(&[0.1, 0.2], of_90, Some(0.19));
    check(&[5.0], of_90, Some(5.0));
    check(&[], median, None);
    // What is no decimal of six digits is a matter of floats.
    check(&[0.0, 1e-9], median, Some(0.5e-9));
}

#[test]
fn deviations_are_those_of_samples() {
    let check = |numbers: &[f64], variance: Option<f64>| {
        let events: Vec<_> = numbers.iter().map(|value| (1, Some(number(*value)))).collect();
        let expected = variance.map(|variance: f64| number(variance.sqrt()));
        check_measure(MeasureShape::Tally(field(0)), PersonTerm::Deviation, &events, expected);
    };
    check(&[], None);
    check(&[3.0], None);
    check(&[3.0, 3.0], Some(0.0));
    check(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], Some(32.0 / 7.0));
    check(&[0.1, 0.3], Some(0.02));
    check(&[999_999_999_999_999.0, 999_999_999_999_998.0, 1.1e15], Some(0.5));
}

#[test]
fn a_value_of_another_type_is_missing() {
    let mut definitions = one_measure(MeasureShape::Latest(field(0)), PersonTerm::Sample);
    definitions.fields[0].kind = Some(ValueType::Text);
    let buy =
        |at, value| (Tick::from_ms(9), Event { fields: vec![(FieldId::new(0), value)], ..event(at, "buy", "email:a") });
    let state = OracleState::of(&definitions, &[buy(1, Value::text("a")), buy(2, number(1.0))], Tick::from_ms(9));
    let profile = state.profiles.values().next().expect("there is one");
    assert_eq!(profile.traits, [(TraitId::new(0), Value::text("a"))]);
}

#[test]
fn conditions_must_be_true() {
    let condition = Some(compare(field(0), Comparison::Greater, literal(1.0)));
    let mut definitions = one_measure(MeasureShape::Count, PersonTerm::Count);
    definitions.measures[0] = Measure { condition, ..measure("buy", MeasureShape::Count, None) };
    let buy = |value: Option<f64>| {
        let fields = value.into_iter().map(|value| (FieldId::new(0), number(value))).collect();
        (Tick::from_ms(9), Event { fields, ..event(1, "buy", "email:a") })
    };
    let state = OracleState::of(&definitions, &[buy(Some(1.0)), buy(Some(2.0)), buy(None)], Tick::from_ms(9));
    assert_eq!(state.profiles.values().next().expect("there is one").traits, [(TraitId::new(0), number(1.0))]);
}

#[test]
fn one_event_name_several_or_any() {
    let history: Vec<(Tick, Event)> = [("buy", 1.0), ("return", -0.5), ("page", 7.0), ("buy", 2.0)]
        .map(|(name, value)| {
            let fields = vec![(FieldId::new(0), number(value))];
            (Tick::from_ms(9), Event { fields, ..event(1, name, "email:a") })
        })
        .into();
    let check = |events: &[&str], expected: f64| {
        let mut definitions = one_measure(MeasureShape::Sum(field(0)), PersonTerm::Sum);
        definitions.measures[0].events = events.iter().map(|name| (*name).into()).collect();
        let state = OracleState::of(&definitions, &history, Tick::from_ms(9));
        let profile = state.profiles.values().next().expect("there is one");
        assert_eq!(profile.traits, [(TraitId::new(0), number(expected))]);
    };
    check(&["buy"], 3.0);
    check(&["buy", "return"], 2.5);
    check(&[], 9.5);
}

#[test]
fn what_was_done_while_logged_in_stays_with_the_user() {
    let definitions = one_measure(MeasureShape::Count, PersonTerm::Count);
    let history: Vec<(Tick, Event)> = [
        event(1, "buy", "user_id:1 device_id:d"),
        event(2, "buy", "device_id:d"),
        event(3, "page", "user_id:2 device_id:d"),
    ]
    .into_iter()
    .map(|event| (event.timestamp, event))
    .collect();
    let bought = |now| {
        let state = OracleState::of(&definitions, &history, Tick::from_ms(now));
        let of =
            |profile: &dataflows::model::Profile| (profile.identifiers[0].to_string(), profile.traits[0].1.clone());
        let mut bought: Vec<_> = state.profiles.values().map(of).collect();
        bought.sort();
        bought
    };
    assert_eq!(bought(0), []);
    assert_eq!(bought(1), [("device_id:d".to_owned(), number(1.0))]);
    assert_eq!(bought(2), [("device_id:d".to_owned(), number(2.0))]);
    // The device, with what was done on it by nobody in particular, goes to the second user.
    assert_eq!(bought(3), [("device_id:d".to_owned(), number(1.0)), ("user_id:1".to_owned(), number(1.0))]);
}

#[test]
fn the_latest_write_wins_and_without_an_order_the_largest() {
    #[track_caller]
    fn check(writes: &[(u64, Option<&str>)], expected: Option<(u64, Option<&str>)>) {
        // Written under two identifiers of one person in turn.
        let history: Vec<(Tick, Event)> = writes
            .iter()
            .zip(["email:a", "user_id:1"].iter().cycle())
            .map(|((at, value), who)| {
                let attributes = [("city".into(), value.map(Value::text))].into();
                (Tick::from_ms(50), Event { attributes, ..event(*at, "identify", who) })
            })
            .chain([(Tick::from_ms(50), event(0, "page", "user_id:1 email:a"))])
            .collect();
        let state = OracleState::of(&Definitions::default(), &history, Tick::from_ms(50));
        let profile = state.profiles.values().next().expect("there is one");
        let found: Vec<_> =
            profile.record.settings().into_iter().map(|setting| (setting.topic, setting.at, setting.value)).collect();
        let topic = Topic::Attribute("city".into());
        let expected: Vec<_> =
            expected.iter().map(|(at, value)| (topic.clone(), Tick::from_ms(*at), value.map(Value::text))).collect();
        assert_eq!(found, expected);
    }
    check(&[], None);
    check(&[(1, Some("a")), (2, Some("b"))], Some((2, Some("b"))));
    check(&[(2, Some("a")), (1, Some("b"))], Some((2, Some("a"))));
    check(&[(2, Some("a")), (2, Some("b"))], Some((2, Some("b"))));
    check(&[(2, Some("b")), (2, Some("a"))], Some((2, Some("b"))));
    // Taking away is a write; it loses against a value of the same time.
    check(&[(1, Some("a")), (2, None)], Some((2, None)));
    check(&[(2, Some("a")), (2, None)], Some((2, Some("a"))));
    check(&[(2, None), (1, Some("a"))], Some((2, None)));
}

/// One batch without times of its own: what comes later in it wins, whatever the values.
#[test]
fn of_equal_times_the_order_of_the_log_decides() {
    let mut definitions = one_measure(MeasureShape::Latest(field(0)), PersonTerm::Sample);
    definitions.measures.push(measure("buy", MeasureShape::Earliest(field(0)), None));
    definitions
        .traits
        .push(Trait { name: "first".into(), expression: Expression::Term(PersonTerm::Sample(MeasureId::new(1))) });
    definitions.order.push(EvaluationStep::Trait(TraitId::new(1)));
    let identify = |city: Option<&str>, plan: Option<&str>, given| Event {
        attributes: [("city".into(), city.map(Value::text)), ("plan".into(), plan.map(Value::text))].into(),
        consent: [("marketing".into(), given)].into(),
        ..event(50, "identify", "user_id:1")
    };
    let buy = |value| Event { fields: vec![(FieldId::new(0), number(value))], ..event(50, "buy", "user_id:1") };
    let events = [
        placed(0, 0, identify(Some("Rome"), Some("pro"), true)),
        placed(0, 1, identify(Some("Berlin"), None, false)),
        placed(0, 2, buy(9.0)),
        placed(0, 3, buy(5.0)),
    ];
    let mut history: Vec<(Tick, Event)> = events.map(|event| (Tick::from_ms(50), event)).into();
    for _ in 0..history.len() {
        history.rotate_left(1);
        let state = OracleState::of(&definitions, &history, Tick::from_ms(50));
        let profile = state.profiles.values().next().expect("there is one");
        let value = |topic| profile.record.get(&topic);
        assert_eq!(value(Topic::Attribute("city".into())), Some(Value::text("Berlin")));
        assert_eq!(value(Topic::Attribute("plan".into())), None);
        assert_eq!(value(Topic::Consent("marketing".into())), Some(Value::Bool(false)));
        assert_eq!(profile.traits, [(TraitId::new(0), number(5.0)), (TraitId::new(1), number(9.0))]);
    }
}

/// An audience of those who bought within 5 ms, one of the others, and a destination that asks for consent.
fn with_audiences() -> Definitions {
    let recent = || Expression::Term(PersonTerm::Count(MeasureId::new(0)));
    let mut definitions = Definitions {
        measures: vec![measure("buy", MeasureShape::Count, Some(Window { length_ms: 5, grain_ms: 1 }))],
        traits: vec![Trait { name: "buys".into(), expression: recent() }],
        audiences: vec![
            Audience {
                name: "idle".into(),
                condition: not(Expression::Term(PersonTerm::Audience(AudienceId::new(1)))),
            },
            Audience { name: "recent".into(), condition: compare(recent(), Comparison::Greater, literal(0.0)) },
        ],
        destinations: vec![DestinationView {
            name: "mailer".into(),
            audiences: vec![AudienceId::new(1)],
            identifiers: vec!["email".into()],
            traits: vec![
                ListedTrait::Attribute("city".into()),
                ListedTrait::Attribute("age".into()),
                ListedTrait::Trait(TraitId::new(0)),
            ],
            requires_consent: Some("marketing".into()),
        }],
        ..Definitions::default()
    };
    definitions.order = order(&definitions);
    definitions
}

#[test]
fn audiences_change_when_windows_end() {
    let definitions = with_audiences();
    let history = [(Tick::from_ms(10), event(10, "buy", "email:a"))];
    let at = |now| OracleState::of(&definitions, &history, Tick::from_ms(now));
    let profile = *at(10).profiles.keys().next().expect("there is one");
    let change = |tick, audience, difference| MembershipChange {
        tick: Tick::from_ms(tick),
        audience: AudienceId::new(audience),
        profile,
        difference,
    };
    assert_eq!(membership_changes(Tick::from_ms(10), &at(9), &at(10)), [change(10, 1, 1)]);
    assert_eq!(membership_changes(Tick::from_ms(14), &at(10), &at(14)), []);
    assert_eq!(membership_changes(Tick::from_ms(15), &at(14), &at(15)), [change(15, 0, 1), change(15, 1, -1)]);
}

#[test]
fn destinations_hold_who_consents_with_what_is_listed() {
    let definitions = with_audiences();
    let consent = |at, given| {
        (
            Tick::from_ms(at),
            Event { consent: [("marketing".into(), given)].into(), ..event(at, "identify", "user_id:1") },
        )
    };
    let attributes = [("city".into(), Some(Value::text("Rome"))), ("shoe_size".into(), Some(Value::text("43")))].into();
    let history = [
        (Tick::from_ms(10), Event { attributes, ..event(10, "buy", "user_id:1 email:b email:a phone:5") }),
        consent(11, true),
        consent(13, false),
        consent(14, true),
    ];
    let rows = |now| -> Vec<String> {
        let state = OracleState::of(&definitions, &history, Tick::from_ms(now));
        let ids = (DestinationId::new(0), AudienceId::new(1));
        assert!(state.desired.iter().all(|row| (row.destination, row.audience) == ids));
        state.desired.iter().map(|row| format!("{} {:?}", row.identifier, row.traits)).collect()
    };
    let both = [
        r#"email:a [("buys", Number(1.0)), ("city", Text("Rome"))]"#,
        r#"email:b [("buys", Number(1.0)), ("city", Text("Rome"))]"#,
    ];
    assert_eq!(rows(10), [""; 0]);
    assert_eq!(rows(11), both);
    assert_eq!(rows(13), [""; 0]);
    assert_eq!(rows(14), both);
    assert_eq!(rows(15), [""; 0]);
}

#[test]
fn an_attribute_of_another_type_is_missing() {
    let check = |kind, expected: &[(TraitId, Value)]| {
        let expression = Expression::Term(PersonTerm::Attribute("city".into(), kind));
        let definitions = Definitions {
            traits: vec![Trait { name: "shown".into(), expression }],
            order: vec![EvaluationStep::Trait(TraitId::new(0))],
            ..Definitions::default()
        };
        let attributes = [("city".into(), Some(Value::text("Rome")))].into();
        let history = [(Tick::from_ms(1), Event { attributes, ..event(1, "identify", "email:a") })];
        let state = OracleState::of(&definitions, &history, Tick::from_ms(1));
        assert_eq!(state.profiles.values().next().expect("there is one").traits, expected);
    };
    check(None, &[(TraitId::new(0), Value::text("Rome"))]);
    check(Some(ValueType::Text), &[(TraitId::new(0), Value::text("Rome"))]);
    check(Some(ValueType::Number), &[]);
}

#[test]
fn a_person_has_types_of_identifiers() {
    let mut definitions = Definitions {
        audiences: vec![Audience {
            name: "mailable".into(),
            condition: Expression::Term(PersonTerm::Has("email".into())),
        }],
        ..Definitions::default()
    };
    definitions.order = order(&definitions);
    let check = |who, expected| {
        let state = OracleState::of(&definitions, &[(Tick::from_ms(1), event(1, "page", who))], Tick::from_ms(1));
        assert_eq!(state.memberships().len(), expected);
    };
    check("user_id:1 email:a", 1);
    check("user_id:1 email:null", 0);
    check("user_id:1 email_hash:a", 0);
}

#[test]
fn measures_can_look_at_the_time() {
    let shape = MeasureShape::Latest(Expression::Term(EventTerm::Timestamp));
    check_measure(shape, PersonTerm::Sample, &[(7, None), (5, None)], Some(Value::Time(PointInTime::from_ms(7))));
}
