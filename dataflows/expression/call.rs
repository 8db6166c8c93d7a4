//! What functions make of values.

use std::cmp::Ordering;

use super::{Expression, Function, Lookup};
use super::{text, time};
use crate::model::{Number, PointInTime, Value, ValueType};

/// The value of a function where `lookup` gives the values of the terms in its arguments. Only the arguments that matter are
/// looked at.
pub(super) fn call<T, L: Fn(&T) -> Option<Value>>(
    function: &Function,
    arguments: &[Expression<T>],
    lookup: Lookup<'_, L>,
) -> Option<Value> {
    let value = |index: usize| arguments.get(index)?.evaluate(lookup);
    let text = |index| value(index).and_then(Value::into_text);
    let number = |index| value(index).and_then(Value::into_number);
    let time = |index| value(index).and_then(Value::into_time);
    match function {
        Function::Case => {
            let (pairs, otherwise) = arguments.as_chunks::<2>();
            let taken = pairs.iter().find(|[condition, _]| condition.decide(lookup) == Some(true));
            taken.map(|[_, value]| value).or(otherwise.first())?.evaluate(lookup)
        }
        Function::CaseOf => {
            let (of, rest) = arguments.split_first()?;
            let of = of.evaluate(lookup);
            let (pairs, otherwise) = rest.as_chunks::<2>();
            let taken = pairs.iter().find(|[when, _]| of.is_some() && when.evaluate(lookup) == of);
            taken.map(|[_, value]| value).or(otherwise.first())?.evaluate(lookup)
        }
        Function::Coalesce => arguments.iter().find_map(|argument| argument.evaluate(lookup)),
        Function::NullIf => value(0).filter(|first| value(1).as_ref() != Some(first)),
        Function::Greatest => extreme(arguments, lookup, Ordering::Greater),
        Function::Least => extreme(arguments, lookup, Ordering::Less),
        Function::IsDistinct => Some(Value::Bool(value(0) != value(1))),
        Function::Cast(kind) => cast(value(0)?, *kind),
        Function::ToTime(unit) => time::of_units(number(0)?, *unit).map(Value::Time),
        Function::Lower => text::bounded(&text(0)?.to_lowercase()),
        Function::Upper => text::bounded(&text(0)?.to_uppercase()),
        Function::Trim => Some(Value::text(text(0)?.trim())),
        Function::Length => match value(0)? {
            Value::Text(text) => Number::of_integer(text.chars().count() as i128).map(Value::Number),
            Value::List(elements) => Number::of_integer(elements.len() as i128).map(Value::Number),
            _ => None,
        },
        Function::Substring => {
            let count = match arguments.len() {
                0..=2 => None,
                _ => Some(whole(number(2)?)?),
            };
            text::substring(&text(0)?, whole(number(1)?)?, count).map(Value::text)
        }
        Function::Concatenate => text::concatenated(text(0)?, &text(1)?),
        Function::Replace => text::replaced(&text(0)?, &text(1)?, &text(2)?),
        Function::SplitPart => text::part(&text(0)?, &text(1)?, whole(number(2)?)?).map(Value::text),
        Function::StartsWith => Some(Value::Bool(text(0)?.starts_with(text(1)?.as_str()))),
        Function::EndsWith => Some(Value::Bool(text(0)?.ends_with(text(1)?.as_str()))),
        Function::Contains => Some(Value::Bool(text(0)?.contains(text(1)?.as_str()))),
        Function::RegexpLike(regex) => Some(Value::Bool(regex.matches(&text(0)?))),
        Function::Md5 => Some(text::digest::<md5::Md5>(&text(0)?)),
        Function::Sha256 => Some(text::digest::<sha2::Sha256>(&text(0)?)),
        Function::Absolute => number(0)?.absolute().map(Value::Number),
        Function::Round => {
            let places = match arguments.len() {
                0 | 1 => 0,
                _ => whole(number(1)?)?,
            };
            number(0)?.rounded(places.try_into().ok()?).map(Value::Number)
        }
        Function::Floor => number(0)?.floor().map(Value::Number),
        Function::Ceiling => number(0)?.ceiling().map(Value::Number),
        Function::Power => number(0)?.power(number(1)?).map(Value::Number),
        Function::SquareRoot => number(0)?.square_root().map(Value::Number),
        Function::NaturalLogarithm => number(0)?.natural_logarithm().map(Value::Number),
        Function::Shift(ms) => PointInTime::of_ms(time(0)?.as_ms().checked_add(*ms)?).map(Value::Time),
        Function::Truncate(unit, zone) => time::truncated(time(0)?, *unit, zone).map(Value::Time),
        Function::AgeYears => time::age_years(time(0)?, time(1)?).map(Value::Number),
        Function::Extract(field, zone) => time::extracted(time(0)?, *field, zone).map(Value::Number),
    }
}

/// The greatest or the least of the values that are there, and have an order.
fn extreme<T, L: Fn(&T) -> Option<Value>>(
    arguments: &[Expression<T>],
    lookup: Lookup<'_, L>,
    wanted: Ordering,
) -> Option<Value> {
    let values =
        arguments.iter().filter_map(|argument| argument.evaluate(lookup)).filter(|value| value.kind().has_order());
    values.reduce(|best, value| if value.cmp(&best) == wanted { value } else { best })
}

/// The whole number that it is. What is beyond 128 bits is beyond all that is counted.
fn whole(number: Number) -> Option<i128> {
    let float = number.get();
    number.as_integer().or_else(|| (float.fract() == 0.0).then_some(float as i128))
}

/// A value as one of another type.
fn cast(value: Value, kind: ValueType) -> Option<Value> {
    match (kind, value) {
        (kind, value) if value.kind() == kind => Some(value),
        (ValueType::Number, Value::Text(text)) => text::number(&text).map(Value::Number),
        (ValueType::Number, Value::Bool(truth)) => Some(Value::Number(u32::from(truth).into())),
        (ValueType::Text, Value::Number(number)) => Some(Value::text(&number.in_decimal())),
        (ValueType::Text, Value::Bool(truth)) => Some(Value::text(if truth { "true" } else { "false" })),
        (ValueType::Text, Value::Time(at)) => Some(time::in_words(at)),
        (ValueType::Text, Value::Json(text)) => text::bounded(&text),
        (ValueType::Text, list @ Value::List(_)) => {
            let mut json = String::new();
            list.write_json(&mut json);
            text::bounded(&json)
        }
        (ValueType::Bool, Value::Text(text)) => text::truth(&text).map(Value::Bool),
        (ValueType::Bool, Value::Number(number)) => Some(Value::Bool(number != Number::from(0))),
        (ValueType::Time, Value::Text(text)) => PointInTime::read(&text).map(Value::Time),
        (ValueType::Time, Value::Number(number)) => PointInTime::of_number(&number.in_decimal()).map(Value::Time),
        _ => None,
    }
}
