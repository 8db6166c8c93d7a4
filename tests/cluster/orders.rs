//! Orders for destinations of a cluster: each is told by one process, and the others say so.

use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use reqwest::Method;
use serde_json::json;

use super::hosts;
use crate::program::{Program, ServerProcess, project, until};

const PROJECT: &str = r#"
[identity]
key = "test"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
admin_token = "admin-token"
[audiences.all]
when = "count('Seen') >= 1"
[destinations.a]
type = "webhook"
url = "URL/a"
audiences = ["all"]
identifiers = ["user_id"]
[destinations.b]
type = "webhook"
url = "URL/b"
audiences = ["all"]
identifiers = ["user_id"]
"#;

/// `deltaic destination retire`, at a process.
fn retire(server: &ServerProcess, name: &str) -> (bool, String) {
    let arguments = ["destination", "retire", name, "--url", server.url()];
    let ended =
        tokio::task::block_in_place(|| Program::start(&arguments, &[("DELTAIC_ADMIN_TOKEN", "admin-token")]).end());
    (ended.status.success(), ended.stdout + &ended.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_ordered_where_it_is_told() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let (folder, hosts) = (project(&PROJECT.replace("URL", &receiver.url())), hosts(2));
    let begin = |process: &str| {
        let arguments = ["--process", process, "--hosts", hosts.path().to_str().unwrap()];
        ServerProcess::begin(folder.path(), &arguments, &[])
    };
    let (first, second) = (begin("0"), begin("1"));
    let servers = [first.ready().await, second.ready().await];
    for n in 0..6 {
        let seen = json!({"type": "track", "event": "Seen", "userId": format!("u{n}")});
        servers[n % 2].take(&[seen]).await;
    }
    until(&receiver, "both destinations have six", |changes| changes.len() >= 12).await;
    let there =
        |name: &str| receiver.state().remove(name).map_or(0, |mut of| of.remove("all").map_or(0, |all| all.len()));
    assert_eq!((there("a"), there("b")), (6, 6));

    let (done, said) = retire(&servers[0], "b");
    assert!(!done && said.contains("process 1 of the cluster tells this destination"), "{said}");
    for order in ["resync", "as-new", "as-moved", "unretire", "pause"] {
        let request =
            servers[1].request(Method::POST, &format!("/v1/destinations/a/{order}")).bearer_auth("admin-token");
        let answer = ServerProcess::try_send(request).await.unwrap();
        assert_eq!(answer.problem(), (409, "other_process".to_owned()), "{order}");
    }
    let (done, said) = retire(&servers[1], "b");
    assert!(done, "{said}");
    assert_eq!((there("a"), there("b")), (6, 0));
    servers.iter().for_each(ServerProcess::terminate);
    servers.into_iter().for_each(|server| drop(server.end()));
}
