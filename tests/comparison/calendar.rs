//! Windows of the calendar, over days at which clocks are set, in zones that set them at other times.

use dataflows::calendar::{CalendarSpan, Zone};
use dataflows::definitions::{
    Definitions, EvaluationStep, Measure, MeasureId, MeasureShape, Period, PersonTerm, Trait, TraitId,
};
use dataflows::expression::Expression;
use dataflows::model::{Event, Tick};

use super::compare;
use super::dataflow::{Dataflow, Restored};
use crate::histories::expressions::measure;
use crate::histories::identifier;

/// Every part of the calendar in every one of some zones, as a count.
fn definitions(zones: &[&str]) -> Definitions {
    let zones: Vec<Zone> = zones.iter().map(|zone| Zone::named(zone).expect("there is such a zone")).collect();
    let periods = zones.into_iter().flat_map(|zone| CalendarSpan::ALL.map(|span| Period::During(span, zone.clone())));
    let measures: Vec<Measure> =
        periods.map(|period| Measure { within: Some(period), ..measure("buy", MeasureShape::Count, None) }).collect();
    let shown = |index: usize| Trait {
        name: format!("t{index:03}").into(),
        expression: Expression::Term(PersonTerm::Count(MeasureId::new(index))),
    };
    Definitions {
        traits: (0..measures.len()).map(shown).collect(),
        order: (0..measures.len()).map(|index| EvaluationStep::Trait(TraitId::new(index))).collect(),
        measures,
        ..Definitions::default()
    }
}

/// Events of a few people over some days, some of them late by hours or days.
fn history(from: &str, days: u64) -> Vec<(Tick, Event)> {
    const HOUR_MS: u64 = 3_600_000;
    let begins = u64::try_from(from.parse::<jiff::Timestamp>().expect("it is a time").as_millisecond()).expect("late");
    let mut history: Vec<(Tick, Event)> = Vec::new();
    for (step, hour) in (0..days * 24).step_by(5).enumerate() {
        let arrival = begins + hour * HOUR_MS + [0, 1, 4_000, 1_799_999][step % 4];
        let late = [0, 0, 3_000, 7 * HOUR_MS, 26 * HOUR_MS, 50 * HOUR_MS][step % 6];
        let who =
            [&["user_id:1"][..], &["email:a@x.org"], &["user_id:2", "email:a@x.org"], &["user_id:1", "email:a@x.org"]]
                [step * 7 / 3 % 4];
        let event = Event {
            timestamp: Tick::from_ms(arrival - late),
            name: "buy".into(),
            identifiers: who.iter().map(|who| identifier(who)).collect(),
            ..Event::default()
        };
        history.push((Tick::from_ms(arrival), event));
    }
    history
}

#[track_caller]
fn check(zones: &[&str], from: &str, days: u64) {
    let (definitions, history) = (definitions(zones), history(from, days));
    compare(&Restored { before: Dataflow::of(3), after: Dataflow::of(1) }, &definitions, &history).unwrap();
}

#[test]
fn calendar_windows_over_days_at_which_clocks_are_set() {
    check(&["Europe/Berlin", "UTC"], "2026-03-27T22:59:59.999Z", 4);
    check(&["Europe/Berlin"], "2026-10-30T20:00:00Z", 3);
    check(&["America/Sao_Paulo"], "2018-11-03T20:00:00Z", 2);
    check(&["America/St_Johns"], "2010-11-06T20:30:00Z", 2);
    check(&["Pacific/Apia"], "2011-12-29T05:00:00Z", 3);
    check(&["Pacific/Auckland"], "2025-12-30T10:00:00Z", 2);
}
