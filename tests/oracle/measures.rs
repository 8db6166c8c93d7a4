//! Aggregates over the events of one person, and the windows in which these count (docs/concepts/windows.md).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use dataflows::calendar::CalendarSpan;
use dataflows::definitions::{Definitions, EventTerm, FieldId, Measure, MeasureShape, PathStep, Period, Window};
use dataflows::limits::VALUES_PER_IDENTIFIER_MAX;
use dataflows::model::{Event, EventName, IdentifierId, Number, Position, Tick, Value};
use num_bigint::BigInt;

use super::calendar;
use super::expression::{OracleElement, evaluate_of, is_true_of};
use super::numbers::{Fraction, between, compared, millionths};

/// Whether an event of `holder` that happened at `timestamp` and arrived at `arrival` counts at `now`.
pub fn counts(period: Option<&Period>, holder: IdentifierId, arrival: Tick, timestamp: Tick, now: Tick) -> bool {
    let (arrival, timestamp, now) = (arrival.as_ms(), timestamp.as_ms(), now.as_ms());
    let has_arrived = arrival <= now;
    let has_happened = timestamp <= now;
    let Some(period) = period else { return has_arrived };
    let is_younger_than = |window: &Window| {
        let was_young_enough = arrival < timestamp + window.length_ms;
        let has_not_left = now < leaves_at(*window, holder, timestamp);
        was_young_enough && has_not_left
    };
    let is_within = match period {
        Period::Within(window) => is_younger_than(window),
        // What a window of that length would not count, and one of the other length would.
        Period::Aged { to, from } => !is_younger_than(to) && from.as_ref().is_none_or(is_younger_than),
        Period::During(span, zone) => {
            // All boundaries come later for what has arrived before them, and at their time for what has not.
            let is_over = |bound: u64| now >= bound + shift(holder, 10_000) || arrival >= bound;
            let [end_of_its, end_of_next] = calendar::ends(*span, zone.name(), timestamp);
            match span {
                CalendarSpan::Yesterday | CalendarSpan::LastWeek | CalendarSpan::LastMonth | CalendarSpan::LastYear => {
                    is_over(end_of_its) && !is_over(end_of_next)
                }
                _ => !is_over(end_of_its),
            }
        }
        // It is there from its arrival on, and at the moment so long after its time if that is later.
        Period::UntilDue { after_ms } => now <= arrival.max(timestamp + after_ms),
    };
    has_arrived && has_happened && is_within
}

/// Whether an event of a measure counts at `now`: one that arrives, or the end of a session.
pub fn counts_in(measure: &Measure, (arrival, event, holder): (Tick, &Event, IdentifierId), now: Tick) -> bool {
    let period = measure.within.as_ref();
    match measure.ended.iter().any(|ended| ended.name == event.name) {
        true => counts_exactly(period, event.timestamp, now),
        false => counts(period, holder, arrival, event.timestamp, now),
    }
}

/// Whether what is of this time counts at `now`, to the millisecond and whenever it came.
fn counts_exactly(period: Option<&Period>, timestamp: Tick, now: Tick) -> bool {
    let (timestamp, now) = (timestamp.as_ms(), now.as_ms());
    let is_old = |window: &Window| now - timestamp >= window.length_ms;
    let is_within = || match period {
        None => true,
        Some(Period::Within(window)) => !is_old(window),
        Some(Period::Aged { to, from }) => is_old(to) && !from.as_ref().is_some_and(is_old),
        Some(Period::During(span, zone)) => {
            let [end_of_its, end_of_next] = calendar::ends(*span, zone.name(), timestamp);
            match span {
                CalendarSpan::Yesterday | CalendarSpan::LastWeek | CalendarSpan::LastMonth | CalendarSpan::LastYear => {
                    end_of_its <= now && now < end_of_next
                }
                _ => now < end_of_its,
            }
        }
        Some(Period::UntilDue { .. }) => panic!("no trigger waits for it as an event"),
    };
    timestamp <= now && is_within()
}

/// The times at which the end of a session, of this time, may come to count or stop counting, beside that time.
pub fn exact_edges(period: &Period, timestamp: u64) -> Vec<u64> {
    match period {
        Period::Within(window) => vec![timestamp + window.length_ms],
        Period::Aged { to, from } => {
            [*to].into_iter().chain(*from).map(|window| timestamp + window.length_ms).collect()
        }
        Period::During(span, zone) => calendar::ends(*span, zone.name(), timestamp).to_vec(),
        Period::UntilDue { .. } => Vec::new(),
    }
}

/// Whether an event has one of these names, or any where there are none. What the engine made counts only where it is named.
pub fn is_named(names: &[EventName], event: &Event) -> bool {
    names.contains(&event.name) || (names.is_empty() && event.name.derived().is_none())
}

/// The times at which an event of this time may come to count or stop counting, beside that of its arrival.
pub fn edges(period: &Period, holder: IdentifierId, timestamp: u64) -> Vec<u64> {
    let windows = match period {
        Period::Within(window) => vec![*window],
        Period::Aged { to, from } => [*to].into_iter().chain(*from).collect(),
        Period::During(span, zone) => {
            return calendar::ends(*span, zone.name(), timestamp).map(|end| end + shift(holder, 10_000)).to_vec();
        }
        Period::UntilDue { after_ms } => return vec![timestamp + after_ms, timestamp + after_ms + 1],
    };
    windows.into_iter().map(|window| leaves_at(window, holder, timestamp)).collect()
}

/// The end of the stay of an event of this time, in milliseconds: the first time that is no sooner than the end of the window and is
/// on the holder's grid, which is as far from the multiples of the grain as the first half of the holder's hash says.
pub fn leaves_at(window: Window, holder: IdentifierId, timestamp: u64) -> u64 {
    let end = timestamp + window.length_ms;
    let (shift, place) = (shift(holder, window.grain_ms), end % window.grain_ms);
    let ahead = if shift >= place { shift - place } else { shift + window.grain_ms - place };
    end + ahead
}

/// The first half of a holder's hash, modulo so many milliseconds.
fn shift(holder: IdentifierId, modulo: u64) -> u64 {
    u64::from_str_radix(&holder.to_string()[..16], 16).expect("it is printed in hexadecimal digits") % modulo
}

/// What one measure has to go by: the time, the place in the log and the value of each event that counts, with the identifier
/// that it is about.
pub struct CountedValue<'a> {
    measure: &'a Measure,
    samples: Vec<(Tick, Position, Value, IdentifierId)>,
}

/// The events of one person, each with its arrival and the identifier that it is about, that a measure counts at `now`.
pub fn counted<'a>(
    definitions: &Definitions,
    measure: &'a Measure,
    events: &[(Tick, &Event, IdentifierId)],
    now: Tick,
) -> CountedValue<'a> {
    let mut samples = Vec::new();
    for (arrival, event, holder) in events {
        let lookup = |term: &EventTerm| event_term(definitions, event, term);
        if !is_named(&measure.events, event) || !counts_in(measure, (*arrival, event, *holder), now) {
            continue;
        }
        for row in rows(definitions, measure, event) {
            if measure.condition.as_ref().is_some_and(|condition| !is_true_of(&row, condition, &lookup)) {
                continue;
            }
            let value = match &measure.shape {
                MeasureShape::Count => Some(Value::Bool(true)),
                MeasureShape::Sum(addend) => {
                    evaluate_of(&row, addend, &lookup).filter(|addend| millionths(addend).is_some())
                }
                MeasureShape::Least(value)
                | MeasureShape::Greatest(value)
                | MeasureShape::Earliest(value)
                | MeasureShape::Latest(value)
                | MeasureShape::Distinct(value)
                | MeasureShape::Tally(value)
                | MeasureShape::Recent(value, _) => evaluate_of(&row, value, &lookup),
                // What it comes to is found in another way.
                MeasureShape::Sequence(_) | MeasureShape::Session(_) | MeasureShape::Events(_) => None,
            };
            if let Some(value) = value {
                samples.push((event.timestamp, event.position, value, *holder));
            }
        }
    }
    CountedValue { measure, samples }
}

/// What a measure may count of an event: the event, about no element, or each element of an array in it.
fn rows(definitions: &Definitions, measure: &Measure, event: &Event) -> Vec<OracleElement> {
    let Some(array) = &measure.each else { return vec![OracleElement::new()] };
    let field = |id: &FieldId| event_term(definitions, event, &EventTerm::Field(*id));
    let count = field(&array.count).and_then(|count| number(&count)).map_or(0, |count| count.get() as usize);
    let columns: Vec<Option<Value>> = array.columns.iter().map(field).collect();
    let of_column = |column: &Option<Value>, index: usize| column.as_ref()?.as_list()?.get(index)?.clone();
    (0..count).map(|index| columns.iter().map(|column| of_column(column, index)).collect()).collect()
}

impl CountedValue<'_> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.samples.len()
    }

    /// Their sum divided by `count`, where there is an addend: the nearest number to the exact fraction.
    pub fn sum_over(&self, count: usize) -> Option<Value> {
        if self.samples.is_empty() {
            return None;
        }
        let sum: BigInt =
            self.samples.iter().map(|(_, _, addend, _)| millionths(addend).expect("only addends are kept")).sum();
        Fraction::new(sum, BigInt::from(1_000_000) * BigInt::from(count)).nearest().map(Value::Number)
    }

    /// The one value that the measure picks, where there is an event.
    pub fn sample(&self) -> Option<Value> {
        // Numbers, where there are any.
        let is_number = |value: &Value| matches!(value, Value::Number(_));
        let has_numbers = self.samples.iter().any(|(_, _, value, _)| is_number(value));
        let looked_at: Vec<_> =
            self.samples.iter().filter(|(_, _, value, _)| !has_numbers || is_number(value)).collect();
        let values = looked_at.iter().map(|(_, _, value, _)| value.clone());
        match self.measure.shape {
            MeasureShape::Least(_) => values.min(),
            MeasureShape::Greatest(_) => values.max(),
            MeasureShape::Earliest(_) => looked_at.iter().min().map(|(_, _, value, _)| value.clone()),
            MeasureShape::Latest(_) => looked_at.iter().max().map(|(_, _, value, _)| value.clone()),
            MeasureShape::Count
            | MeasureShape::Sum(_)
            | MeasureShape::Distinct(_)
            | MeasureShape::Tally(_)
            | MeasureShape::Recent(..)
            | MeasureShape::Sequence(_)
            | MeasureShape::Session(_)
            | MeasureShape::Events(_) => panic!("this measure picks no value"),
        }
    }

    /// The different values, those that sort first first, of each identifier as many as it may have.
    fn different(&self) -> Vec<&Value> {
        // Of too many those that sort first: numbers after all others.
        let mut by_identifier: BTreeMap<IdentifierId, BTreeSet<(bool, &Value)>> = BTreeMap::new();
        for (_, _, value, identifier) in &self.samples {
            by_identifier.entry(*identifier).or_default().insert((number(value).is_some(), value));
        }
        let values = by_identifier.into_values().flat_map(|all| all.into_iter().take(VALUES_PER_IDENTIFIER_MAX));
        values.collect::<BTreeSet<_>>().into_iter().map(|(_, value)| value).collect()
    }

    /// How many different values there are.
    pub fn distinct(&self) -> usize {
        self.different().len()
    }

    /// The first so many of the different values.
    pub fn list(&self, limit: u16) -> Value {
        list(self.different().into_iter().take(limit.into()))
    }

    /// As many of the latest values as the measure says: numbers, then others, each the latest first.
    pub fn recent(&self) -> Value {
        let MeasureShape::Recent(_, most) = self.measure.shape else { panic!("this measure lists no values") };
        let mut latest: Vec<_> = self.samples.iter().collect();
        latest.sort_by_key(|(at, position, value, _)| Reverse((number(value).is_some(), *at, *position, value)));
        list(latest.into_iter().map(|(_, _, value, _)| value).take(most.into()))
    }

    /// The value of each event whose value counts, those that sort first first: numbers after all others.
    fn weighed(&self) -> Vec<&Value> {
        let key = |value: &Value| (matches!(value, Value::Number(_)), value.clone());
        let mut values = Vec::new();
        for holder in self.samples.iter().map(|(.., holder)| holder).collect::<BTreeSet<_>>() {
            let of_holder = || self.samples.iter().filter(|(.., of)| of == holder).map(|(_, _, value, _)| value);
            let different: BTreeSet<(bool, Value)> = of_holder().map(key).collect();
            let beyond = different.into_iter().nth(VALUES_PER_IDENTIFIER_MAX);
            values.extend(of_holder().filter(|value| beyond.as_ref().is_none_or(|beyond| key(value) < *beyond)));
        }
        values.sort_by_key(|value| key(value));
        values
    }

    /// How many events have this value.
    pub fn count_of(&self, value: &Value) -> usize {
        self.weighed().into_iter().filter(|of| *of == value).count()
    }

    /// The most frequent value but so many; of equally frequent ones the one that sorts first goes first.
    pub fn top(&self, but: u16) -> Option<Value> {
        let mut left = self.weighed();
        for _ in 0..but {
            let first = most_frequent(&left)?;
            left.retain(|value| *value != first);
        }
        most_frequent(&left).cloned()
    }

    /// PostgreSQL's `percentile_cont`: with the values as rows 0, 1, …, the row at that part of the way from the first to the last, or what
    /// lies between the two next to it.
    pub fn percentile(&self, millionths: u32) -> Option<Value> {
        let mut rows: Vec<Number> = self.weighed().into_iter().filter_map(number).collect();
        rows.sort_by(|a, b| compared(*b, *a).0.cmp(&compared(*a, *b).0));
        let way = rows.len().checked_sub(1)? * millionths as usize;
        let (below, further) = (rows[way / 1_000_000], way % 1_000_000);
        if further == 0 {
            return Some(Value::Number(below));
        }
        between(below, rows[way / 1_000_000 + 1], further).map(Value::Number)
    }

    /// The square root of: the sum of the squares of the distances from the mean, divided by one less than there are numbers.
    pub fn deviation(&self) -> Option<Value> {
        let addends: Vec<BigInt> = self.weighed().into_iter().filter_map(millionths).collect();
        let count = BigInt::from(addends.len());
        if addends.len() < 2 {
            return None;
        }
        // So many times each, so that the mean is a whole number of millionths.
        let mean: BigInt = addends.iter().sum();
        let squares: BigInt = addends.iter().map(|addend| (addend * &count - &mean).pow(2)).sum();
        let of_millionths = &count * &count * (&count - 1) * BigInt::from(10).pow(12);
        let variance = Fraction::new(squares, of_millionths).nearest()?;
        Value::number(variance.get().sqrt())
    }
}

fn list<'v>(values: impl Iterator<Item = &'v Value>) -> Value {
    Value::List(values.map(|value| Some(value.clone())).collect())
}

fn number(value: &Value) -> Option<Number> {
    if let Value::Number(number) = value { Some(*number) } else { None }
}

/// The most frequent of sorted values, of equally frequent ones the first.
fn most_frequent<'v>(values: &[&'v Value]) -> Option<&'v Value> {
    let most = values.chunk_by(|a, b| a == b).map(<[_]>::len).max()?;
    values.chunk_by(|a, b| a == b).find(|same| same.len() == most).map(|same| same[0])
}

/// What a term says of an event.
pub fn event_term(definitions: &Definitions, event: &Event, term: &EventTerm) -> Option<Value> {
    match term {
        EventTerm::Timestamp => Some(Value::Time(event.timestamp.into())),
        EventTerm::Field(id) => {
            let (_, value) = event.fields.iter().find(|(field, _)| field == id)?;
            let field = &definitions.fields[id.index()];
            let is_meant = |value: &Value| field.kind.is_none_or(|kind| value.kind() == kind);
            match value {
                // Each element of a column is of the type, or missing.
                Value::List(elements) if field.path.contains(&PathStep::Each) => {
                    Some(Value::List(elements.iter().map(|one| one.clone().filter(&is_meant)).collect()))
                }
                _ => is_meant(value).then(|| value.clone()),
            }
        }
    }
}
