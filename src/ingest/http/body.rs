//! Reading the body of a request, within limits on its size and time.

use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;

use crate::http::Problem;

/// The body, decompressed: at most `max` bytes, within `timeout`.
pub(super) async fn read(headers: &HeaderMap, body: Body, max: usize, timeout: Duration) -> Result<Bytes, Problem> {
    let encoding = headers.get(header::CONTENT_ENCODING).map_or(&b"identity"[..], |encoding| encoding.as_bytes());
    let is_gzip = encoding.eq_ignore_ascii_case(b"gzip") || encoding.eq_ignore_ascii_case(b"x-gzip");
    if !is_gzip && !encoding.eq_ignore_ascii_case(b"identity") {
        let message = "`Content-Encoding` is unknown: expected gzip, or none";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unknown_encoding", message));
    }
    let body = tokio::time::timeout(timeout, collect(body, max)).await.map_err(|_| {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body did not arrive in time: nothing was done")
    })??;
    if is_gzip { decompress(&body, max) } else { Ok(body) }
}

async fn collect(mut body: Body, max: usize) -> Result<Bytes, Problem> {
    // What `Content-Length` announces; too long a body is not even begun.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max {
        return Err(too_large(max));
    }
    let mut collected = BytesMut::with_capacity(announced);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame =
            frame.map_err(|_| Problem::bad_request("body_cut_off", "the body ended early: nothing was done"))?;
        if let Ok(data) = frame.into_data() {
            if collected.len() + data.len() > max {
                return Err(too_large(max));
            }
            collected.extend_from_slice(&data);
        }
    }
    Ok(collected.freeze())
}

/// Decompresses no more than one byte beyond `max`, however much there would be.
fn decompress(compressed: &[u8], max: usize) -> Result<Bytes, Problem> {
    let mut body = Vec::new();
    let mut within = MultiGzDecoder::new(compressed).take(max as u64 + 1);
    within.read_to_end(&mut body).map_err(|_| Problem::bad_request("not_gzip", "the body is not gzip"))?;
    if body.len() > max { Err(too_large(max)) } else { Ok(body.into()) }
}

fn too_large(max: usize) -> Problem {
    let message = format!("the request has more than {max} bytes (limit request_bytes_max)");
    Problem::bad_request("request_too_large", message)
}
