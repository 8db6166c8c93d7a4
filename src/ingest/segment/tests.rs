//! Pairs of an event and what is made of it.

mod consent;
mod ip;
mod origins;

use std::sync::Arc;

use dataflows::definitions::{Definitions, EventTerm, Field, FieldId, Measure, MeasureShape, PathStep};
use dataflows::expression::{Comparison, Expression};
use dataflows::limits::ROWS_PER_ARRAY_MAX;
use dataflows::model::{Event, Value};
use proptest::prelude::*;

use super::*;
use crate::example;
use crate::ingest::{Unfit, Warning};
use crate::limits::ATTRIBUTES_PER_EVENT_MAX;
use crate::log::Stored;

/// When all events here arrive: 2024-01-01.
const NOW: Tick = Tick::from_ms(1_704_067_200_000);

fn live() -> EventContext<'static> {
    EventContext {
        source: "app",
        call: None,
        received: Some(stamp(NOW)),
        sent_at: None,
        context: None,
        is_historical: false,
        ip: None,
        position: ("", 7),
        is_placed: false,
    }
}

/// Leaks: a test has few of them.
fn stamp(tick: Tick) -> &'static Stamp {
    Box::leak(Box::new(tick.into()))
}

fn accept(json: &str, given: &EventContext<'_>) -> Result<DecodedEvent, Rejection> {
    Extractor::new(&example::project()).accept(json.as_bytes(), given)
}

/// An event in one line: name, time relative to [`NOW`], identifiers (`<` if only an alias names them, `<<` with trust), `fN=` fields, `name=` attributes, `purpose?` consent.
fn line(event: &Event) -> String {
    let mut parts = vec![event.name.to_string()];
    let late = event.timestamp.as_ms() as i64 - NOW.as_ms() as i64;
    parts.extend((late != 0).then(|| format!("{late:+}ms")));
    parts.extend(event.identifiers.iter().map(|identifier| identifier.text().to_string()));
    if let Some(alias) = event.identifiers.alias() {
        assert_eq!(alias.target, &event.identifiers[0]);
        let sign = if alias.trusted { "<<" } else { "<" };
        parts.extend(alias.previous.iter().map(|identifier| format!("{sign}{}", identifier.text())));
    }
    parts.extend(event.fields.iter().map(|(field, value)| format!("f{field}={}", show(value))));
    let taken = |value: &Option<Value>| value.as_ref().map_or("-".into(), show);
    parts.extend(event.attributes.iter().map(|(name, value)| format!("{name}={}", taken(value))));
    parts.extend(event.consent.iter().map(|(purpose, given)| format!("{purpose}?{given}")));
    parts.join(" ")
}

fn show(value: &Value) -> String {
    match value {
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Time(time) => format!("@{time}"),
        Value::Text(text) => format!("'{text}'"),
        Value::List(_) | Value::Json(_) => {
            let mut json = String::new();
            value.write_json(&mut json);
            json
        }
    }
}

#[track_caller]
fn check_given(json: &str, given: &EventContext<'_>, expected: &str) {
    let arrival = accept(json, given);
    let shown = arrival.as_ref().map_or_else(|rejection| rejection.code().to_owned(), |a| line(&a.accepted.event));
    assert_eq!(shown, expected, "{:.300}", json);
    if let Ok(arrival) = arrival {
        // What is stored is complete in itself: it reads as the same event, without anything given.
        let alone = EventContext { call: None, received: None, sent_at: None, context: None, ip: None, ..*given };
        let stored = std::str::from_utf8(&arrival.accepted.raw).unwrap();
        let again = accept(stored, &alone).unwrap();
        assert_eq!(again.accepted.event, arrival.accepted.event, "{stored}");
        assert_eq!(again.accepted.message, arrival.accepted.message, "{stored}");
        assert_eq!(again.accepted.raw, arrival.accepted.raw, "{stored}");
    }
}

#[track_caller]
fn check(json: &str, expected: &str) {
    check_given(json, &live(), expected);
}

/// Checks a track call with these further members.
#[track_caller]
fn check_track(members: &str, expected: &str) {
    check(&format!(r#"{{"type":"track","event":"E",{members}}}"#), expected);
}

/// Checks an identify call of user 1 with these traits.
#[track_caller]
fn check_traits(traits: &str, expected: &str) {
    check(&format!(r#"{{"type":"identify","userId":"1","traits":{traits}}}"#), expected);
}

#[test]
fn what_is_no_event() {
    for not_json in
        ["", " ", "{", "nul", r#"{"type":"track",}"#, r#"{"type":"track"} x"#, "{'a':1}", "NaN", "{\"a\":NaN}"]
    {
        check(not_json, "not_json");
    }
    for other in ["null", "1", "[]", r#""text""#, "[{}]"] {
        check(other, "not_an_object");
    }
    check("{}", "unknown_type");
    check(r#"{"type":"Track","userId":"1","event":"E"}"#, "unknown_type");
    check(r#"{"type":7,"userId":"1"}"#, "unknown_type");
    check(r#"{"type":"track","userId":"1"}"#, "no_event_name");
    check(r#"{"type":"track","userId":"1","event":" "}"#, "no_event_name");
    check(r#"{"type":"track","userId":"1","event":5}"#, "no_event_name");
    check(&format!(r#"{{"x":"{}"}}"#, "x".repeat(32 * 1024)), "event_too_large");
    check(&format!(r#"{{"x":{}"#, "[".repeat(20_000)), "not_json");
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    check_track(&format!(r#""userId":"1","properties":{{"x":{deep},"total":2}}"#), "E user_id:1 f0=2 f1=2");
    let invalid = Extractor::new(&example::project()).accept(b"{\"type\":\"\xff\"}", &live());
    assert_eq!(invalid.unwrap_err().code(), "not_json");
}

#[test]
fn calls() {
    for call in ["identify", "page", "screen", "group", "alias"] {
        check(&format!(r#"{{"type":"{call}","userId":"1"}}"#), &format!("{call} user_id:1"));
    }
    let route = EventContext { call: Some(CallType::Page), ..live() };
    check_given(r#"{"userId":"1"}"#, &route, "page user_id:1");
    check_given(r#"{"userId":"1","type":null}"#, &route, "page user_id:1");
    check_given(r#"{"userId":"1","type":"page"}"#, &route, "page user_id:1");
    check_given(r#"{"userId":"1","type":"screen"}"#, &route, "contradicting_type");
    check(r#"{"type":"track","event":"A","event":"B","userId":"1"}"#, "B user_id:1");
    check(r#"{"ty\u0070e":"track","event":"caf\u00e9","userId":"1"}"#, "café user_id:1");
    check("\n {\"type\" : \"page\" , \"userId\" : \"1\" } \n", "page user_id:1");
}

#[test]
fn aliases() {
    let alias = |members: &str, expected: &str| check(&format!(r#"{{"type":"alias",{members}}}"#), expected);
    alias(r#""userId":"u","previousId":"p""#, "alias user_id:u <user_id:p <anonymous_id:p");
    alias(r#""userId":" u ","previousId":12.0"#, "alias user_id:u <user_id:12 <anonymous_id:12");
    alias(r#""userId":"u","previousId":"u""#, "alias user_id:u <anonymous_id:u");
    // The library's own id is carried, and so not joined twice.
    alias(
        r#""previousId":"a","userId":"u","anonymousId":"a""#,
        "alias user_id:u anonymous_id:a <user_id:a <anonymous_id:a",
    );
    alias(r#""userId":"u","anonymousId":"a","previousId":"""#, "alias user_id:u anonymous_id:a");
    alias(r#""userId":"u","previousId":{"id":"p"}"#, "alias user_id:u");
    alias(r#""anonymousId":"a","previousId":"p""#, "alias anonymous_id:a");
    alias(r#""previousId":"p""#, "no_identifier");
    check(r#"{"type":"identify","userId":"u","previousId":"p"}"#, "identify user_id:u");
    let long = "p".repeat(1_000);
    alias(&format!(r#""userId":"u","previousId":"{long}""#), "identifier_too_long");
    let ids: Vec<String> = (0..40).map(|n| format!(r#"{{"id":"{n}","type":"t"}}"#)).collect();
    let many = |count: usize| {
        let ids = ids[..count].join(",");
        format!(r#""userId":"u","previousId":"p","context":{{"externalIds":[{ids}]}}"#)
    };
    let most = example::project().limits.identifiers_per_event_max;
    alias(&many(most - 2), "too_many_identifiers");

    let address = EventContext { call: Some(CallType::Alias), ..live() };
    check_given(
        r#"{"type":"alias","userId":"u","previousId":"p"}"#,
        &address,
        "alias user_id:u <user_id:p <anonymous_id:p",
    );
}

#[test]
fn merges_are_aliases() {
    let merge = |pair: &str, expected: &str| {
        let event = format!(r#"{{"mergeProperties":{pair},"userId":"sender","context":{{"device":{{"id":"d"}}}}}}"#);
        check_given(&event, &EventContext { call: Some(CallType::Merge), ..live() }, expected);
        check(&event.replacen('{', r#"{"type":"merge","#, 1), expected);
    };
    merge(
        r#"[{"type":"email","value":" Ann@B.org"},{"type":"phone","value":"+49 30 1234567"}]"#,
        "alias email:ann@b.org <phone:49301234567 f4='d'",
    );
    merge(r#"[{"type":"user_id","value":1},{"type":"user_id","value":2}]"#, "alias user_id:1 <user_id:2 f4='d'");
    let all =
        r#"[{"type":"a","value":"1"},{"type":"b","value":"2"},{"type":"b","value":"2"},{"type":"a","value":"3"}]"#;
    merge(all, "alias a:1 <b:2 <a:3 f4='d'");
    // What says nothing is passed over.
    merge(
        r#"[{"type":"a","value":"1"},5,{"value":"1"},{"type":"a","value":null},{"type":"b","value":"2"}]"#,
        "alias a:1 <b:2 f4='d'",
    );
    // The first stays what it is: what comes after one that says nothing is not in its place.
    for first in ["5", r#"{"value":"0"}"#, r#"{"type":"a","value":{}}"#, r#"{"type":"a","value":"\ud800"}"#] {
        merge(&format!(r#"[{first},{{"type":"a","value":"1"}},{{"type":"a","value":"2"}}]"#), "no_identifier");
    }
    for nobody in ["[]", "{}", "\"u\"", "7", r#"[{"type":"accounts","value":"1","collection":"accounts"}]"#] {
        merge(nobody, "no_identifier");
    }
    let many: Vec<String> = (0..33).map(|n| format!(r#"{{"type":"a","value":{n}}}"#)).collect();
    merge(&format!("[{}]", many.join(",")), "too_many_identifiers");
    merge(&format!(r#"[{{"type":"a","value":"{}"}}]"#, "x".repeat(1_000)), "identifier_too_long");
    // Another call has no such thing.
    check(r#"{"type":"identify","userId":"u","mergeProperties":[{"type":"a","value":1}]}"#, "identify user_id:u");
    check(r#"{"type":"alias","userId":"u","mergeProperties":[{"type":"a","value":1}]}"#, "alias user_id:u");
    check(r#"{"type":"merge","userId":"u","previousId":"p","mergeProperties":null}"#, "no_identifier");
    check(r#"{"type":"merge","userId":"u","previousId":"p"}"#, "no_identifier");
    let external =
        r#""context":{"externalIds":[{"type":"user_id","id":"x"}],"externalId":{"type":"user_id","id":"y"}}"#;
    check(&format!(r#"{{"type":"merge","mergeProperties":[{{"type":"a","value":1}}],{external}}}"#), "alias a:1");
    check_given(r#"{"type":"merge"}"#, &EventContext { call: Some(CallType::Alias), ..live() }, "contradicting_type");
}

#[test]
fn identifiers() {
    check_track(r#""anonymousId":"a","userId":"u""#, "E user_id:u anonymous_id:a");
    check_track(r#""userId":" u ""#, "E user_id:u");
    check_track(r#""userId":12"#, "E user_id:12");
    check_track(r#""userId":12345678901234567890123"#, "E user_id:12345678901234567890123");
    check_track(r#""userId":12.0"#, "E user_id:12");
    check_track(r#""userId":1e400"#, "no_identifier");
    check_track(r#""userId":true,"anonymousId":{}"#, "no_identifier");
    check_track(r#""userId":"\ud800""#, "no_identifier");
    check_track(r#""userId":"" ,"anonymousId":null"#, "no_identifier");
    check_track(r#""userId":"u","userId":null"#, "E user_id:u");
    // Two of one key are not two identifiers, which would be one person.
    check_track(r#""userId":"u","userId":"v","traits":{"email":"a@b","email":"c@d"}"#, "E user_id:v email:c@d");
    check_track(r#""context":{"device":{"id":"a","id":"b"}}"#, "E device_id:b f4='b'");
    check_track(r#""context":{"device":{"id":"a"},"device":{"id":"b"}}"#, "E device_id:b f4='b'");
    let twice = r#""context":{"externalIds":[{"id":"a","type":"t"}],"externalIds":[{"id":"b","type":"t"}]}"#;
    check_track(twice, "E t:b");
    check_track(r#""userId":"u:v\"w""#, "E user_id:u:v\"w");
    check_track(r#""previousId":"p""#, "no_identifier");
    check_track(
        r#""context":{"externalIds":[{"id":7,"type":"Braze ID"},{"id":"x"},5,{"id":"y","type":"a:b"},{"id":" A@B.C ","type":"email"}]}"#,
        "E braze_id:7 a_b:y email:a@b.c",
    );
    check_track(r#""context":{"externalIds":{"id":"x","type":"t"}}"#, "no_identifier");
    check_track(r#""context":{"device":{"id":"d","advertisingId":"i"}}"#, "E device_id:d advertising_id:i f4='d'");
    check_track(r#""traits":{"email":" Ann@B.org","phone":"+1 (23) 45-6"}"#, "E email:ann@b.org phone:123456");
    check_track(r#""traits":{"phone":12345}"#, "E phone:12345");
    check_track(r#""traits":{"phone":"1234"}"#, "no_identifier");
    check_track(r#""traits":{"email":"a@b"},"context":{"traits":{"email":"A@b "}}"#, "E email:a@b");
    for phone in ["+49 30 1234567", "49 30 1234567", "0049"] {
        let expected = if phone.len() > 5 { "E phone:49301234567" } else { "no_identifier" };
        check_track(&format!(r#""traits":{{"phone":"{phone}"}}"#), expected);
    }
    for email in ["STRASSE@X.org", "straße@x.org", " straẞe@x.org"] {
        check_track(&format!(r#""traits":{{"email":"{email}"}}"#), "E email:strasse@x.org");
    }
    check_track(r#""traits":{"email":"JOSE\u0301@x.org"}"#, "E email:jos\u{e9}@x.org");
    check_track(r#""traits":{"email":"\u212aate@x.org"}"#, "E email:\u{212a}ate@x.org");
    check(r#"{"type":"group","userId":"u","traits":{"email":"office@b","x":1}}"#, "group user_id:u");
    check_track(r#""context":{"externalId":[{"id":"c","type":"crm"}]}"#, "E crm:c");
    check_track(r#""context":{"externalId":{"id":"c","type":"crm"}}"#, "E crm:c");
    check_track(r#""context":{"externalId":"c"}"#, "no_identifier");
    check_track(
        r#""context":{"externalId":[{"id":"c","type":"crm"}],"externalIds":[{"id":"d","type":"crm"}]}"#,
        "E crm:d crm:c",
    );
    let ids = |n: usize| (0..n).map(|i| format!(r#"{{"id":{i},"type":"t"}}"#)).collect::<Vec<_>>().join(",");
    check_track(&format!(r#""context":{{"externalIds":[{}]}}"#, ids(7)), "too_many_identifiers");
    check_track(&format!(r#""userId":"{}""#, "u".repeat(41)), "identifier_too_long");
    let long = "t".repeat(65);
    check_track(&format!(r#""context":{{"externalIds":[{{"id":1,"type":"{long}"}}]}}"#), "identifier_type_too_long");
}

#[test]
fn external_ids_of_other_collections_are_nobodys() {
    let external =
        |collection: &str| format!(r#""userId":"u","context":{{"externalIds":[{{"id":"a","type":"t"{collection}}}]}}"#);
    for people in ["", r#","collection":"users""#, r#","collection":" Users ""#, r#","collection":null"#] {
        check_track(&external(people), "E user_id:u t:a");
    }
    for others in [r#""accounts""#, r#""companies""#, r#""""#, "7", "{}"] {
        check_track(&external(&format!(r#","collection":{others}"#)), "E user_id:u");
    }
    check_track(r#""context":{"externalIds":[{"id":"a","type":"t","collection":"accounts"}]}"#, "no_identifier");
    // What is no identifier has no limits.
    let long = "t".repeat(65);
    let account =
        format!(r#""userId":"u","context":{{"externalIds":[{{"id":1,"type":"{long}","collection":"accounts"}}]}}"#);
    check_track(&account, "E user_id:u");
}

#[test]
fn who_names_nobody_is_told() {
    #[track_caller]
    fn check(members: &str, warnings: &[&str]) {
        let arrival = accept(&format!(r#"{{"type":"track","event":"E",{members}}}"#), &live()).unwrap();
        assert_eq!(arrival.warnings.iter().map(Warning::code).collect::<Vec<_>>(), warnings, "{members}");
    }
    let blocked = ["blocked_identifier"];
    check(r#""userId":"Test""#, &blocked);
    check(r#""userId":"0""#, &blocked);
    check(r#""userId":"ann","anonymousId":"null""#, &blocked);
    check(r#""userId":"ann","anonymousId":"tester""#, &[]);
}

#[test]
fn the_user_id_of_an_event_is_its_person() {
    #[track_caller]
    fn check(members: &str, expected: &str, warnings: &[&str]) {
        check_track(members, expected);
        let arrival = accept(&format!(r#"{{"type":"track","event":"E",{members}}}"#), &live()).unwrap();
        assert_eq!(arrival.warnings.iter().map(Warning::code).collect::<Vec<_>>(), warnings, "{members}");
    }
    let other = ["other_person"];
    for n in 0..8 {
        let legacy = format!(r#""externalIds":[{{"type":"user_id","id":"legacy{n}"}}]"#);
        check(&format!(r#""userId":"u{n}","context":{{{legacy}}}"#), &format!("E user_id:u{n}"), &other);
        check(&format!(r#""context":{{{legacy}}},"userId":"u{n}""#), &format!("E user_id:u{n}"), &other);
        check(
            &format!(r#""anonymousId":"a","context":{{{legacy}}}"#),
            &format!("E anonymous_id:a user_id:legacy{n}"),
            &[],
        );
    }
    let of = |user: &str, ids: &str| format!(r#""userId":{user},"context":{{"externalIds":[{ids}]}}"#);
    let (one, two) = (r#"{"type":"User ID","id":" u "}"#, r#"{"type":"user_id","id":"v"}"#);
    check(&of(r#""u""#, one), "E user_id:u", &[]);
    // Of several the first, where there is no `userId`, or one that is nobody's.
    check(&of("null", &format!("{two},{one}")), "E user_id:v", &other);
    let nobody = "blocked_identifier";
    check(&of(r#""NULL""#, &format!("{two},{one}")), "E user_id:NULL user_id:v", &["other_person", nobody]);
    check(&of(r#""u""#, r#"{"type":"user_id","id":"null"}"#), "E user_id:u user_id:null", &[nobody]);
    // Other types may have several.
    check(&of(r#""u""#, r#"{"type":"t","id":1},{"type":"t","id":2}"#), "E user_id:u t:1 t:2", &[]);
}

/// A project that reads what events say of themselves.
fn own_project() -> Project {
    let own = ["type", "name", "category", "groupId"];
    let field = |name: &str| Field { root: FieldRoot::Event, path: vec![name.into()], kind: Some(ValueType::Text) };
    let definitions = Definitions { fields: own.map(field).to_vec(), ..Definitions::default() };
    Project { definitions: Arc::new(definitions), ..example::project() }
}

#[test]
fn what_events_say_of_themselves() {
    #[track_caller]
    fn check(members: &str, expected: &str) {
        let text = format!(r#"{{"userId":"1",{members}}}"#);
        let arrival = Extractor::new(&own_project()).accept(text.as_bytes(), &live()).unwrap();
        let shown = line(&arrival.accepted.event);
        assert_eq!(shown, expected, "{members}");
        let again = Extractor::of_stored(&own_project()).decode_stored("app", &arrival.accepted.raw).unwrap();
        assert_eq!(again, arrival.accepted.event, "{members}");
    }
    check(r#""type":"page","name":"Home","category":"Docs""#, "page user_id:1 f0='page' f1='Home' f2='Docs'");
    check(r#""type":"screen","name":" Home ","category":null"#, "screen user_id:1 f0='screen' f1=' Home '");
    check(r#""type":"page","properties":{"name":"x"}"#, "page user_id:1 f0='page'");
    check(r#""type":"page","name":7,"category":{}"#, "page user_id:1 f0='page'");
    check(r#""type":"group","groupId":" g ""#, "group user_id:1 f0='group' f3='g'");
    check(r#""type":"group","groupId":12345678901234567890"#, "group user_id:1 f0='group' f3='12345678901234567890'");
    check(r#""type":"track","event":"E","name":"x""#, "E user_id:1 f0='track' f1='E'");
    // Named like a call, and none.
    check(r#""type":"track","event":"page","category":"c""#, "track:page user_id:1 f0='track' f1='page' f2='c'");
    check(r#""type":"track","event":"track""#, "track user_id:1 f0='track' f1='track'");
    check(r#""type":"track","event":"track:x""#, "track:track:x user_id:1 f0='track' f1='track:x'");
}

#[test]
fn fields() {
    check_track(r#""userId":"1","properties":{"total":1.5,"x":{"total":3}}"#, "E user_id:1 f0=1.5 f1=1.5");
    check_track(r#""userId":"1","properties":{"total":"1.5"}"#, "E user_id:1 f1='1.5'");
    check_track(r#""userId":"1","properties":{"total":true}"#, "E user_id:1 f1=true");
    check_track(r#""userId":"1","properties":{"total":[1, "x"]}"#, r#"E user_id:1 f1=[1,"x"]"#);
    check_track(r#""userId":"1","properties":{"total":{ }}"#, "E user_id:1 f1={}");
    check_track(
        r#""userId":"1","properties":{"total":9007199254740993}"#,
        "E user_id:1 f0=9007199254740993 f1=9007199254740993",
    );
    for missing in ["null", "1e400", "-1e400"] {
        check_track(&format!(r#""userId":"1","properties":{{"total":{missing}}}"#), "E user_id:1");
    }
    check_track(r#""userId":"1","properties":{"total":"\udfff"}"#, "E user_id:1 f1='\u{fffd}'");
    check_track(r#""userId":"1","properties":{"total":-0}"#, "E user_id:1 f0=0 f1=0");
    check_track(r#""userId":"1","properties":{"total":1,"total":2}"#, "E user_id:1 f0=2 f1=2");
    check_track(r#""userId":"1","properties":{"total":1,"total":null}"#, "E user_id:1");
    check_track(r#""userId":"1","properties":{"total":1},"properties":{}"#, "E user_id:1");
    check_track(r#""userId":"1","properties":{"total":1},"properties":null"#, "E user_id:1 f0=1 f1=1");
    check_track(r#""userId":"1","properties":{"cart":{"id":"c"}}"#, "E user_id:1 f2='c'");
    check_track(r#""userId":"1","properties":{"cart":{"id":7}}"#, "E user_id:1");
    check_track(r#""userId":"1","properties":{"cart":{"id":"c"},"cart":{}}"#, "E user_id:1 f2='c'");
    check_track(r#""userId":"1","properties":{"cart":{"id":"c"},"cart":true}"#, "E user_id:1 f5=true");
    check_track(r#""userId":"1","properties":{"cart":true,"cart":{"id":"c"},"cart":{"id":null}}"#, "E user_id:1");
    check_track(r#""userId":"1","properties":{"cart":true}"#, "E user_id:1 f5=true");
    for not_an_object in ["7", "[]", r#""x""#, "1e400", "true"] {
        check_track(&format!(r#""userId":"1","properties":{not_an_object}"#), "E user_id:1");
    }
    check_track(r#""userId":"1","traits":{"since":"1970-01-02"}"#, "E user_id:1 f3=@86400000");
    check_track(r#""userId":"1","traits":{"since":"soon"}"#, "E user_id:1");
    check_track(r#""userId":"1","traits":{"since":86400}"#, "E user_id:1 f3=@86400000");
    check_track(r#""userId":"1","traits":{"since":"Fri, 02 Jan 1970 00:00:00 GMT"}"#, "E user_id:1 f3=@86400000");
    check_track(r#""userId":"1","traits":{"since":"1965-03-22"}"#, "E user_id:1 f3=@-150854400000");
    check_track(r#""userId":"1","traits":{"since":-150854400}"#, "E user_id:1 f3=@-150854400000");
    check_track(r#""userId":"1","traits":{"since":1e30}"#, "E user_id:1");
    check_track(r#""userId":"1","traits":{"since":true}"#, "E user_id:1");
}

/// An extractor of fields that are in arrays, in the order of their ids.
fn of_arrays(fields: &[(&[PathStep], Option<ValueType>)]) -> Extractor {
    let field = |(path, kind): &(&[PathStep], Option<ValueType>)| Field {
        root: FieldRoot::Properties,
        path: path.to_vec(),
        kind: *kind,
    };
    let fields = fields.iter().map(field).collect();
    Extractor::new(&Project {
        definitions: Arc::new(Definitions { fields, ..Definitions::default() }),
        ..example::project()
    })
}

#[test]
fn fields_in_arrays() {
    use PathStep::{Count, Each, Element};
    let products = || PathStep::from("products");
    let extractor = of_arrays(&[
        (&[products(), Each, "price".into()], Some(ValueType::Number)),
        (&[products(), Count], Some(ValueType::Number)),
        (&[products(), Element(0), "price".into()], Some(ValueType::Number)),
        (&[products(), Element(-1), "price".into()], None),
        (&[products(), Each], Some(ValueType::Text)),
        (&[products(), Each, "tags".into(), Element(1)], Some(ValueType::Text)),
        (&[products()], Some(ValueType::List)),
        (&["deep".into(), "a".into(), "b".into()], Some(ValueType::Number)),
    ]);
    let check = |products: &str, expected: &str| {
        let text = format!(r#"{{"type":"track","event":"E","userId":"1","properties":{{"products":{products}}}}}"#);
        let read = extractor.accept(text.as_bytes(), &live()).unwrap();
        assert_eq!(line(&read.accepted.event), expected, "{products}");
    };
    check(
        r#"[{"price":8,"tags":["a","b"]}, {"price":"4"}, null, "x", {"price":1,"price":2.5}]"#,
        r#"E user_id:1 f0=[8,null,null,null,2.5] f1=5 f2=8 f3=2.5 f4=[null,null,null,"x",null] f5=["b",null,null,null,null] f6=[{"price":8,"tags":["a","b"]},{"price":"4"},null,"x",{"price":1,"price":2.5}]"#,
    );
    check("[]", "E user_id:1 f0=[] f1=0 f4=[] f5=[] f6=[]");
    // Of a key that is there twice the later counts, with all that is below it, but of two objects the members of both.
    check(r#"[{"price":1}],"products":[]"#, "E user_id:1 f0=[] f1=0 f4=[] f5=[] f6=[]");
    check(r#"[{"price":1}],"products":{"price":2}"#, "E user_id:1");
    check(r#"[{"price":1}],"products":null"#, "E user_id:1");
    check(r#"0,"deep":{"a":{"b":1}},"deep":{"c":2}"#, "E user_id:1 f7=1");
    check(r#"0,"deep":{"a":{"b":1}},"deep":{"a":5}"#, "E user_id:1");
    check(r#"0,"deep":{"a":{"b":1}},"deep":{"a":5},"deep":{"a":{"b":2}}"#, "E user_id:1 f7=2");
    for no_array in ["null", "7", r#"{"price":1}"#, r#""[1]""#] {
        check(no_array, "E user_id:1");
    }
    let many = format!("[{}7]", "0,".repeat(ROWS_PER_ARRAY_MAX));
    let text = format!(r#"{{"type":"track","event":"E","userId":"1","properties":{{"products":{many}}}}}"#);
    let read = extractor.accept(text.as_bytes(), &live()).unwrap().accepted.event;
    assert_eq!(read.field(FieldId::new(1)), Some(&Value::Number(1_000.into())), "the first ones count");
    let length = |id| read.field(FieldId::new(id)).and_then(|value| Some(value.as_list()?.len()));
    assert_eq!((length(0), length(6)), (Some(ROWS_PER_ARRAY_MAX), Some(ROWS_PER_ARRAY_MAX + 1)));
}

#[test]
fn attributes() {
    check_traits(r#"{"b":"x","a":1,"c":false,"d":null}"#, "identify user_id:1 a=1 b='x' c=false d=-");
    check_traits(r#"{"a":1,"a":null,"b":null,"b":2}"#, "identify user_id:1 a=- b=2");
    // An object takes away what else is there: it is a write of nothing at its own path.
    check_traits(r#"{"a":{"b":{"c":{"d":{"e": 1}}}}}"#, r#"identify user_id:1 a=- a.b=- a.b.c=- a.b.c.d={"e":1}"#);
    check_traits(r#"{"a":{"b":1},"a":{"c":2}}"#, "identify user_id:1 a=- a.b=1 a.c=2");
    check_traits(r#"{"a":7,"a":{"c":2}}"#, "identify user_id:1 a=- a.c=2");
    check_traits(r#"{"a":{"b":1,"c":{"d":2}},"ab":3,"a":5}"#, "identify user_id:1 a=5 a.b=- a.c=- a.c.d=- ab=3");
    check_traits(r#"{"a":{"b":1},"a":null,"a":{"c":2}}"#, "identify user_id:1 a=- a.b=- a.c=2");
    check_traits(r#"{"a.b":18446744073709551615}"#, "identify user_id:1 a.b=18446744073709551615");
    check_traits(r#"{"a":[1, "x y", {"b": null}],"e":{}}"#, r#"identify user_id:1 a=[1,"x y",{"b":null}] e=-"#);
    check_traits(r#"{"a":1e400,"b":"\ud800","c":1}"#, "identify user_id:1 b='\u{fffd}' c=1");
    check_traits(r#"{"born":"1970-01-01T00:00:01Z"}"#, "identify user_id:1 born=@1000");
    check_traits(r#"{"born":"1960-01-01"}"#, "identify user_id:1 born=@-315619200000");
    check_traits(r#"{"born":-315619200}"#, "identify user_id:1 born=@-315619200000");
    check_traits(r#"{"born":"-315619200"}"#, "identify user_id:1 born=@-315619200000");
    check_traits(r#"{"born":1700000000.5}"#, "identify user_id:1 born=@1700000000500");
    check_traits(r#"{"born":"long ago"}"#, "identify user_id:1 born='long ago'");
    check_traits(r#"{"born":1e30}"#, "identify user_id:1 born=1000000000000000000000000000000");
    check_traits(r#"{"email":"A@b"}"#, "identify user_id:1 email:a@b email='A@b'");
    check_traits("[]", "identify user_id:1");
    check(
        r#"{"type":"identify","userId":"1","traits":{"a":2},"context":{"traits":{"a":1,"b":1}}}"#,
        "identify user_id:1 a=2 b=1",
    );
    check_track(r#""userId":"1","traits":{"a":1},"context":{"traits":{"b":1}}"#, "E user_id:1");
    let many = (0..=ATTRIBUTES_PER_EVENT_MAX).map(|i| format!(r#""a{i}":1"#)).collect::<Vec<_>>().join(",");
    check_traits(&format!("{{{many}}}"), "too_many_attributes");
    let within = |objects: &str| format!("{{{objects}{}}}", many.split_once(',').expect("there are some").1);
    assert!(
        accept(&format!(r#"{{"type":"identify","userId":"1","traits":{}}}"#, within(r#""o":{"p":{}},"#)), &live())
            .is_ok()
    );
    check_traits(&format!(r#"{{"{}":1}}"#, "n".repeat(201)), "attribute_name_too_long");
    check_traits(&format!(r#"{{"{}":{{}}}}"#, "n".repeat(201)), "attribute_name_too_long");
}

#[test]
fn objects_add_to_what_is_there_where_the_project_says_so() {
    let project = Project { merged_attributes: vec!["a".into()], ..example::project() };
    let set = |traits: &str| {
        let json = format!(r#"{{"type":"identify","userId":"1","traits":{traits}}}"#);
        line(&Extractor::new(&project).accept(json.as_bytes(), &live()).unwrap().accepted.event)
    };
    assert_eq!(set(r#"{"a":{"b":{"c":1}},"ab":{"c":1}}"#), "identify user_id:1 a.b.c=1 ab=- ab.c=1");
    assert_eq!(set(r#"{"a":null}"#), "identify user_id:1 a=-", "nothing is still all of it");
}

/// Of values that definitions leave out it is told how many.
#[test]
fn what_does_not_fit_is_counted() {
    let field = |name: &str, kind| Field { root: FieldRoot::Properties, path: vec![name.into()], kind };
    let term = |id| Expression::Term(EventTerm::Field(FieldId::new(id)));
    let is_x = Expression::Compare(
        Comparison::Equal,
        Box::new(term(1)),
        Box::new(Expression::Literal(Some(Value::text("x")))),
    );
    let sum = Measure {
        events: vec!["E".into()],
        each: None,
        condition: Some(is_x),
        shape: MeasureShape::Sum(term(0)),
        within: None,
        ended: Vec::new(),
    };
    let definitions = Definitions {
        fields: vec![
            field("total", Some(ValueType::Number)),
            field("kind", Some(ValueType::Text)),
            field("total", None),
        ],
        measures: vec![sum],
        ..Definitions::default()
    };
    let project = Project { definitions: Arc::new(definitions), ..example::project() };
    let fits = Arc::new(Fits::new(project.definitions.clone()));
    let extractor = Extractor::counting(&project, fits.clone());
    let send = |event: &str, properties: &str| {
        let json = format!(r#"{{"type":"track","event":"{event}","userId":"1","properties":{properties}}}"#);
        extractor.accept(json.as_bytes(), &live()).unwrap();
    };
    for properties in [
        r#"{"total":1.14,"kind":"x"}"#,
        r#"{"total":"1.14","kind":"x"}"#,
        r#"{"total":null,"kind":null}"#,
        r#"{"total":[1],"kind":7}"#,
        r#"{"total":1.00000001,"kind":"x"}"#,
        r#"{"total":1.00000001,"kind":"y"}"#,
        r#"{"total":1000000000000001,"kind":"x"}"#,
    ] {
        send("E", properties);
        send("Other", properties);
    }
    let sum = project.definitions.measures[0].signature(&project.definitions);
    let other_type =
        [("E: properties.kind as a string".to_owned(), 1), ("E: properties.total as a number".to_owned(), 2)];
    assert_eq!(fits.counted(Unfit::OtherType), other_type);
    assert_eq!(fits.counted(Unfit::Rounded), [(sum.clone(), 1)]);
    assert_eq!(fits.counted(Unfit::TooLarge), [(sum, 1)]);
}

/// Also of an event that has no values at all.
#[test]
fn a_constant_addend_that_does_not_fit_is_counted() {
    let too_large = Expression::Literal(Value::number(1e16));
    let sum = Measure {
        events: vec!["page".into()],
        each: None,
        condition: None,
        shape: MeasureShape::Sum(too_large),
        within: None,
        ended: Vec::new(),
    };
    let definitions = Definitions { measures: vec![sum], ..Definitions::default() };
    let project = Project { definitions: Arc::new(definitions), ..example::project() };
    let fits = Arc::new(Fits::new(project.definitions.clone()));
    let extractor = Extractor::counting(&project, fits.clone());
    for call in ["page", "screen"] {
        let json = format!(r#"{{"type":"{call}","userId":"1"}}"#);
        extractor.accept(json.as_bytes(), &live()).unwrap();
    }
    let sum = project.definitions.measures[0].signature(&project.definitions);
    assert_eq!(fits.counted(Unfit::TooLarge), [(sum, 1)]);
}

#[test]
fn times() {
    check_track(r#""userId":"1","timestamp":"2023-12-31T23:59:59Z""#, "E -1000ms user_id:1");
    check_track(r#""userId":"1","timestamp":1704067199000"#, "E -1000ms user_id:1");
    check_track(r#""userId":"1","timestamp":1704067199000.7"#, "E -1000ms user_id:1");
    check_track(r#""userId":"1","timestamp":null"#, "E user_id:1");
    // The sender's clock is an hour fast; the event was two seconds old when it was sent.
    let sent = r#""sentAt":"2024-01-01T01:00:00.000Z""#;
    check_track(&format!(r#""userId":"1","timestamp":"2024-01-01T00:59:58.000Z",{sent}"#), "E -2000ms user_id:1");
    check_track(&format!(r#""userId":"1",{sent}"#), "E user_id:1");
    let batch = EventContext { sent_at: Some(stamp(NOW.after_ms(3_600_000))), ..live() };
    let event = r#"{"type":"page","userId":"1","timestamp":"2024-01-01T00:59:58.000Z"}"#;
    check_given(event, &batch, "page -2000ms user_id:1");
    let own = r#"{"type":"page","userId":"1","timestamp":1704067198000,"sentAt":1704067198000}"#;
    check_given(own, &batch, "page user_id:1");
    for bad in [r#""soon""#, "1e21", "1e400", "true", "{}", "253402300800000000000", r#""10000-01-01""#] {
        check_track(&format!(r#""userId":"1","timestamp":{bad}"#), "bad_time");
        check_track(&format!(r#""userId":"1","sentAt":{bad}"#), "bad_time");
    }
    let before_1970 =
        ["-1", "-0.0001", r#""-1700000000""#, r#""1969-12-31T23:59:59.9999Z""#, r#""Tue, 15 Nov 1960 08:12:31 GMT""#];
    for time in before_1970 {
        for field in ["timestamp", "originalTimestamp", "sentAt", "receivedAt"] {
            let why = accept(&format!(r#"{{"type":"page","userId":"1","{field}":{time}}}"#), &live()).unwrap_err();
            assert_eq!(why, Rejection::BeforeEpoch { field }, "{time}");
        }
    }
    check_track(r#""userId":"1","timestamp":0,"sentAt":1704067199"#, "E -1704067199000ms user_id:1");
    check_track(r#""userId":"1","timestamp":0,"sentAt":1704067201"#, "before_1970");
    check_track(r#""userId":"1","timestamp":99999999999,"sentAt":0"#, "E +99999999999000ms user_id:1");
    check_track(r#""userId":"1","timestamp":253402300799999000000,"sentAt":0"#, "bad_time");
    let file = EventContext { received: None, ..live() };
    check_given(r#"{"type":"page","userId":"1"}"#, &file, "no_time");
    let arrival = accept(r#"{"type":"page","userId":"1","timestamp":0.005,"receivedAt":0.009}"#, &file).unwrap();
    assert_eq!((arrival.at, arrival.accepted.event.timestamp), (Tick::from_ms(9), Tick::from_ms(5)));
    assert_eq!(accept(r#"{"type":"page","userId":"1","timestamp":0.005}"#, &file).unwrap().at, Tick::from_ms(5));
}

#[test]
fn numbers_and_texts_of_times() {
    for time in [
        "1704067199",
        "1704067199.0",
        "1704067199000",
        "1704067199000000",
        "1704067199000000000",
        r#""1704067199""#,
        r#""1704067199000""#,
        r#""Sun, 31 Dec 2023 23:59:59 GMT""#,
        r#""31 Dec 2023 18:59:59 -0500""#,
    ] {
        check_track(&format!(r#""userId":"1","timestamp":{time}"#), "E -1000ms user_id:1");
        check_track(&format!(r#""userId":"1","originalTimestamp":{time}"#), "E -1000ms user_id:1");
        check_track(&format!(r#""userId":"1","timestamp":1704067198,"sentAt":{time}"#), "E -1000ms user_id:1");
        check_track(&format!(r#""userId":"1","receivedAt":{time}"#), "E -1000ms user_id:1");
    }
}

/// Clients give an event the time of the call in `originalTimestamp`; a program that tells of the past says it in `timestamp`.
#[test]
fn timestamp_wins_over_original_timestamp() {
    let called = r#""originalTimestamp":"2024-01-01T00:59:58.000Z""#;
    let sent = r#""sentAt":"2024-01-01T01:00:00.000Z""#;
    let last_year = r#""timestamp":"2023-01-01T00:00:00.000Z""#;
    let expected = "-31536000000ms user_id:1";
    check_track(&format!(r#""userId":"1",{called},{sent}"#), "E -2000ms user_id:1");
    check_track(&format!(r#""userId":"1",{called},{last_year},{sent}"#), &format!("E {expected}"));
    check_track(&format!(r#""userId":"1",{last_year},{called}"#), &format!("E {expected}"));
    // Its sender's clock is an hour fast, and nobody else has looked at it.
    check_track(&format!(r#""userId":"1",{last_year},{sent}"#), "E -31539600000ms user_id:1");
    check_track(&format!(r#""userId":"1",{called},"timestamp":null,{sent}"#), "E -2000ms user_id:1");
    check_track(&format!(r#""userId":"1",{called},"timestamp":"soon",{sent}"#), "bad_time");
    let batch = EventContext { sent_at: Some(stamp(NOW.after_ms(3_600_000))), ..live() };
    let event = format!(r#"{{"type":"page","userId":"1",{called},{last_year}}}"#);
    check_given(&event, &batch, &format!("page {expected}"));
    // Another collector has corrected it.
    let exported =
        r#""userId":"1","receivedAt":1704067190000,"sentAt":1704067180000,"originalTimestamp":1704067179000"#;
    check_track(exported, "E -11000ms user_id:1");
    check_track(&format!(r#"{exported},"timestamp":1704067189000"#), "E -11000ms user_id:1");
    check_track(&format!(r#"{exported},"timestamp":1704067188000"#), "E -12000ms user_id:1");
    let event = r#"{"type":"page","userId":"1","receivedAt":1704067190000,"timestamp":1704067190000}"#;
    check_given(event, &batch, "page -10000ms user_id:1");
}

#[test]
fn message_ids() {
    let message = |json: &str, given: &EventContext<'_>| accept(json, given).unwrap().accepted.message;
    let with_id = r#"{"type":"page","userId":"1","messageId":"m"}"#;
    let other_content = r#"{"messageId":"m","type":"page","userId":"2"}"#;
    assert_eq!(message(with_id, &live()), message(other_content, &live()));
    assert_ne!(message(with_id, &live()), message(with_id, &EventContext { source: "web", ..live() }));
    let without = r#"{"type":"page","userId":"1"}"#;
    assert_eq!(message(without, &live()), message(without, &live()));
    for other in [
        EventContext { position: ("", 8), ..live() },
        EventContext { position: ("f", 7), ..live() },
        EventContext { received: Some(stamp(NOW.next())), ..live() },
    ] {
        assert_ne!(message(without, &live()), message(without, &other));
    }
    check(&format!(r#"{{"type":"page","userId":"1","messageId":"{}"}}"#, "m".repeat(101)), "message_id_too_long");
}

#[test]
fn what_is_stored() {
    let given = EventContext {
        call: Some(CallType::Track),
        sent_at: Some(stamp(NOW)),
        context: Some(r#"{"ip":"::"}"#),
        ..live()
    };
    let raw = |json: &str| String::from_utf8(accept(json, &given).unwrap().accepted.raw.to_vec()).unwrap();
    assert_eq!(
        raw(r#"{ "writeKey":"secret","event":"E","userId":"1","messageId":"m", "writeKey": 7 }"#),
        r#"{"type":"track","receivedAt":"2024-01-01T00:00:00.000Z","sentAt":"2024-01-01T00:00:00.000Z","context":{"ip":"::"}, "writeKey":null,"event":"E","userId":"1","messageId":"m", "writeKey": null }"#
    );
    assert!(raw(r#"{"event":"E","userId":"1"}"#).starts_with(r#"{"type":"track","messageId":"deltaic-"#));
}

#[test]
fn the_context_of_a_batch_is_for_events_without_one() {
    let given = EventContext { context: Some(r#"{"device":{"id":"d"}}"#), ..live() };
    check_given(r#"{"type":"page","userId":"1"}"#, &given, "page user_id:1 device_id:d f4='d'");
    check_given(r#"{"type":"page","userId":"1","context":{}}"#, &given, "page user_id:1");
}

/// Fragments of events, put together at random: far more often nearly right than random bytes are.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = proptest::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\ud800",
        "1e400",
        "-1",
        "null",
        "true",
        "\"type\":\"track\",",
        "\"event\":\"E\",",
        "\"userId\":\"1\",",
        "\"context\":{",
        "\"traits\":{",
        "\"properties\":{",
        "\"externalIds\":[",
        "\"timestamp\":",
        "\"sentAt\":",
        "\"email\":",
        "\"writeKey\":\"k\",",
        "\"a\":1",
        "{\"id\":1,\"type\":\"t\"}",
        "é",
        " ",
    ]);
    proptest::collection::vec(fragment, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_an_event_or_a_rejection(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Extractor::new(&example::project()).accept(&bytes, &live());
    }

    #[test]
    fn any_fragments_are_an_event_or_a_rejection(text in fragments(), wrapped in any::<bool>()) {
        let text = if wrapped { format!(r#"{{"type":"page","userId":"1",{text}}}"#) } else { text };
        if let Ok(arrival) = accept(&text, &live()) {
            let alone = EventContext { received: None, ..live() };
            let again = accept(std::str::from_utf8(&arrival.accepted.raw).unwrap(), &alone).unwrap();
            prop_assert_eq!(again.accepted.event, arrival.accepted.event);
        }
    }
}
