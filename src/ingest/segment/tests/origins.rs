//! Where identifiers come from.

use dataflows::model::Strength;

use super::*;
use crate::project::{ContextTraits, IdentifierOrigin};

fn origin(field: &str, kind: &str, events: &[&str], sources: &[&str], link: Option<Strength>) -> IdentifierOrigin {
    let (root, path) = field.split_once('.').unwrap();
    IdentifierOrigin {
        root: match root {
            "properties" => FieldRoot::Properties,
            "traits" => FieldRoot::Traits,
            _ => FieldRoot::Context,
        },
        path: path.split('.').map(Into::into).collect(),
        kind: kind.into(),
        events: events.iter().map(|event| EventName::from(*event)).collect(),
        sources: sources.iter().map(|source| (*source).into()).collect(),
        link,
    }
}

fn project(origins: Vec<IdentifierOrigin>) -> Project {
    let mut project = Project { origins, ..example::project() };
    project.definitions = Arc::new(Definitions::default());
    project
}

/// Checks an event of this source; `~` stands before weak identifiers.
#[track_caller]
fn check_of(project: &Project, source: &str, json: &str, expected: &str) {
    let given = EventContext { source, ..live() };
    let event = Extractor::new(project).accept(json.as_bytes(), &given).map(|arrival| arrival.accepted.event);
    let shown = match event {
        Ok(event) => {
            let identifiers = event.identifiers.with_strength().map(|(identifier, strength)| {
                format!("{}{}", if strength == Strength::Weak { "~" } else { "" }, identifier.text())
            });
            let attributes = event.attributes.iter().map(|(name, _)| format!("{name}="));
            identifiers.chain(attributes).collect::<Vec<_>>().join(" ")
        }
        Err(rejection) => rejection.code().to_owned(),
    };
    assert_eq!(shown, expected, "{json}");
}

#[track_caller]
fn check(project: &Project, json: &str, expected: &str) {
    check_of(project, "app", json, expected);
}

/// An event of a type that says this.
fn call(kind: &str, members: &str) -> String {
    format!(r#"{{"type":"{kind}","event":"Invited","userId":"u",{members}}}"#)
}

#[test]
fn properties_are_no_identifiers_by_default() {
    let friend = r#""properties":{"email":"Friend@x.org","phone":"+49 30 1234567"}"#;
    check(&project(Vec::new()), &call("track", friend), "user_id:u");
    check(&project(Vec::new()), r#"{"type":"track","event":"E","properties":{"email":"a@b"}}"#, "no_identifier");
    let from = || {
        vec![
            origin("properties.email", "email", &[], &[], Some(Strength::Strong)),
            origin("properties.phone", "phone", &["Invited", "page"], &[], Some(Strength::Weak)),
        ]
    };
    check(&project(from()), &call("track", friend), "user_id:u email:friend@x.org ~phone:49301234567");
    check(&project(from()), &call("page", friend), "user_id:u email:friend@x.org ~phone:49301234567");
    check(&project(from()), &call("screen", friend), "user_id:u email:friend@x.org");
    check(&project(from()), &call("track", friend).replace("Invited", "page"), "user_id:u email:friend@x.org");
}

#[test]
fn context_traits_are_hearsay_in_most_calls() {
    let context = r#""context":{"traits":{"email":"a@b","phone":12345,"city":"Rome"}}"#;
    let project = project(Vec::new());
    for statement in ["identify", "group"] {
        let expected = "user_id:u email:a@b phone:12345 city= email= phone=";
        check(&project, &call(statement, context), expected);
    }
    for hearsay in ["track", "page", "screen", "alias"] {
        check(&project, &call(hearsay, context), "user_id:u ~email:a@b ~phone:12345");
    }
    // What is stated, too, is stated.
    let both = format!(r#"{context},"traits":{{"email":"A@b"}}"#);
    check(&project, &call("track", &both), "user_id:u email:a@b ~phone:12345");
    check(&project, &call("group", r#""traits":{"email":"office@b"}"#), "user_id:u");
    // Of two objects the members of both count, of each the later.
    let twice = r#""context":{"traits":{"email":"a@b","phone":12345},"traits":{"email":"c@d"}}"#;
    check(&project, &call("track", twice), "user_id:u ~email:c@d ~phone:12345");
    let mut full = project.clone();
    full.sources[1].context_traits = ContextTraits::Full;
    let expected = "user_id:u email:a@b phone:12345 city= email= phone=";
    check_of(&full, "web", &call("track", context), expected);
    check_of(&full, "app", &call("track", context), "user_id:u ~email:a@b ~phone:12345");
    check_of(&full, "unknown", &call("track", context), "user_id:u ~email:a@b ~phone:12345");
}

#[test]
fn what_a_project_says_comes_before_what_is_usual() {
    let (strong, weak) = (Some(Strength::Strong), Some(Strength::Weak));
    let from = vec![
        origin("context.traits.email", "email", &["page"], &["web"], strong),
        origin("context.traits.email", "email", &[], &["web"], None),
        origin("context.device.id", "device_id", &[], &[], weak),
        origin("context.page.loyalty.card", "crm", &[], &[], strong),
        origin("traits.account", "user_id", &[], &[], strong),
    ];
    let project = project(from);
    let traits = r#""context":{"traits":{"email":"a@b"},"device":{"id":"d","advertisingId":"i"}}"#;
    check_of(&project, "web", &call("page", traits), "user_id:u advertising_id:i email:a@b ~device_id:d");
    check_of(&project, "web", &call("identify", traits), "user_id:u advertising_id:i ~device_id:d email=");
    check_of(&project, "app", &call("page", traits), "user_id:u advertising_id:i ~device_id:d ~email:a@b");
    let page = r#""context":{"page":{"loyalty":{"card":7,"other":8}}}"#;
    check(&project, &call("track", page), "user_id:u crm:7");
    check(&project, &call("track", r#""context":{"page":{"loyalty":[7]}}"#), "user_id:u");
    // What would be another person is left out.
    check(&project, &call("track", r#""traits":{"account":"v"}"#), "user_id:u");
    check(&project, r#"{"type":"page","anonymousId":"a","traits":{"account":"v"}}"#, "anonymous_id:a user_id:v");
}

#[test]
fn only_sources_with_trust_join_people() {
    let mut project = project(Vec::new());
    project.sources[1].trusted = true;
    let json = r#"{"type":"alias","userId":"u","previousId":"p","messageId":"m"}"#;
    let decode = stored_event_decoder(&project);
    for (source, trusted) in [("web", true), ("app", false), ("unknown", false)] {
        let given = EventContext { source, ..live() };
        let accepted = Extractor::new(&project).accept(json.as_bytes(), &given).unwrap().accepted;
        assert_eq!(accepted.event.identifiers.alias().unwrap().trusted, trusted, "{source}");
        let stored = Stored { message: accepted.message, source: Some(source.into()), raw: accepted.raw };
        assert_eq!(decode(&stored).unwrap(), accepted.event, "{source}");
    }
}

#[test]
fn stored_events_are_read_with_their_source() {
    let mut project = project(vec![origin("properties.email", "email", &[], &["web"], Some(Strength::Strong))]);
    project.sources[0].context_traits = ContextTraits::Full;
    let json = call("track", r#""messageId":"m","properties":{"email":"a@b"},"context":{"traits":{"city":"Rome"}}"#);
    let (decode, reading) = (stored_event_decoder(&project), reading(&project));
    for (source, expected) in [("web", 2), ("app", 1)] {
        let given = EventContext { source, ..live() };
        let accepted = Extractor::new(&project).accept(json.as_bytes(), &given).unwrap().accepted;
        assert_eq!((accepted.event.identifiers.len(), accepted.event.attributes.len()), (expected, 2 - expected));
        // Earlier versions did not keep the source; then its hash tells it.
        for kept in [Some(source.into()), None] {
            let stored = Stored { message: accepted.message, source: kept, raw: accepted.raw.clone() };
            assert_eq!(decode(&stored).unwrap(), accepted.event, "{source}");
            let reading = reading(&stored).unwrap();
            assert_eq!((&reading.event, reading.origin.source.as_deref()), (&accepted.event, Some(source)));
            assert_eq!(reading.origin.name.as_deref(), Some("Invited"));
        }
    }
}
