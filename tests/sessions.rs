//! Sessions in the real program: on several devices, with late events, over a kill and a checkpoint.

use serde_json::{Value, json};

use crate::program::{ServerProcess, checkpointed, project};

const PROJECT: &str = r#"
name = "shop"
[identity]
key = "k"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[storage]
checkpoint_events = 1
[sessions.visit]
gap = "30 min"
events = ["page", "Add", "Order"]
values = { carts = "count('Add')", spent = "sum('Order', properties.total)", landing = "first('page', properties.url)", urls = "list('page', properties.url)", biggest = "max('Order', item.price, each => properties.products)" }
[sessions.device]
gap = "30 min"
per = "anonymous_id"
[sessions.short]
gap = "1 s"
[traits]
carts = "session.visit.carts"
spent = "session.visit.spent"
landing = "session.visit.landing"
urls = "session.visit.urls"
biggest = "session.visit.biggest"
duration = "session.visit.duration"
events = "session.visit.events"
on_device = "session.device.events"
short = "session.short.start"
[audiences.here]
when = "in_session('visit')"
[audiences.abandoning]
when = "session.visit.carts > 0 and session.visit.spent is null"
[audiences.brief]
when = "in_session('short')"
"#;

/// What a profile shows of these traits.
fn traits<const N: usize>(profile: &Value, names: [&str; N]) -> Value {
    names.iter().map(|name| profile["traits"][name].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_over_devices_and_is_put_together_from_what_is_late() {
    let folder = project(PROJECT);
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let now = jiff::Timestamp::now();
    let ago = |minutes: i64| (now - jiff::SignedDuration::from_mins(minutes)).to_string();
    let page = |device: &str, minutes: i64, url: &str| json!({"type": "page", "anonymousId": device, "timestamp": ago(minutes), "properties": {"url": url}});
    let track = |device: &str, event: &str, minutes: i64, properties: Value| json!({"type": "track", "event": event, "anonymousId": device, "timestamp": ago(minutes), "properties": properties});
    let login = |device: &str| json!({"type": "identify", "anonymousId": device, "userId": "ann", "timestamp": ago(1)});
    // Fifty minutes lie between the two visits on the phone, in which the laptop was used.
    let token = server
        .take(&[
            page("phone", 70, "/start"),
            track("phone", "Add", 65, json!({})),
            page("phone", 15, "/later"),
            page("laptop", 40, "/laptop"),
            // It is of no session of its kind.
            track("phone", "Else", 80, json!({})),
        ])
        .await;
    let (_, phone) = server.profile_as_of("anonymous_id:phone", token).await;
    assert_eq!(traits(&phone, ["carts", "urls", "events", "on_device"]), json!([0, ["/later"], 1, 1]));
    let (_, laptop) = server.profile_as_of("anonymous_id:laptop", token).await;
    assert_eq!(traits(&laptop, ["carts", "urls", "events"]), json!([null, null, null]), "it is over");

    let token = server.take(&[login("laptop"), login("phone")]).await;
    let (_, ann) = server.profile_as_of("user_id:ann", token).await;
    let shown = ["carts", "spent", "landing", "urls", "duration", "events"];
    assert_eq!(traits(&ann, shown), json!([1, null, "/start", ["/laptop", "/later", "/start"], 55 * 60, 4]));
    // By device: the latest event is the login on the phone, which is one with what was done there no more than half an hour before.
    assert_eq!(traits(&ann, ["on_device"]), json!([2]));
    let audiences = ann["audiences"].as_array().unwrap();
    assert!(audiences.contains(&json!("here")) && audiences.contains(&json!("abandoning")), "{ann}");
    checkpointed(&folder, token).await;
    server.kill();

    // Late: an order, and what joins the session with an earlier one.
    let server = ServerProcess::start(folder.path(), &["--workers", "2"], &[]).await;
    let products = json!({"total": 12.5, "products": [{"price": 4}, {"price": 8.5}]});
    let token = server
        .take(&[track("laptop", "Order", 35, products), page("phone", 130, "/first"), page("laptop", 100, "/between")])
        .await;
    let (_, ann) = server.profile_as_of("user_id:ann", token).await;
    let urls = json!(["/between", "/first", "/laptop", "/later", "/start"]);
    assert_eq!(traits(&ann, shown), json!([1, 12.5, "/first", urls, 115 * 60, 7]));
    assert_eq!(traits(&ann, ["biggest"]), json!([8.5]));
    // Somebody else logs in on the phone: what was done with it goes there, and what is left is over.
    let token =
        server.take(&[json!({"type": "identify", "anonymousId": "phone", "userId": "ben", "timestamp": ago(0)})]).await;
    let (_, ann) = server.profile_as_of("user_id:ann", token).await;
    assert_eq!(traits(&ann, ["carts", "events"]), json!([null, null]));
    let (_, ben) = server.profile_as_of("user_id:ben", token).await;
    assert_eq!(traits(&ben, ["carts", "urls", "events"]), json!([0, ["/later"], 1]));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_by_itself() {
    let folder = project(PROJECT);
    let mut server = ServerProcess::start(folder.path(), &[], &[]).await;
    for restart in [false, true] {
        let event = json!({"type": "track", "event": "Any", "userId": "ann"});
        let token = server.take(&[event]).await;
        let (_, profile) = server.profile_as_of("user_id:ann", token).await;
        let began: jiff::Timestamp = profile["traits"]["short"].as_str().expect("it runs").parse().unwrap();
        if restart {
            server.kill();
            server = ServerProcess::start(folder.path(), &[], &[]).await;
        }
        loop {
            let (as_of, profile) = server.profile_as_of("user_id:ann", token).await;
            let age_ms = as_of - began.as_millisecond();
            let is_running = profile["audiences"].as_array().unwrap().contains(&json!("brief"));
            assert_eq!(is_running, age_ms < 1_000, "{age_ms} ms after it began: {profile}");
            assert_eq!(profile["traits"]["short"].is_null(), !is_running, "{profile}");
            if !is_running {
                break;
            }
        }
    }
    server.stop();
}
