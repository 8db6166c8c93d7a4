//! The HTTP API: which addresses there are with which methods, and what answers look like.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use reqwest::Method;
use serde_json::Value;
use tokio::net::TcpListener;

use super::{page, tables_and_blocks};
use crate::program::{DEADLINE, HttpAnswer, ServerProcess, example};
use crate::tree;

const PAGE: &str = "reference/http-api.md";
/// The tokens of the shop.
const WRITE_KEY: &str = "website-write-key";
const READ_TOKEN: &str = "shop-read-token";
const ADMIN_TOKEN: &str = "shop-admin-token";

/// The methods of each address that the page has, in headings and tables.
fn on_page() -> BTreeMap<String, BTreeSet<String>> {
    let text = page(PAGE);
    let headings = text.lines().filter_map(|line| line.strip_prefix("### "));
    let (rows, _) = tables_and_blocks(&text);
    let cells = rows.iter().flat_map(|row| row.cells.iter().map(String::as_str));
    let mut addresses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let also = ["`POST /v1/b`"];
    assert!(text.contains("Also `POST /v1/b`"));
    for line in headings.chain(cells).chain(also) {
        let Some(line) = line.strip_prefix('`').and_then(|line| line.strip_suffix('`')) else { continue };
        let Some((method, address)) = line.split_once(' ') else { continue };
        if address.starts_with('/') {
            addresses.entry(address.replace("{type}:{value}", "{identifier}")).or_default().insert(method.to_owned());
        }
    }
    addresses
}

/// The addresses in the sources: what stands in `.route("…"`, and the calls of the tracking API.
fn in_sources() -> BTreeSet<String> {
    // The receivers of `receive` and of the load test are no part of an engine.
    let is_of_engine = |path: &PathBuf| !path.starts_with("src/receive") && !path.starts_with("src/load");
    let mut addresses = BTreeSet::new();
    for path in tree::files("src", "rs").into_iter().filter(is_of_engine).filter(|path| !path.ends_with("tests.rs")) {
        let text = tree::text(&path);
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let routes = text.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
        addresses.extend(routes.filter(|route| route.starts_with('/')).map(str::to_owned));
    }
    let ingest = tree::text(Path::new("src/ingest/sources/http.rs"));
    let (_, calls) = ingest.split_once("const ADDRESSES").unwrap();
    let calls = calls.split_once("];\n").unwrap().0;
    let calls = calls.split("    (\"").skip(1).filter_map(|rest| rest.split('"').next());
    addresses.extend(calls.map(|call| format!("/v1/{call}")));
    addresses
}

#[test]
fn the_page_has_each_address_and_no_other() {
    let on_page: BTreeSet<String> = on_page().into_keys().collect();
    let in_sources = in_sources();
    assert!(in_sources.len() > 40, "{in_sources:?}");
    assert_eq!(on_page, in_sources);
}

/// A request with the token that an address asks for.
fn request(server: &ServerProcess, method: &str, address: &str) -> reqwest::RequestBuilder {
    let request = server.request(Method::from_bytes(method.as_bytes()).unwrap(), address);
    let first = address.trim_start_matches("/v1/").split(['/', '?']).next().unwrap_or_default();
    match first {
        "profiles" | "audiences" => request.bearer_auth(READ_TOKEN),
        "destinations" | "quarantine" | "events" | "dataflow" | "catalogue" | "identity" | "cluster" | "clock"
        | "take-over" => request.bearer_auth(ADMIN_TOKEN),
        _ => request.basic_auth(WRITE_KEY, Some("")),
    }
}

/// The shop in a folder of its own.
fn shop() -> tempfile::TempDir {
    crate::program::project(&std::fs::read_to_string(example("shop").join("deltaic.toml")).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_address_takes_the_methods_that_the_page_says() {
    let folder = shop();
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    for (address, methods) in on_page() {
        let sent = address.replace("{identifier}", "user_id:1").replace("{name}", "email").replace("{id}", "1");
        let answer = request(&server, "PATCH", &sent).send().await.unwrap();
        assert_eq!(answer.status(), 405, "{address}");
        let allowed = answer.headers()["allow"].to_str().unwrap().to_owned();
        let allowed: BTreeSet<String> = allowed.split(',').map(|method| method.trim().to_owned()).collect();
        // Where one may read, one may ask for the head alone.
        let allowed: BTreeSet<String> = allowed.into_iter().filter(|method| method != "HEAD").collect();
        assert_eq!(allowed, methods, "{address}");
    }
    server.stop();
}

/// The address of an endpoint that refuses for good whatever it is sent.
async fn refusing() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let refuse = any(|| async { (StatusCode::UNPROCESSABLE_ENTITY, "no such field") });
    tokio::spawn(async { axum::serve(listener, Router::new().fallback_service(refuse)).await });
    url
}

/// Waits until the shop has dead letters of both kinds.
async fn refused(server: &ServerProcess) {
    let waited = tokio::time::timeout(DEADLINE, async {
        loop {
            let text = server.get("/metrics").await.body;
            let is_given_up = |name: &str| text.lines().any(|line| line.starts_with(name) && !line.ends_with("} 0"));
            if is_given_up("deltaic_destination_given_up_total{destination=\"email\"}")
                && is_given_up("deltaic_forward_given_up_total{destination=\"orders\"}")
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap();
}

/// What is like another value, but for its texts and numbers: of objects the names, of arrays the first element.
fn differs(shown: &Value, found: &Value, place: &str) -> Option<String> {
    match (shown, found) {
        (Value::Object(shown), Value::Object(found)) => {
            // What these hold is named by a project, or by who measures.
            if ["traits", "attributes", "consent", "types", "reasons"].iter().any(|names| place.ends_with(names)) {
                return None;
            }
            let (of_page, of_engine): (BTreeSet<_>, BTreeSet<_>) = (shown.keys().collect(), found.keys().collect());
            if of_page != of_engine {
                return Some(format!("{place}: the page has {of_page:?}, the engine {of_engine:?}"));
            }
            shown.iter().find_map(|(key, value)| differs(value, &found[key], &format!("{place}.{key}")))
        }
        (Value::Array(shown), Value::Array(found)) => match (shown.first(), found.first()) {
            (Some(shown), Some(found)) => differs(shown, found, &format!("{place}[0]")),
            _ => None,
        },
        (Value::Null, _) | (_, Value::Null) => None,
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_)) => None,
        _ => Some(format!("{place}: the page has {shown}, the engine {found}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_look_as_the_page_shows_them() {
    let folder = shop();
    let server = ServerProcess::start(folder.path(), &[], &[("SHOP_WEBHOOK_URL", &refusing().await)]).await;
    let (_, blocks) = tables_and_blocks(&page(PAGE));
    let (mut body, mut shown, mut token) = (None, 0, 0);
    for block in blocks {
        let words: Vec<&str> = block.fence.split_whitespace().collect();
        match words[..] {
            ["json", "request"] => body = Some(block.text),
            ["json", method, address] => {
                let is_read =
                    ["/v1/profiles", "/v1/audiences", "/v1/identity"].iter().any(|of| address.starts_with(of));
                let and = if address.contains('?') { '&' } else { '?' };
                let sent = if is_read { format!("{address}{and}after={token}") } else { address.to_owned() };
                let request = request(&server, method, &sent).body(body.take().unwrap_or_default());
                let answer: HttpAnswer = ServerProcess::try_send(request).await.unwrap();
                assert_eq!(answer.status, 200, "{method} {address}: {answer:?}");
                let expected: Value =
                    serde_json::from_str(&block.text).unwrap_or_else(|error| panic!("{error}: {block:?}"));
                let difference = differs(&expected, &answer.json(), "");
                assert_eq!(difference, None, "{method} {address}: {answer:?}");
                if let Some(taken) = answer.json()["token"].as_u64() {
                    token = taken;
                    refused(&server).await;
                }
                shown += 1;
            }
            _ => panic!("{block:?}"),
        }
    }
    assert!(shown > 20, "{shown}");
    // Its destinations are not there, so nothing is waited for.
    server.kill();
}

/// The test of answers finds what is wrong.
#[test]
fn a_part_that_is_missing_is_found() {
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let shown = value(r#"{"a": 1, "b": [{"c": null}], "traits": {"x": 1}}"#);
    assert_eq!(differs(&shown, &value(r#"{"a": 2, "b": [{"c": "text"}], "traits": {"y": 1}}"#), ""), None);
    for other in
        [r#"{"a": 2, "b": []}"#, r#"{"a": "2", "b": [], "traits": {}}"#, r#"{"a": 2, "b": [{}], "traits": {}}"#]
    {
        assert!(differs(&shown, &value(other), "").is_some(), "{other}");
    }
}
