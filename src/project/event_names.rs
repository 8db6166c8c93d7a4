//! Lists of names of events.

use dataflows::model::EventName;

use super::identity::each_once;
use super::infer::Checker;
use super::problem::{ProjectProblem, TextSpan};
use super::section::List;
use super::text::SubstitutedText;
use super::triggers::event_name;

/// What stands for all events.
const ALL: &str = "*";

/// Whether a list means all events. Then no name stands beside it.
pub(super) fn means_all(events: &List, problems: &mut Vec<ProjectProblem>) -> bool {
    let Some(all) = events.items.iter().find(|event| event.value.trim() == ALL) else { return false };
    if events.items.len() > 1 {
        let problem = ProjectProblem::at(all.place, "`*` is all events, whatever else the list names");
        problems.push(problem.help("leave out the other names, or `*`"));
    }
    true
}

/// The events of a list, each once; none where it means all.
pub(super) fn listed_events(events: List, checker: &mut Checker) -> Vec<EventName> {
    if means_all(&events, &mut checker.problems) {
        return Vec::new();
    }
    events.items.iter().for_each(|event| {
        check_event_name(event, &mut checker.problems);
        checker.doubts.event(event);
    });
    // Of two ways to write one name, one is enough.
    let mut names: Vec<EventName> = Vec::with_capacity(events.items.len());
    let places: Vec<TextSpan> = events.items.iter().map(|event| event.place).collect();
    for (name, place) in each_once(events, &mut checker.problems).into_iter().zip(places) {
        let name = event_name(checker, name.as_str(), place);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Reports what is no name of an event.
pub(super) fn check_event_name(event: &SubstitutedText, problems: &mut Vec<ProjectProblem>) {
    if event.is_broken {
        return;
    }
    if event.value.trim().is_empty() {
        let problem = ProjectProblem::at(event.place, "expected the name of an event");
        problems.push(problem.help("that of a track call, such as \"Order Completed\", or `page`, `identify`, …"));
    } else if event.value.contains(['*', '%']) && !event.value.starts_with("track:") {
        let problem =
            ProjectProblem::at(event.place, format!("`{}` is no pattern: names of events are whole", event.value));
        let help = format!(
            "list each name, or write \"*\" alone for all; a name that really is this is \"track:{}\"",
            event.value
        );
        problems.push(problem.help(help));
    }
}
