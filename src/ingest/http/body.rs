//! Reading the body of a request, within limits on its size and time.

use std::borrow::Cow;
use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::BytesMut;
use flate2::read::MultiGzDecoder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::Problem;

/// Reads bodies. All of them share a budget of bytes, which a body gives back when it is dropped.
#[derive(Debug)]
pub(super) struct Bodies {
    bytes_max: usize,
    timeout: Duration,
    budget: Arc<Semaphore>,
}

/// A body that was read.
#[derive(Debug)]
pub(super) struct Collected {
    bytes: BytesMut,
    is_gzip: bool,
    share: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// Bodies of at most `bytes_max` bytes, each within `timeout`; `budget` bytes of all that are under way.
    pub fn new(bytes_max: usize, timeout: Duration, budget: usize) -> Self {
        Bodies { bytes_max, timeout, budget: Arc::new(Semaphore::new(budget.min(Semaphore::MAX_PERMITS))) }
    }

    /// Reads a body.
    pub async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Collected, Problem> {
        let encoding = headers.get(header::CONTENT_ENCODING).map_or(&b"identity"[..], |encoding| encoding.as_bytes());
        let is_gzip = encoding.eq_ignore_ascii_case(b"gzip") || encoding.eq_ignore_ascii_case(b"x-gzip");
        if !is_gzip && !encoding.eq_ignore_ascii_case(b"identity") {
            let message = "`Content-Encoding` is unknown: expected gzip, or none";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unknown_encoding", message));
        }
        let collected = tokio::time::timeout(self.timeout, self.collect(body, is_gzip)).await;
        collected.unwrap_or_else(|_| {
            let message = "the body did not arrive in time: nothing was done";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message))
        })
    }

    async fn collect(&self, mut body: Body, is_gzip: bool) -> Result<Collected, Problem> {
        // What `Content-Length` announces; too long a body is not even begun.
        if body.size_hint().lower() > self.bytes_max as u64 {
            return Err(too_large(self.bytes_max));
        }
        let mut collected = Collected { bytes: BytesMut::new(), is_gzip, share: None };
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let cut_off = |_| Problem::bad_request("body_cut_off", "the body ended early: nothing was done");
            let Ok(data) = frame.map_err(cut_off)?.into_data() else { continue };
            if collected.bytes.len() + data.len() > self.bytes_max {
                return Err(too_large(self.bytes_max));
            }
            self.take_share(&mut collected.share, data.len())?;
            collected.bytes.extend_from_slice(&data);
        }
        Ok(collected)
    }

    fn take_share(&self, share: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Problem> {
        let more = u32::try_from(bytes).ok().and_then(|bytes| self.budget.clone().try_acquire_many_owned(bytes).ok());
        let more = more.ok_or_else(|| Problem::busy("too many requests are on their way: nothing was done", 1))?;
        match share {
            Some(share) => share.merge(more),
            None => *share = Some(more),
        }
        Ok(())
    }

    /// The bytes of the body, decompressed.
    pub fn bytes<'b>(&self, body: &'b Collected) -> Result<Cow<'b, [u8]>, Problem> {
        Ok(if body.is_gzip { decompress(&body.bytes, self.bytes_max)?.into() } else { Cow::Borrowed(&body.bytes[..]) })
    }
}

/// Decompresses no more than one byte beyond `max`, however much there would be.
fn decompress(compressed: &[u8], max: usize) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    let mut within = MultiGzDecoder::new(compressed).take(max as u64 + 1);
    within.read_to_end(&mut body).map_err(|_| Problem::bad_request("not_gzip", "the body is not gzip"))?;
    if body.len() > max { Err(too_large(max)) } else { Ok(body) }
}

fn too_large(max: usize) -> Problem {
    let message = format!("the request has more than {max} bytes (limit request_bytes_max)");
    Problem::bad_request("request_too_large", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_share_a_budget() {
        let bodies = Bodies::new(8, Duration::from_secs(9), 10);
        let read = async |text: &'static str| bodies.read(&HeaderMap::new(), Body::from(text)).await;
        let first = read("12345678").await.unwrap();
        assert_eq!(
            read("123").await.unwrap_err(),
            Problem::busy("too many requests are on their way: nothing was done", 1)
        );
        drop(first);
        assert_eq!(*bodies.bytes(&read("12345678").await.unwrap()).unwrap(), *b"12345678");
    }
}
