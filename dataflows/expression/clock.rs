//! When an expression changes although none of its terms does: what it says of *now*.
//!
//! An expression looks at the time in two ways: it compares it with a value (`last_seen < now() - interval '30 days'`), or asks a
//! calendar or a clock what they show (`extract(hour from now())`, `age_years(birthday)`). Either way it can be told when the answer
//! becomes another one, so nobody has to ask each millisecond.

use super::{Arithmetic, Comparison, Expression, Function, time};
use crate::model::{PointInTime, Value};

impl<T> Expression<T> {
    /// The first time after `now` at which the value may be another one, where the terms for which `is_clock` holds show the
    /// time, now `now`, and all others stay as `lookup` says. Nothing where it stays for ever.
    ///
    /// It may come too soon, never too late.
    ///
    /// ```
    /// use dataflows::expression::{Comparison, Expression, Function};
    /// use dataflows::model::{PointInTime, Value};
    /// # let ms = PointInTime::from_ms;
    /// // seen < now - 100 ms
    /// let past = Expression::Call(Function::Shift(-100), vec![Expression::Term("now")]);
    /// let condition = Expression::Compare(Comparison::Less, Box::new(Expression::Term("seen")), Box::new(past));
    /// let seen_at_7 = |term: &&str| (*term == "seen").then(|| Value::Time(ms(7)));
    /// assert_eq!(condition.next_change(ms(50), &|term| *term == "now", &seen_at_7), Some(ms(108)));
    /// assert_eq!(condition.next_change(ms(108), &|term| *term == "now", &seen_at_7), None);
    /// ```
    pub fn next_change(
        &self,
        now: PointInTime,
        is_clock: &impl Fn(&T) -> bool,
        lookup: &impl Fn(&T) -> Option<Value>,
    ) -> Option<PointInTime> {
        let mut next: Option<PointInTime> = None;
        let mut found = |at: PointInTime| {
            if at > now && next.is_none_or(|next| at < next) {
                next = Some(at);
            }
        };
        let mut rest = vec![self];
        while let Some(expression) = rest.pop() {
            match expression {
                Expression::Compare(comparison, a, b) => {
                    let compared = match (a.shown_by(is_clock), b.shown_by(is_clock)) {
                        (Some(shift_ms), None) => Some((shift_ms, *comparison, b)),
                        (None, Some(shift_ms)) => Some((shift_ms, comparison.mirrored(), a)),
                        _ => None,
                    };
                    match compared {
                        Some((shift_ms, comparison, value)) => {
                            if let Some(Value::Time(at)) = value.value(lookup) {
                                let at = at.as_ms().saturating_sub(shift_ms);
                                crossings(comparison)
                                    .for_each(|later| found(PointInTime::from_ms(at.saturating_add(later))));
                            }
                            // The value itself may be what a calendar shows: nine o'clock of the day of now.
                            rest.push(value);
                        }
                        None => rest.extend([&**a, &**b]),
                    }
                }
                Expression::Call(function @ (Function::Extract(..) | Function::Truncate(..)), arguments) => {
                    match arguments.first().and_then(|of| of.shown_by(is_clock)) {
                        Some(shift_ms) => {
                            let shown = PointInTime::from_ms(now.as_ms().saturating_add(shift_ms));
                            let next = time::next_shown(shown, function);
                            next.iter().for_each(|at| found(PointInTime::from_ms(at.as_ms() - shift_ms)));
                        }
                        None => rest.extend(arguments),
                    }
                }
                Expression::Call(Function::AgeYears, arguments) => match arguments.as_slice() {
                    [birth, at] if at.shown_by(is_clock).is_some() => {
                        let shift_ms = at.shown_by(is_clock).unwrap_or(0);
                        if let Some(Value::Time(birth)) = birth.value(lookup) {
                            let shown = PointInTime::from_ms(now.as_ms().saturating_add(shift_ms));
                            let next = time::next_birthday(birth, shown);
                            next.iter().for_each(|at| found(PointInTime::from_ms(at.as_ms() - shift_ms)));
                        }
                    }
                    _ => rest.extend(arguments),
                },
                // Elements are looked at without the time.
                Expression::Literal(_) | Expression::Term(_) | Expression::Item(..) | Expression::Any(..) => {}
                Expression::Not(inner)
                | Expression::In(inner, _)
                | Expression::Like(inner, _)
                | Expression::IsMissing(inner) => rest.push(inner),
                Expression::And(several) | Expression::Or(several) | Expression::Call(_, several) => {
                    rest.extend(several);
                }
                Expression::Arithmetic(
                    Arithmetic::Add
                    | Arithmetic::Subtract
                    | Arithmetic::Multiply
                    | Arithmetic::Divide
                    | Arithmetic::Remainder,
                    a,
                    b,
                ) => rest.extend([&**a, &**b]),
            }
        }
        next
    }

    /// Where it compares a term with the time that a clock shows: the term, and how many milliseconds old the time that it has is when the
    /// comparison becomes another one.
    ///
    /// ```
    /// use dataflows::expression::{Comparison, Expression};
    /// let [now, seen] = ["now", "seen"].map(|term| Box::new(Expression::Term(term)));
    /// let condition = Expression::Compare(Comparison::Less, seen, now);
    /// let (term, ages_ms) = condition.aged(&|term| *term == "now").expect("it compares a term with now");
    /// assert_eq!((*term, ages_ms), ("seen", vec![1]));
    /// ```
    pub fn aged(&self, is_clock: &impl Fn(&T) -> bool) -> Option<(&T, Vec<i64>)> {
        let Expression::Compare(comparison, a, b) = self else { return None };
        let (shift_ms, comparison, value) = match (a.shown_by(is_clock), b.shown_by(is_clock)) {
            (Some(shift_ms), None) => (shift_ms, *comparison, b),
            (None, Some(shift_ms)) => (shift_ms, comparison.mirrored(), a),
            _ => return None,
        };
        let Expression::Term(term) = &**value else { return None };
        Some((term, crossings(comparison).map(|later| later.saturating_sub(shift_ms)).collect()))
    }

    /// Where it is the time that a clock shows, how many milliseconds later than that.
    fn shown_by(&self, is_clock: &impl Fn(&T) -> bool) -> Option<i64> {
        match self {
            Expression::Term(term) => is_clock(term).then_some(0),
            Expression::Call(Function::Shift(ms), of) => of.first()?.shown_by(is_clock)?.checked_add(*ms),
            _ => None,
        }
    }
}

/// How many milliseconds after a time a comparison of *now* with it becomes another one.
fn crossings(comparison: Comparison) -> impl Iterator<Item = i64> {
    let (at, after) = match comparison {
        Comparison::Less | Comparison::GreaterOrEqual => (Some(0), None),
        Comparison::LessOrEqual | Comparison::Greater => (None, Some(1)),
        Comparison::Equal | Comparison::NotEqual => (Some(0), Some(1)),
    };
    at.into_iter().chain(after)
}
