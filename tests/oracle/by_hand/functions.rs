//! Values of functions: the examples of docs/reference/expressions.md, and what clocks of zones did.

use dataflows::calendar::Zone;
use dataflows::expression::{CalendarField, CalendarUnit, Expression, Function};
use dataflows::model::{PointInTime, Value, ValueType};

use crate::histories::expressions::{call, literal, null};
use crate::oracle::expression::evaluate;

type Unbound = Expression<()>;

#[track_caller]
fn check(function: Function, arguments: impl IntoIterator<Item = Unbound>, expected: Option<Value>) {
    assert_eq!(evaluate(&call(function, arguments), &|()| None), expected);
}

fn text(text: &str) -> Option<Value> {
    Some(Value::text(text))
}

fn time(written: &str) -> Value {
    let ms = written.parse::<jiff::Timestamp>().expect("it is a time").as_millisecond();
    Value::Time(PointInTime::from_ms(ms))
}

#[test]
fn choices() {
    let (yes, no) = (|| literal(Value::Bool(true)), || literal(Value::Bool(false)));
    check(Function::Case, [no(), literal("a"), yes(), literal("b"), literal("c")], text("b"));
    check(Function::Case, [null(), literal("a"), literal("c")], text("c"));
    check(Function::Case, [no(), literal("a")], None);
    check(Function::CaseOf, [literal("x"), literal("y"), literal(1.0), literal("x"), literal(2.0)], Value::number(2.0));
    check(Function::CaseOf, [null(), null(), literal(1.0), literal(3.0)], Value::number(3.0));
    check(Function::Coalesce, [null(), literal("a"), literal("b")], text("a"));
    check(Function::NullIf, [literal("a"), literal("a")], None);
    check(Function::NullIf, [literal("a"), null()], text("a"));
    check(Function::Greatest, [literal(42.0), literal(50.0), null()], Value::number(50.0));
    check(Function::Least, [null(), null()], None);
    check(Function::IsDistinct, [null(), null()], Some(Value::Bool(false)));
    check(Function::IsDistinct, [null(), yes()], Some(Value::Bool(true)));
}

#[test]
fn texts_and_numbers() {
    check(Function::Upper, [literal("straße")], text("STRASSE"));
    check(Function::Lower, [literal("ΟΔΟΣ ΣΑΣ")], text("οδος σας"));
    check(Function::Trim, [literal("\u{3000} a b ")], text("a b"));
    check(Function::Length, [literal("naïve")], Value::number(5.0));
    check(Function::Substring, [literal("Rome"), literal(2.0), literal(2.0)], text("om"));
    check(Function::Substring, [literal("Rome"), literal(-1.0), literal(3.0)], text("R"));
    check(Function::Substring, [literal("Rome"), literal(1.0), literal(-1.0)], None);
    check(Function::Replace, [literal("aaa"), literal("aa"), literal("b")], text("ba"));
    check(Function::SplitPart, [literal("a.b.c"), literal("."), literal(-1.0)], text("c"));
    check(Function::SplitPart, [literal("a.b.c"), literal("."), literal(4.0)], text(""));
    check(Function::Md5, [literal("rome")], text("60d99e58d66a5e0f4f89ec3ddd1d9a80"));
    check(Function::Round, [literal(-2.5)], Value::number(-3.0));
    check(Function::Round, [literal(1.005), literal(2.0)], Value::number(1.01));
    check(Function::Round, [literal(149.5), literal(-2.0)], Value::number(100.0));
    check(Function::Floor, [literal(-2.5)], Value::number(-3.0));
    check(Function::Ceiling, [literal(-2.5)], Value::number(-2.0));
    check(Function::SquareRoot, [literal(2.0)], Value::number(std::f64::consts::SQRT_2));
    check(Function::SquareRoot, [literal(-1.0)], None);
    check(Function::Lower, [literal(1.0)], None);
}

#[test]
fn casts() {
    let to = |kind, from: &str, expected| check(Function::Cast(kind), [literal(from)], expected);
    to(ValueType::Number, " 12.50 ", Value::number(12.5));
    to(ValueType::Number, "12 EUR", None);
    to(ValueType::Bool, "Yes", Some(Value::Bool(true)));
    to(ValueType::Time, "20260131", Some(time("2026-01-31T00:00:00Z")));
    to(ValueType::Time, "1769860800.25", Some(time("2026-01-31T12:00:00.25Z")));
    to(ValueType::Time, "31 Jan 2026 12:00 -0500", Some(time("2026-01-31T17:00:00Z")));
    to(ValueType::Time, "2026-02-29", None);
    let written = |from: Value, expected| check(Function::Cast(ValueType::Text), [literal(from)], text(expected));
    written(Value::number(42.0).unwrap(), "42");
    written(Value::number(0.0001).unwrap(), "0.0001");
    written(Value::number(1e-7).unwrap(), "1e-7");
    written(Value::number(2e19).unwrap(), "2e19");
    written(time("2026-01-31T00:00:00.05Z"), "2026-01-31T00:00:00.05Z");
    written(Value::Time(PointInTime::from_ms(253_402_300_799_999)), "9999-12-31T23:59:59.999Z");
}

#[test]
fn calendars_and_clocks() {
    let zone = |name| Zone::named(name).expect("there is such a zone");
    let begins = |unit, name, at: &str, expected: &str| {
        check(Function::Truncate(unit, zone(name)), [literal(time(at))], Some(time(expected)));
    };
    begins(CalendarUnit::Day, "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z");
    begins(CalendarUnit::Week, "UTC", "2026-03-29T12:00:00Z", "2026-03-23T00:00:00Z");
    begins(CalendarUnit::Quarter, "UTC", "2026-03-29T12:00:00Z", "2026-01-01T00:00:00Z");
    // The day begins at one o'clock.
    begins(CalendarUnit::Day, "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z");
    // There are two midnights, and one minute after the first one it is 23:01 again.
    begins(CalendarUnit::Day, "America/Havana", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z");
    begins(CalendarUnit::Day, "America/St_Johns", "1988-10-30T12:00:00Z", "1988-10-30T01:30:00Z");
    // There was no 30 December.
    begins(CalendarUnit::Day, "Pacific/Apia", "2011-12-30T12:00:00Z", "2011-12-30T10:00:00Z");
    begins(CalendarUnit::Day, "Pacific/Apia", "2011-12-30T09:00:00Z", "2011-12-29T10:00:00Z");
    // Clocks go back by half an hour, at two o'clock: an hour of the clock that is not yet over.
    begins(CalendarUnit::Hour, "Australia/Lord_Howe", "2026-04-04T15:15:00Z", "2026-04-04T14:30:00Z");
    let shows = |field, name, at: &str, expected: f64| {
        check(Function::Extract(field, zone(name)), [literal(time(at))], Value::number(expected));
    };
    shows(CalendarField::Hour, "Europe/Berlin", "2026-03-29T12:00:00Z", 14.0);
    shows(CalendarField::DayOfWeek, "UTC", "2026-03-29T00:00:00Z", 0.0);
    shows(CalendarField::IsoDayOfWeek, "UTC", "2026-03-29T00:00:00Z", 7.0);
    shows(CalendarField::Week, "UTC", "2021-01-03T00:00:00Z", 53.0);
    shows(CalendarField::Week, "UTC", "2024-12-30T00:00:00Z", 1.0);
    shows(CalendarField::Second, "Africa/Monrovia", "1971-01-01T00:00:00.5Z", 30.5);
    shows(CalendarField::Year, "America/New_York", "0000-01-01T00:00:00Z", -1.0);
    shows(CalendarField::Epoch, "UTC", "1969-12-31T23:59:58.5Z", -1.5);
}
