//! To whom decisions on consent belong, with the real program, as `docs/concepts/consent.md` shows it.

use std::collections::BTreeSet;

use deltaic::receive::server::{ReceiveOptions, ReceivedChange, WebhookReceiver};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{ServerProcess, project, until};

fn block(name: &str) -> String {
    crate::program::block("docs/concepts/consent.md", name)
}

fn folder() -> TempDir {
    let head = r#"
        name = "consent"
        identity.key = "test"
        sources.web.write_key = "web-key"
        access.read_token = "read-token"
        storage.folder = "data"
    "#;
    project(&format!("{head}\n{}", block("project")))
}

async fn start(folder: &TempDir, crm: &WebhookReceiver, workers: &str) -> ServerProcess {
    ServerProcess::start(folder.path(), &["--workers", workers], &[("CRM", &crm.url())]).await
}

/// Who is at the destination.
fn there(crm: &WebhookReceiver) -> BTreeSet<String> {
    let rows = crm.state().remove("crm").and_then(|mut of| of.remove("everybody")).unwrap_or_default();
    rows.into_keys().collect()
}

fn identify(who: &[(&str, &str)], marketing: Option<bool>) -> Value {
    let mut event = json!({"type": "identify"});
    for (field, value) in who {
        match *field {
            "email" => event["traits"] = json!({"email": value}),
            field => event[field] = json!(value),
        }
    }
    if let Some(given) = marketing {
        event["context"] = json!({"consent": {"categoryPreferences": {"marketing": given}}});
    }
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_stays_with_whom_it_was_made_for() {
    let crm = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = folder();
    let calls: Vec<Value> = serde_json::from_str(&block("calls")).unwrap();
    let expected: Vec<Vec<String>> = serde_json::from_str(&block("changes")).unwrap();
    let mut told = Vec::new();
    for (step, (call, expected)) in calls.iter().zip(expected).enumerate() {
        // Each time from what was kept, with another number of workers.
        let server = start(&folder, &crm, ["1", "3"][step % 2]).await;
        server.take(std::slice::from_ref(call)).await;
        // Somebody who comes and goes: what was to be told before has been told then.
        let user = format!("last{step}");
        server.take(&[identify(&[("userId", &user)], Some(true))]).await;
        until(&crm, "that person", |changes| changes.iter().any(|change| change.identifiers[0].contains(&user))).await;
        server.take(&[identify(&[("userId", &user)], Some(false))]).await;
        let all = until(&crm, "their end", |changes| {
            changes.iter().filter(|change| change.identifiers[0].contains(&user)).count() == 2
        })
        .await;
        let text = |change: &ReceivedChange| {
            format!("{} {}", json!(change.action).as_str().unwrap(), change.identifiers.join(" "))
        };
        let texts = all.iter().map(text);
        let texts: Vec<String> = texts.filter(|text| !text.contains("last")).collect();
        told.extend(expected);
        assert_eq!(texts, told, "after call {step}");
        server.kill();
    }
}

/// The same through an address that moves, there and back, and late.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_back_through_an_address_that_moves() {
    let crm = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = folder();
    let server = start(&folder, &crm, "2").await;
    let (u1, u2, mail) = (("userId", "u1"), ("userId", "u2"), ("email", "ann@example.org"));
    server.take(&[identify(&[u1, mail], Some(true))]).await;
    until(&crm, "the first", |changes| changes.len() == 1).await;
    server.take(&[identify(&[mail], Some(false))]).await;
    until(&crm, "the withdrawal", |changes| changes.len() == 2).await;
    for who in [[u2, mail], [u1, mail], [u2, mail]] {
        server.take(&[identify(&who, None)]).await;
    }
    let mut late = identify(&[u2, mail], None);
    late["timestamp"] = json!("2020-01-01T00:00:00Z");
    server.take(&[late]).await;
    let token = server.take(&[identify(&[("userId", "u3")], Some(true))]).await;
    until(&crm, "the last", |changes| changes.iter().any(|change| change.identifiers[0].contains("u3"))).await;
    assert_eq!(there(&crm), BTreeSet::from(["user_id:u3".to_owned()]));
    for user in ["u1", "u2"] {
        assert_eq!(server.profile(&format!("user_id:{user}"), token).await["consent"], json!({"marketing": false}));
    }
    server.stop();
}
