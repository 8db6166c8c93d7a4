//! A destination with another address is another receiver: nobody guesses what it has. And one that is to go is emptied first.

use std::path::Path;

use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use reqwest::Method;
use serde_json::json;

use super::{ADMIN_TOKEN, admin, buyers, command, order, start, until, until_told, webhook, write};
use crate::program::{ServerProcess, project, run};

#[tokio::test(flavor = "multi_thread")]
async fn another_address_is_asked_for() {
    let [first, second, third] = [
        WebhookReceiver::start(ReceiveOptions::default()).await,
        WebhookReceiver::start(ReceiveOptions::default()).await,
        WebhookReceiver::start(ReceiveOptions::default()).await,
    ]
    .map(Result::unwrap);
    let folder = project("");
    let at = |receiver: &WebhookReceiver| write(folder.path(), &[webhook("crm", &receiver.url(), "")]);
    at(&first);
    let server = start(&folder).await;
    order(&server, 0..4).await;
    until_told(&server, "crm", 4).await;
    let answered =
        ServerProcess::try_send(server.request(Method::POST, "/v1/destinations/crm/as-new").bearer_auth(ADMIN_TOKEN));
    assert_eq!(answered.await.unwrap().problem(), (409, "not_moved".to_owned()));
    server.stop();

    // Without a word nothing goes to the new one, over restarts too; while it runs it can be said.
    at(&second);
    let data = folder.path().join("data");
    let arguments = [Path::new("check"), folder.path(), Path::new("--data"), &data];
    let checked = tokio::task::block_in_place(|| run(&arguments));
    assert!(checked.stdout.contains("destination crm is told nothing: its address is another one"), "{checked:?}");
    start(&folder).await.stop();
    let server = start(&folder).await;
    order(&server, 3..5).await;
    let held = until(&server, "crm", |status| status["pending"] == 2).await;
    assert_eq!(held["state"], "held");
    let ready = server.get("/readyz").await;
    assert!(ready.status == 200 && ready.body.contains("destination crm: its address is another one"), "{ready:?}");
    assert_eq!(second.calls_count(), 0);
    let (done, told) = command(&server, &["as-new", "crm"], ADMIN_TOKEN);
    assert!(done && told.contains("crm   delivering"), "{told}");
    until_told(&server, "crm", 5).await;
    let all = json!({"user_id:u0": 1, "user_id:u1": 1, "user_id:u2": 1, "user_id:u3": 2, "user_id:u4": 1});
    assert_eq!(buyers(&second, "crm"), all);
    assert_eq!(server.get("/readyz").await.body, "ready\n");
    server.stop();
    start(&folder).await.stop();

    // The same at the start: what was confirmed is there.
    at(&third);
    let server = ServerProcess::start(folder.path(), &["--as-moved", "crm"], &[]).await;
    order(&server, [5]).await;
    until_told(&server, "crm", 6).await;
    assert_eq!(buyers(&third, "crm"), json!({"user_id:u5": 1}));
    server.stop();
    // Whoever says it at each start does no harm.
    let server = ServerProcess::start(folder.path(), &["--as-new", "crm"], &[]).await;
    until_told(&server, "crm", 6).await;
    server.stop();
    assert_eq!(third.calls_count(), 1);

    at(&first);
    let server = ServerProcess::start(folder.path(), &["--as-new", "crm"], &[]).await;
    until_told(&server, "crm", 6).await;
    server.stop();
    assert_eq!(buyers(&first, "crm").as_object().unwrap().len(), 6);
    let ended = ServerProcess::begin(folder.path(), &["--as-new", "crn"], &[]).failed();
    assert!(ended.stderr.contains("no destination \"crn\""), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_withdrew_is_not_in_a_call_to_a_new_address() {
    let first = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let second = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    let at = |receiver: &WebhookReceiver, traits: &str| {
        let destination = webhook("crm", &receiver.url(), "").replace("traits = [\"orders\"]", traits);
        write(folder.path(), &[destination]);
    };
    at(&first, "traits = [\"orders\"]");
    let server = start(&folder).await;
    order(&server, [0]).await;
    until_told(&server, "crm", 1).await;
    // A call under way, of which nobody knows whether it arrived.
    let (reply, _never) = deltaic::receive::server::ScriptedReply::held();
    first.answer_next(reply);
    order(&server, [0]).await;
    first.until_calls(2).await;
    server.kill();
    at(&second, "");
    let server = ServerProcess::start(folder.path(), &["--as-new", "crm"], &[]).await;
    until_told(&server, "crm", 1).await;
    // Not what was told the other: there the traits were.
    let changes: Vec<_> = second.calls().iter().flat_map(|call| call.changes()).collect();
    assert_eq!(changes.len(), 1);
    assert!(changes[0].traits.is_empty(), "{changes:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_retired_is_emptied_and_stays_empty() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let other = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    let both = [webhook("crm", &receiver.url(), ""), webhook("ads", &other.url(), "")];
    write(folder.path(), &both);
    let server = start(&folder).await;
    order(&server, 0..4).await;
    until_told(&server, "crm", 4).await;
    let (done, told) = command(&server, &["retire", "crm"], ADMIN_TOKEN);
    assert!(done && told.contains("crm   retired  0        0             0"), "{told}");
    assert_eq!(buyers(&receiver, "crm"), json!({}));
    order(&server, 3..6).await;
    until_told(&server, "ads", 6).await;
    server.kill();
    let server = start(&folder).await;
    let retired = until(&server, "crm", |status| status["state"] == "retired").await;
    assert_eq!((&retired["desired"], &retired["acknowledged"], &retired["pending"]), (&json!(0), &json!(0), &json!(0)));

    // It can be undone.
    let (done, told) = command(&server, &["retire", "crm", "--undo"], ADMIN_TOKEN);
    assert!(done && told.contains("crm   delivering  6"), "{told}");
    until_told(&server, "crm", 6).await;
    assert_eq!(buyers(&receiver, "crm"), buyers(&other, "ads"));
    let (done, _) = command(&server, &["retire", "crm"], ADMIN_TOKEN);
    assert!(done);
    server.stop();

    // Once it is out of the project, nothing is left of it: under its name comes a new one.
    write(folder.path(), &both[1..]);
    let ended = start(&folder).await.stop();
    assert!(!ended.stderr.contains("still holds"), "{}", ended.stderr);
    write(folder.path(), &both);
    let server = start(&folder).await;
    until_told(&server, "crm", 6).await;
    server.stop();

    // One that is taken out as it is, is told of.
    write(folder.path(), &both[1..]);
    let ended = start(&folder).await.stop();
    let said = ended
        .stderr
        .lines()
        .filter(|line| line.contains("still holds") && line.contains("crm") && line.contains("rows=6"));
    assert_eq!(said.count(), 1, "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_row_is_never_as_of_before() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    let with = |keys: &str| write(folder.path(), &[webhook("crm", &receiver.url(), keys)]);
    with("batch_changes_max = 1");
    let server = start(&folder).await;
    order(&server, [0, 1, 0, 2, 0]).await;
    until_told(&server, "crm", 3).await;
    admin(&server, Method::POST, "/v1/destinations/crm/resync").await;
    order(&server, [1]).await;
    until_told(&server, "crm", 3).await;
    server.stop();
    // Definitions by which all of them have another history: nobody is a buyer with less than two, and then all are again.
    let of_some = std::fs::read_to_string(folder.path().join("deltaic.toml")).unwrap();
    std::fs::write(folder.path().join("deltaic.toml"), of_some.replace("orders > 0", "orders > 1")).unwrap();
    let server = start(&folder).await;
    until_told(&server, "crm", 2).await;
    server.kill();
    std::fs::write(folder.path().join("deltaic.toml"), of_some.replace("count('Order')", "count('Order') * 10"))
        .unwrap();
    let server = start(&folder).await;
    until_told(&server, "crm", 3).await;
    admin(&server, Method::POST, "/v1/destinations/crm/resync").await;
    until_told(&server, "crm", 3).await;
    server.stop();

    let mut latest = std::collections::BTreeMap::new();
    let changes: Vec<_> = receiver.calls().iter().flat_map(|call| call.changes()).collect();
    assert!(changes.len() >= 9, "{}", changes.len());
    for change in changes {
        let content = (change.action, change.traits.clone());
        for identifier in &change.identifiers {
            if let Some((before, told)) = latest.insert(identifier.clone(), (change.as_of, content.clone())) {
                let is_same = (before, &told) == (change.as_of, &content);
                assert!(before < change.as_of || is_same, "{identifier}: {change:?} after {told:?} as of {before}");
            }
        }
    }
}
