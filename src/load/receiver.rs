//! Where the webhook calls come in: checks the signature, and hands changes and messages to the judge with the time at which they came.
//!
//! Not [`crate::receive`], which keeps the calls and everybody's state: at these rates that would be measured, too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::serve::ListenerExt;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::error::LoadError;
use super::judge::handle::JudgeHandle;
use crate::egress::signature::{self, SIGNATURE, SignedCall};
use crate::project::Secret;
use crate::receive::event::{ReceivedEntry, TriggerMessage};
use crate::receive::server::ReceivedChange;

/// Bytes of one call at most: well above what the engine sends.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Calls that are known again when they are repeated. One is under way at a time.
const KEYS_KEPT: usize = 100;

/// A receiver; it ends when dropped.
pub struct LoadReceiver {
    calls: Arc<Calls>,
    task: JoinHandle<()>,
}

struct Calls {
    judge: JudgeHandle,
    secret: Secret,
    lose_call: Option<u64>,
    taken: AtomicU64,
    keys: Mutex<VecDeque<String>>,
}

#[derive(Deserialize)]
struct ChangesBody {
    #[serde(default)]
    changes: Vec<ReceivedChange>,
    #[serde(default)]
    events: Vec<ReceivedEntry>,
}

impl LoadReceiver {
    /// Listens. The call numbered `lose_call` is thrown away, although it is confirmed.
    pub async fn start(
        listen: std::net::SocketAddr,
        secret: Secret,
        lose_call: Option<u64>,
        judge: JudgeHandle,
    ) -> Result<Self, LoadError> {
        let listener = TcpListener::bind(listen).await;
        let listener = listener.map_err(|source| LoadError::Listen { listen: listen.to_string(), source })?;
        let (taken, keys) = (AtomicU64::new(0), Mutex::default());
        let calls = Arc::new(Calls { judge, secret, lose_call, taken, keys });
        let router = Router::new()
            .fallback(post(receive))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(calls.clone());
        let task = tokio::spawn(async move {
            // An answer that waits for a full segment would be a delay of ours. Where that cannot be set, it is in the figures.
            let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
            // It does not end by itself.
            _ = axum::serve(listener, router).await;
        });
        Ok(LoadReceiver { calls, task })
    }

    /// How many calls came, repeated ones left out.
    pub fn calls(&self) -> u64 {
        self.calls.taken.load(Ordering::Relaxed)
    }
}

impl Drop for LoadReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Calls {
    /// Whether a call with this key came before.
    fn is_repeated(&self, key: &str) -> bool {
        let mut keys = self.keys.lock();
        if keys.iter().any(|known| known == key) {
            return true;
        }
        if keys.len() == KEYS_KEPT {
            keys.pop_front();
        }
        keys.push_back(key.to_owned());
        false
    }
}

async fn receive(State(calls): State<Arc<Calls>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let at = Instant::now();
    let (call, signatures) = SignedCall::received(&headers, &body);
    if !call.verify(&calls.secret, signatures, signature::now_s()) {
        tracing::warn!("a call with a wrong signature: give this program the DELTAIC_WEBHOOK_SECRET of the engine");
        return (StatusCode::UNAUTHORIZED, format!("the header {SIGNATURE} does not sign this call"));
    }
    let ChangesBody { changes, events } = match serde_json::from_slice(&body) {
        Ok(body) => body,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()),
    };
    // No events are asked for.
    let message = |entry| if let ReceivedEntry::Message(message) = entry { Some(message) } else { None };
    let messages: Vec<TriggerMessage> = events.into_iter().filter_map(message).collect();
    if !calls.is_repeated(call.id) {
        let number = calls.taken.fetch_add(1, Ordering::Relaxed) + 1;
        if calls.lose_call != Some(number) {
            calls.judge.received(changes, messages, at);
        }
    }
    (StatusCode::OK, String::new())
}
