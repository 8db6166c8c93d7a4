//! Where an event comes from, in what is stored of it and in what definitions read.

use super::*;

/// The example, with a definition that reads `context.ip`.
fn reading_ip() -> Extractor {
    let mut project = example::project();
    let mut definitions = (*project.definitions).clone();
    let path = vec!["ip".into()];
    definitions.fields.push(Field { root: FieldRoot::Context, path, kind: Some(ValueType::Text) });
    project.definitions = Arc::new(definitions);
    Extractor::new(&project)
}

/// Checks the `context` that is stored of an event that came from 192.0.2.7, beside one of its batch perhaps; and the field.
#[track_caller]
fn check_ip(members: &str, of_batch: Option<&str>, context: &str, field: Option<&str>) {
    let json = format!(r#"{{"type":"page","userId":"1"{members}}}"#);
    let given = EventContext { ip: Some("192.0.2.7"), context: of_batch, ..live() };
    let plain = Extractor::new(&example::project()).accept(json.as_bytes(), &given).unwrap().accepted;
    let accepted = reading_ip().accept(json.as_bytes(), &given).unwrap().accepted;
    let stored = std::str::from_utf8(&accepted.raw).unwrap();
    assert_eq!(plain.raw, accepted.raw, "what is stored does not depend on definitions");
    let mut members = EventMembers::default();
    members.read(stored).unwrap();
    assert_eq!(members.get(EventMember::Context), Some(context).filter(|context| !context.is_empty()), "{stored}");
    assert!(!stored.contains("secret"), "{stored}");
    let read = |event: &Event| event.fields.iter().find(|(field, _)| field.index() == 6).map(|(_, value)| show(value));
    let expected = field.map(|ip| format!("'{ip}'"));
    assert_eq!(read(&accepted.event), expected, "{stored}");
    let again = reading_ip().accept(stored.as_bytes(), &EventContext { received: None, ..live() }).unwrap().accepted;
    assert_eq!((again.event, again.raw), (accepted.event, accepted.raw.clone()), "{stored}");
}

#[test]
fn it_is_where_the_request_came_from_unless_the_event_says_it() {
    let here = Some("192.0.2.7");
    check_ip("", None, r#"{"ip":"192.0.2.7"}"#, here);
    check_ip(r#","context":null"#, None, r#"{"ip":"192.0.2.7"}"#, here);
    check_ip(r#","context":{}"#, None, r#"{"ip":"192.0.2.7"}"#, here);
    check_ip(r#","context":{ }"#, None, r#"{"ip":"192.0.2.7" }"#, here);
    check_ip(r#","context":{"a":{"ip":1}}"#, None, r#"{"ip":"192.0.2.7","a":{"ip":1}}"#, here);
    check_ip("", Some(r#"{"b":1}"#), r#"{"ip":"192.0.2.7","b":1}"#, here);
    check_ip("", Some(r#"{"ip":"::1"}"#), r#"{"ip":"::1"}"#, Some("::1"));
    check_ip(r#","context":{"b":1}"#, Some(r#"{"ip":"::1"}"#), r#"{"ip":"192.0.2.7","b":1}"#, here);
    check_ip(r#","context":{"b":1,"ip":"0.0.0.0"}"#, None, r#"{"b":1,"ip":"0.0.0.0"}"#, Some("0.0.0.0"));
    check_ip(r#","context":{"ip":"a","ip":"b"}"#, None, r#"{"ip":"a","ip":"b"}"#, Some("b"));
    check_ip(r#","context":{"ip":null}"#, None, r#"{"ip":null}"#, None);
    check_ip(r#","context":{"\u0069p":"c"}"#, None, r#"{"\u0069p":"c"}"#, Some("c"));
    // What is no object has no members.
    check_ip(r#","context":["x"]"#, None, r#"["x"]"#, None);
    check_ip(r#","context":"x""#, Some(r#"{"b":1}"#), r#""x""#, None);
}

#[test]
fn it_stands_in_the_context_that_counts_and_write_keys_are_struck_out_all_the_same() {
    let here = Some("192.0.2.7");
    let members = r#","writeKey":"secret","context":{"a":1},"writeKey":"secret","context":{"b":2},"writeKey":"secret""#;
    check_ip(members, None, r#"{"ip":"192.0.2.7","b":2}"#, here);
    check_ip(r#","context":{"ip":"x"},"context":{"b":2}"#, None, r#"{"ip":"192.0.2.7","b":2}"#, here);
}

#[test]
fn an_identifier_may_be_made_of_it() {
    let mut project = example::project();
    project.origins.push(crate::project::IdentifierOrigin {
        root: FieldRoot::Context,
        path: vec!["ip".into()],
        kind: "address".into(),
        sources: Vec::new(),
        events: Vec::new(),
        link: Some(dataflows::model::Strength::Strong),
    });
    let extractor = Extractor::new(&project);
    let given = EventContext { ip: Some("192.0.2.7"), ..live() };
    let accepted = extractor.accept(br#"{"type":"page","userId":"1"}"#, &given).unwrap().accepted;
    assert_eq!(line(&accepted.event), "page user_id:1 address:192.0.2.7");
    assert_eq!(extractor.decode_stored("app", &accepted.raw).unwrap(), accepted.event);
}
