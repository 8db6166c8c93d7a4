//! What browsers are told about pages of other origins.

use std::time::Duration;

use axum::http::{Method, header};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

/// How long a browser remembers what it was told. None remembers anything for longer than a day.
const REMEMBERED: Duration = Duration::from_secs(86_400);

/// Lets pages of any origin send, with whatever headers their library asks for, and read the answer, whatever its status. Without
/// credentials: what lets somebody in is a key in the request, never a cookie, so a page gains nothing by who looks at it.
///
/// Headers are those that were asked for and no `*`, which does not mean `authorization`.
pub fn browsers() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER])
        .max_age(REMEMBERED)
}
