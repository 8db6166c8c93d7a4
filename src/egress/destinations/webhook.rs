//! Destinations of the kind `webhook`: an HTTP endpoint that takes changes as JSON.
//!
//! `POST` with `{"destination": …, "changes": [{"audience", "action", "identifiers", "traits", "as_of"}, …]}`; headers
//! with an id that a retry repeats, the time and the signature ([`crate::egress::signature`]). 2xx acknowledges.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use compact_str::CompactString;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{CallBatch, ConnectContext, Connector, DestinationSettings, Failure, Pace};
use crate::egress::backoff::retry_after;
use crate::egress::client::client;
use crate::egress::signature::{self, former};
use crate::project::{FieldPath, Secret, SettingsSection, SubstitutedText, field_path};

/// Bytes of an answer that are read: enough for a reason, and for the connection to be used again after a usual answer.
const ANSWER_BYTES_MAX: usize = 4 * 1024;

/// Bytes of an answer that are read where it is to say that the call was taken.
const CONFIRMATION_BYTES_MAX: usize = 64 * 1024;

/// How long an answer is waited for that acknowledges: what it says is of no use.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// Characters of an answer that are kept to show.
const ANSWER_CHARS_KEPT: usize = 200;

/// Bytes of a body that are signed where the call is made. To hash more takes longer than to hand it to another thread, and connections
/// would wait for it.
const SIGNED_AT_ONCE_MAX: usize = 16 * 1024;

/// An HTTP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// `http://` or `https://`.
    pub url: String,
    /// The keys of the HMAC-SHA256 signatures: a call has one by each. Without any, calls are not signed.
    pub secrets: Vec<Secret>,
    /// How calls follow each other.
    pub pace: Pace,
    /// The field of an answer 2xx, which is JSON, that is true where the call was taken. Default: any answer 2xx says so.
    pub confirm: Option<FieldPath>,
}

impl DestinationSettings for WebhookSettings {
    const TYPE: &'static str = "webhook";
    type Connector = WebhookConnector;

    fn read(section: &mut SettingsSection<'_, '_>) -> Option<Self> {
        let url = section.required_text("url", "the endpoint to call");
        if let Some(url) = url.as_ref().filter(|url| url.as_str().contains('@')) {
            // It may hold a password.
            section.mask(url);
        }
        let secrets = section.secrets("secret", "the secret of signatures");
        secrets.iter().for_each(|secret| check_encoding(secret, section));
        let pace = Pace::read(section);
        let confirm = section.text("confirm").and_then(|confirm| confirmation(&confirm, section));
        let url = url?;
        check_url(&url, section);
        let secrets = secrets.iter().map(|secret| Secret::new(secret.as_str().to_owned())).collect();
        Some(WebhookSettings { url: url.as_str().to_owned(), secrets, pace, confirm })
    }

    fn place(&self) -> Vec<u8> {
        // `http://host` and `http://host/` are one.
        Url::parse(&self.url).map_or_else(|_| self.url.clone(), Into::into).into_bytes()
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn connect(&self, _: &ConnectContext<'_>) -> Result<WebhookConnector, String> {
        let url: Url = self.url.parse().map_err(|error| format!("the url cannot be read: {error}"))?;
        let client = client(&url, self.pace.timeout).map_err(|error| format!("no HTTP client: {error}"))?;
        let (secrets, confirm) = (self.secrets.as_slice().into(), self.confirm.clone());
        Ok(WebhookConnector { client, url, secrets, confirm, is_endless: AtomicBool::new(false) })
    }
}

/// Behind `whsec_` there is base64: what is none would be another key for the receiver's library than here.
fn check_encoding(secret: &SubstitutedText, section: &mut SettingsSection<'_, '_>) {
    if !secret.is_broken() && Secret::new(secret.as_str().to_owned()).signing_key().is_none() {
        let message = "the secret of signatures begins with `whsec_`, and what follows is no base64";
        section.report(secret.place(), message, Some("make one: echo whsec_$(openssl rand -base64 24)"));
    }
}

fn check_url(url: &SubstitutedText, section: &mut SettingsSection<'_, '_>) {
    if url.is_broken() {
        return;
    }
    let message = match Url::parse(url.as_str()) {
        Err(error) => format!("this is no URL: {error}"),
        Ok(parsed) if !matches!(parsed.scheme(), "http" | "https") => {
            "expected a URL that starts with `http://` or `https://`".to_owned()
        }
        Ok(_) => return,
    };
    section.report(url.place(), message, Some("such as \"https://example.com/hooks/deltaic\""));
}

/// Where an answer says whether the call was taken.
fn confirmation(confirm: &SubstitutedText, section: &mut SettingsSection<'_, '_>) -> Option<FieldPath> {
    let path = confirm.as_str().trim().strip_prefix("body.").and_then(field_path);
    if path.is_none() && !confirm.is_broken() {
        let message = "expected a field of the answer that is true where the call was taken";
        section.report(confirm.place(), message, Some("such as \"body.success\""));
    }
    path
}

/// Calls an endpoint.
#[derive(Debug)]
pub struct WebhookConnector {
    client: Client,
    url: Url,
    secrets: Arc<[Secret]>,
    /// The field of an answer that says whether the call was taken, where it is to be looked at.
    confirm: Option<FieldPath>,
    /// Whether an answer that acknowledged did not end.
    is_endless: AtomicBool,
}

/// What is sent, at each attempt with the time and the signature of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookCall {
    /// Which call it is.
    id: CompactString,
    /// All headers that say nothing of the attempt.
    headers: HeaderMap,
    body: Bytes,
}

impl Connector for WebhookConnector {
    type Payload = WebhookCall;

    fn encode(&self, call: &CallBatch) -> WebhookCall {
        let body = if call.is_of_events() { body_of_events(call) } else { body_of_changes(call) };
        let id = call.id_of(&body);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(signature::ID, header(&id));
        headers.insert(signature::IDEMPOTENCY_KEY, header(&id));
        if !self.secrets.is_empty() {
            headers.insert(former::SIGNATURE, header(&former::sign(&self.secrets, &body)));
        }
        WebhookCall { id, headers, body }
    }

    async fn deliver(&self, call: &WebhookCall) -> Result<(), Failure> {
        let timestamp = signature::now_s().to_string();
        let mut headers = call.headers.clone();
        headers.insert(signature::TIMESTAMP, header(&timestamp));
        if !self.secrets.is_empty() {
            headers.insert(signature::SIGNATURE, header(&self.signatures(call, timestamp).await?));
        }
        let response = self.client.post(self.url.clone()).headers(headers).body(call.body.clone()).send().await;
        let response = response.map_err(|error| {
            let is_reached = !error.is_connect();
            // The URL may hold a token of its own, and the message goes to logs.
            let error = chain(&error.without_url());
            if is_reached { Failure::later(error) } else { Failure::NotReached { error } }
        })?;

        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|header| header.to_str().ok());
        let wait = wait.and_then(|header| retry_after(header, SystemTime::now()));
        if status.is_success() {
            return match &self.confirm {
                Some(field) => confirmed(response, field).await,
                None => {
                    self.finish(response).await;
                    Ok(())
                }
            };
        }
        let error = format!("the endpoint answered {status}");
        Err(match status {
            // They will pass.
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::CONFLICT
            | StatusCode::LOCKED
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS => Failure::Later { error, wait },
            _ if status.is_server_error() => Failure::Later { error, wait },
            // They are about the address. Redirects, too: a call with personal data goes where the project says, and nowhere else.
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED
            | StatusCode::GONE => Failure::Elsewhere { error },
            _ if status.is_redirection() => Failure::Elsewhere { error },
            _ => {
                let is_too_large = status == StatusCode::PAYLOAD_TOO_LARGE;
                Failure::Refused { error, answer: answer(response).await, is_too_large }
            }
        })
    }
}

impl WebhookConnector {
    /// Reads the rest of an answer that acknowledges, so that the connection can be used again; but a body without an end is waited
    /// for once only.
    async fn finish(&self, response: Response) {
        let is_brief = response.content_length().is_some_and(|bytes| bytes <= ANSWER_BYTES_MAX as u64);
        if !is_brief && self.is_endless.load(Ordering::Relaxed) {
            return;
        }
        if timeout(ANSWER_WAIT, answer(response)).await.is_err() {
            self.is_endless.store(true, Ordering::Relaxed);
        }
    }

    /// The signatures of an attempt. Its time is signed, too, so each has others.
    async fn signatures(
        &self,
        WebhookCall { id, body, .. }: &WebhookCall,
        timestamp: String,
    ) -> Result<String, Failure> {
        let (secrets, id, body) = (self.secrets.clone(), id.clone(), body.clone());
        let is_small = body.len() <= SIGNED_AT_ONCE_MAX;
        let sign = move || signature::SignedCall { id: &id, timestamp: &timestamp, body: &body }.sign(&secrets);
        if is_small {
            return Ok(sign());
        }
        let signed = spawn_blocking(sign).await;
        signed.map_err(|error| Failure::NotReached { error: format!("the call cannot be signed: {error}") })
    }
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits and base64 are a header value")
}

fn body_of_changes(call: &CallBatch) -> Bytes {
    #[derive(Serialize)]
    struct WebhookBody<'a, C> {
        destination: &'a str,
        changes: Vec<C>,
    }
    let body = WebhookBody { destination: call.destination(), changes: call.changes().collect() };
    serde_json::to_vec(&body).expect("names and values are JSON; writing to memory cannot fail").into()
}

fn body_of_events(call: &CallBatch) -> Bytes {
    let name = serde_json::Value::from(call.destination());
    let mut body = format!("{{\"destination\":{name},\"events\":[").into_bytes();
    for (event, index) in call.events().zip(0..) {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event.json());
    }
    body.extend_from_slice(b"]}");
    body.into()
}

/// Whether an answer 2xx says in a field of its JSON that the call was taken. What cannot be read is no answer, and the call is repeated.
async fn confirmed(response: Response, field: &FieldPath) -> Result<(), Failure> {
    let status = response.status();
    let text = read(response, CONFIRMATION_BYTES_MAX).await;
    let answer: serde_json::Value = serde_json::from_slice(&text).map_err(|error| {
        Failure::later(format!("the endpoint answered {status}, and its body cannot be read: {error}"))
    })?;
    let said = field.iter().try_fold(&answer, |answer, name| answer.get(name.as_str()));
    if said == Some(&serde_json::Value::Bool(true)) {
        return Ok(());
    }
    let error = format!("the endpoint answered {status}, and `{}` of its body is not true", field.join("."));
    Err(Failure::Refused { error, answer: beginning(&text), is_too_large: false })
}

/// The beginning of the answer's text, as far as it comes.
async fn answer(response: Response) -> String {
    beginning(&read(response, ANSWER_BYTES_MAX).await)
}

/// About so many bytes of the answer, as far as they come.
async fn read(mut response: Response, bytes_max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < bytes_max {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            // The status says what became of the call, whether or not the text arrives.
            Ok(None) | Err(_) => break,
        }
    }
    bytes
}

/// What is kept of an answer's text.
fn beginning(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().take(ANSWER_CHARS_KEPT).collect()
}

/// An error with its causes: reqwest's own message alone says only that sending failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
