//! The engine under test, as its HTTP API shows it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::Value;

use super::error::LoadError;
use super::options::Secrets;
use super::tally::RateStep;
use crate::egress::client;

/// Longer than any call takes: after 30 s the engine itself gives up.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The wait after an answer that was no clear one.
const BACKOFF: Duration = Duration::from_millis(100);

/// A running engine.
pub struct EngineClient {
    url: Url,
    secrets: Secrets,
}

/// A connection to it.
#[derive(Clone)]
pub struct Connection(Client);

/// An engine's answer to a batch that it took.
#[derive(Clone, Copy, Debug)]
pub struct BatchReceipt {
    /// The tick.
    pub tick: u64,
    /// Whether it is that of the events: not where an attempt before was taken, and its answer lost.
    pub is_clear: bool,
}

#[derive(Deserialize)]
struct Taken {
    token: u64,
    accepted: u64,
    duplicates: u64,
    #[serde(default)]
    rejected: Vec<Value>,
}

impl EngineClient {
    /// The engine at an address.
    pub fn new(url: Url, secrets: Secrets) -> Self {
        EngineClient { url, secrets }
    }

    /// A connection of its own.
    pub fn connect(&self) -> Result<Connection, LoadError> {
        let failed = |error: reqwest::Error| self.no_answer(&error);
        client(&self.url, TIMEOUT).map(Connection).map_err(failed)
    }

    fn no_answer(&self, error: &reqwest::Error) -> LoadError {
        let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        LoadError::NoAnswer { url: self.url.clone(), reason }
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        url
    }

    /// That it is there, and takes events.
    pub async fn ready(&self, connection: &Connection) -> Result<(), LoadError> {
        let answer = connection.0.get(self.at("/readyz")).send().await.map_err(|error| self.no_answer(&error))?;
        let status = answer.status();
        let message = "it is not ready".to_owned();
        let refused = LoadError::Refused { what: "the question whether it is ready", status: status.as_u16(), message };
        if status.is_success() { Ok(()) } else { Err(refused) }
    }

    /// Sends a batch of so many events until it is taken. After `deadline` no new attempt begins; nothing then, if surely none
    /// was taken.
    pub async fn send(
        &self,
        connection: &Connection,
        body: String,
        events: u64,
        step: Option<&RateStep>,
        deadline: Instant,
    ) -> Result<Option<BatchReceipt>, LoadError> {
        let body = bytes::Bytes::from(body);
        let mut is_clear = true;
        loop {
            let request = connection.0.post(self.at("/v1/batch")).basic_auth(self.secrets.write_key.expose(), Some(""));
            let answer = request.body(body.clone()).send().await;
            let (status, wait, text) = match answered(answer).await {
                Err(error) if Instant::now() >= deadline => return Err(self.no_answer(&error)),
                Err(_) => {
                    is_clear = false;
                    tokio::time::sleep(BACKOFF).await;
                    continue;
                }
                Ok(answer) => answer,
            };
            let refused = |message: &str| LoadError::Refused { what: "a batch", status, message: message.to_owned() };
            match status {
                200 => {
                    let taken: Taken = serde_json::from_str(&text).map_err(|_| refused(&text))?;
                    if taken.accepted != events || !taken.rejected.is_empty() {
                        return Err(refused("it has not accepted all events of a batch that is in order"));
                    }
                    return Ok(Some(BatchReceipt { tick: taken.token, is_clear: taken.duplicates == 0 }));
                }
                429 | 503 => {
                    step.iter().for_each(|step| _ = step.refused.fetch_add(1, Ordering::Relaxed));
                    if Instant::now() + wait >= deadline {
                        return if is_clear { Ok(None) } else { Err(refused(&text)) };
                    }
                    tokio::time::sleep(wait).await;
                }
                504 if Instant::now() < deadline => is_clear = false,
                _ => return Err(refused(&text)),
            }
        }
    }

    /// Reads somebody as of `after`; gives whether that went well.
    pub async fn read(&self, connection: &Connection, identifier: &str, after: u64) -> bool {
        let mut url = self.at("/v1/profiles/");
        url.path_segments_mut().expect("it is an HTTP address").pop_if_empty().push(identifier);
        url.query_pairs_mut().append_pair("after", &after.to_string()).append_pair("wait_ms", "30000");
        let answer = connection.0.get(url).bearer_auth(self.secrets.read_token.expose()).send().await;
        match answer {
            // Its text is part of the way.
            Ok(answer) => answer.status().is_success() && answer.bytes().await.is_ok(),
            Err(_) => false,
        }
    }
}

/// Status, wait and text of an answer that came in full.
async fn answered(answer: reqwest::Result<reqwest::Response>) -> reqwest::Result<(u16, Duration, String)> {
    let answer = answer?;
    let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Ok((answer.status().as_u16(), wait.map_or(BACKOFF, Duration::from_secs), answer.text().await?))
}
