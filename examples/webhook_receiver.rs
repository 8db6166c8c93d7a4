//! Receives the calls of a webhook destination: checks the signature, does each call once, answers.
//!
//! `docs/guides/receivers.md` shows it: `WEBHOOK_SECRET=… cargo run --example webhook_receiver 9000`.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

/// How far the time of a call may be from ours.
const TOLERANCE_S: u64 = 5 * 60;
/// How long a call that was done is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is received. In the place of it a database, in which a call and its effect are one transaction.
#[derive(Default)]
struct Received {
    /// Calls that were done, by their ids.
    done: HashMap<String, Instant>,
    /// Traits, by audience and identifier.
    members: BTreeMap<(String, String), Value>,
}

struct Receiver {
    key: Vec<u8>,
    received: Mutex<Received>,
}

/// The key of a secret: what follows `whsec_` is its base64; any other secret is the key itself.
fn key(secret: &str) -> Option<Vec<u8>> {
    secret.strip_prefix("whsec_").map_or(Some(secret.into()), |encoded| STANDARD.decode(encoded).ok())
}

/// Whether we are sent this, now.
fn is_signed(key: &[u8], headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let Ok(sent_s) = timestamp.parse::<u64>() else { return false };
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if now_s.abs_diff(sent_s) > TOLERANCE_S {
        return false;
    }
    // While the secret is changed there is a signature for each.
    header("webhook-signature").split(' ').filter_map(|signature| signature.strip_prefix("v1,")).any(|signature| {
        let Ok(signature) = STANDARD.decode(signature) else { return false };
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        // It takes as long wherever the two differ.
        mac.verify_slice(&signature).is_ok()
    })
}

impl Received {
    /// Does what a call says, unless that was done before.
    fn take(&mut self, id: &str, call: &Value) {
        self.done.retain(|_, at| at.elapsed() < REMEMBERED);
        if self.done.insert(id.to_owned(), Instant::now()).is_some() {
            return;
        }
        let list = |of: &Value, name: &str| of[name].as_array().cloned().unwrap_or_default();
        let text = |of: &Value| of.as_str().unwrap_or_default().to_owned();
        for change in list(call, "changes") {
            let (audience, action) = (text(&change["audience"]), text(&change["action"]));
            for identifier in list(&change, "identifiers").iter().map(text) {
                println!("{action} {audience} {identifier}");
                let row = (audience.clone(), identifier);
                match action.as_str() {
                    "add" => self.members.insert(row, change["traits"].clone()),
                    _ => self.members.remove(&row),
                };
            }
        }
        for sent in list(call, "events") {
            match sent.get("trigger") {
                Some(trigger) => println!("message {} {}", text(trigger), text(&sent["message_id"])),
                None => println!("event {}", text(&sent["event"]["messageId"])),
            }
        }
    }
}

async fn take(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !is_signed(&receiver.key, &headers, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let Ok(call) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    // One call at a time, and the answer when it is done.
    receiver.received.lock().unwrap_or_else(PoisonError::into_inner).take(id, &call);
    StatusCode::NO_CONTENT
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = key(&env::var("WEBHOOK_SECRET")?).ok_or("what follows whsec_ is no base64")?;
    let port = env::args().nth(1).map_or(Ok(9000), |port| port.parse())?;
    let receiver = Arc::new(Receiver { key, received: Mutex::default() });
    let routes = Router::new().route("/{*path}", post(take)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, routes.with_state(receiver)).await?;
    Ok(())
}
