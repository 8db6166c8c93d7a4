//! Lists of values, the latest values, and elements of arrays as rows.

use dataflows::definitions::{
    ArrayRows, Definitions, EvaluationStep, Field, FieldId, FieldRoot, Measure, MeasureId, MeasureShape, PathStep,
    PersonTerm, Trait, TraitId, Window,
};
use dataflows::expression::{Arithmetic, Comparison, Expression};
use dataflows::model::{Event, PointInTime, Tick, Value, ValueType};

use super::{event, placed};
use crate::histories::expressions::{arithmetic, compare, field, item, list, literal, measure};
use crate::oracle::OracleState;

type ListTerm = fn(MeasureId) -> PersonTerm;

/// A field with one value.
const X: usize = 0;
/// How many products there are.
const COUNT: usize = 1;
/// What each of them has, of any type.
const SKU: usize = 2;
/// A number of each of them.
const PRICE: usize = 3;

fn definitions(measure: Measure, term: ListTerm) -> Definitions {
    let of = |path: &[PathStep], kind| Field { root: FieldRoot::Properties, path: path.to_vec(), kind };
    let column = |name: &str, kind| of(&["products".into(), PathStep::Each, name.into()], kind);
    Definitions {
        fields: vec![
            of(&["x".into()], None),
            of(&["products".into(), PathStep::Count], Some(ValueType::Number)),
            column("sku", None),
            column("price", Some(ValueType::Number)),
        ],
        measures: vec![measure],
        traits: vec![Trait { name: "shown".into(), expression: Expression::Term(term(MeasureId::new(0))) }],
        order: vec![EvaluationStep::Trait(TraitId::new(0))],
        ..Definitions::default()
    }
}

fn number(value: f64) -> Option<Value> {
    Value::number(value)
}

fn text(text: &str) -> Option<Value> {
    Some(Value::text(text))
}

fn truth(truth: bool) -> Option<Value> {
    Some(Value::Bool(truth))
}

/// The value of the trait of the only person, as of a time.
#[track_caller]
fn check_at(now: u64, measure: &Measure, term: ListTerm, events: &[Event], expected: Option<Value>) {
    let arrived = |event: &Event| (event.timestamp.max(Tick::from_ms(50)), event.clone());
    let history: Vec<(Tick, Event)> =
        events.iter().map(arrived).chain([(Tick::from_ms(50), event(1, "page", "user_id:1"))]).collect();
    for place in 0..history.len() {
        let mut history = history.clone();
        history.rotate_left(place);
        let state = OracleState::of(&definitions(measure.clone(), term), &history, Tick::from_ms(now));
        let found = state.profiles.values().next().expect("there is one profile").traits.first().cloned();
        assert_eq!(found.map(|(_, value)| value), expected);
    }
}

#[track_caller]
fn check(measure: &Measure, term: ListTerm, events: &[Event], expected: Option<Value>) {
    check_at(100, measure, term, events, expected);
}

/// An event with this value.
fn buy(at: u64, value: Option<Value>) -> Event {
    let fields = value.into_iter().map(|value| (FieldId::new(X), value)).collect();
    Event { fields, ..event(at, "buy", "user_id:1") }
}

/// An event with these products.
fn order(at: u64, products: &[(Option<Value>, Option<Value>)]) -> Event {
    let column = |values: Vec<Option<Value>>| Value::List(values.into());
    let fields = vec![
        (FieldId::new(X), Value::text("order")),
        (FieldId::new(COUNT), Value::number(products.len() as f64).expect("it is finite")),
        (FieldId::new(SKU), column(products.iter().map(|(sku, _)| sku.clone()).collect())),
        (FieldId::new(PRICE), column(products.iter().map(|(_, price)| price.clone()).collect())),
    ];
    Event { fields, ..event(at, "buy", "user_id:1") }
}

/// The same measure over the products of events.
fn of_products(measure: Measure) -> Measure {
    let columns = vec![FieldId::new(SKU), FieldId::new(PRICE)];
    Measure { each: Some(ArrayRows { count: FieldId::new(COUNT), columns }), ..measure }
}

fn each(shape: MeasureShape) -> Measure {
    of_products(measure("buy", shape, None))
}

fn sku() -> Expression<dataflows::definitions::EventTerm> {
    item(0, None)
}

fn price() -> Expression<dataflows::definitions::EventTerm> {
    item(1, ValueType::Number)
}

#[test]
fn a_list_has_different_values_in_their_order() {
    let of = |within| measure("buy", MeasureShape::Distinct(field(X)), within);
    let all: ListTerm = |id| PersonTerm::List(id, 20);
    let two: ListTerm = |id| PersonTerm::List(id, 2);
    check(&of(None), all, &[], Some(list([])));
    check(&of(None), all, &[buy(1, None)], Some(list([])));
    let letters = ["c", "a", "c", "B", "é"].map(|letter| buy(1, text(letter)));
    check(&of(None), all, &letters, Some(list(["B", "a", "c", "é"].map(text))));
    check(&of(None), two, &letters, Some(list(["B", "a"].map(text))));
    // Booleans, times, strings, lists, objects, numbers.
    let time = || Some(Value::Time(PointInTime::from_ms(5)));
    let object = || Some(Value::Json("{}".into()));
    let mixed = [number(-7.0), object(), Some(list([])), text("a"), time(), truth(true), truth(false), number(1e300)];
    let sorted = [truth(false), truth(true), time(), text("a"), Some(list([])), object(), number(-7.0), number(1e300)];
    check(&of(None), all, &mixed.map(|value| buy(1, value)), Some(list(sorted)));
    // Of lists the first element in which they differ decides, a missing one before all others; else the shorter one comes first.
    let lists = [
        list([text("b")]),
        list([text("a"), None]),
        list([text("a")]),
        list([None, text("z")]),
        list([]),
        list([text("a")]),
    ];
    let sorted = [list([]), list([None, text("z")]), list([text("a")]), list([text("a"), None]), list([text("b")])];
    check(&of(None), all, &lists.map(|value| buy(1, Some(value))), Some(list(sorted.map(Some))));
    // Those of events that have left are not there.
    let window = Some(Window { length_ms: 60, grain_ms: 1 });
    let events = [buy(45, text("b")), buy(30, text("a")), buy(40, text("c"))];
    check_at(100, &of(window), all, &events, Some(list([text("b")])));
    check_at(99, &of(window), all, &events, Some(list(["b", "c"].map(text))));
    check_at(105, &of(window), all, &events, Some(list([])));
}

#[test]
fn the_latest_come_first() {
    let of = |most, within| measure("buy", MeasureShape::Recent(field(X), most), within);
    let recent: ListTerm = PersonTerm::Recent;
    check(&of(3, None), recent, &[], Some(list([])));
    check(&of(3, None), recent, &[buy(1, None)], Some(list([])));
    let events = [buy(3, text("c")), buy(1, text("z")), buy(9, None), buy(2, text("c")), buy(4, text("b"))];
    check(&of(3, None), recent, &events, Some(list(["b", "c", "c"].map(text))));
    check(&of(1, None), recent, &events, Some(list([text("b")])));
    check(&of(100, None), recent, &events, Some(list(["b", "c", "c", "z"].map(text))));
    // Numbers first, whenever they came.
    let events = [buy(9, text("a")), buy(8, truth(true)), buy(7, number(1.0)), buy(6, number(2.0)), buy(5, None)];
    check(&of(2, None), recent, &events, Some(list([number(1.0), number(2.0)])));
    check(&of(3, None), recent, &events, Some(list([number(1.0), number(2.0), text("a")])));
    // Of one time the later in the log first; where the log did not keep its order these come last, the greater value first.
    let events = [
        placed(1, 0, buy(5, text("b"))),
        placed(0, 7, buy(5, text("z"))),
        placed(1, 2, buy(5, text("a"))),
        buy(5, text("x")),
        buy(5, text("y")),
        placed(9, 9, buy(4, text("early"))),
    ];
    check(&of(100, None), recent, &events, Some(list(["a", "b", "z", "y", "x", "early"].map(text))));
    check(&of(2, None), recent, &events, Some(list(["a", "b"].map(text))));
    // When the latest have left, those that were behind them are there.
    let window = Some(Window { length_ms: 60, grain_ms: 1 });
    let events = [buy(45, text("b")), buy(30, text("a")), buy(40, text("c")), buy(44, number(1.0))];
    check_at(99, &of(2, window), recent, &events, Some(list([number(1.0), text("b")])));
    check_at(104, &of(2, window), recent, &events, Some(list([text("b")])));
    check_at(105, &of(2, window), recent, &events, Some(list([])));
}

#[test]
fn the_latest_of_a_person_are_those_of_all_identifiers() {
    let definitions = definitions(measure("buy", MeasureShape::Recent(field(X), 2), None), PersonTerm::Recent);
    let of = |who: &str, at, value: &str| Event { fields: buy(at, text(value)).fields, ..event(at, "buy", who) };
    let history = [
        of("device_id:d", 1, "a"),
        of("user_id:1", 2, "b"),
        of("device_id:d", 3, "c"),
        event(4, "page", "user_id:1 device_id:d"),
    ];
    let history: Vec<(Tick, Event)> = history.into_iter().map(|event| (event.timestamp, event)).collect();
    let shown = |now| {
        let state = OracleState::of(&definitions, &history, Tick::from_ms(now));
        let mut shown: Vec<Value> = state.profiles.values().map(|profile| profile.traits[0].1.clone()).collect();
        shown.sort();
        shown
    };
    assert_eq!(shown(3), [list([text("b")]), list([text("c"), text("a")])]);
    assert_eq!(shown(4), [list([text("c"), text("b")])]);
}

/// `("a", 8), ("c", 4)` and `("b", 5), ("a", 8)`, and two events without products.
fn orders() -> [Event; 4] {
    [
        order(1, &[(text("a"), number(8.0)), (text("c"), number(4.0))]),
        order(2, &[(text("b"), number(5.0)), (text("a"), number(8.0))]),
        order(3, &[]),
        buy(4, text("no array")),
    ]
}

#[test]
fn each_element_is_a_row() {
    let term = PersonTerm::Count;
    check(&each(MeasureShape::Count), term, &orders(), number(4.0));
    check(&each(MeasureShape::Count), term, &[], number(0.0));
    check(&each(MeasureShape::Sum(price())), PersonTerm::Sum, &orders(), number(25.0));
    check(&each(MeasureShape::Sum(price())), PersonTerm::Average, &orders(), number(6.25));
    check(&each(MeasureShape::Sum(price())), PersonTerm::Sum, &orders()[2..], None);
    let twice = arithmetic(price(), Arithmetic::Multiply, literal(2.0));
    check(&each(MeasureShape::Sum(twice)), PersonTerm::Sum, &orders(), number(50.0));
    check(&each(MeasureShape::Least(price())), PersonTerm::Sample, &orders(), number(4.0));
    check(&each(MeasureShape::Greatest(price())), PersonTerm::Sample, &orders(), number(8.0));
    // Of one event it is the smaller one for the first, and the greater one for the last, wherever they stand.
    check(&each(MeasureShape::Earliest(sku())), PersonTerm::Sample, &orders(), text("a"));
    check(&each(MeasureShape::Latest(sku())), PersonTerm::Sample, &orders(), text("b"));
    check(&each(MeasureShape::Latest(price())), PersonTerm::Sample, &orders(), number(8.0));
    check(&each(MeasureShape::Distinct(sku())), PersonTerm::Distinct, &orders(), number(3.0));
    check(
        &each(MeasureShape::Distinct(sku())),
        |id| PersonTerm::List(id, 2),
        &orders(),
        Some(list(["a", "b"].map(text))),
    );
    let tally = |argument| each(MeasureShape::Tally(argument));
    check(&tally(sku()), |id| PersonTerm::Top(id, 0), &orders(), text("a"));
    check(&tally(sku()), |id| PersonTerm::Top(id, 2), &orders(), text("c"));
    check(&tally(sku()), |id| PersonTerm::CountOf(id, Value::text("a")), &orders(), number(2.0));
    check(&tally(price()), |id| PersonTerm::Percentile(id, 500_000), &orders(), number(6.5));
    // 4, 5, 8 and 8: their mean is 6.25, and the squares of what they are off add up to 12.75.
    check(&tally(price()), PersonTerm::Deviation, &orders(), number((12.75f64 / 3.0).sqrt()));
    let recent = |most| each(MeasureShape::Recent(sku(), most));
    check(&recent(3), PersonTerm::Recent, &orders(), Some(list(["b", "a", "c"].map(text))));
    check(&recent(9), PersonTerm::Recent, &orders(), Some(list(["b", "a", "c", "a"].map(text))));
    // What is no element may be counted once for each.
    check(
        &each(MeasureShape::Recent(field(X), 9)),
        PersonTerm::Recent,
        &orders(),
        Some(list([(); 4].map(|()| text("order")))),
    );
}

#[test]
fn elements_may_be_missing_of_other_types_and_the_same() {
    let odd = [
        order(1, &[(None, None), (text("a"), text("8")), (text("a"), number(3.0)), (number(7.0), number(3.0))]),
        order(
            1,
            &[(Some(Value::Json("{}".into())), None), (Some(list([text("a")])), truth(true)), (truth(true), None)],
        ),
    ];
    check(&each(MeasureShape::Count), PersonTerm::Count, &odd, number(7.0));
    check(&each(MeasureShape::Sum(price())), PersonTerm::Sum, &odd, number(6.0));
    check(&each(MeasureShape::Sum(price())), PersonTerm::Average, &odd, number(3.0));
    let distinct = each(MeasureShape::Distinct(sku()));
    check(&distinct, PersonTerm::Distinct, &odd, number(5.0));
    let sorted = [truth(true), text("a"), Some(list([text("a")])), Some(Value::Json("{}".into())), number(7.0)];
    check(&distinct, |id| PersonTerm::List(id, 20), &odd, Some(list(sorted)));
    check(&each(MeasureShape::Tally(sku())), |id| PersonTerm::Top(id, 0), &odd, text("a"));
    check(&each(MeasureShape::Latest(sku())), PersonTerm::Sample, &odd, number(7.0));
    check(&each(MeasureShape::Tally(price())), |id| PersonTerm::CountOf(id, Value::text("8")), &odd, number(0.0));
    // The same element twice in one array is twice there.
    let recent = [number(7.0), text("a"), text("a")];
    check(&each(MeasureShape::Recent(sku(), 9)), PersonTerm::Recent, &odd[..1], Some(list(recent)));
    check(&each(MeasureShape::Recent(price(), 9)), PersonTerm::Recent, &odd, Some(list([number(3.0), number(3.0)])));
    // An array of which nothing else is known.
    let mut bare = order(1, &[(text("a"), None), (None, None)]);
    bare.fields.retain(|(id, _)| *id == FieldId::new(COUNT));
    check(&each(MeasureShape::Count), PersonTerm::Count, &[bare.clone()], number(2.0));
    check(&distinct, |id| PersonTerm::List(id, 20), &[bare], Some(list([])));
}

#[test]
fn rows_meet_conditions_one_by_one() {
    let is_dear = compare(price(), Comparison::Greater, literal(4.0));
    let is_a = compare(item(0, ValueType::Text), Comparison::Equal, literal("a"));
    let both = Expression::And(vec![is_dear.clone(), is_a]);
    let with = |condition: &Expression<_>, measure| Measure { condition: Some(condition.clone()), ..measure };
    check(&with(&is_dear, each(MeasureShape::Count)), PersonTerm::Count, &orders(), number(3.0));
    check(&with(&both, each(MeasureShape::Count)), PersonTerm::Count, &orders(), number(2.0));
    check(&with(&is_dear, each(MeasureShape::Least(price()))), PersonTerm::Sample, &orders(), number(5.0));
    // The event beside it.
    let is_order = compare(field(X), Comparison::Equal, literal("order"));
    check(&with(&is_order, each(MeasureShape::Count)), PersonTerm::Count, &orders(), number(4.0));
    // A missing element is none that is met.
    let missing = [order(1, &[(text("a"), None), (text("a"), text("9"))])];
    check(&with(&both, each(MeasureShape::Count)), PersonTerm::Count, &missing, number(0.0));
    // All of them leave with their event.
    let window = Some(Window { length_ms: 60, grain_ms: 1 });
    let windowed = of_products(measure("buy", MeasureShape::Sum(price()), window));
    let events = [order(40, &[(None, number(1.0)), (None, number(2.0))]), order(45, &[(None, number(5.0))])];
    check_at(99, &windowed, PersonTerm::Sum, &events, number(8.0));
    check_at(100, &windowed, PersonTerm::Sum, &events, number(5.0));
    check_at(105, &windowed, PersonTerm::Sum, &events, None);
}
