//! A copy of an engine does not deliver beside it, until somebody says that it is the one.

use std::path::Path;
use std::process::Command;

use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use serde_json::json;

use super::{ADMIN_TOKEN, PROJECT, buyers, order, start, until, until_told, webhook, write};
use crate::program::{Program, ServerProcess, block, project};

/// `deltaic take-over`
fn take_over(server: &ServerProcess) -> (bool, String) {
    let arguments = ["take-over", "--url", server.url()];
    let ended =
        tokio::task::block_in_place(|| Program::start(&arguments, &[("DELTAIC_ADMIN_TOKEN", ADMIN_TOKEN)]).end());
    (ended.status.success(), ended.stdout + &ended.stderr)
}

/// As an operator copies it.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_data_folder_delivers_nothing_until_it_is_taken_over() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    write(folder.path(), &[webhook("crm", &receiver.url(), "events = [\"Order\"]\ndrop = []")]);
    let server = start(&folder).await;
    order(&server, 0..3).await;
    until_told(&server, "crm", 3).await;
    until(&server, "crm", |status| status["events"]["acknowledged"] == 3).await;
    server.stop();
    // A restart in its place is no copy, nor is a folder that was moved.
    let server = start(&folder).await;
    assert_eq!(server.get("/readyz").await.body, "ready\n");
    server.stop();
    let calls = receiver.calls_count();

    let other = project("");
    std::fs::copy(folder.path().join("deltaic.toml"), other.path().join("deltaic.toml")).unwrap();
    copy(&folder.path().join("data"), &other.path().join("data"));
    let server = start(&other).await;
    order(&server, 2..6).await;
    let held = until(&server, "crm", |status| status["pending"] == 4 && status["events"]["pending"] == 4).await;
    assert_eq!((&held["state"], &held["acknowledged"]), (&json!("held"), &json!(3)));
    let ready = server.get("/readyz").await;
    assert!(ready.status == 200 && ready.body.contains("nothing is delivered: this may be a copy"), "{ready:?}");
    let ended = server.stop();
    assert_eq!(ended.stderr.matches("this may be a copy").count(), 1, "{}", ended.stderr);
    // Nor after one more start, nor with --no-delivery, which does not make it its own.
    for arguments in [&[][..], &["--no-delivery"]] {
        let server = ServerProcess::start(other.path(), arguments, &[]).await;
        order(&server, 6..7).await;
        let ready = server.get("/readyz").await.body;
        assert!(ready.contains("nothing is delivered"), "{ready}");
        let (done, told) = match arguments.is_empty() {
            true => (true, String::new()),
            false => take_over(&server),
        };
        assert!(done == arguments.is_empty() && (done || told.contains("--no-delivery")), "{told}");
        server.stop();
    }
    assert_eq!(receiver.calls_count(), calls);

    // The original goes on all the while.
    let original = start(&folder).await;
    assert_eq!(original.get("/readyz").await.body, "ready\n");
    original.stop();

    let server = start(&other).await;
    let (done, told) = take_over(&server);
    assert!(done && told.contains("it delivers\n"), "{told}");
    until_told(&server, "crm", 7).await;
    until(&server, "crm", |status| status["events"]["pending"] == 0).await;
    assert_eq!(take_over(&server), (true, "it delivers already\n".to_owned()));
    assert_eq!(buyers(&receiver, "crm").as_object().unwrap().len(), 7);
    drop(server);
    let server = start(&other).await;
    assert_eq!(server.get("/readyz").await.body, "ready\n");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instance_does_not_deliver_from_a_folder_until_it_takes_it_over() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    let text =
        format!("{PROJECT}\n{}{}", block("docs/concepts/delivery.md", "project"), webhook("crm", &receiver.url(), ""));
    std::fs::write(folder.path().join("deltaic.toml"), text).unwrap();
    let start = |arguments, name| ServerProcess::start(folder.path(), arguments, name);
    let server = start(&[], &[("DELTAIC_INSTANCE", "one")]).await;
    order(&server, 0..2).await;
    until_told(&server, "crm", 2).await;
    server.stop();
    for name in [&[("DELTAIC_INSTANCE", "two")][..], &[]] {
        let server = start(&[], name).await;
        order(&server, 2..3).await;
        let ready = server.get("/readyz").await.body;
        assert!(ready.contains("that of the instance `one`"), "{ready}");
        server.stop();
    }
    assert_eq!(buyers(&receiver, "crm").as_object().unwrap().len(), 2);
    let server = start(&["--take-over"], &[("DELTAIC_INSTANCE", "two")]).await;
    until_told(&server, "crm", 3).await;
    server.stop();
    let server = start(&[], &[("DELTAIC_INSTANCE", "two")]).await;
    assert_eq!(server.get("/readyz").await.body, "ready\n");
    server.stop();
}
