//! What follows as a time grows older: definitions that compare a value with *now*.
//!
//! A thousand audiences of `last('Order', timestamp) < now() - interval 'N days'` each hold from some age of that time on. So they stand
//! together with the value, sorted by that age: one timer for a person is enough for all of them, the next one's, and where the value
//! changes only those are looked at that are at an age which the old time had and the new one has not, or the other way round.

use super::plan::Node;
use crate::expression::Expression;
use crate::model::{PointInTime, Tick};

/// The ages of a time at which definitions change that compare it with *now*.
pub struct AgeThresholds {
    /// The node that has the time.
    pub of: Node,
    /// Ages in milliseconds, each with what is to be looked at there; sorted.
    thresholds: Vec<(i64, Node)>,
}

/// The age of a time at a tick; it is negative before.
fn age_ms(at: PointInTime, tick: Tick) -> i64 {
    i64::try_from(tick.as_ms()).unwrap_or(i64::MAX).saturating_sub(at.as_ms())
}

impl AgeThresholds {
    /// None yet, of this node.
    pub fn of(of: Node) -> Self {
        AgeThresholds { of, thresholds: Vec::new() }
    }

    /// At this age of the time `dependent` is to be looked at.
    pub fn add(&mut self, age_ms: i64, dependent: Node) {
        let place = self.thresholds.partition_point(|known| *known < (age_ms, dependent));
        self.thresholds.insert(place, (age_ms, dependent));
    }

    /// The first tick after `tick` at which something is to be looked at, where the time is this.
    pub fn next(&self, at: PointInTime, tick: Tick) -> Option<Tick> {
        let age = age_ms(at, tick);
        let next = self.thresholds.partition_point(|(threshold, _)| *threshold <= age);
        let (threshold, _) = self.thresholds.get(next)?;
        u64::try_from(at.as_ms().checked_add(*threshold)?).ok().map(Tick::from_ms)
    }

    /// Calls `touch` with everything that may be another one at a tick than it was at the tick before, at which the time was `before`.
    pub fn touched(&self, before: Option<PointInTime>, now: Option<PointInTime>, tick: Tick, touch: impl FnMut(Node)) {
        let touched = match (before, now) {
            (None, None) => return,
            (Some(before), Some(now)) => {
                let ages = [age_ms(before, tick.before()), age_ms(now, tick)];
                let place = |age: i64| self.thresholds.partition_point(|(threshold, _)| *threshold <= age);
                let (least, greatest) = (ages[0].min(ages[1]), ages[0].max(ages[1]));
                &self.thresholds[place(least)..place(greatest)]
            }
            _ => &self.thresholds[..],
        };
        touched.iter().map(|(_, dependent)| *dependent).for_each(touch);
    }
}

/// The expression without those comparisons for which `takes` holds: they are missing in it. What is in the arguments of functions is left
/// as it is, since a function may look at whether it is missing, and so are conditions on elements, which do not look at the time.
pub fn without<T: Clone>(expression: &Expression<T>, takes: &mut impl FnMut(&Expression<T>) -> bool) -> Expression<T> {
    let mut boxed = |inner: &Expression<T>| Box::new(without(inner, takes));
    match expression {
        Expression::Literal(_)
        | Expression::Term(_)
        | Expression::Call(..)
        | Expression::Any(..)
        | Expression::Item(..) => expression.clone(),
        Expression::Not(inner) => Expression::Not(boxed(inner)),
        Expression::In(inner, values) => Expression::In(boxed(inner), values.clone()),
        Expression::Like(inner, pattern) => Expression::Like(boxed(inner), pattern.clone()),
        Expression::IsMissing(inner) => Expression::IsMissing(boxed(inner)),
        Expression::Arithmetic(operation, a, b) => Expression::Arithmetic(*operation, boxed(a), boxed(b)),
        Expression::And(several) => Expression::And(several.iter().map(|one| without(one, takes)).collect()),
        Expression::Or(several) => Expression::Or(several.iter().map(|one| without(one, takes)).collect()),
        Expression::Compare(..) if takes(expression) => Expression::Literal(None),
        Expression::Compare(comparison, a, b) => {
            Expression::Compare(*comparison, Box::new(without(a, takes)), Box::new(without(b, takes)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::{Comparison, Function};
    use crate::model::Value;

    /// Comparisons of a time with *now* and some shift: whatever becomes of the time, those that change are touched, and a timer comes
    /// for each that changes by itself.
    #[test]
    fn what_changes_is_touched_and_has_a_timer() {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let mut ages = AgeThresholds::of(Node::of_index(0));
        let mut conditions = Vec::new();
        for comparison in [Less, LessOrEqual, Greater, GreaterOrEqual, Equal, NotEqual] {
            for shift_ms in [-7, -3, 0, 4] {
                for mirrored in [false, true] {
                    let shown = Box::new(Expression::Call(Function::Shift(shift_ms), vec![Expression::Term("now")]));
                    let at = Box::new(Expression::Term("at"));
                    let (a, b) = if mirrored { (shown, at) } else { (at, shown) };
                    let condition = Expression::Compare(comparison, a, b);
                    let (of, flips) = condition.aged(&|term| *term == "now").expect("it is compared with now");
                    assert_eq!(*of, "at");
                    let dependent = Node::of_index(1 + conditions.len());
                    flips.into_iter().for_each(|age_ms| ages.add(age_ms, dependent));
                    conditions.push(condition);
                }
            }
        }
        let truth = |condition: &Expression<&str>, at: Option<PointInTime>, tick: Tick| {
            condition.truth(&|term| if *term == "now" { Some(Value::Time(tick.into())) } else { at.map(Value::Time) })
        };
        let times = [None, Some(95), Some(99), Some(100), Some(101), Some(104), Some(120)];
        let times = times.map(|at| at.map(PointInTime::from_ms));
        for (before, now) in times.into_iter().flat_map(|before| times.map(|now| (before, now))) {
            for tick in (90..115).map(Tick::from_ms) {
                let mut touched = Vec::new();
                ages.touched(before, now, tick, |node| touched.push(node));
                for (number, condition) in conditions.iter().enumerate() {
                    let changes = truth(condition, before, tick.before()) != truth(condition, now, tick);
                    let dependent = Node::of_index(1 + number);
                    assert!(!changes || touched.contains(&dependent), "{condition:?}, {before:?} to {now:?} at {tick}");
                }
                let Some(at) = now else { continue };
                let next = ages.next(at, tick).unwrap_or(Tick::MAX);
                let until = (tick.as_ms() + 1..140).map(Tick::from_ms);
                let changes =
                    |later: &Tick| conditions.iter().any(|it| truth(it, now, *later) != truth(it, now, later.before()));
                assert_eq!(until.clone().find(changes).unwrap_or(Tick::MAX), next, "{at:?} at {tick}");
            }
        }
    }

    /// Where only time goes on by a tick, or the time by less than lies between two thresholds, nearly nothing is touched.
    #[test]
    fn what_stays_is_not_touched() {
        let mut ages = AgeThresholds::of(Node::of_index(0));
        (1..=1_000).for_each(|day| ages.add(day * 86_400_000, Node::of_index(day as usize)));
        let count = |before: i64, now: i64, tick: i64| {
            let mut count = 0;
            let [before, now] = [before, now].map(|at| Some(PointInTime::from_ms(at)));
            ages.touched(before, now, Tick::from_ms(tick as u64), |_| count += 1);
            count
        };
        let (day, hour) = (86_400_000, 3_600_000);
        assert_eq!(count(0, 0, day + hour), 0);
        assert_eq!(count(0, 0, day), 1, "its time has come");
        assert_eq!(count(0, hour, 3 * day + 2 * hour), 0);
        assert_eq!(count(0, 3 * day, 3 * day + hour), 3, "it is younger by three of them");
        let first = Tick::from_ms(4 * day as u64);
        assert_eq!(ages.next(PointInTime::from_ms(hour), first), Some(first.after_ms(hour as u64)));
        assert_eq!(ages.next(PointInTime::from_ms(0), Tick::from_ms(1_000 * day as u64)), None);
    }
}
