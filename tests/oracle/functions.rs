//! Functions over values, as docs/reference/expressions.md has them.

mod ages;
mod casts;
mod hashes;
mod json;
mod logarithms;
mod numbers;
pub mod patterns;
mod texts;
mod times;
mod written;

use dataflows::expression::{Function, TimeUnit};
use dataflows::model::{PointInTime, Value};

use super::numbers::{Fraction, compared};

/// Bytes that a text may have that a function makes.
const TEXT_BYTES_MAX: usize = 65_536;

/// The value of a function of these values.
pub fn called(function: &Function, values: Vec<Option<Value>>) -> Option<Value> {
    let there = || values.iter().flatten();
    // They are of numbers, texts or times.
    let ordered = || there().filter(|value| matches!(value, Value::Number(_) | Value::Text(_) | Value::Time(_)));
    match function {
        Function::Case => {
            let is_true = |condition: &Option<Value>| *condition == Some(Value::Bool(true));
            chosen(&values, is_true)
        }
        Function::CaseOf => {
            let (wanted, branches) = values.split_first()?;
            chosen(branches, |value| wanted.is_some() && value == wanted)
        }
        Function::Coalesce => there().next().cloned(),
        Function::NullIf => values[0].clone().filter(|first| Some(first) != values[1].as_ref()),
        Function::Greatest => ordered().find(|one| !ordered().any(|other| is_less(one, other))).cloned(),
        Function::Least => ordered().find(|one| !ordered().any(|other| is_less(other, one))).cloned(),
        Function::IsDistinct => Some(Value::Bool(match (&values[0], &values[1]) {
            (Some(one), Some(other)) => one != other,
            (one, other) => one.is_some() || other.is_some(),
        })),
        _ => of_all(function, &values.into_iter().collect::<Option<Vec<Value>>>()?),
    }
}

/// What comes after the first of these that is meant; else what stands alone at the end.
fn chosen(branches: &[Option<Value>], is_meant: impl Fn(&Option<Value>) -> bool) -> Option<Value> {
    match branches {
        [] => None,
        [otherwise] => otherwise.clone(),
        [when, then, ..] if is_meant(when) => then.clone(),
        [_, _, rest @ ..] => chosen(rest, is_meant),
    }
}

/// Whether the first of two values of one type is less.
fn is_less(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compared(*a, *b).0,
        (Value::Time(a), Value::Time(b)) => a.as_ms() < b.as_ms(),
        (Value::Text(a), Value::Text(b)) => a.chars().lt(b.chars()),
        _ => panic!("{a:?} and {b:?} are not of a type with an order"),
    }
}

/// The value of a function that is missing where an argument is, or is of a type that it does not take.
fn of_all(function: &Function, values: &[Value]) -> Option<Value> {
    if let (Function::Cast(kind), [value]) = (function, values) {
        return casts::cast(value, *kind);
    }
    match values {
        // A missing element is one, too.
        [Value::List(elements)] if *function == Function::Length => Value::number(elements.iter().count() as f64),
        [Value::Number(x)] => match function {
            Function::ToTime(unit) => {
                let places = if *unit == TimeUnit::Seconds { 3 } else { 0 };
                times::in_range(&Fraction::as_written(*x).shifted(places).floor()).map(Value::Time)
            }
            _ => numbers::of_one(function, *x).map(Value::Number),
        },
        [Value::Number(x), Value::Number(y)] => numbers::of_two(function, *x, *y).map(Value::Number),
        [Value::Time(x)] => times::of_time(function, *x),
        [Value::Time(x), Value::Time(y)] if *function == Function::AgeYears => ages::age_years(*x, *y),
        [Value::Text(x)] => {
            let text: Vec<char> = x.chars().collect();
            match function {
                Function::Lower => made(&texts::lower(&text)),
                Function::Upper => made(&texts::upper(&text)),
                Function::Trim => made(texts::trimmed(&text)),
                Function::Length => Value::number(text.len() as f64),
                Function::Md5 => Some(Value::text(&hashes::md5(x.as_bytes()))),
                Function::Sha256 => Some(Value::text(&hashes::sha256(x.as_bytes()))),
                Function::RegexpLike(regex) => Some(Value::Bool(patterns::is_found(regex.pattern(), &text))),
                _ => None,
            }
        }
        [Value::Text(x), rest @ ..] => {
            let text: Vec<char> = x.chars().collect();
            match rest {
                [Value::Text(y)] => {
                    let other: Vec<char> = y.chars().collect();
                    let places = || (0..=text.len()).filter(|place| text[*place..].starts_with(&other));
                    match function {
                        Function::Concatenate => made(&[text, other].concat()),
                        Function::StartsWith => Some(Value::Bool(places().any(|place| place == 0))),
                        Function::EndsWith => {
                            Some(Value::Bool(places().any(|place| place + other.len() == text.len())))
                        }
                        Function::Contains => Some(Value::Bool(places().next().is_some())),
                        _ => None,
                    }
                }
                [Value::Number(n)] if *function == Function::Substring => made(&texts::substring(&text, *n, None)?),
                [Value::Number(n), Value::Number(m)] if *function == Function::Substring => {
                    made(&texts::substring(&text, *n, Some(*m))?)
                }
                [Value::Text(y), Value::Text(z)] if *function == Function::Replace => {
                    let [y, z] = [y, z].map(|text| text.chars().collect::<Vec<char>>());
                    made(&texts::replaced(&text, &y, &z))
                }
                [Value::Text(y), Value::Number(n)] if *function == Function::SplitPart => {
                    made(&texts::part(&text, &y.chars().collect::<Vec<char>>(), *n)?)
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// A text that a function makes, unless it is too long.
fn made(text: &[char]) -> Option<Value> {
    let text: String = text.iter().collect();
    (text.len() <= TEXT_BYTES_MAX).then(|| Value::text(&text))
}

/// A time as reads give it: of milliseconds as many digits as there are.
fn shown(time: PointInTime) -> String {
    let (days, ms) = (time.as_ms().div_euclid(times::DAY_MS), time.as_ms().rem_euclid(times::DAY_MS));
    let (year, month, day) = times::date(days);
    let clock = format!("{:02}:{:02}:{:02}", ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    let beyond = format!(".{:03}", ms % 1_000);
    let beyond = beyond.trim_end_matches('0').trim_end_matches('.');
    format!("{year:04}-{month:02}-{day:02}T{clock}{beyond}Z")
}
