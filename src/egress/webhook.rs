//! Destinations of the kind `webhook`: an HTTP endpoint that takes changes as JSON.
//!
//! `POST` with `{"destination": …, "changes": [{"audience", "action", "identifiers", "traits", "as_of"}, …]}`; headers
//! with an id that a retry repeats, the time and the signature ([`super::signature`]). 2xx acknowledges.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use compact_str::CompactString;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;
use tokio::time::timeout;

use super::EgressError;
use super::backoff::retry_after;
use super::connector::{Carried, Failure};
use super::outbox::Batch;
use super::signature::{self, former};
use crate::project::{FieldPath, Secret, Webhook};

/// Bytes of an answer that are read: enough for a reason, and for the connection to be used again after a usual answer.
const ANSWER_BYTES_MAX: usize = 4 * 1024;

/// Bytes of an answer that are read where it is to say that the call was taken.
const CONFIRMATION_BYTES_MAX: usize = 64 * 1024;

/// How long an answer is waited for that acknowledges: what it says is of no use.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// Characters of an answer that are kept to show.
const ANSWER_CHARS_KEPT: usize = 200;

/// Calls an endpoint.
#[derive(Debug)]
pub struct WebhookConnector {
    client: Client,
    url: Url,
    secrets: Vec<Secret>,
    /// The field of an answer that says whether the call was taken, where it is to be looked at.
    confirm: Option<FieldPath>,
    destination: CompactString,
    audiences: Arc<[CompactString]>,
    /// Whether an answer that acknowledged did not end.
    is_endless: AtomicBool,
}

impl WebhookConnector {
    /// A connector to `webhook`. Nothing is called yet.
    pub fn new(
        destination: CompactString,
        webhook: &Webhook,
        audiences: Arc<[CompactString]>,
    ) -> Result<Self, EgressError> {
        let wrong = |reason: String| EgressError { destination: destination.clone(), reason };
        let url: Url = webhook.url.parse().map_err(|error| wrong(format!("the url cannot be read: {error}")))?;
        let client = client(&url, webhook.timeout).map_err(|error| wrong(format!("no HTTP client: {error}")))?;
        let (secrets, confirm) = (webhook.secrets.clone(), webhook.confirm.clone());
        Ok(WebhookConnector {
            client,
            url,
            secrets,
            confirm,
            destination,
            audiences,
            is_endless: AtomicBool::new(false),
        })
    }

    /// The body of the call that carries `batch`.
    pub fn body(&self, batch: &Batch) -> Bytes {
        #[derive(Serialize)]
        struct WebhookBody<'a, C> {
            destination: &'a str,
            changes: Vec<C>,
        }
        let changes = batch.iter().map(|change| change.named(&self.audiences)).collect();
        let body = WebhookBody { destination: &self.destination, changes };
        serde_json::to_vec(&body).expect("names and values are JSON; writing to memory cannot fail").into()
    }

    /// Calls once. `Ok` means acknowledged.
    pub async fn attempt(&self, Carried { id, body }: &Carried) -> Result<(), Failure> {
        let response =
            self.client.post(self.url.clone()).headers(self.headers(id, body)).body(body.clone()).send().await;
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

    fn headers(&self, id: &str, body: &[u8]) -> HeaderMap {
        let value = |text: &str| HeaderValue::try_from(text).expect("digits and base64 are a header value");
        let timestamp = signature::now_s().to_string();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(signature::ID, value(id));
        headers.insert(signature::TIMESTAMP, value(&timestamp));
        headers.insert(signature::IDEMPOTENCY_KEY, value(id));
        if !self.secrets.is_empty() {
            let call = signature::SignedCall { id, timestamp: &timestamp, body };
            headers.insert(signature::SIGNATURE, value(&call.sign(&self.secrets)));
            headers.insert(former::SIGNATURE, value(&former::sign(&self.secrets, body)));
        }
        headers
    }
}

/// A client for calls to `url`, each of which may take as long as `timeout` with all of its answer.
pub fn client(url: &Url, timeout: Duration) -> reqwest::Result<Client> {
    install_crypto();
    let client = Client::builder()
        .user_agent(concat!("deltaic/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        // Sooner: so it is known that a call did not reach anybody.
        .connect_timeout(timeout * 3 / 4)
        .redirect(Policy::none())
        .referer(false);
    // Certificates are those that the system trusts. They are not looked for where none is needed: without any, as in
    // a bare container, the client could not be built at all.
    let client = if url.scheme() == "https" { client } else { client.tls_certs_only([]) };
    client.build()
}

/// Makes `ring` the provider of cryptography for TLS in this process, where none was chosen; reqwest asks for one even
/// for plain HTTP.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
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
