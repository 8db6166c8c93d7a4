//! Triggers, sentence by sentence of docs/concepts/triggers.md.
//!
//! Events are written as those of sequences are. What fires is written after its tick as the times of the first and the last event, `15: 10-13`;
//! with `t1` before them where it is another than the first trigger, and its payload behind. What fires is in the log some milliseconds later.

use dataflows::definitions::{
    Definitions, DestinationId, Field, FieldRoot, FiringLimit, Measure, MeasureId, MeasureShape, Occasion,
    OccurrenceTerm, Period, PersonTerm, RunningTerm, Trigger, TriggerRoutes, Window,
};
use dataflows::expression::{Comparison, Expression};
use dataflows::model::{Event, EventName, Firing, Position, Tick, Value, ValueType};

use super::event;
use super::sequences::{SOMEBODY, events_of, sequence};
use super::sessions::written;
use crate::comparison::triggers::{ONE, played};
use crate::histories::definitions::OverPerson;
use crate::histories::expressions::{compare, field, literal, measure};
use crate::histories::firings::{AllDecisions, PlayedLog, play};
use crate::histories::sessions::of_all;
use crate::oracle::TriggerOracle;

/// What an event says, and what a firing does.
const SPAN: usize = 1;
const SAME: usize = 2;

/// How many events b there were.
const BS: usize = 0;
/// How many events b there were in the latest 5 ms; missing where there is none.
const LATEST_X: usize = 1;

/// Definitions without any trigger.
fn without_triggers() -> Definitions {
    let said = |root, name: &str, kind| Field { root, path: vec![name.into()], kind };
    Definitions {
        fields: vec![
            said(FieldRoot::Properties, "x", None),
            said(FieldRoot::Event, "span", Some(ValueType::Text)),
            said(FieldRoot::Event, "same", None),
        ],
        measures: vec![
            measure("b", MeasureShape::Count, None),
            measure("b", MeasureShape::Latest(field(0)), Some(Window { length_ms: 5, grain_ms: 1 })),
        ],
        ..Definitions::default()
    }
}

/// With one more trigger, on what a measure gives.
fn with(mut definitions: Definitions, on: Measure, change: impl FnOnce(&mut Trigger)) -> Definitions {
    let name = format!("t{}", definitions.triggers.len());
    let firings = Measure {
        events: vec![EventName::of_derived(&format!("{name} fired"))],
        within: Some(Period::Within(Window::new(30 * 86_400_000))),
        ..of_all(MeasureShape::Events(vec![field(SPAN), field(SAME)]))
    };
    let (of_on, of_firings) = (definitions.measures.len(), definitions.measures.len() + 1);
    let id = MeasureId::new(of_on);
    let on_it = match on.shape {
        MeasureShape::Session(_) => Occasion::SessionEnd(id),
        MeasureShape::Sequence(_) => Occasion::Completion(id),
        _ => Occasion::Event(id),
    };
    definitions.measures.extend([on, firings]);
    let mut trigger = Trigger {
        cause: name.as_str().into(),
        name: name.into(),
        on: on_it,
        wait_ms: 0,
        max_lateness_ms: 1_000,
        when: None,
        unless: None,
        at_most: None,
        requires_consent: None,
        routes: TriggerRoutes::All(vec![DestinationId::new(0)]),
        identifiers: Vec::new(),
        payload: Vec::new(),
        firings: Some(MeasureId::new(of_firings)),
    };
    change(&mut trigger);
    if let Some(Period::UntilDue { after_ms }) = &mut definitions.measures[of_on].within {
        *after_ms = trigger.wait_ms;
    }
    definitions.triggers.push(trigger);
    definitions
}

/// Each event of this name, with its x.
fn each(name: impl Into<EventName>) -> Measure {
    let within = Some(Period::UntilDue { after_ms: 0 });
    Measure { events: vec![name.into()], within, ..of_all(MeasureShape::Events(vec![field(0)])) }
}

/// Sequences within 60 ms.
fn completions(of: &str) -> Measure {
    let sequence = sequence(of);
    Measure {
        events: sequence.events(),
        within: Some(Period::Within(Window { length_ms: 60, grain_ms: 1 })),
        ..of_all(MeasureShape::Sequence(Box::new(sequence)))
    }
}

fn of_person(term: fn(MeasureId) -> PersonTerm, measure: usize) -> OverPerson {
    Expression::Term(term(MeasureId::new(measure)))
}

fn occurrence(term: OccurrenceTerm) -> OverPerson {
    Expression::Term(PersonTerm::Occurrence(term))
}

fn number(value: f64) -> OverPerson {
    literal(value)
}

/// What is decided at each tick; what fires stands in the log so long after that, or never. The real workers say the same.
#[track_caller]
fn course(definitions: &Definitions, mut history: Vec<(Tick, Event)>, comes_back: Option<u64>) -> String {
    history.sort_by_key(|(tick, _)| *tick);
    let mut oracle = TriggerOracle::new(definitions);
    let mut until_now = Vec::new();
    let mut decide = |tick, events: &[(Tick, Event)]| {
        until_now.extend_from_slice(events);
        AllDecisions::from([(tick, oracle.decide(&until_now, tick))])
    };
    let course = told(play(definitions, &history, &mut |_| comes_back, &mut decide));
    let of_workers = played(definitions, &history, ONE, &mut |_| comes_back).map_err(|(_, reason)| reason);
    assert_eq!(of_workers.map(told).as_ref(), Ok(&course), "the workers say something else than the oracle");
    course
}

/// What was decided at each tick.
fn told(log: PlayedLog) -> String {
    let mut course = Vec::new();
    for (tick, decisions) in log.decisions {
        for firing in &decisions.fires {
            let trigger = match firing.trigger.index() {
                0 => String::new(),
                place => format!("t{place} "),
            };
            let payload: String = firing.payload.iter().map(|(name, value)| format!(" {name} {value:?}")).collect();
            let (first, last) = (firing.span.first.at, firing.span.last.at);
            course.push(format!("{tick}: {trigger}{first}-{last}{payload}"));
        }
        course.extend(decisions.refused.iter().map(|position| format!("{tick}: refused {}", position.index)));
    }
    course.join(", ")
}

/// What fires for somebody, one millisecond before it is in the log.
#[track_caller]
fn check(on: Measure, change: impl FnOnce(&mut Trigger), events: &str, expected: &str) {
    check_back(on, change, events, Some(1), expected);
}

#[track_caller]
fn check_back(on: Measure, change: impl FnOnce(&mut Trigger), events: &str, comes_back: Option<u64>, expected: &str) {
    let definitions = with(without_triggers(), on, change);
    assert_eq!(course(&definitions, events_of(SOMEBODY, events), comes_back), expected, "of {events}");
}

#[test]
fn each_event_fires_at_its_time_or_its_arrival() {
    check(each("a"), |_| {}, "", "");
    check(each("a"), |_| {}, "10a 15b 20a", "10: 10-10, 20: 20-20");
    check(each("a"), |_| {}, "10a@15", "15: 10-10");
    // Nothing is from the future.
    check(each("a"), |_| {}, "20a@10", "10: 10-10");
}

#[test]
fn wait_makes_it_due_later() {
    let later = |trigger: &mut Trigger| trigger.wait_ms = 5;
    check(each("a"), later, "10a", "15: 10-10");
    check(each("a"), later, "10a@12", "15: 10-10");
    check(each("a"), later, "10a@15", "15: 10-10");
    check(each("a"), later, "10a@17", "17: 10-10");
    check(written("a 5", None, Vec::new()), later, "10a 13a", "23: 10-13");
    check(completions("a > b"), later, "10a 13b", "18: 10-13");
    check(completions("a > !b<=3"), later, "10a", "18: 10-10");
}

#[test]
fn a_session_fires_when_it_has_ended() {
    let visit = || written("a 5", None, Vec::new());
    check(visit(), |_| {}, "10a 15a 21a", "20: 10-15, 26: 21-21");
    check(visit(), |_| {}, "10a 13a@20", "15: 10-10");
    check(visit(), |_| {}, "10a@30 12a@30 27a@30", "30: 10-12, 32: 27-27");
    // It goes on with what comes late, and does not fire again.
    check(visit(), |_| {}, "10a 14a@16", "15: 10-10");
    check(visit(), |_| {}, "10a 20a 15a@22", "15: 10-10");
}

#[test]
fn a_completion_fires_for_the_match_that_begins_last() {
    check(completions("a > b"), |_| {}, "10a 11a 13b", "13: 11-13");
    check(completions("a > b"), |_| {}, "10a 13b 12a@15", "13: 10-13");
    // It is one when the last of its events arrives.
    check(completions("a > b"), |_| {}, "13b 10a@15", "15: 10-13");
    check(completions("a > b"), |_| {}, "13b 10a@15 12a@16", "15: 10-13");
    check(completions("a > b"), |_| {}, "13b@14 10a@20", "20: 10-13");
}

#[test]
fn absence_is_due_when_it_is_over() {
    check(completions("a > !b<=5"), |_| {}, "10a", "15: 10-10");
    check(completions("a > !b<=5"), |_| {}, "10a 15b", "");
    check(completions("a > !b<=5"), |_| {}, "10a 16b", "15: 10-10");
    // Nothing takes it back.
    check(completions("a > !b<=5"), |_| {}, "10a 12b@17", "15: 10-10");
    check(completions("a > !b<=5"), |_| {}, "10a@20", "20: 10-10");
    check(completions("a > !b<=5"), |_| {}, "12b 10a@20", "");
}

#[test]
fn events_of_a_firing_are_spent() {
    check(completions("a > b"), |_| {}, "10a 12b 14b", "12: 10-12");
    check(completions("a > b"), |_| {}, "10a 12b 14a 16b", "12: 10-12, 16: 14-16");
    // There is a match without those.
    check(completions("a > b"), |_| {}, "10a 11a 12b 14b", "12: 11-12, 14: 10-14");
    // What lies between them is spent too.
    check(completions("a > b"), |_| {}, "10a 11c 15b 12a@16 17b", "15: 10-15");
    check(completions("2*a > b"), |_| {}, "10a 11a 12b 13a 14b 15a 16b", "12: 10-12, 16: 13-16");
    // Of the same value only.
    check(completions("same: a > b"), |_| {}, "10a=1 11a=2 12b=1 13b=2", "12: 10-12, 13: 11-13");
    check(completions("same: a > b"), |_| {}, "10a=1 12b=1 13b=1 14b=2", "12: 10-12");
}

#[test]
fn when_is_to_be_true_and_unless_is_not() {
    let is_large = |name| {
        move |trigger: &mut Trigger| {
            let x = compare(occurrence(OccurrenceTerm::Value(0)), Comparison::Greater, number(1.0));
            if name == "when" { trigger.when = Some(x) } else { trigger.unless = Some(x) }
        }
    };
    check(each("a"), is_large("when"), "10a=1 11a=2 12a 13a=x", "11: 11-11");
    check(each("a"), is_large("unless"), "10a=1 11a=2 12a 13a=x", "10: 10-10, 12: 12-12, 13: 13-13");
    // By the state of the tick at which it is due, with all events of it.
    let has_none = |trigger: &mut Trigger| {
        trigger.wait_ms = 5;
        trigger.when = Some(compare(of_person(PersonTerm::Count, BS), Comparison::Equal, number(0.0)));
    };
    check(each("a"), has_none, "10a", "15: 10-10");
    check(each("a"), has_none, "10a 15b", "");
    check(each("a"), has_none, "10a 16b", "15: 10-10");
    check(each("a"), has_none, "10a 12b@16", "15: 10-10");
    let unless_latest = |trigger: &mut Trigger| {
        trigger.unless = Some(compare(of_person(PersonTerm::Sample, LATEST_X), Comparison::Greater, number(0.0)));
    };
    check(each("a"), unless_latest, "10b=1 12a 15a", "15: 15-15");
}

#[test]
fn there_are_at_most_so_many_in_a_time() {
    let at_most = |count| move |trigger: &mut Trigger| trigger.at_most = Some(FiringLimit { count, period_ms: 10 });
    check(each("a"), at_most(1), "10a 19a", "10: 10-10");
    check(each("a"), at_most(1), "10a 20a", "10: 10-10, 20: 20-20");
    check(each("a"), at_most(1), "10a 19a 20a 29a 30a", "10: 10-10, 20: 20-20, 30: 30-30");
    check(each("a"), at_most(2), "10a 14a 19a 20a 21a", "10: 10-10, 14: 14-14, 20: 20-20");
    // It is when they were decided that counts, not when they were due.
    check(each("a"), at_most(1), "5a@10 16a 20a", "10: 5-5, 20: 20-20");
}

#[test]
fn consent_and_a_destination_are_needed() {
    let definitions = with(without_triggers(), each("a"), |trigger| trigger.requires_consent = Some("mail".into()));
    let consent = |at, given| {
        let consent = [("mail".into(), given)].into();
        (Tick::from_ms(at), Event { consent, ..event(at, "identify", SOMEBODY) })
    };
    let mut history = events_of(SOMEBODY, "10a 20a 30a");
    history.extend([consent(15, true), consent(25, false)]);
    assert_eq!(course(&definitions, history, Some(1)), "20: 20-20");

    let of_x = |value| compare(occurrence(OccurrenceTerm::Value(0)), Comparison::Equal, literal::<PersonTerm>(value));
    let routes = [(Some(of_x(1.0)), DestinationId::new(7)), (Some(of_x(2.0)), DestinationId::new(8))].to_vec();
    check(
        each("a"),
        |trigger| trigger.routes = TriggerRoutes::First(routes),
        "10a=1 11a=2 12a=3 13a",
        "10: 10-10, 11: 11-11",
    );
}

#[test]
fn one_after_the_other() {
    check_back(each("a"), |_| {}, "10a 10a", Some(3), "10: 10-10, 13: 10-10");
    check_back(each("a"), |_| {}, "10a 11a 12a", Some(3), "10: 10-10, 13: 11-11, 16: 12-12");
    // In the order of their ticks, then of their last events.
    check_back(each("a"), |_| {}, "10a 12a@12 11a@12 9a@13", Some(5), "10: 10-10, 15: 11-11, 20: 12-12, 25: 9-9");
    // By the state of the tick of the record.
    let has_none = |trigger: &mut Trigger| {
        trigger.when = Some(compare(of_person(PersonTerm::Count, BS), Comparison::Equal, number(0.0)));
    };
    check_back(each("a"), has_none, "10a 11a 13b", Some(3), "10: 10-10");
    check_back(each("a"), has_none, "10a 11a 14b", Some(3), "10: 10-10, 13: 11-11");
    // Nobody waits for what does not fire.
    check_back(each("a"), has_none, "9b 10a 10a", Some(3), "");
    // So each sees the firings before it.
    let at_most = |trigger: &mut Trigger| trigger.at_most = Some(FiringLimit { count: 2, period_ms: 50 });
    check_back(each("a"), at_most, "10a 10a 10a 10a", Some(3), "10: 10-10, 13: 10-10");
    check_back(completions("a > b"), |_| {}, "10a 12b 13b", Some(3), "12: 10-12");
}

#[test]
fn what_waits_looks_for_another_match() {
    check_back(completions("a > b"), |_| {}, "10a 12b 13b", Some(3), "12: 10-12");
    check_back(completions("a > b"), |_| {}, "10a 11a 12b 13b", Some(3), "12: 11-12, 15: 10-13");
}

#[test]
fn all_of_several_are_near() {
    check(completions("a > 2*b<=5"), |_| {}, "10a 12b 15b", "15: 10-15");
    check(completions("a > 2*b<=5"), |_| {}, "10a 12b 16b", "");
    check(completions("2*a > b<=5"), |_| {}, "10a 20a 25b", "25: 10-25");
}

#[test]
fn what_is_spent_ends_absences() {
    check(completions("a > !a<=5"), |_| {}, "10a 8a@12", "15: 10-10");
    check(completions("a > !a<=5"), |_| {}, "10a 8a@20", "15: 10-10");
    check(completions("a > !a<=5"), |_| {}, "10a 4a@20", "15: 10-10, 20: 4-4");
}

#[test]
fn what_was_decided_is_not_decided_again() {
    check(completions("a > b"), |_| {}, "10a 12b 14b 13a@20", "12: 10-12");
    let is_large = |trigger: &mut Trigger| {
        trigger.when = Some(compare(of_person(PersonTerm::Count, BS), Comparison::Greater, number(1.0)));
    };
    check(completions("a > c"), is_large, "10a 12c 13b 14b 11a@15", "");
}

#[test]
fn they_wait_until_it_is_too_late() {
    let soon = |trigger: &mut Trigger| trigger.max_lateness_ms = 20;
    check_back(each("a"), soon, "10a 11a", None, "10: 10-10, 30: 11-11");
    check_back(each("a"), soon, "10a 11a", Some(30), "10: 10-10, 30: 11-11");
    check_back(each("a"), soon, "10a 11a 12a", None, "10: 10-10, 30: 11-11, 31: 12-12");
}

#[test]
fn firings_of_others_are_events() {
    let definitions = with(without_triggers(), each("a"), |_| {});
    let definitions = with(definitions, each(EventName::of_derived("t0 fired")), |trigger| trigger.wait_ms = 5);
    assert_eq!(course(&definitions, events_of(SOMEBODY, "10a"), Some(2)), "10: 10-10, 15: t1 10-10");
    assert_eq!(course(&definitions, events_of(SOMEBODY, "10a"), Some(7)), "10: 10-10, 17: t1 10-10");
    // Sent ones are none.
    let definitions = with(without_triggers(), each(EventName::of_derived("x fired")), |_| {});
    assert_eq!(course(&definitions, events_of(SOMEBODY, "10x 11a"), Some(2)), "");
}

#[test]
fn the_payload_is_as_of_the_decision() {
    let is = |value: f64| Value::number(value).expect("it is finite");
    let payload = |trigger: &mut Trigger| {
        trigger.payload =
            vec![("bs".into(), of_person(PersonTerm::Count, BS)), ("x".into(), occurrence(OccurrenceTerm::Value(0)))];
        trigger.wait_ms = 5;
    };
    check(each("a"), payload, "10a=7 12b 16b", &format!("15: 10-10 bs {:?} x {:?}", is(1.0), is(7.0)));
    // What is missing is left out.
    check(each("a"), payload, "10a", &format!("15: 10-10 bs {:?}", is(0.0)));
    let events = |trigger: &mut Trigger| {
        let events = occurrence(OccurrenceTerm::Session(RunningTerm::Events));
        trigger.payload = vec![("events".into(), events), ("at".into(), occurrence(OccurrenceTerm::Time))];
    };
    let at = Value::Time(Tick::from_ms(13).into());
    check(written("a 5", None, Vec::new()), events, "10a 13a", &format!("18: 10-13 events {:?} at {at:?}", is(2.0)));
}

#[test]
fn of_sessions_of_devices_one_may_lie_within_another() {
    let visit = || written("a 9", Some("anonymous_id"), Vec::new());
    let definitions = with(without_triggers(), visit(), |_| {});
    let of = |(at, device, index): (u64, &str, u32)| {
        let tick = Tick::from_ms(at);
        let position = Position { tick, process: 0, index };
        (tick, Event { position, ..event(at, "a", &format!("{SOMEBODY} anonymous_id:{device}")) })
    };
    let history = [(10, "x", 0), (12, "y", 1), (19, "x", 2)].map(of).to_vec();
    // That of y is due first. None of the events of x is within it; it is sent, though its record comes second.
    assert_eq!(course(&definitions, history, Some(1)), "21: 12-12, 28: 10-19");
    let history = [(10, "x", 0), (12, "y", 1), (14, "x", 2), (18, "y", 3)].map(of).to_vec();
    // Those of one device say nothing of those of the other.
    assert_eq!(course(&definitions, history, Some(1)), "23: 10-14, 27: 12-18");
}

/// Events of two people, or of one and a device, and when the device logs in with one of them.
fn of_two(one: &str, device: &str, logins: &[(u64, &str)]) -> Vec<(Tick, Event)> {
    let login = |(at, who): &(u64, &str)| (Tick::from_ms(*at), event(*at, "login", &format!("{who} device_id:x")));
    let mut history = [events_of(SOMEBODY, one), events_of("device_id:x", device)].concat();
    for ((_, event), index) in history.iter_mut().zip(0..) {
        event.position.index = index;
    }
    history.extend(logins.iter().map(login));
    history
}

#[test]
fn nobody_waits_for_another_person() {
    let definitions = with(without_triggers(), each("a"), |_| {});
    assert_eq!(course(&definitions, of_two("10a 11a", "10a", &[]), Some(5)), "10: 10-10, 10: 10-10, 15: 11-11");
}

#[test]
fn of_two_who_merge_the_second_record_is_refused() {
    let at_most = |count| {
        with(without_triggers(), each("a"), |trigger| trigger.at_most = Some(FiringLimit { count, period_ms: 20 }))
    };
    let merged = |definitions: &Definitions, logins: &[_]| course(definitions, of_two("10a", "11a", logins), Some(5));
    assert_eq!(merged(&at_most(1), &[]), "10: 10-10, 11: 11-11");
    assert_eq!(merged(&at_most(1), &[(13, SOMEBODY)]), "10: 10-10, 11: 11-11, 16: refused 1001");
    assert_eq!(merged(&at_most(2), &[(13, SOMEBODY)]), "10: 10-10, 11: 11-11");
    // By the state of the tick of the record, and whichever comes second.
    assert_eq!(merged(&at_most(1), &[(13, SOMEBODY), (14, "user_id:2")]), "10: 10-10, 11: 11-11");
    assert_eq!(merged(&at_most(1), &[(17, SOMEBODY)]), "10: 10-10, 11: 11-11");
    // Firings count for whoever has them.
    let definitions = at_most(1);
    assert_eq!(course(&definitions, of_two("20a", "11a", &[(18, SOMEBODY)]), Some(1)), "11: 11-11");
    assert_eq!(course(&definitions, of_two("20a", "11a", &[(18, "user_id:2")]), Some(1)), "11: 11-11, 20: 20-20");
}

#[test]
fn the_second_record_is_refused_though_it_was_decided_first() {
    let definitions =
        with(without_triggers(), each("a"), |trigger| trigger.at_most = Some(FiringLimit { count: 1, period_ms: 20 }));
    let mut history = of_two("11a", "10a", &[(13, SOMEBODY)]);
    history.sort_by_key(|(tick, _)| *tick);
    let mut delays = [9, 3].into_iter();
    let mut comes_back = |_: &Firing| delays.next();
    let log = played(&definitions, &history, ONE, &mut comes_back).map_err(|(_, reason)| reason);
    // That of 11 is in the log at 14, that of 10 at 19.
    assert_eq!(log.map(told), Ok("10: 10-10, 11: 11-11, 19: refused 1000".to_owned()));
}

#[test]
fn a_merge_changes_no_decision() {
    let visit = || with(without_triggers(), written("a 5", None, Vec::new()), |_| {});
    // What both did is one session now, of which a part has fired.
    assert_eq!(course(&visit(), of_two("10a", "14a", &[(17, SOMEBODY)]), Some(1)), "15: 10-10");
    assert_eq!(course(&visit(), of_two("10a", "14a", &[(14, SOMEBODY)]), Some(1)), "19: 10-14");
    // Those that have ended already are not decided again.
    let never = || {
        with(without_triggers(), written("a 5", None, Vec::new()), |trigger| {
            trigger.when = Some(compare(of_person(PersonTerm::Count, BS), Comparison::Greater, number(0.0)));
        })
    };
    assert_eq!(course(&never(), of_two("10a 18b", "14a", &[(20, SOMEBODY)]), Some(1)), "");
}

#[test]
fn what_waits_is_decided_when_its_person_is_no_more() {
    let definitions = with(without_triggers(), each("a"), |_| {});
    assert_eq!(
        course(&definitions, of_two("", "10a 11a", &[(13, SOMEBODY)]), Some(9)),
        "10: 10-10, 13: 11-11",
        "it does not wait any more"
    );
}

#[test]
fn the_strongest_identifier_holds_it() {
    #[track_caller]
    fn check(who: &str, expected: &str) {
        let definitions = with(without_triggers(), each("a"), |_| {});
        let history = vec![(Tick::from_ms(10), event(10, "a", who))];
        let decisions = TriggerOracle::new(&definitions).decide(&history, Tick::from_ms(10));
        let holders: Vec<&str> = decisions.fires.iter().map(|firing| firing.holder.as_str()).collect();
        assert_eq!(holders, [expected]);
    }
    check("device_id:x user_id:1", "user_id:1");
    check("anonymous_id:x email:b email:a", "email:a");
    check("loyalty:x anonymous_id:1", "anonymous_id:1");
}
