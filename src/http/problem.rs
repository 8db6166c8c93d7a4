//! The one form of an answer that says no: `{"success":false,"code":…,"message":…}`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::json;

/// Why a request is not answered as it wished. The message names what was expected, and neither values nor internals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem with a stable `code` for programs and a `message` for people.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Problem { status, code, message: message.into(), retry_after_s: None }
    }

    /// The request is wrong: it fails again when it is sent again.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What it says to people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same, which may be over after so many seconds.
    pub fn to_retry_after(self, retry_after_s: u64) -> Self {
        Problem { retry_after_s: Some(retry_after_s), ..self }
    }

    /// There is too much to do.
    pub fn busy(message: impl Into<String>, retry_after_s: u64) -> Self {
        Problem { retry_after_s: Some(retry_after_s), ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", message) }
    }

    /// A source sends more than it may.
    pub fn rate(message: impl Into<String>, retry_after_s: u64) -> Self {
        Problem { retry_after_s: Some(retry_after_s), ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate", message) }
    }

    /// The engine is not there yet, for this reason.
    pub fn starting(why: impl Into<String>) -> Self {
        Problem { retry_after_s: Some(1), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", why) }
    }

    /// The same for who asks whether it is ready.
    pub fn not_ready(why: impl Into<String>) -> Self {
        Problem { code: "not_ready", ..Problem::starting(why) }
    }

    /// The engine is stopping.
    pub fn stopping() -> Self {
        let message = "the engine is stopping: nothing was done; send to another one, or again when it is back";
        Problem { retry_after_s: Some(1), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct ProblemBody {
            success: bool,
            code: &'static str,
            message: String,
        }
        let mut response = json(self.status, &ProblemBody { success: false, code: self.code, message: self.message });
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The answer where no route fits; the fallback of the merged router.
pub async fn not_found() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_address",
        "there is nothing at this address: docs/reference/http-api.md lists those that there are",
    )
}

/// The answer where a route takes other methods.
pub async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address does not take this method")
}
