//! Consent: at the decision, and once more when the message is sent.

use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use serde_json::json;

use super::{TriggerWorld, at, now_ms, operate, outcome, person, text, track, until_pending};
use crate::cluster::hosts;
use crate::program::{ServerProcess, project};

const NEWS: &str = r#"
[triggers.news]
on = "Order Completed"
requires_consent = "marketing"
destinations = ["email"]
identifiers = ["user_id"]
payload = { n = "event.properties.n" }
"#;

fn order(user: &str, n: u64) -> serde_json::Value {
    track(user, "Order Completed", now_ms(), json!({ "n": n }))
}

fn line(user: &str, n: u64) -> String {
    format!("email news [user_id:{user}] {{\"n\":{n}}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_is_asked_for_at_the_decision_and_when_the_message_is_sent() {
    let world = TriggerWorld::new(NEWS).await;
    let server = world.start(&[]).await;
    server
        .take(&[person("ann", None, Some(true)), person("bob", None, Some(true)), person("cid", None, Some(false))])
        .await;
    server.take(&[order("ann", 1), order("bob", 2), order("cid", 3), order("dan", 4)]).await;
    world.settle(&server).await;
    assert_eq!(world.lines(), [line("ann", 1), line("bob", 2)]);
    assert_eq!(outcome(&server, "news", "fired").await, 2, "who does not consent has no firing");

    operate(&server, "email", "pause").await;
    server.take(&[order("ann", 5), order("bob", 6)]).await;
    until_pending(&server, "email", 2, 0).await;
    server.take(&[person("ann", None, Some(false))]).await;
    // Nothing is sent for whom consents later than at the decision.
    server.take(&[order("cid", 7)]).await;
    server.take(&[person("cid", None, Some(true))]).await;
    drop(server);
    // Over a kill, too.
    let server = world.start(&[]).await;
    until_pending(&server, "email", 2, 0).await;
    operate(&server, "email", "resume").await;
    until_pending(&server, "email", 0, 1).await;
    server.take(&[person("ann", None, Some(true))]).await;
    server.take(&[order("ann", 8), order("cid", 9)]).await;
    world.settle(&server).await;
    assert_eq!(world.lines(), [line("ann", 1), line("ann", 8), line("bob", 2), line("bob", 6), line("cid", 9)]);
    server.stop();
}

/// One who withdraws in the tick of the event does not consent at the decision.
#[tokio::test(flavor = "multi_thread")]
async fn all_of_the_tick_counts_at_the_decision() {
    let world = TriggerWorld::new(NEWS).await;
    let server = world.start(&[]).await;
    server.take(&[person("ann", None, Some(true))]).await;
    server
        .take(&[order("ann", 1), person("ann", None, Some(false)), person("bob", None, Some(true)), order("bob", 2)])
        .await;
    // Given again, with a time before the withdrawal: it does not count.
    let mut earlier = person("ann", None, Some(true));
    earlier["timestamp"] = at(now_ms() - 60_000).into();
    server.take(&[earlier, order("ann", 3)]).await;
    world.settle(&server).await;
    assert_eq!(world.lines(), [line("bob", 2)]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_who_withdraws_while_the_receiver_is_down_does_not_arrive() {
    let address = std::fs::read_to_string(hosts(1).path()).unwrap();
    let port: u16 = address.trim().rsplit(':').next().unwrap().parse().unwrap();
    let url = format!("http://127.0.0.1:{port}/hook");
    let folder = project(&text(NEWS, &url));
    let data = folder.path().join("data");
    let server = ServerProcess::start(folder.path(), &["--data", data.to_str().unwrap()], &[]).await;
    server.take(&[person("ann", None, Some(true)), person("bob", None, Some(true))]).await;
    server.take(&[order("ann", 1), order("bob", 2)]).await;
    until_pending(&server, "email", 2, 0).await;
    server.take(&[person("ann", None, Some(false))]).await;
    // A call that had begun before that may still go through.
    until_pending(&server, "email", 1, 1).await;
    let receiver = WebhookReceiver::start(ReceiveOptions { port, ..ReceiveOptions::default() }).await.unwrap();
    let world = TriggerWorld { receiver, folder, url };
    until_pending(&server, "email", 0, 1).await;
    world.settle(&server).await;
    assert_eq!(world.lines(), [line("bob", 2)]);
    server.stop();
}
