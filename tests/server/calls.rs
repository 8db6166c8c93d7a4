//! Events over every address, and what is then known of people.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ServedShop, identify, track, with};
use crate::program::ServerProcess;

/// A time of this year, as events say it.
fn at(text: &str) -> Value {
    json!({"timestamp": format!("2026-01-{text}Z")})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_with_every_kind_of_key() {
    let ServedShop { server, .. } = ServedShop::open(&[]).await;
    server.take(&[track("Seen", json!({"anonymousId": "old-1"}), json!({}))]).await;
    let send = async |path: &str, body: Value, key: &str| {
        let mut body = body;
        let mut request = server.request(Method::POST, path);
        match key {
            "basic" => request = request.basic_auth("web-key", Some("")),
            "bearer" => request = request.bearer_auth("web-key"),
            _ => body = with(body, json!({"writeKey": "web-key"})),
        }
        ServerProcess::try_send(request.body(body.to_string())).await.unwrap().token()
    };
    let mut tokens = vec![
        send("/v1/identify", json!({"userId": "ann", "traits": {"city": "Berlin", "email": " Ann@B.org "}}), "basic")
            .await,
        send("/v1/track", json!({"userId": "ann", "event": "Order Completed", "properties": {"total": 9.5}}), "bearer")
            .await,
        send("/v1/page", json!({"userId": "ann", "name": "Home", "anonymousId": "web-1"}), "body").await,
        send("/v1/screen", json!({"userId": "ann", "context": {"device": {"id": "phone-1"}}}), "basic").await,
        send("/v1/group", json!({"userId": "ann", "groupId": "acme", "traits": {"city": "Rome"}}), "bearer").await,
        send("/v1/alias", json!({"userId": "ann", "previousId": "old-1"}), "body").await,
    ];
    let cookie = json!({"externalIds": [{"id": "c-1", "type": "cookie", "collection": "users", "encoding": "none"}]});
    let batch = json!([
        track("Order Completed", json!({"userId": "ann", "context": cookie}), json!({"total": 0.5})),
        {"type": "page", "anonymousId": "web-1"},
    ]);
    tokens.push(send("/v1/batch", json!({"batch": batch, "sentAt": "2026-01-31T12:00:00Z"}), "basic").await);
    let import =
        json!([identify(json!({"userId": "ann", "timestamp": "2020-01-01T00:00:00Z"}), json!({"city": "Oslo"}))]);
    tokens.push(send("/v1/import", json!({"batch": import}), "body").await);
    assert!(tokens.is_sorted_by(|a, b| a < b), "a later call has a later tick: {tokens:?}");

    let mut ann = server.profile("user_id:ann", *tokens.last().unwrap()).await;
    assert_eq!(
        ann["identifiers"],
        json!([
            "anonymous_id:old-1",
            "anonymous_id:web-1",
            "cookie:c-1",
            "device_id:phone-1",
            "email:ann@b.org",
            "user_id:ann"
        ])
    );
    // The import is older than what was said before; the group's city is not Ann's.
    assert_eq!(ann["attributes"]["city"], "Berlin");
    assert!(ann["traits"].as_object_mut().unwrap().remove("last_order").is_some());
    assert_eq!(ann["traits"], json!({"orders": 2, "orders_1h": 2, "revenue": 10, "views": 0}));
    assert_eq!(ann["audiences"], json!(["buyers"]));
    let phone = server.profile("device_id:phone-1", 0).await;
    assert_eq!(phone["id"], ann["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_batch_of_which_some_events_are_wrong() {
    let ServedShop { server, .. } = ServedShop::open(&[]).await;
    let order = || track("Order Completed", json!({"userId": "ann"}), json!({"total": 1}));
    let batch = json!({"batch": [order(), {"type": "track", "userId": "ann"}, order(), 7, {"type": "page"}, order()]});
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(batch.to_string().as_bytes()).unwrap();
    let request = server.request(Method::POST, "/v1/batch").basic_auth("web-key", Some(""));
    let request = request.header("content-encoding", "gzip").body(gzip.finish().unwrap());
    let answer = ServerProcess::try_send(request).await.unwrap();
    let token = answer.token();
    let body = answer.json();
    assert_eq!((&body["success"], &body["accepted"], &body["duplicates"]), (&json!(true), &json!(3), &json!(0)));
    let rejected: Vec<(u64, &str)> = body["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rejected| (rejected["index"].as_u64().unwrap(), rejected["code"].as_str().unwrap()))
        .collect();
    assert_eq!(rejected, [(1, "no_event_name"), (3, "not_an_object"), (4, "no_identifier")]);
    assert_eq!(server.profile("user_id:ann", token).await["traits"]["orders"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_counts_once() {
    let ServedShop { server, .. } = ServedShop::open(&[]).await;
    let order = |id: &str| {
        with(track("Order Completed", json!({"userId": "ann"}), json!({"total": 5})), json!({"messageId": id}))
    };
    let batch = json!({"batch": [order("m1"), order("m2"), order("m1")]});
    assert_eq!(server.post("/v1/batch", &batch).await.json()["duplicates"], 1);
    let again = server.post("/v1/track", &order("m1")).await;
    assert_eq!((again.json()["duplicates"].clone(), again.status), (json!(1), 200));
    // Another source numbers its own messages.
    let other = server.request(Method::POST, "/v1/track").bearer_auth("app-key").body(order("m1").to_string());
    let token = ServerProcess::try_send(other).await.unwrap().token();
    let traits = &server.profile("user_id:ann", token).await["traits"];
    assert_eq!((&traits["orders"], &traits["revenue"]), (&json!(3), &json!(15)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_nobody_joins_nobody() {
    let ServedShop { server, .. } = ServedShop::open(&[]).await;
    let order = |who| track("Order Completed", who, json!({"total": 5}));
    let token = server
        .take(&[
            order(json!({"userId": "NULL", "anonymousId": "web-1"})),
            order(json!({"userId": "null", "anonymousId": "web-2"})),
            order(json!({"userId": "undefined", "anonymousId": "-1"})),
            order(json!({"anonymousId": "0000-0000"})),
        ])
        .await;
    for (identifier, other) in [("anonymous_id:web-1", "web-2"), ("anonymous_id:web-2", "web-1")] {
        let profile = server.profile(identifier, token).await;
        assert_eq!(profile["identifiers"], json!([identifier]), "not {other}");
        assert_eq!(profile["traits"]["orders"], 1);
    }
    for nobody in ["user_id:null", "user_id:undefined", "anonymous_id:-1", "anonymous_id:0000-0000"] {
        assert_eq!(server.get(&format!("/v1/profiles/{nobody}")).await.problem(), (404, "unknown_identifier".into()));
    }
    assert_eq!(server.size("buyers", token).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_are_ahead_late_or_by_a_wrong_clock() {
    let ServedShop { server, .. } = ServedShop::open(&[]).await;
    let now = jiff::Timestamp::now();
    let ago = |ms: i64| (now - jiff::SignedDuration::from_millis(ms)).to_string();
    let order = |user: &str, times: Value| with(track("Order Completed", json!({"userId": user}), json!({})), times);
    const HOUR_MS: i64 = 3_600_000;
    // Ahead by much or by little: it happened at its tick.
    let time = |ms: u64| jiff::Timestamp::from_millisecond(ms.try_into().unwrap()).unwrap().to_string();
    for (user, ahead_ms) in [("far", 10 * HOUR_MS), ("near", 30_000)] {
        let token = server.take(&[order(user, json!({"timestamp": ago(-ahead_ms)}))]).await;
        let traits = server.profile(&format!("user_id:{user}"), token).await["traits"].clone();
        assert_eq!((&traits["last_order"], &traits["orders"]), (&json!(time(token)), &json!(1)));
        assert_eq!(traits["orders_1h"], 1, "in windows, too");
    }
    // Late: in a window as long as there is something left of it.
    let late =
        [order("late", json!({"timestamp": ago(HOUR_MS / 2)})), order("late", json!({"timestamp": ago(2 * HOUR_MS)}))];
    let token = server.take(&late).await;
    let traits = server.profile("user_id:late", token).await["traits"].clone();
    assert_eq!((&traits["orders"], &traits["orders_1h"]), (&json!(2), &json!(1)));
    // A clock that is a day behind, and says so.
    let skewed = json!({"timestamp": ago(24 * HOUR_MS + 60_000), "sentAt": ago(24 * HOUR_MS)});
    let token = server.take(&[order("skewed", skewed)]).await;
    assert_eq!(server.profile("user_id:skewed", token).await["traits"]["orders_1h"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_later_by_its_own_time_wins() {
    let ServedShop { server, .. } = ServedShop::open(&[]).await;
    let city = |name: &str, when: &str| with(identify(json!({"userId": "ann"}), json!({"city": name})), at(when));
    server.take(&[city("Paris", "03T00:00:00")]).await;
    let token = server.take(&[city("Berlin", "02T00:00:00")]).await;
    assert_eq!(server.profile("user_id:ann", token).await["attributes"], json!({"city": "Paris"}));
    let gone = with(identify(json!({"userId": "ann"}), json!({"city": null})), at("04T00:00:00"));
    let token = server.take(&[gone]).await;
    assert_eq!(server.profile("user_id:ann", token).await["attributes"], json!({}));
}
