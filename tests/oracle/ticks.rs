//! The ticks at which something can change.

use std::collections::BTreeSet;

use dataflows::definitions::{Definitions, EndedSessions, Measure, PersonTerm, SequenceEnd};
use dataflows::expression::{Expression, Function};
use dataflows::model::{Event, IdentifierId, PointInTime, Tick, Value};

use super::identity::strongest_unblocked;
use super::measures::{edges, exact_edges};

/// Every tick at which the state can change: arrivals, windows that open or close, waits that end, and sessions that end. Between them nothing changes.
pub fn ticks_of_change(definitions: &Definitions, history: &[(Tick, Event)]) -> BTreeSet<Tick> {
    let Some(first) = history.iter().map(|(arrival, _)| *arrival).min() else { return BTreeSet::new() };
    let mut changes = BTreeSet::new();
    for (arrival, event) in history {
        changes.insert(*arrival);
        // Nothing is from the future.
        let timestamp = event.timestamp.min(*arrival);
        let Some(holder) = strongest_unblocked(&definitions.identity, event).map(|primary| primary.id()) else {
            continue;
        };
        // What completes waits from its own time on.
        let wait_ends = definitions.measures.iter().filter_map(wait_ms).map(|wait_ms| timestamp.after_ms(wait_ms));
        changes.extend(wait_ends);
        let sessions = definitions.measures.iter().filter_map(|measure| measure.shape.session());
        changes.extend(sessions.map(|session| timestamp.after_ms(session.gap_ms)));
        for period in definitions.measures.iter().filter_map(|measure| measure.within.as_ref()) {
            changes.extend(edges(period, holder, timestamp.as_ms()).into_iter().map(Tick::from_ms));
        }
        // The session that it may be the last event of is an event at its end.
        for measure in &definitions.measures {
            for end in ends_of_sessions(definitions, measure, timestamp) {
                let edges = measure.within.iter().flat_map(|period| exact_edges(period, end.as_ms()));
                changes.extend(edges.map(Tick::from_ms));
                changes.extend(wait_ms(measure).map(|wait_ms| end.after_ms(wait_ms)));
            }
        }
    }
    changes.extend(looks_at_the_time(definitions, history));
    changes.split_off(&first)
}

/// When the sessions that a measure counts would have ended, of which something of this time is the last event.
fn ends_of_sessions(definitions: &Definitions, measure: &Measure, timestamp: Tick) -> impl Iterator<Item = Tick> {
    let gap_ms = |ended: &EndedSessions| {
        definitions.measures[ended.session.index()].shape.session().expect("it is a session").gap_ms
    };
    measure.ended.iter().map(move |ended| timestamp.after_ms(gap_ms(ended)))
}

/// How long a completion of a sequence has to wait before it counts.
fn wait_ms(measure: &Measure) -> Option<u64> {
    match measure.shape.sequence()?.end {
        SequenceEnd::Match => None,
        SequenceEnd::Absent(_, wait_ms) | SequenceEnd::Dropped(_, _, wait_ms) => Some(wait_ms),
    }
}

/// What conditions on the time can do at which tick. It is no matter if there are some at which nothing happens: each time that is said
/// anywhere, and each full hour, as far from it as any definition looks, as somebody's clock shows it.
fn looks_at_the_time(definitions: &Definitions, history: &[(Tick, Event)]) -> BTreeSet<Tick> {
    let (mut shifts, mut written, mut clocks) = (BTreeSet::from([0]), BTreeSet::new(), BTreeSet::new());
    let traits = definitions.traits.iter().map(|one| &one.expression);
    let audiences = definitions.audiences.iter().map(|one| &one.condition);
    for expression in traits.chain(audiences) {
        collect(expression, &mut shifts, &mut written, &mut clocks);
    }
    let mut ticks = BTreeSet::new();
    let mut add = |ms: i64| ticks.extend(u64::try_from(ms).ok().map(Tick::from_ms));
    let spread = definitions.clock_spread_ms;
    let identifiers = history.iter().flat_map(|(_, event)| event.identifiers.iter());
    let lags: BTreeSet<i64> = identifiers.map(|one| lag_ms(one.id(), spread)).collect();
    if clocks.contains(&"Now") {
        let values = history.iter().flat_map(|(arrival, event)| {
            let fields = event.fields.iter().map(|(_, value)| value);
            let times = fields.chain(event.attributes.iter().filter_map(|(_, value)| value.as_ref()));
            let times = times.filter_map(|value| value.clone().into_time());
            times.map(PointInTime::as_ms).chain([event.timestamp.min(*arrival).as_ms() as i64]).collect::<Vec<_>>()
        });
        for (value, shift) in values.flat_map(|value| shifts.iter().map(move |shift| (value, shift))) {
            [0, 1].iter().for_each(|more| add(value - shift + more));
        }
    }
    if clocks.contains(&"Clock") {
        const HOUR_MS: i64 = 3_600_000;
        let begin = history.iter().map(|(arrival, _)| arrival.as_ms() as i64).min().unwrap_or(0) / HOUR_MS * HOUR_MS;
        let hours = (0..4).map(|hour| begin + hour * HOUR_MS);
        let shown: BTreeSet<i64> = hours.chain(written.iter().map(|time: &PointInTime| time.as_ms())).collect();
        for lag in &lags {
            for (time, shift) in shown.iter().flat_map(|time| shifts.iter().map(move |shift| (time, shift))) {
                [0, 1].iter().for_each(|more| add(time - shift + lag + more));
                add(time + shift + lag);
            }
        }
    }
    ticks
}

/// How far the clock of a profile with this root is behind.
fn lag_ms(root: IdentifierId, spread_ms: u64) -> i64 {
    let hash = u64::from_str_radix(&root.to_string()[..16], 16).expect("it is printed in hexadecimal digits");
    if spread_ms == 0 { 0 } else { (hash % spread_ms) as i64 }
}

fn collect(
    expression: &Expression<PersonTerm>,
    shifts: &mut BTreeSet<i64>,
    written: &mut BTreeSet<PointInTime>,
    clocks: &mut BTreeSet<&'static str>,
) {
    match expression {
        Expression::Literal(Some(Value::Time(time))) => _ = written.insert(*time),
        Expression::Term(PersonTerm::Now) => _ = clocks.insert("Now"),
        Expression::Term(PersonTerm::Clock) => _ = clocks.insert("Clock"),
        Expression::Literal(_) | Expression::Term(_) | Expression::Item(..) => {}
        Expression::Any(columns, condition) => {
            columns.iter().for_each(|one| collect(one, shifts, written, clocks));
            collect(condition, shifts, written, clocks);
        }
        Expression::Call(function, arguments) => {
            if let Function::Shift(ms) = function {
                shifts.insert(*ms);
            }
            arguments.iter().for_each(|one| collect(one, shifts, written, clocks));
        }
        Expression::And(several) | Expression::Or(several) => {
            several.iter().for_each(|one| collect(one, shifts, written, clocks));
        }
        Expression::Not(inner)
        | Expression::In(inner, _)
        | Expression::Like(inner, _)
        | Expression::IsMissing(inner) => collect(inner, shifts, written, clocks),
        Expression::Compare(_, a, b) | Expression::Arithmetic(_, a, b) => {
            collect(a, shifts, written, clocks);
            collect(b, shifts, written, clocks);
        }
    }
}

/// The ticks of change, and those right before and after each; sorted.
pub fn interesting_ticks(definitions: &Definitions, history: &[(Tick, Event)]) -> Vec<Tick> {
    let changes = ticks_of_change(definitions, history);
    let with_neighbours = |tick: &Tick| [Tick::from_ms(tick.as_ms() - 1), *tick, tick.next()];
    let ticks: BTreeSet<Tick> = changes.iter().flat_map(with_neighbours).collect();
    ticks.into_iter().collect()
}
