//! Random triggers put to the test: what is wrong is found, and much happens.

use std::collections::BTreeMap;

use dataflows::definitions::{
    Definitions, DestinationId, FieldId, Measure, MeasureShape, Occasion, SequenceEnd, Trigger, TriggerRoutes,
};
use dataflows::expression::Expression;
use dataflows::model::{Event, Tick, Value};

use super::drafts::{SAME, TriggerCase};
use super::{expected, parting, seeds};
use crate::histories::definitions::OverPerson;
use crate::histories::expressions::is_missing;
use crate::histories::firings::{AllDecisions, PlayedLog, play};
use crate::oracle::TriggerOracle;

/// A history that the oracle plays with itself.
fn played_by_oracle(of: &TriggerCase) -> PlayedLog {
    let mut oracle = TriggerOracle::new(&of.definitions);
    let mut until_now = Vec::new();
    play(&of.definitions, &of.case.history(), &mut of.comes_back(), &mut |tick, events| {
        until_now.extend_from_slice(events);
        let mut decisions = AllDecisions::from([(tick, oracle.decide(&until_now, tick))]);
        decisions.retain(|_, decisions| !decisions.is_empty());
        decisions
    })
}

/// What makes definitions, or records, a little different.
type TriggerMistake<'a> = dyn Fn(&mut Definitions, &mut [(Tick, Event)]) + 'a;

/// Cases, and what is right of each.
struct RightlyPlayed(Vec<(TriggerCase, PlayedLog)>);

impl RightlyPlayed {
    #[track_caller]
    fn find(&self, mistake: &TriggerMistake<'_>) {
        let is_found = self.0.iter().any(|(of, log)| {
            let (mut definitions, mut history) = (of.definitions.clone(), log.history.clone());
            mistake(&mut definitions, &mut history);
            parting(&expected(&definitions, &history), &log.decisions).is_err()
        });
        assert!(is_found, "a mistake is to be found");
    }

    /// The same of one in each trigger, or in what it is on.
    #[track_caller]
    fn find_in_triggers(&self, mistake: fn(&mut Trigger, &mut Measure)) {
        self.find(&|definitions, _| {
            for trigger in definitions.triggers.iter_mut().filter(|trigger| !trigger.on.is_crossing()) {
                mistake(trigger, &mut definitions.measures[trigger.on.measure().expect("it is by a measure").index()]);
            }
        });
    }
}

#[test]
fn small_mistakes_in_triggers_are_found() {
    let played = |of: TriggerCase| {
        let log = played_by_oracle(&of);
        parting(&expected(&of.definitions, &log.history), &log.decisions).expect("it agrees with itself");
        (of, log)
    };
    let right = RightlyPlayed(seeds(0..150).map(TriggerCase::of).map(played).collect());
    fn or_missing(condition: &mut Option<OverPerson>) {
        *condition = condition.take().map(|one| Expression::Or(vec![one.clone(), is_missing(one)]));
    }
    right.find_in_triggers(|trigger, _| or_missing(&mut trigger.when));
    right.find_in_triggers(|trigger, _| or_missing(&mut trigger.unless));
    right.find_in_triggers(|trigger, _| trigger.unless = None);
    right.find_in_triggers(|trigger, _| trigger.wait_ms = 0);
    right.find_in_triggers(|trigger, _| trigger.wait_ms += 1);
    right.find_in_triggers(|trigger, _| trigger.at_most.iter_mut().for_each(|limit| limit.count += 1));
    right.find_in_triggers(|trigger, _| trigger.at_most.iter_mut().for_each(|limit| limit.period_ms += 1));
    right.find_in_triggers(|trigger, _| trigger.at_most.iter_mut().for_each(|limit| limit.period_ms -= 1));
    right.find_in_triggers(|trigger, _| trigger.requires_consent = None);
    // Nobody waits for more than a millisecond; or for ever.
    right.find_in_triggers(|trigger, _| trigger.max_lateness_ms = 0);
    right.find_in_triggers(|trigger, _| trigger.max_lateness_ms += 1);
    right.find_in_triggers(|trigger, _| {
        if let TriggerRoutes::First(routes) = &mut trigger.routes {
            routes.truncate(1);
        }
    });
    right.find_in_triggers(|trigger, _| {
        if let TriggerRoutes::First(routes) = &mut trigger.routes {
            routes.reverse();
        }
    });
    right.find_in_triggers(|trigger, _| _ = trigger.payload.pop());
    right.find_in_triggers(|_, on| on.condition = None);
    right.find_in_triggers(|_, on| {
        if let MeasureShape::Session(session) = &mut on.shape {
            session.gap_ms += 1;
        }
    });
    right.find_in_triggers(|_, on| {
        if let MeasureShape::Session(session) = &mut on.shape {
            session.per = None;
        }
    });
    right.find_in_triggers(|_, on| {
        if let MeasureShape::Sequence(sequence) = &mut on.shape {
            sequence.same = None;
        }
    });
    right.find_in_triggers(|_, on| {
        if let MeasureShape::Sequence(sequence) = &mut on.shape {
            sequence.end = SequenceEnd::Match;
        }
    });
    // No event is spent: all firings are of another value.
    let unspent = |_: &mut Definitions, history: &mut [(Tick, Event)]| {
        for (_, event) in history.iter_mut().filter(|(_, event)| event.name.derived().is_some()) {
            event.fields.retain(|(id, _)| id.index() != SAME);
            event.fields.push((FieldId::new(SAME), Value::text("another")));
            event.fields.sort();
        }
    };
    right.find(&unspent);
    // A firing counts from when it is in the log.
    let later = |_: &mut Definitions, history: &mut [(Tick, Event)]| {
        for (tick, event) in history.iter_mut().filter(|(_, event)| event.name.derived().is_some()) {
            event.timestamp = *tick;
        }
    };
    right.find(&later);
}

/// Random histories are worth little where nothing happens in them.
#[test]
fn random_triggers_are_rich() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut see = |what| *seen.entry(what).or_default() += 1;
    for of in seeds(0..100).map(TriggerCase::of) {
        let log = played_by_oracle(&of);
        let arrival =
            |position| log.history.iter().find(|(_, event)| event.position == position).map(|(tick, _)| *tick);
        for (tick, decisions) in &log.decisions {
            decisions.refused.iter().for_each(|_| see("refused"));
            for firing in &decisions.fires {
                let trigger = &of.definitions.triggers[firing.trigger.index()];
                let is_by_time = !log.history.iter().any(|(arrival, _)| arrival == tick);
                match trigger.on {
                    Occasion::Entered(_) => see(if is_by_time { "entered by time" } else { "entered" }),
                    Occasion::Left(_) => see(if is_by_time { "left by time" } else { "left" }),
                    _ => {}
                }
                if trigger.on.is_crossing() {
                    continue;
                }
                let on = &of.definitions.measures[trigger.on.measure().expect("it is by a measure").index()];
                let has_waited = arrival(firing.span.last.position).is_some_and(|at| *tick > at.max(firing.due));
                see(match &on.shape {
                    MeasureShape::Session(session) if session.per.is_some() => "session of a device",
                    MeasureShape::Session(_) => "session",
                    MeasureShape::Sequence(sequence) if sequence.same.is_some() => "sequence with the same",
                    MeasureShape::Sequence(sequence) if sequence.end == SequenceEnd::Match => "sequence",
                    MeasureShape::Sequence(_) => "absence",
                    _ if on.events.iter().any(|name| name.derived().is_some()) => "firing",
                    _ => "event",
                });
                if has_waited {
                    see("has waited");
                }
                if *tick == firing.due {
                    see("on time");
                }
                if firing.span.first != firing.span.last {
                    see("several events");
                }
                if firing.to == [DestinationId::new(1)] {
                    see("to the second destination");
                }
                if trigger.requires_consent.is_some() {
                    see("with consent");
                }
                if !firing.holder.starts_with("user_id:") {
                    see("of nobody known");
                }
            }
        }
    }
    let wanted = [
        "absence",
        "entered",
        "entered by time",
        "event",
        "firing",
        "has waited",
        "left",
        "left by time",
        "of nobody known",
        "on time",
        "refused",
        "sequence",
        "sequence with the same",
        "session",
        "session of a device",
        "several events",
        "to the second destination",
        "with consent",
    ];
    let rare: Vec<&str> = wanted.into_iter().filter(|what| seen.get(what).is_none_or(|count| *count < 3)).collect();
    assert!(rare.is_empty(), "rarely seen: {rare:?}, of {seen:?}");
}
