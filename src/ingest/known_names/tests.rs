//! What senders make up, and what comes of it.

use dataflows::model::{EventName, Identifiers, Value};

use super::*;
use crate::example;

const LIMITS: NameLimits = NameLimits { event_names_max: 3, attribute_names_max: 2, identifier_types_max: 1 };

fn project() -> Project {
    let mut project = example::project();
    project.sources.iter_mut().for_each(|source| source.names = LIMITS);
    project
}

/// An event of this name, with attributes and with external ids of types.
fn event(name: &str, attributes: &[&str], types: &[&str]) -> Event {
    let key = project().identifier_key;
    let identifiers = ["user_id"].iter().chain(types).map(|kind| Identifier::new(&key, kind, "x"));
    Event {
        name: EventName::of_track(name),
        identifiers: Identifiers::new(identifiers.collect(), 0),
        attributes: attributes.iter().map(|name| ((*name).into(), Some(Value::Bool(true)))).collect(),
        ..Event::default()
    }
}

fn named(names: &KnownNames, source: &str, name: &str) -> Result<(), Rejection> {
    names.admit(source, &event(name, &[], &[]), Attempt::First)
}

fn used(names: &KnownNames, source: &str) -> Vec<(u64, u64)> {
    names.counts(source).iter().map(|of| (of.used, of.refused)).collect()
}

#[test]
fn a_source_uses_so_many_names_and_another_one_its_own() {
    let names = KnownNames::new(&project());
    for name in ["A", "ü\u{202e}\0", &"x".repeat(30_000)] {
        assert_eq!(named(&names, "app", name), Ok(()));
    }
    let refused = named(&names, "app", "D").unwrap_err();
    assert_eq!(refused, Rejection::TooManyNames { kind: NameKind::Event, max: 3 });
    assert_eq!(refused.code(), "too_many_event_names");
    assert!(refused.to_string().contains("`event_names_max` of the source"), "{refused}");
    for known in ["A", "ü\u{202e}\0", &"x".repeat(30_000)] {
        assert_eq!(named(&names, "app", known), Ok(()), "what is known goes on");
    }
    assert_eq!(named(&names, "web", "D"), Ok(()));
    assert_eq!(used(&names, "app"), [(3, 1), (0, 0), (0, 0)]);
    // It was counted when it came.
    assert_eq!(names.admit("app", &event("D", &[], &[]), Attempt::Again).unwrap_err(), refused);
    assert_eq!(used(&names, "app"), [(3, 1), (0, 0), (0, 0)]);
    assert_eq!(used(&names, "web"), [(1, 0), (0, 0), (0, 0)]);
}

#[test]
fn an_event_that_is_refused_leaves_nothing() {
    let names = KnownNames::new(&project());
    let refused = names.admit("app", &event("A", &["a", "b", "c"], &["t"]), Attempt::First).unwrap_err();
    assert_eq!(refused.code(), "too_many_attribute_names");
    assert_eq!(used(&names, "app"), [(0, 0), (0, 1), (0, 0)]);
    let refused = names.admit("app", &event("A", &["a", "b"], &["t", "u"]), Attempt::First).unwrap_err();
    assert_eq!(refused.code(), "too_many_identifier_types");
    assert_eq!(names.admit("app", &event("A", &["a", "b"], &["t"]), Attempt::First), Ok(()));
    assert_eq!(used(&names, "app"), [(1, 0), (2, 1), (1, 1)]);
    // The same name of another kind is another one.
    assert_eq!(named(&names, "app", "a"), Ok(()));
    assert_eq!(used(&names, "app")[0].0, 2);
}

#[test]
fn what_the_project_uses_does_not_count() {
    let names = KnownNames::new(&project());
    let of_page = Event { name: EventName::of_call("page"), ..event("", &["born"], &["email", "anonymous_id"]) };
    assert_eq!(names.admit("app", &of_page, Attempt::First), Ok(()));
    assert_eq!(used(&names, "app"), [(0, 0), (0, 0), (0, 0)]);
    // A track call of that name is another event.
    assert_eq!(named(&names, "app", "page"), Ok(()));
    assert_eq!(used(&names, "app")[0].0, 1);
}

#[test]
fn names_are_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let open = |project: &Project| KnownNames::open(project, folder.path()).unwrap();
    let names = open(&project());
    assert_eq!(names.admit("app", &event("secret@example.org", &["a"], &["t"]), Attempt::First), Ok(()));
    assert_eq!(named(&names, "web", "W"), Ok(()));
    drop(names);
    let path = folder.path().join(KnownNames::FILE);
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written.lines().count(), 5, "{written}");
    assert!(!written.contains("secret"), "nothing of what people sent: {written}");

    // A crash cut the last line; and somebody wrote into it.
    std::fs::write(&path, format!("{written}event 00 app\nevent {} app\n\u{1F600}\nevent 0011", "+".repeat(32)))
        .unwrap();
    let names = open(&project());
    assert_eq!(used(&names, "app"), [(1, 0), (1, 0), (1, 0)]);
    assert_eq!(named(&names, "app", "B"), Ok(()));
    assert_eq!(named(&names, "app", "C"), Ok(()));
    assert_eq!(named(&names, "app", "D").unwrap_err().code(), "too_many_event_names");
    drop(names);
    let names = open(&project());
    assert_eq!(used(&names, "app"), [(3, 0), (1, 0), (1, 0)], "what came after a cut line is whole");

    // A lower limit takes in nothing new, and what is known goes on; a project that uses a name no longer counts it.
    let mut lower = project();
    lower.sources[0].names.event_names_max = 1;
    lower.attribute_types.insert("a".into(), dataflows::model::ValueType::Bool);
    let names = open(&lower);
    assert_eq!(used(&names, "app"), [(3, 0), (0, 0), (1, 0)]);
    assert_eq!(named(&names, "app", "C"), Ok(()));
    assert_eq!(named(&names, "app", "E").unwrap_err().code(), "too_many_event_names");
}

#[test]
fn many_at_once_are_no_more_than_the_limit() {
    let mut project = project();
    project.sources[0].names.event_names_max = 500;
    let names = KnownNames::new(&project);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let names = &names;
            scope.spawn(move || (0..400).for_each(|n| _ = named(names, "app", &format!("n{}", n + 100 * thread))));
        }
    });
    assert_eq!(names.counts("app")[0].used, 500);
}
