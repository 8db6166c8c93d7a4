//! What leaves of events, and which do not: those of the past, those that are too old. And calls that nobody can take.

use axum::http::StatusCode;
use deltaic::receive::server::{ReceiveOptions, ScriptedReply, WebhookReceiver};
use reqwest::Method;
use serde_json::{Value, json};

use super::{ADMIN_TOKEN, admin, command, start, until, until_told, webhook, write};
use crate::program::{Program, ServerProcess, project};

/// `deltaic dead-letters …`
fn dead_letters(server: &ServerProcess, arguments: &[&str]) -> (bool, String) {
    let arguments = [&["dead-letters"], arguments, &["--url", server.url()]].concat();
    let ended =
        tokio::task::block_in_place(|| Program::start(&arguments, &[("DELTAIC_ADMIN_TOKEN", ADMIN_TOKEN)]).end());
    (ended.status.success(), ended.stdout + &ended.stderr)
}

/// The events that a receiver was sent, as they left.
fn events(receiver: &WebhookReceiver) -> Vec<Value> {
    let of_call = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["events"].as_array().cloned();
    receiver
        .calls()
        .iter()
        .filter_map(|call| of_call(&call.body))
        .flatten()
        .map(|event| event["event"].clone())
        .collect()
}

fn at(receiver: &WebhookReceiver, name: &str, keys: &str) -> String {
    format!(
        "[destinations.{name}]\ntype = \"webhook\"\nurl = \"{}\"\nevents = [\"Order\"]\nbackoff_min = \"1 ms\"\n{keys}\n",
        receiver.url()
    )
}

fn an_order(id: &str, more: Value) -> Value {
    let mut event = json!({"type": "track", "event": "Order", "userId": "ann", "messageId": id});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_is_what_is_said() {
    let [plain, keep, drop] = [
        WebhookReceiver::start(ReceiveOptions::default()).await,
        WebhookReceiver::start(ReceiveOptions::default()).await,
        WebhookReceiver::start(ReceiveOptions::default()).await,
    ]
    .map(Result::unwrap);
    let folder = project("");
    let destinations = [
        at(&plain, "plain", ""),
        at(&keep, "keep", "keep = [\"properties.total\", \"properties.items.sku\"]"),
        at(&drop, "drop", "drop = [\"properties.card_number\", \"context.device\", 'context.\"a.b\"']"),
    ];
    write(folder.path(), &destinations);
    let checked = tokio::task::block_in_place(|| crate::program::run(&[std::path::Path::new("check"), folder.path()]));
    let said = checked.stdout.clone() + &checked.stderr;
    assert!(
        checked.status.success() && said.matches("all of an event but `context.ip` goes to").count() == 1,
        "{said}"
    );

    let server = start(&folder).await;
    let sent = an_order(
        "m1",
        json!({
            "timestamp": "2026-01-01T00:00:30Z",
            "sentAt": "2026-01-01T00:01:00Z",
            "context": {"ip": "10.0.0.1", "device": {"id": "d"}, "a.b": 1},
            "properties": {"total": 5, "card_number": "4111", "items": [{"sku": "s", "price": 1}]},
        }),
    );
    let token = server.take(&[sent]).await;
    for name in ["plain", "keep", "drop"] {
        until(&server, name, |status| status["events"]["acknowledged"] == 1).await;
    }
    server.stop();
    let [plain, keep, drop] = [&plain, &keep, &drop].map(|receiver| events(receiver).remove(0));
    assert_eq!((&plain["context"], &plain["userId"]), (&json!({"device": {"id": "d"}, "a.b": 1}), &json!("ann")));
    assert_eq!(drop["context"], json!({"ip": "10.0.0.1"}));
    assert_eq!(drop["properties"], json!({"total": 5, "items": [{"sku": "s", "price": 1}]}));
    for event in [&plain, &keep, &drop] {
        assert_eq!(event["originalTimestamp"], "2026-01-01T00:00:30Z");
        // The sender's clock is that of its `sentAt`: half a minute before the event arrived.
        let time: jiff::Timestamp = event["timestamp"].as_str().unwrap().parse().unwrap();
        let before = i64::try_from(token).unwrap() - 30_000 - time.as_millisecond();
        assert!((0..10_000).contains(&before), "{time}, {before} ms before it was to be");
    }
    let mut keep = keep;
    for time in ["timestamp", "originalTimestamp"] {
        keep.as_object_mut().unwrap().remove(time);
    }
    let expected = json!({"type": "track", "event": "Order", "messageId": "m1",
        "properties": {"total": 5, "items": [{"sku": "s"}]}});
    assert_eq!(keep, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_is_unicode() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    write(folder.path(), &[at(&receiver, "crm", "drop = []")]);
    let server = start(&folder).await;
    // Written by hand: no library of ours writes such a text.
    let body = r#"{"type":"track","event":"Order","userId":"ann","messageId":"m1","properties":{"a":"x\ud800y","\udc00":"\ud83d\ude00","b":"\\ud800"}}"#;
    let sent = server.request(Method::POST, "/v1/track").basic_auth("web-key", Some("")).body(body);
    assert_eq!(ServerProcess::try_send(sent).await.unwrap().status, 200);
    until(&server, "crm", |status| status["events"]["acknowledged"] == 1).await;
    server.stop();
    let expected = json!({"a": "x\u{fffd}y", "\u{fffd}": "\u{1f600}", "b": "\\ud800"});
    assert_eq!(events(&receiver)[0]["properties"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_does_not_act() {
    let [now, all] = [
        WebhookReceiver::start(ReceiveOptions::default()).await,
        WebhookReceiver::start(ReceiveOptions::default()).await,
    ]
    .map(Result::unwrap);
    let folder = project("");
    write(
        folder.path(),
        &[at(&now, "now", "drop = []\nmax_age = \"1 hour\""), at(&all, "all", "drop = []\nhistory = true")],
    );
    let server = start(&folder).await;
    let past = json!({"timestamp": "2025-01-01T00:00:00Z"});
    let import = json!({"batch": [an_order("i1", past.clone()), an_order("i2", json!({}))]});
    assert_eq!(server.post("/v1/import", &import).await.status, 200);
    let said = json!({"batch": [an_order("b1", json!({}))], "historical": true});
    assert_eq!(server.post("/v1/batch", &said).await.status, 200);
    let token = server
        .take(&[an_order("h1", json!({"historical": true})), an_order("old", past), an_order("new", json!({}))])
        .await;
    // All of it counts.
    let orders = server.profile("user_id:ann", token).await["traits"]["orders"].clone();
    assert_eq!(orders, 6);
    let skipped = until(&server, "now", |status| status["events"]["acknowledged"] == 1).await;
    let counts = ["skipped_history", "skipped_too_old", "skipped_integrations", "pending"]
        .map(|name| skipped["events"][name].clone());
    assert_eq!(counts, [4, 1, 0, 0]);
    until(&server, "all", |status| status["events"]["acknowledged"] == 6).await;
    server.kill();
    let server = start(&folder).await;
    let token = server.take(&[an_order("last", json!({}))]).await;
    server.profile("user_id:ann", token).await;
    until(&server, "now", |status| status["events"]["pending"] == 0 && status["events"]["acknowledged"] == 1).await;
    server.stop();
    let ids = |receiver: &WebhookReceiver| -> Vec<String> {
        events(receiver).iter().map(|event| event["messageId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&now), ["new", "last"]);
    assert_eq!(ids(&all), ["i1", "i2", "b1", "h1", "old", "new", "last"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_can_take_is_skipped() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    // A wait that nobody waits for in a test: who skips does not have to.
    let keys = "backoff_max = \"10 min\"\nevents = [\"Order\"]\ndrop = []";
    let patient =
        webhook("crm", &receiver.url(), keys).replace("1 ms", "9 min").replace("backoff_max = \"20 ms\"\n", "");
    write(folder.path(), &[patient]);
    let server = start(&folder).await;
    let (done, told) = command(&server, &["skip", "crm"], ADMIN_TOKEN);
    assert!(!done && told.contains("nothing to skip"), "{told}");
    (0..2).for_each(|_| receiver.answer_next(ScriptedReply::status(StatusCode::INTERNAL_SERVER_ERROR)));
    server.take(&[an_order("poison", json!({}))]).await;
    until(&server, "crm", |status| status["failed_calls"] == 1 && status["events"]["failed_calls"] == 1).await;
    server.take(&[json!({"type": "track", "event": "Order", "userId": "bob", "messageId": "good"})]).await;
    let (done, told) = command(&server, &["skip", "crm"], ADMIN_TOKEN);
    assert!(done, "{told}");
    let status =
        until(&server, "crm", |status| status["events"]["acknowledged"] == 1 && status["acknowledged"] == 1).await;
    assert_eq!((&status["dead_letters"], &status["events"]["dead_letters"]), (&json!(1), &json!(1)));
    assert_eq!(events(&receiver).pop().unwrap()["messageId"], "good");

    // They are looked at, one by one, and sent once more, or not.
    let (done, listed) = dead_letters(&server, &["list"]);
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(done && rows.len() == 3 && rows[0][..3] == ["destination", "id", "at"], "{listed}");
    assert!(listed.contains("an operator skipped it; the latest error: the endpoint answered 500"), "{listed}");
    let (done, shown) = dead_letters(&server, &["show", "crm", rows[2][1]]);
    let shown: Value = serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert!(done);
    assert_eq!(shown["sent"]["event"]["messageId"], "poison");
    let (done, change) = dead_letters(&server, &["show", "crm", rows[1][1]]);
    assert!(done && change.contains("\"changes\": 1"), "{change}");
    for id in ["77", "1-1", "x", "1-x"] {
        let (done, told) = dead_letters(&server, &["show", "crm", id]);
        assert!(!done && told.contains("no dead letter of this id"), "{id}: {told}");
    }
    let (done, told) = dead_letters(&server, &["retry", "crm"]);
    assert!(done, "{told}");
    until_told(&server, "crm", 2).await;
    until(&server, "crm", |status| status["events"]["acknowledged"] == 2).await;
    assert_eq!(dead_letters(&server, &["list", "crm"]), (true, "no dead letters\n".to_owned()));

    receiver.answer_next(ScriptedReply::status(StatusCode::INTERNAL_SERVER_ERROR));
    receiver.answer_next(ScriptedReply::status(StatusCode::INTERNAL_SERVER_ERROR));
    server.take(&[an_order("again", json!({}))]).await;
    until(&server, "crm", |status| status["failed_calls"] == 2 && status["events"]["failed_calls"] == 2).await;
    assert!(command(&server, &["skip", "crm"], ADMIN_TOKEN).0);
    until(&server, "crm", |status| status["events"]["dead_letters"] == 1 && status["dead_letters"] == 1).await;
    assert!(dead_letters(&server, &["purge", "crm"]).0);
    assert_eq!(dead_letters(&server, &["list", "crm"]), (true, "no dead letters\n".to_owned()));
    let (done, told) = dead_letters(&server, &["list", "nobody"]);
    assert!(!done && told.contains("there is no destination of this name"), "{told}");
    admin(&server, Method::GET, "/v1/destinations").await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_says_no_is_no_yes() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    let keys = "confirm = \"body.result.success\"\nattempts_max = 2\nbatch_changes_max = 1";
    write(folder.path(), &[webhook("crm", &receiver.url(), keys)]);
    let server = start(&folder).await;
    let say = |text: &str, applies: bool| {
        receiver.answer_next(ScriptedReply { text: text.to_owned(), applies, ..ScriptedReply::status(StatusCode::OK) });
    };
    // No answer at all, an answer of somebody in between, an error, and then yes.
    say("", false);
    say("<html>", false);
    say(r#"{"result": {"success": false, "why": "full"}}"#, false);
    say(r#"{"result": {"success": true}}"#, true);
    super::order(&server, [1]).await;
    let told = until(&server, "crm", |status| status["acknowledged"] == 1).await;
    assert_eq!((&told["failed_calls"], &told["dead_letters"]), (&json!(3), &json!(0)));
    // No, and no again.
    for no in [r#"{"result": {"success": false}}"#, r#"{"success": true}"#] {
        say(no, false);
    }
    super::order(&server, [2]).await;
    let told = until(&server, "crm", |status| status["dead_letters"] == 1).await;
    let error = "the endpoint answered 200 OK, and `result.success` of its body is not true";
    assert_eq!(told["last_error"], error);
    server.stop();
}
