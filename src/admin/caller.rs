//! Calls to a running engine.

use std::time::Duration;

use reqwest::{Client, Method, Url};
use serde_json::Value;

use super::{AdminError, EngineAddress};
use crate::egress::client;
use crate::project::Secret;

/// How long an answer may take: an engine that is well answers within milliseconds.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The same of orders that do much: a retry of a thousand entries of the quarantine.
pub(super) const WORK_MAX: Duration = Duration::from_secs(120);

/// Calls an engine.
pub(super) struct Caller {
    client: Client,
    url: Url,
    token: Secret,
}

impl Caller {
    /// Calls `engine` with this token.
    pub fn new(engine: EngineAddress, token: Option<String>) -> Result<Self, AdminError> {
        let token = Secret::new(token.ok_or(AdminError::NoToken)?);
        // As for webhooks: a token goes where it is said to go and nowhere else.
        let client = client(&engine.url, WORK_MAX)
            .map_err(|error| AdminError::Unreachable { url: engine.url.clone(), reason: error.to_string() })?;
        Ok(Caller { client, url: engine.url, token })
    }

    /// One call, to what is under `/v1` there; gives the body of a good answer.
    pub async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, AdminError> {
        self.call_within(ANSWER_MAX, method, path, query, body).await
    }

    /// The same where the answer may take so long.
    pub async fn call_within(
        &self,
        max: Duration,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, AdminError> {
        let is_order = method != Method::GET;
        let no_answer = |error: reqwest::Error| {
            let (arrived, url) = (!error.is_connect(), self.url.clone());
            if error.is_timeout() {
                let doubt = if is_order { "; what was ordered may have been done or not" } else { "" };
                return AdminError::Silent { url, seconds: max.as_secs(), doubt };
            }
            let reason = error.without_url().to_string();
            if is_order && arrived {
                AdminError::NoAnswer { url, reason }
            } else {
                AdminError::Unreachable { url, reason }
            }
        };
        let mut url = self.url.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => _ = segments.pop_if_empty().push("v1").extend(path),
            Err(()) => {
                return Err(AdminError::Unreachable { url: self.url.clone(), reason: "it has no host".to_owned() });
            }
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url).bearer_auth(self.token.expose()).timeout(max);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.map_err(no_answer)?;
        let status = answer.status();
        let text = answer.text().await.map_err(no_answer)?;
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(body);
        }
        let message = body["message"].as_str().map_or_else(|| "is this a deltaic engine?".to_owned(), str::to_owned);
        Err(AdminError::Refused { status: status.as_u16(), message })
    }
}
