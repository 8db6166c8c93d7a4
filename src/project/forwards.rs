//! `events`, `where` and `enrich` of a destination: which events it is sent, and what goes with them.

use compact_str::CompactString;
use dataflows::definitions::{DestinationId, ListedTrait};
use dataflows::model::{EventName, ValueType};

use super::derived_events;
use super::destinations::{known_identifiers, traits_of};
use super::event_names::listed_events;
use super::infer::Checker;
use super::parse::parse;
use super::problem::{ProjectProblem, TextSpan};
use super::text::SubstitutedText;
use super::typed::{EventReference, Typed};
use super::written::{WrittenEnrich, WrittenForward};

/// The events that a destination is sent, with a condition whose types are not known yet.
pub(super) struct TypedForward {
    pub(super) destination: DestinationId,
    /// All where there are none.
    pub(super) events: Vec<EventName>,
    pub(super) condition: Option<Typed<EventReference>>,
    pub(super) identifiers: Vec<CompactString>,
    pub(super) traits: Vec<ListedTrait>,
    pub(super) consent: Vec<CompactString>,
    pub(super) requires_consent: Option<CompactString>,
}

/// What the destination `name` says of events; nothing where it is sent none.
pub(super) fn resolve(
    name: &SubstitutedText,
    destination: DestinationId,
    written: WrittenForward,
    requires_consent: Option<CompactString>,
    checker: &mut Checker,
) -> Option<TypedForward> {
    let WrittenForward { events, condition, enrich } = written;
    let Some(events) = events else {
        let places = [("where", condition.map(|text| text.place)), ("enrich", enrich.map(|enrich| enrich.place))];
        for (key, place) in places {
            if let Some(place) = place {
                let problem =
                    ProjectProblem::at(place, format!("`{key}` of destination `{}` has no events", name.value));
                checker.report(problem.help("list the events that it is sent: events = [\"Order Completed\"]"));
            }
        }
        return None;
    };
    if events.items.is_empty() {
        let problem = ProjectProblem::at(name.place, format!("destination `{}` has no events", name.value));
        checker.report(problem.help("list what it is sent: events = [\"Order Completed\"]"));
    }
    let places: Vec<TextSpan> = events.items.iter().map(|event| event.place).collect();
    let names = listed_events(events, checker);
    let fired = |name: &EventName| name.derived().filter(|name| name.ends_with(" fired")).map(str::to_owned);
    if let Some((fired, place)) = names.iter().map(fired).zip(places).find_map(|(name, place)| Some((name?, place))) {
        let problem = ProjectProblem::at(place, format!("`{fired}` goes where its trigger says"));
        checker.report(problem.help("list the destination in `destinations` of the trigger"));
    }
    let condition = condition.filter(|text| !text.is_broken).and_then(|text| {
        let node = checker.settle(parse(&text))?;
        checker.doubts.of_event(&node);
        checker.begin_use();
        checker.at_hand = match names.as_slice() {
            [only] => derived_events::at_hand(checker, only),
            _ => None,
        };
        let condition = checker.expect(&node, ValueType::Bool, "the condition in `where`");
        checker.at_hand = None;
        Some(condition)
    });
    let (mut identifiers, mut traits) = Default::default();
    let mut consent: Vec<CompactString> = Vec::new();
    if let Some(WrittenEnrich { identifiers: kinds, traits: listed, consent: purposes, .. }) = enrich {
        identifiers = known_identifiers(kinds, checker);
        traits = traits_of(listed, checker);
        for written in &purposes.items {
            let purpose = checker.purposes.of(written, &mut checker.problems);
            if consent.contains(&purpose) && !written.is_broken {
                checker.report(ProjectProblem::at(written.place, format!("`{}` is listed twice", written.value)));
            }
            consent.push(purpose);
        }
    }
    Some(TypedForward { destination, events: names, condition, identifiers, traits, consent, requires_consent })
}
