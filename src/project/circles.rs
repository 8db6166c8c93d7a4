//! What hangs on itself by way of derived events: audiences that are entered or left, and triggers that fire.

use std::collections::BTreeSet;

use dataflows::definitions::{AudienceId, Definitions, EvaluationStep, MeasureId, PersonTerm, TriggerId};
use dataflows::model::EventName;

use super::problem::{ProjectProblem, TextSpan};
use super::suggestion::listed;

/// What makes derived events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EventMaker {
    /// By being entered and left.
    Audience(AudienceId),
    /// By firing.
    Trigger(TriggerId),
}

/// What hangs on itself, where anything does. `place` says where each is declared.
pub(super) fn circles(
    definitions: &Definitions,
    place: impl Fn(EventMaker) -> Option<TextSpan>,
) -> Option<ProjectProblem> {
    let audiences = (0..definitions.audiences.len()).map(|index| EventMaker::Audience(AudienceId::new(index)));
    let triggers = (0..definitions.triggers.len()).map(|index| EventMaker::Trigger(TriggerId::new(index)));
    let mut hang_on: Vec<(EventMaker, BTreeSet<EventMaker>)> =
        audiences.chain(triggers).map(|maker| (maker, makers_before(definitions, maker))).collect();
    // What hangs on nothing that is left is in no circle, nor is that on which nothing hangs.
    loop {
        let left: BTreeSet<EventMaker> = hang_on.iter().map(|(maker, _)| *maker).collect();
        let wanted: BTreeSet<EventMaker> = hang_on.iter().flat_map(|(_, before)| before).copied().collect();
        hang_on.retain(|(maker, before)| wanted.contains(maker) && before.iter().any(|other| left.contains(other)));
        if hang_on.len() == left.len() {
            break;
        }
    }
    if hang_on.is_empty() {
        return None;
    }
    let name = |maker: &EventMaker| match maker {
        EventMaker::Audience(id) => format!("audience {}", definitions.audiences[id.index()].name),
        EventMaker::Trigger(id) => format!("trigger {}", definitions.triggers[id.index()].name),
    };
    let names: Vec<String> = hang_on.iter().map(|(maker, _)| name(maker)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let place = hang_on.iter().find_map(|(maker, _)| place(*maker)).unwrap_or_default();
    let problem = ProjectProblem::at(place, format!("these hang on their own events, in a circle: {}", listed(&names)));
    Some(problem.help("`wait`, `unless` and `at_most` of a trigger say what may follow on what it did"))
}

/// What makes the derived events that something is made of.
fn makers_before(definitions: &Definitions, maker: EventMaker) -> BTreeSet<EventMaker> {
    let mut before = BTreeSet::new();
    match maker {
        EventMaker::Audience(id) => of_audience(definitions, id, &mut before),
        EventMaker::Trigger(id) => {
            if let Some(measure) = definitions.triggers[id.index()].on.measure() {
                of_measure(definitions, measure, &mut before);
            }
        }
    }
    before
}

fn of_audience(definitions: &Definitions, id: AudienceId, before: &mut BTreeSet<EventMaker>) {
    // Traits and audiences refer to each other in no circle, but may have much in common.
    let (mut steps, mut seen) = (vec![EvaluationStep::Audience(id)], Vec::new());
    while let Some(step) = steps.pop() {
        if seen.contains(&step) {
            continue;
        }
        seen.push(step);
        let expression = match step {
            EvaluationStep::Trait(id) => &definitions.traits[id.index()].expression,
            EvaluationStep::Audience(id) => &definitions.audiences[id.index()].condition,
        };
        expression.for_each_term(&mut |term| match term {
            PersonTerm::Trait(id) => steps.push(EvaluationStep::Trait(*id)),
            PersonTerm::Audience(id) => steps.push(EvaluationStep::Audience(*id)),
            other => {
                if let Some(measure) = other.measure() {
                    of_measure(definitions, measure, before);
                }
            }
        });
    }
}

fn of_measure(definitions: &Definitions, id: MeasureId, before: &mut BTreeSet<EventMaker>) {
    let measure = &definitions.measures[id.index()];
    before.extend(measure.all_events().filter_map(|event| maker_of(definitions, event)));
    measure.ended.iter().for_each(|ended| of_measure(definitions, ended.session, before));
}

/// What makes an event, where it is derived and kept.
fn maker_of(definitions: &Definitions, event: &EventName) -> Option<EventMaker> {
    let (of, what) = event.derived()?.rsplit_once(' ')?;
    match what {
        "entered" | "left" => definitions.audience(of).map(EventMaker::Audience),
        "fired" => {
            let place = definitions.triggers.iter().position(|trigger| trigger.name == of);
            place.map(|place| EventMaker::Trigger(TriggerId::new(place)))
        }
        _ => None,
    }
}
