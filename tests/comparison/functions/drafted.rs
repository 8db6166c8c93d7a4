//! Random expressions of each type, over all functions.

use dataflows::calendar::Zone;
use dataflows::expression::{
    Arithmetic, CalendarField, CalendarUnit, Comparison, Expression, Function, TextRegex, TimeUnit,
};
use dataflows::model::{Value, ValueType};
use proptest::prelude::*;
use proptest::sample::select;

use super::values::{self, number_written, small, time_in_zone, time_written, zone};
use crate::histories::expressions::{
    any as any_element, arithmetic, call, compare, is_missing, item, literal, not, null,
};
use crate::oracle::REGEX_PATTERNS;

/// An expression of which all that can be looked up is this value.
pub type DraftedExpression = Expression<Value>;

/// Random expressions of each type. Those of a few levels are made of those of one level less.
#[derive(Clone)]
pub struct DraftedTypes {
    text: BoxedStrategy<DraftedExpression>,
    number: BoxedStrategy<DraftedExpression>,
    time: BoxedStrategy<DraftedExpression>,
    truth: BoxedStrategy<DraftedExpression>,
    list: BoxedStrategy<DraftedExpression>,
}

/// Literals, what is looked up, and `null`.
pub fn leaves(values: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<DraftedExpression> {
    let written = |(value, is_looked_up)| match is_looked_up {
        true => Expression::Term(value),
        false => literal(value),
    };
    prop_oneof![15 => (values, any::<bool>()).prop_map(written), 1 => Just(null())].boxed()
}

/// The same, and what the element at hand has of this type; outside of `any` it has nothing.
fn leaves_of(kind: ValueType, values: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<DraftedExpression> {
    prop_oneof![5 => leaves(values), 1 => (0..COLUMNS_MAX).prop_map(move |column| item(column, kind))].boxed()
}

/// The most columns that an array is there as.
const COLUMNS_MAX: usize = 2;

/// One of several, each as likely.
pub fn any_of(several: Vec<BoxedStrategy<DraftedExpression>>) -> BoxedStrategy<DraftedExpression> {
    proptest::strategy::Union::new(several).boxed()
}

impl DraftedTypes {
    /// Of at most so many levels of calls.
    pub fn of_levels(levels: usize) -> DraftedTypes {
        match levels {
            0 => DraftedTypes {
                text: leaves_of(ValueType::Text, values::text()),
                number: leaves_of(ValueType::Number, values::number()),
                time: leaves_of(ValueType::Time, values::time().prop_map(Value::Time)),
                truth: leaves_of(ValueType::Bool, any::<bool>().prop_map(Value::Bool)),
                list: leaves_of(ValueType::List, values::list()),
            },
            _ => {
                let below = DraftedTypes::of_levels(levels - 1);
                let deeper = |leaf: &BoxedStrategy<DraftedExpression>, calls: BoxedStrategy<DraftedExpression>| {
                    prop_oneof![1 => leaf.clone(), 4 => calls].boxed()
                };
                DraftedTypes {
                    text: deeper(&below.text, any_of([below.texts(), below.chosen(&below.text)].concat())),
                    number: deeper(&below.number, any_of([below.numbers(), below.chosen(&below.number)].concat())),
                    time: deeper(&below.time, any_of([below.times(), below.chosen(&below.time)].concat())),
                    truth: deeper(&below.truth, any_of([below.truths(), below.chosen_of_any(&below.truth)].concat())),
                    list: deeper(&below.list, any_of(below.chosen_of_any(&below.list))),
                }
            }
        }
    }

    /// Mostly of the type that is expected.
    fn mostly(&self, expected: &BoxedStrategy<DraftedExpression>) -> BoxedStrategy<DraftedExpression> {
        prop_oneof![40 => expected.clone(), 1 => self.any()].boxed()
    }

    /// Of any type.
    pub fn any(&self) -> BoxedStrategy<DraftedExpression> {
        let element = (0..COLUMNS_MAX).prop_map(|column| item(column, None)).boxed();
        any_of([&self.text, &self.number, &self.time, &self.truth, &self.list, &element].map(Clone::clone).to_vec())
    }

    fn one(&self, function: Function, of: &BoxedStrategy<DraftedExpression>) -> BoxedStrategy<DraftedExpression> {
        self.mostly(of).prop_map(move |x| call(function.clone(), [x])).boxed()
    }

    fn two(
        &self,
        function: Function,
        first: &BoxedStrategy<DraftedExpression>,
        second: &BoxedStrategy<DraftedExpression>,
    ) -> BoxedStrategy<DraftedExpression> {
        (self.mostly(first), self.mostly(second)).prop_map(move |(x, y)| call(function.clone(), [x, y])).boxed()
    }

    /// What gives one of several values of one type that has no order.
    fn chosen_of_any(&self, of: &BoxedStrategy<DraftedExpression>) -> Vec<BoxedStrategy<DraftedExpression>> {
        let several = |function: Function, size: std::ops::Range<usize>| {
            prop::collection::vec(of.clone(), size).prop_map(move |all| call(function.clone(), all)).boxed()
        };
        let branches = || prop::collection::vec((self.mostly(&self.truth), of.clone()), 1..3);
        let case = (branches(), prop::option::of(of.clone())).prop_map(|(branches, otherwise)| {
            call(Function::Case, branches.into_iter().flat_map(|(when, then)| [when, then]).chain(otherwise))
        });
        let case_of = |wanted: &BoxedStrategy<DraftedExpression>| {
            let branches = prop::collection::vec((wanted.clone(), of.clone()), 1..3);
            let all = (wanted.clone(), branches, prop::option::of(of.clone()));
            all.prop_map(|(wanted, branches, otherwise)| {
                let branches = branches.into_iter().flat_map(|(when, then)| [when, then]);
                call(Function::CaseOf, std::iter::once(wanted).chain(branches).chain(otherwise))
            })
            .boxed()
        };
        vec![
            several(Function::Coalesce, 1..4),
            several(Function::NullIf, 2..3),
            case.boxed(),
            case_of(&self.text),
            case_of(&self.number),
            case_of(&self.list),
        ]
    }

    /// The same of a type with an order.
    fn chosen(&self, of: &BoxedStrategy<DraftedExpression>) -> Vec<BoxedStrategy<DraftedExpression>> {
        let several = |function: Function| {
            prop::collection::vec(of.clone(), 1..4).prop_map(move |all| call(function.clone(), all)).boxed()
        };
        let both = vec![several(Function::Greatest), several(Function::Least)];
        [both, self.chosen_of_any(of)].concat()
    }

    /// What gives a text.
    fn texts(&self) -> Vec<BoxedStrategy<DraftedExpression>> {
        let place = prop_oneof![6 => leaves(small()), 1 => self.number.clone()].boxed();
        let (text, mostly) = (&self.text, |of: &BoxedStrategy<DraftedExpression>| self.mostly(of));
        let substring = (mostly(text), mostly(&place), prop::option::of(mostly(&place)))
            .prop_map(|(x, n, m)| call(Function::Substring, [x, n].into_iter().chain(m)));
        let replace =
            (mostly(text), mostly(text), mostly(text)).prop_map(|(x, y, z)| call(Function::Replace, [x, y, z]));
        let part =
            (mostly(text), mostly(text), mostly(&place)).prop_map(|(x, y, n)| call(Function::SplitPart, [x, y, n]));
        let mut all: Vec<_> = [Function::Lower, Function::Upper, Function::Trim, Function::Md5, Function::Sha256]
            .map(|function| self.one(function, text))
            .to_vec();
        all.extend([
            self.two(Function::Concatenate, text, text),
            substring.boxed(),
            replace.boxed(),
            part.boxed(),
            self.one(Function::Cast(ValueType::Text), &self.any()),
            self.one(Function::Cast(ValueType::Text), &self.list),
            self.one(Function::Cast(ValueType::Text), &leaves(values::json())),
        ]);
        all
    }

    /// What gives a number. Powers and logarithms may be off in the last place: of these, such as are exact, and rounded ones.
    fn numbers(&self) -> Vec<BoxedStrategy<DraftedExpression>> {
        const EXACT: [(f64, f64); 14] = [
            (2.0, 10.0),
            (3.0, 3.0),
            (-3.0, 3.0),
            (-2.0, -2.0),
            (0.5, 2.0),
            (1.5, 4.0),
            (0.0, 0.0),
            (0.0, -1.0),
            (0.0, 2.0),
            (-8.0, 0.5),
            (10.0, 400.0),
            (7.0, 1.0),
            (1.0, 1e300),
            (10.0, 15.0),
        ];
        const OPERATIONS: [Arithmetic; 5] =
            [Arithmetic::Add, Arithmetic::Subtract, Arithmetic::Multiply, Arithmetic::Divide, Arithmetic::Remainder];
        let number = &self.number;
        let places = leaves(small()).boxed();
        let power = select(&EXACT[..]).prop_map(|(x, y)| call(Function::Power, [literal(x), literal(y)]));
        let rounded = |inexact: DraftedExpression| call(Function::Round, [inexact, literal(6.0)]);
        let rounded_power = (-2_000..2_000i32, -30..30i32).prop_map(move |(x, y)| {
            rounded(call(Function::Power, [literal(f64::from(x) / 100.0), literal(f64::from(y) / 10.0)]))
        });
        let logarithm = self.mostly(number).prop_map(move |x| rounded(call(Function::NaturalLogarithm, [x])));
        let computed = (select(&OPERATIONS[..]), self.mostly(number), self.mostly(number))
            .prop_map(|(operation, a, b)| arithmetic(a, operation, b));
        let mut all: Vec<_> =
            [Function::Absolute, Function::Round, Function::Floor, Function::Ceiling, Function::SquareRoot]
                .map(|function| self.one(function, number))
                .to_vec();
        all.extend([
            self.two(Function::Round, number, &places),
            self.two(Function::Round, number, number),
            power.boxed(),
            rounded_power.boxed(),
            logarithm.boxed(),
            computed.boxed(),
            self.one(Function::Length, &self.text),
            self.one(Function::Length, &self.list),
            self.one(Function::Cast(ValueType::Number), &self.any()),
            self.one(Function::Cast(ValueType::Number), &leaves(number_written())),
            extracted(self.mostly(&self.time), zone().boxed()),
            at_zone(extraction),
        ]);
        all
    }

    /// What gives a time.
    fn times(&self) -> Vec<BoxedStrategy<DraftedExpression>> {
        let by =
            prop_oneof![-100_000_000..100_000_000i64, -1_000_000_000_000_000..1_000_000_000_000_000i64, any::<i64>()];
        let shifted = (self.mostly(&self.time), by).prop_map(|(x, by)| call(Function::Shift(by), [x]));
        let truncated = (self.mostly(&self.time), select(CalendarUnit::ALL), zone())
            .prop_map(|(x, (_, unit), zone)| call(Function::Truncate(unit, zone), [x]));
        vec![
            shifted.boxed(),
            truncated.boxed(),
            at_zone(|index, zone| {
                let (_, unit) = CalendarUnit::ALL[index % CalendarUnit::ALL.len()];
                Function::Truncate(unit, zone)
            }),
            self.one(Function::Cast(ValueType::Time), &self.any()),
            self.one(Function::Cast(ValueType::Time), &leaves(time_written())),
            self.one(Function::ToTime(TimeUnit::Seconds), &self.number),
            self.one(Function::ToTime(TimeUnit::Milliseconds), &self.number),
        ]
    }

    /// Whether a condition is true of any element of a list, or of an array that is there as two columns of one length.
    fn any_element(&self) -> BoxedStrategy<DraftedExpression> {
        let columns = prop_oneof![
            4 => self.mostly(&self.list).prop_map(|list| vec![list]),
            2 => values::columns().prop_map(|columns| columns.map(literal).to_vec()),
            1 => (values::list(), any::<bool>()).prop_map(|(list, is_first)| {
                if is_first { vec![literal(list), null()] } else { vec![null(), literal(list)] }
            }),
            1 => (values::text()).prop_map(|text| vec![literal(text)]),
        ];
        // Most conditions look at the element.
        let of_kind = |kind, values: BoxedStrategy<Value>| {
            let column = 0..COLUMNS_MAX;
            (column, values)
                .prop_map(move |(column, value)| compare(item(column, kind), Comparison::Equal, literal(value)))
        };
        let condition = prop_oneof![
            4 => self.truth.clone(),
            2 => of_kind(ValueType::Text, values::text().boxed()),
            2 => of_kind(ValueType::Number, small().boxed()),
            1 => (0..COLUMNS_MAX).prop_map(|column| is_missing(item(column, None))),
            1 => (0..COLUMNS_MAX).prop_map(|column| item(column, ValueType::Bool)),
        ];
        (columns, condition).prop_map(|(columns, condition)| any_element(columns, condition)).boxed()
    }

    /// What gives a boolean.
    fn truths(&self) -> Vec<BoxedStrategy<DraftedExpression>> {
        const COMPARISONS: [Comparison; 6] = [
            Comparison::Equal,
            Comparison::NotEqual,
            Comparison::Less,
            Comparison::LessOrEqual,
            Comparison::Greater,
            Comparison::GreaterOrEqual,
        ];
        let compared = |of: &BoxedStrategy<DraftedExpression>| {
            let all = (select(&COMPARISONS[..]).boxed(), self.mostly(of), self.mostly(of));
            all.prop_map(|(comparison, a, b)| compare(a, comparison, b)).boxed()
        };
        let distinct = |of: &BoxedStrategy<DraftedExpression>| {
            (of.clone(), of.clone()).prop_map(|(a, b)| call(Function::IsDistinct, [a, b])).boxed()
        };
        let regex = (self.mostly(&self.text), select(REGEX_PATTERNS)).prop_map(|(x, (pattern, _))| {
            call(Function::RegexpLike(TextRegex::new(pattern, false).expect("it is a pattern")), [x])
        });
        let decided = (prop::collection::vec(self.truth.clone(), 0..3), any::<bool>())
            .prop_map(|(all, is_and)| if is_and { Expression::And(all) } else { Expression::Or(all) });
        let mut all: Vec<_> = [Function::StartsWith, Function::EndsWith, Function::Contains]
            .map(|function| self.two(function, &self.text, &self.text))
            .to_vec();
        for of in [&self.text, &self.number, &self.time, &self.truth] {
            all.extend([compared(of), distinct(of)]);
        }
        // Lists are equal or not, and have no order.
        let are_equal =
            (self.mostly(&self.list), self.mostly(&self.list), any::<bool>()).prop_map(|(a, b, is_equal)| {
                compare(a, if is_equal { Comparison::Equal } else { Comparison::NotEqual }, b)
            });
        all.extend([are_equal.boxed(), distinct(&self.list), self.any_element(), self.any_element()]);
        all.extend([
            regex.boxed(),
            decided.boxed(),
            self.truth.clone().prop_map(not).boxed(),
            self.any().prop_map(is_missing).boxed(),
            self.one(Function::Cast(ValueType::Bool), &self.any()),
            self.one(Function::Cast(ValueType::Bool), &leaves(number_written())),
        ]);
        all
    }
}

fn extraction(index: usize, zone: Zone) -> Function {
    let (_, field) = CalendarField::ALL[index % CalendarField::ALL.len()];
    Function::Extract(field, zone)
}

fn extracted(times: BoxedStrategy<DraftedExpression>, zones: BoxedStrategy<Zone>) -> BoxedStrategy<DraftedExpression> {
    (times, any::<usize>(), zones).prop_map(|(x, index, zone)| call(extraction(index, zone), [x])).boxed()
}

/// Of a time near one at which the clocks of the same zone are set.
fn at_zone(function: impl Fn(usize, Zone) -> Function + 'static) -> BoxedStrategy<DraftedExpression> {
    let all = (time_in_zone(), any::<usize>());
    all.prop_map(move |((zone, time), index)| call(function(index, zone), [literal(Value::Time(time))])).boxed()
}
