//! The receiver itself: a server on this machine only, the state that calls lead to, and the calls themselves.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::egress::signature;
use crate::project::Secret;
use crate::receive::event::{ForwardedEvent, ReceivedEntry, TriggerMessage};

/// Bytes of one call at most: well above what the engine sends.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Calls that are kept to be looked at; older ones are forgotten.
const CALLS_KEPT_MAX: usize = 10_000;

/// Identifiers kept over all audiences; beyond it calls are answered 507. A tool for trying out, not a database.
const MEMBERS_MAX: usize = 5_000_000;

/// Is told of each change that had its effect.
pub type OnApplied = Box<dyn Fn(&Applied) + Send + Sync>;

/// Is told of each forwarded event and each message that was taken.
pub type OnEvent = Box<dyn Fn(&ReceivedEntry) + Send + Sync>;

/// How a receiver behaves.
#[derive(Default)]
pub struct ReceiveOptions {
    /// The port; 0 for any.
    pub port: u16,
    /// The key of the signature. Without one, signatures are not looked at.
    pub secret: Option<Secret>,
    /// Each call whose number is a multiple of this is answered 500 and has no effect.
    pub fail_every: Option<u32>,
    /// How long each answer takes.
    pub delay: Duration,
    /// Called with each change that had its effect.
    pub on_applied: Option<OnApplied>,
    /// Called with each forwarded event that was taken.
    pub on_event: Option<OnEvent>,
}

/// A running receiver. It stops when dropped.
#[derive(Debug)]
pub struct WebhookReceiver {
    addr: SocketAddr,
    server: Arc<ReceiverServer>,
    task: JoinHandle<io::Result<()>>,
}

/// Who is in which audience: destination → audience → identifier → traits.
pub type ReceivedState = BTreeMap<String, BTreeMap<String, BTreeMap<String, Map<String, Value>>>>;

/// A call as it came.
#[derive(Clone, Debug)]
pub struct ReceivedCall {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What it was answered.
    pub status: StatusCode,
}

impl ReceivedCall {
    /// Its id, which a retry repeats; or an empty text.
    pub fn key(&self) -> &str {
        signature::SignedCall::received(&self.headers, &self.body).0.id
    }

    /// The changes in it; none where the shape is wrong.
    pub fn changes(&self) -> Vec<ReceivedChange> {
        serde_json::from_slice::<ReceivedBody>(&self.body).ok().and_then(|body| body.changes).unwrap_or_default()
    }

    /// The forwarded events in it; none where the shape is wrong.
    pub fn events(&self) -> Vec<ForwardedEvent> {
        let event = |entry| if let ReceivedEntry::Event(event) = entry { Some(event) } else { None };
        self.entries().into_iter().filter_map(event).collect()
    }

    /// The messages of triggers in it; none where the shape is wrong.
    pub fn messages(&self) -> Vec<TriggerMessage> {
        let message = |entry| if let ReceivedEntry::Message(message) = entry { Some(message) } else { None };
        self.entries().into_iter().filter_map(message).collect()
    }

    fn entries(&self) -> Vec<ReceivedEntry> {
        serde_json::from_slice::<ReceivedBody>(&self.body).ok().and_then(|body| body.events).unwrap_or_default()
    }
}

/// An answer made up by a test, in the place of the usual one.
#[derive(Debug)]
pub struct ScriptedReply {
    /// The status.
    pub status: StatusCode,
    /// A header, such as `Retry-After`.
    pub header: Option<(HeaderName, String)>,
    /// The text.
    pub text: String,
    /// Whether the call has its effect all the same, as when an answer is lost.
    pub applies: bool,
    /// The answer waits for this (or for its other end to go).
    pub hold: Option<oneshot::Receiver<()>>,
}

impl ScriptedReply {
    /// An answer with this status to a call without effect.
    pub fn status(status: StatusCode) -> Self {
        ScriptedReply { status, header: None, text: String::new(), applies: false, hold: None }
    }

    /// The usual answer, once it is released.
    pub fn held() -> (Self, oneshot::Sender<()>) {
        let (release, hold) = oneshot::channel();
        (ScriptedReply { applies: true, hold: Some(hold), ..ScriptedReply::status(StatusCode::OK) }, release)
    }
}

/// The body of a call, which has one of the two.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceivedBody {
    destination: String,
    changes: Option<Vec<ReceivedChange>>,
    events: Option<Vec<ReceivedEntry>>,
}

/// A change as a receiver reads it. Its own type, not the sender's: so the two check each other.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReceivedChange {
    /// The audience.
    pub audience: String,
    /// What becomes of the identifiers.
    pub action: ReceivedAction,
    /// `type:value`, at least one.
    pub identifiers: Vec<String>,
    /// Traits by name; none in a delete.
    pub traits: Map<String, Value>,
    /// The tick of the change.
    pub as_of: u64,
}

/// What becomes of identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceivedAction {
    /// They are in the audience, with these traits.
    Add,
    /// They are not.
    Delete,
}

impl fmt::Display for ReceivedAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ReceivedAction::Add => "add",
            ReceivedAction::Delete => "delete",
        })
    }
}

/// A change that had its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The destination that the call named.
    pub destination: String,
    /// The change.
    pub change: ReceivedChange,
}

struct ReceiverServer {
    options: ReceiveOptions,
    kept: Mutex<ReceiverState>,
    /// How many calls have come; changes when one does.
    count: watch::Sender<usize>,
}

impl fmt::Debug for ReceiverServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server(..)")
    }
}

#[derive(Default)]
struct ReceiverState {
    state: ReceivedState,
    members: usize,
    begun: usize,
    calls: VecDeque<ReceivedCall>,
    replies: VecDeque<ScriptedReply>,
}

impl WebhookReceiver {
    /// Listens on this machine only: what comes is personal data, and nobody is asked who they are.
    pub async fn start(options: ReceiveOptions) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let addr = listener.local_addr()?;
        let server = Arc::new(ReceiverServer { options, kept: Mutex::default(), count: watch::Sender::new(0) });
        let router = Router::new()
            .route("/state", get(state))
            .fallback(post(receive))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(server.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(WebhookReceiver { addr, server, task })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where to call.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    /// Who is in which audience now. Audiences without anybody are not there.
    pub fn state(&self) -> ReceivedState {
        self.server.kept().state.clone()
    }

    /// The latest calls, in the order in which they were answered (or are about to be).
    pub fn calls(&self) -> Vec<ReceivedCall> {
        self.server.kept().calls.iter().cloned().collect()
    }

    /// How many calls have come.
    pub fn calls_count(&self) -> usize {
        *self.server.count.borrow()
    }

    /// Waits until so many calls have come.
    pub async fn until_calls(&self, count: usize) {
        let mut counted = self.server.count.subscribe();
        counted.wait_for(|counted| *counted >= count).await.expect("the receiver holds the other end");
    }

    /// Gives the next call that nobody has an answer for yet this answer.
    pub fn answer_next(&self, reply: ScriptedReply) {
        self.server.kept().replies.push_back(reply);
    }
}

impl Drop for WebhookReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ReceiverServer {
    fn kept(&self) -> MutexGuard<'_, ReceiverState> {
        self.kept.lock()
    }

    /// Whether the call counted as number `number` is one of those that are to fail.
    fn fails(&self, number: usize) -> bool {
        self.options.fail_every.is_some_and(|every| number.is_multiple_of(every.max(1) as usize))
    }

    /// Checks a call and lets it have its effect.
    fn take(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), (StatusCode, String)> {
        if let Some(secret) = &self.options.secret {
            let (call, signatures) = signature::SignedCall::received(headers, body);
            if !call.verify(secret, signatures, signature::now_s()) {
                let reason = format!("the header {} does not sign this call, or it is old", signature::SIGNATURE);
                return Err((StatusCode::UNAUTHORIZED, reason));
            }
        }
        let wrong = |reason: String| (StatusCode::BAD_REQUEST, reason);
        let ReceivedBody { destination, changes, events } =
            serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
        if changes.is_none() && events.is_none() {
            return Err(wrong("a call has neither `changes` nor `events`".into()));
        }
        if let Some(on_event) = &self.options.on_event {
            events.iter().flatten().for_each(on_event);
        }
        let changes = changes.unwrap_or_default();
        changes.iter().try_for_each(check).map_err(wrong)?;
        for change in changes {
            let applied = Applied { destination: destination.clone(), change };
            if !self.kept().apply(&applied) {
                return Err((StatusCode::INSUFFICIENT_STORAGE, format!("more than {MEMBERS_MAX} identifiers")));
            }
            if let Some(on_applied) = &self.options.on_applied {
                on_applied(&applied);
            }
        }
        Ok(())
    }

    /// Remembers a call, and wakes those who wait for it.
    fn keep(&self, call: ReceivedCall) {
        let mut kept = self.kept();
        if kept.calls.len() == CALLS_KEPT_MAX {
            kept.calls.pop_front();
        }
        kept.calls.push_back(call);
        self.count.send_modify(|count| *count += 1);
    }
}

/// What the shape alone does not say.
fn check(change: &ReceivedChange) -> Result<(), String> {
    if change.identifiers.is_empty() {
        return Err("a change has no identifiers".into());
    }
    if !change.identifiers.iter().all(|identifier| identifier.contains(':')) {
        return Err("an identifier is written type:value".into());
    }
    if change.action == ReceivedAction::Delete && !change.traits.is_empty() {
        return Err("a delete has no traits".into());
    }
    Ok(())
}

impl ReceiverState {
    /// The number of a new call, from 1 on, and its answer, where one is prepared.
    fn begin(&mut self) -> (usize, Option<ScriptedReply>) {
        self.begun += 1;
        (self.begun, self.replies.pop_front())
    }

    /// Does what a change says; false where there is no room for it.
    fn apply(&mut self, Applied { destination, change }: &Applied) -> bool {
        if change.action == ReceivedAction::Add && self.members + change.identifiers.len() > MEMBERS_MAX {
            return false;
        }
        let audiences = self.state.entry(destination.clone()).or_default();
        let members = audiences.entry(change.audience.clone()).or_default();
        let before = members.len();
        for identifier in &change.identifiers {
            match change.action {
                ReceivedAction::Add => members.insert(identifier.clone(), change.traits.clone()),
                ReceivedAction::Delete => members.remove(identifier),
            };
        }
        self.members = self.members + members.len() - before;
        if members.is_empty() {
            audiences.remove(&change.audience);
        }
        true
    }
}

async fn state(Shared(server): Shared<Arc<ReceiverServer>>) -> Response {
    let state = serde_json::to_string_pretty(&server.kept().state).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], state).into_response()
}

async fn receive(Shared(server): Shared<Arc<ReceiverServer>>, headers: HeaderMap, body: Bytes) -> Response {
    let (number, prepared) = server.kept().begin();
    let usual = match &prepared {
        Some(reply) if !reply.applies => Ok(()),
        None if server.fails(number) => {
            Err((StatusCode::INTERNAL_SERVER_ERROR, "a failure that was asked for".to_owned()))
        }
        _ => server.take(&headers, &body),
    };
    let ScriptedReply { status, header, text, hold, .. } = prepared.unwrap_or_else(|| match usual {
        Ok(()) => ScriptedReply::status(StatusCode::OK),
        Err((status, text)) => ScriptedReply { text, ..ScriptedReply::status(status) },
    });
    server.keep(ReceivedCall { headers, body, status });

    if let Some(hold) = hold {
        // The other end is released or gone: either way the wait is over.
        let _ = hold.await;
    }
    sleep(server.options.delay).await;
    (status, AppendHeaders(header), text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::install_crypto;

    const BODY: &str = r#"{"destination": "crm", "changes": [
        {"audience": "vips", "action": "add", "identifiers": ["user_id:42"], "traits": {"n": 1}, "as_of": 1}]}"#;

    fn client() -> reqwest::Client {
        install_crypto();
        reqwest::Client::builder().tls_certs_only([]).build().unwrap()
    }

    async fn post(receiver: &WebhookReceiver, body: &str) -> (StatusCode, String) {
        let answer = client().post(receiver.url()).body(body.to_owned()).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    #[tokio::test]
    async fn tells_who_is_in_which_audience() {
        let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
        assert_eq!(post(&receiver, BODY).await.0, StatusCode::OK);
        let url = format!("http://{}/state", receiver.addr());
        let state: Value =
            serde_json::from_str(&client().get(url).send().await.unwrap().text().await.unwrap()).unwrap();
        assert_eq!(state, serde_json::json!({"crm": {"vips": {"user_id:42": {"n": 1}}}}));
    }

    #[tokio::test]
    async fn a_wrong_shape_is_told_and_has_no_effect() {
        let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
        for (found, put, reason) in [
            (r#""as_of": 1"#, r#""as_of": "now""#, "invalid type: string"),
            (r#""add""#, r#""remove""#, "unknown variant `remove`"),
            (r#""user_id:42""#, "", "a change has no identifiers"),
            ("user_id:42", "42", "an identifier is written type:value"),
            (r#""add""#, r#""delete""#, "a delete has no traits"),
            (r#""audience""#, r#""segment""#, "unknown field `segment`"),
            (r#""changes""#, r#""events""#, "unknown field `action`"),
        ] {
            let (status, text) = post(&receiver, &BODY.replace(found, put)).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{put}");
            assert!(text.contains(reason), "{text}");
        }
        assert!(receiver.state().is_empty());
    }

    #[tokio::test]
    async fn one_call_in_so_many_fails_where_that_is_asked_for() {
        let receiver =
            WebhookReceiver::start(ReceiveOptions { fail_every: Some(3), ..ReceiveOptions::default() }).await.unwrap();
        let mut statuses = Vec::new();
        for _ in 0..6 {
            statuses.push(post(&receiver, BODY).await.0.as_u16());
        }
        assert_eq!(statuses, [200, 200, 500, 200, 200, 500]);
    }

    #[tokio::test]
    async fn a_call_without_the_signature_is_refused() {
        let secret = Some(Secret::new("s3cret".into()));
        let receiver = WebhookReceiver::start(ReceiveOptions { secret, ..ReceiveOptions::default() }).await.unwrap();
        assert_eq!(post(&receiver, BODY).await.0, StatusCode::UNAUTHORIZED);
        assert!(receiver.state().is_empty());
    }
}
