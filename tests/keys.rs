//! Several write keys, tokens and secrets at a time, as while one takes the place of another; and that none of them is in what the
//! program says, however much it says.

use deltaic::project::Secret;
use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::program::{ServerProcess, project, until};

const PROJECT: &str = r#"
name = "shop"

[identity]
key = "test"

[sources.web.write_key]
spring = "wk-spring"
autumn = "wk-autumn"

[access]
read_token = { spring = "rt-spring", autumn = "rt-autumn" }
admin_token = { spring = "at-spring", autumn = "at-autumn" }

[audiences.buyers]
when = "count('Order Completed') = 1"

[destinations.crm]
type = "webhook"
url = "${HOOK}"
secret = { spring = "ws-spring", autumn = "ws-autumn" }
audiences = ["buyers"]
identifiers = ["user_id"]
"#;

const SECRETS: [&str; 8] =
    ["wk-spring", "wk-autumn", "rt-spring", "rt-autumn", "at-spring", "at-autumn", "ws-spring", "ws-autumn"];

async fn status(request: RequestBuilder) -> u16 {
    ServerProcess::try_send(request).await.expect("the server is there").status
}

async fn check(receiver_has: &str) {
    let secret = Some(Secret::new(receiver_has.into()));
    let receiver = WebhookReceiver::start(ReceiveOptions { secret, ..ReceiveOptions::default() }).await.unwrap();
    let folder = project(PROJECT);
    let environment = [("HOOK", &receiver.url()[..]), ("DELTAIC_LOG", "trace")];
    let server = ServerProcess::start(folder.path(), &[], &environment).await;
    let order = json!({"type": "track", "event": "Order Completed", "userId": "ann", "messageId": "m"});
    let post = |address: &str| server.request(Method::POST, address).body(order.to_string());
    for (sent, duplicates) in [
        (post("/v1/track").basic_auth("wk-spring", Some("")), 0),
        (post("/v1/track").bearer_auth("wk-autumn"), 1),
        (post("/v1/track").bearer_auth("of a gateway").header("x-write-key", "wk-autumn"), 1),
        (post("/v1/track?writeKey=wk-spring"), 1),
    ] {
        let answer = ServerProcess::try_send(sent).await.unwrap();
        assert_eq!((answer.status, &answer.json()["duplicates"]), (200, &json!(duplicates)), "{answer:?}");
    }
    assert_eq!(status(post("/v1/track?writeKey=wk-winter")).await, 401);
    assert_eq!(status(post("/v1/track?writeKey=wk-spring").body("{")).await, 400);
    until(&receiver, "the order", |changes| changes.len() == 1).await;
    let get = |address: &str, token: &str| server.request(Method::GET, address).bearer_auth(token);
    for season in ["spring", "autumn"] {
        assert_eq!(status(get("/v1/audiences/buyers", &format!("rt-{season}"))).await, 200);
        assert_eq!(status(get("/v1/destinations", &format!("at-{season}"))).await, 200);
    }
    assert_eq!(status(get("/v1/audiences/buyers", "rt-winter")).await, 401);
    assert_eq!(status(get("/v1/destinations", "rt-spring")).await, 401);
    let ended = server.stop();
    assert!(ended.stderr.contains("TRACE"), "it says all that it can: {}", ended.stderr);
    for secret in SECRETS.into_iter().chain(["wk-winter", "rt-winter"]) {
        let said = ended.stderr.lines().find(|line| line.contains(secret));
        assert_eq!(said, None, "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_key_goes_on_to_work() {
    check("ws-spring").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_key_works_already() {
    check("ws-autumn").await;
}
