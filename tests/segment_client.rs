//! Stock clients against the real server: what customers already have must work as it is.

use serde_json::json;

use crate::program::{NodeScript, Python, ServerProcess};
use crate::server::{ServedShop, track};

/// The client, from PyPI.
const CLIENT: &str = "segment-analytics-python==2.4.0";

/// Calls everything that the client has; its arguments are the server and whether to compress.
const SCRIPT: &str = r#"
import datetime, sys
from segment.analytics.client import Client

errors = []
client = Client("web-key", host=sys.argv[1], gzip=sys.argv[2] == "gzip", max_retries=1,
                on_error=lambda error, items: errors.append(str(error)))
user = sys.argv[2]
context = {
    "ip": "10.0.0.1",
    "locale": "de-DE",
    "device": {"id": user + "-phone"},
    "externalIds": [{"id": "c-" + user, "type": "cookie", "collection": "users", "encoding": "none"}],
    "consent": {"categoryPreferences": {"ads": True}},
}
since = datetime.datetime(2024, 2, 29, 12, 0, tzinfo=datetime.timezone.utc)
traits = {"email": user.upper() + "@b.org", "city": "Köln", "vip": True, "age": 42.5, "since": since, "address": {"zip": "50667"}}
client.identify(user, traits, context=context)
client.track(user, "Order Completed", {"total": 9.5, "products": [{"sku": 1}]})
client.track(user, "Order Completed", {"total": 0.5}, context=context, anonymous_id=user + "-web")
client.track(None, "Product Viewed", {"name": "☕"}, anonymous_id=user + "-web")
client.page(user, "Shop", "Home", {"url": "https://shop.example/"})
client.screen(user, "Shop", "Cart", {"items": 2})
client.group(user, "acme", {"city": "Rome", "email": "all@acme.example"})
client.alias(user + "-old", user)
client.alias(user + "-before", user)
client.track(None, "Product Viewed", anonymous_id=user + "-before")
client.flush()
client.join()
if errors:
    sys.exit("\n".join(errors))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_client_works_as_it_is() {
    let Some(python) = tokio::task::block_in_place(|| Python::with(CLIENT)) else {
        println!("not tested: there is no python3 on PATH to run {CLIENT} with");
        return;
    };
    let ServedShop { server, .. } = ServedShop::open(&[]).await;
    for user in ["plain", "gzip"] {
        tokio::task::block_in_place(|| python.run(SCRIPT, &[server.url(), user]));
        check(&server, user).await;
    }
}

/// What is known of the user after the script.
async fn check(server: &ServerProcess, user: &str) {
    // The client does not tell the tokens that it got; one that comes later will do.
    let token = server.take(&[track("Later", json!({"userId": "nobody-else"}), json!({}))]).await;
    let mut profile = server.profile(&format!("user_id:{user}"), token).await;
    let mut identifiers = vec![
        format!("anonymous_id:{user}-before"),
        format!("anonymous_id:{user}-web"),
        format!("cookie:c-{user}"),
        format!("device_id:{user}-phone"),
        format!("email:{user}@b.org"),
        format!("user_id:{user}"),
    ];
    identifiers.sort();
    assert_eq!(profile["identifiers"], json!(identifiers));
    let email = format!("{}@b.org", user.to_uppercase());
    let since = "2024-02-29T12:00:00+00:00";
    let attributes =
        json!({"email": email, "city": "Köln", "vip": true, "age": 42.5, "since": since, "address.zip": "50667"});
    assert_eq!(profile["attributes"], attributes);
    assert!(profile["traits"].as_object_mut().unwrap().remove("last_order").is_some());
    assert_eq!(profile["traits"], json!({"orders": 2, "orders_1h": 2, "revenue": 10, "views": 2}));
    assert_eq!(profile["consent"], json!({"ads": true}));
    assert_eq!(profile["audiences"], json!(["buyers", "viewers"]));
}

/// The vendors' libraries for servers, from npm.
const SERVER_LIBRARIES: [&str; 2] = ["@rudderstack/rudder-sdk-node@3.0.13", "@segment/analytics-node@3.1.0"];

/// RudderStack's library writes the time of the call into `originalTimestamp`, beside the `timestamp` that the program says.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_says_of_the_past_was_then() {
    let node = tokio::task::block_in_place(|| NodeScript::with(&SERVER_LIBRARIES));
    let ServedShop { server, .. } = ServedShop::open(&[]).await;
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/backfill.js");
    for library in ["rudderstack", "segment"] {
        tokio::task::block_in_place(|| node.start(&script, &[library, server.url()]).end());
        let token = server.take(&[track("Later", json!({"userId": "nobody-else"}), json!({}))]).await;
        let last_order = async |who: &str| {
            let profile = server.profile(&format!("user_id:{library}-{who}"), token).await;
            profile["traits"]["last_order"].as_str().unwrap().to_owned()
        };
        let (past, now) = (last_order("past").await, last_order("now").await);
        match library {
            "rudderstack" => assert_eq!(past, "2020-02-29T12:00:00Z"),
            // It says when it sends, so its clock is compared.
            _ => assert!(past.starts_with("2020-02-29T1"), "{past}"),
        }
        assert!(now.as_str() > "2020-03", "{now}");
    }
}
