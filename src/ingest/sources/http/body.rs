//! Reading the body of a request, within limits on its size and time.
//!
//! Not the decompression of `tower-http`: all bodies share a budget of unpacked bytes, which a bomb must not use up.

use std::future::poll_fn;
use std::io::Read;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::Problem;
use crate::limits::{BODY_BYTES_PASSED_OVER_MAX, BODY_PASSED_OVER_IDLE};

/// Reads bodies. All of them share a budget of bytes, which a body gives back when it is dropped.
#[derive(Debug)]
pub(super) struct Bodies {
    bytes_max: usize,
    timeout: Duration,
    budget: Arc<Semaphore>,
}

/// A body that was read, as it came.
#[derive(Debug)]
pub(super) struct Collected {
    bytes: BytesMut,
    is_gzip: bool,
    share: Share,
}

/// A part of the budget.
#[derive(Debug, Default)]
struct Share(Option<OwnedSemaphorePermit>);

/// The bytes of a body, unpacked, with its part of the budget.
#[derive(Debug)]
pub(super) struct Unpacked {
    bytes: Bytes,
    _share: Share,
}

impl Deref for Unpacked {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
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
        // What `Content-Length` announces.
        let announced = body.size_hint().lower();
        if announced > self.bytes_max as u64 {
            self.pass_over(body, announced).await;
            return Err(self.too_large());
        }
        let mut collected = Collected { bytes: BytesMut::new(), is_gzip, share: Share::default() };
        while let Some(data) = next(&mut body).await? {
            if collected.bytes.len() + data.len() > self.bytes_max {
                drop(collected);
                self.pass_over(body, 0).await;
                return Err(self.too_large());
            }
            self.take_share(&mut collected.share, data.len())?;
            collected.bytes.extend_from_slice(&data);
        }
        Ok(collected)
    }

    /// Reads the rest of a body that is too large, and keeps nothing of it: whoever still sends does not see the answer. Far too long
    /// a rest is not even begun, and who stops in it does not want to be waited for.
    async fn pass_over(&self, mut body: Body, announced: u64) {
        let mut left = (self.bytes_max + BODY_BYTES_PASSED_OVER_MAX) as u64;
        if announced > left {
            return;
        }
        while let Ok(Ok(Some(data))) = tokio::time::timeout(BODY_PASSED_OVER_IDLE, next(&mut body)).await {
            let Some(rest) = left.checked_sub(data.len() as u64) else { return };
            left = rest;
        }
    }

    fn take_share(&self, share: &mut Share, bytes: usize) -> Result<(), Problem> {
        let more = u32::try_from(bytes).ok().and_then(|bytes| self.budget.clone().try_acquire_many_owned(bytes).ok());
        let more = more.ok_or_else(|| Problem::busy("too many requests are on their way: nothing was done", 1))?;
        match &mut share.0 {
            Some(share) => share.merge(more),
            None => share.0 = Some(more),
        }
        Ok(())
    }

    /// The bytes of the body, decompressed: these count in the budget too, as a small body may be many.
    pub fn unpack(&self, body: Collected) -> Result<Unpacked, Problem> {
        let Collected { bytes, is_gzip, mut share } = body;
        if !is_gzip {
            return Ok(Unpacked { bytes: bytes.freeze(), _share: share });
        }
        const STEP: usize = 64 * 1024;
        let mut unpacked = Vec::new();
        let mut decoder = MultiGzDecoder::new(&bytes[..]);
        loop {
            let not_gzip = |_| Problem::bad_request("not_gzip", "the body is not gzip");
            let read = decoder.by_ref().take(STEP as u64).read_to_end(&mut unpacked).map_err(not_gzip)?;
            if unpacked.len() > self.bytes_max {
                return Err(self.too_large());
            }
            self.take_share(&mut share, read)?;
            if read < STEP {
                return Ok(Unpacked { bytes: unpacked.into(), _share: share });
            }
        }
    }

    fn too_large(&self) -> Problem {
        let message = format!("the request has more than {} bytes (limit request_bytes_max)", self.bytes_max);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }
}

/// The next bytes of a body; nothing at its end.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        let cut_off = |_| Problem::bad_request("body_cut_off", "the body ended early: nothing was done");
        if let Ok(data) = frame.map_err(cut_off)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

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
        assert_eq!(*bodies.unpack(read("12345678").await.unwrap()).unwrap(), *b"12345678");
    }

    /// Else a few bytes of many senders would be as much memory as there is.
    #[tokio::test]
    async fn what_is_unpacked_is_in_the_budget() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&[b' '; 1_000_000]).unwrap();
        let gzip = gzip.finish().unwrap();
        assert!(gzip.len() < 2_000);
        let bodies = Bodies::new(1_000_000, Duration::from_secs(9), 1_500_000);
        let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, "gzip".parse().unwrap())]);
        let unpack = async || bodies.unpack(bodies.read(&headers, Body::from(gzip.clone())).await.unwrap());
        let first = unpack().await.unwrap();
        assert_eq!(first.len(), 1_000_000);
        let busy = Problem::busy("too many requests are on their way: nothing was done", 1);
        assert_eq!(unpack().await.unwrap_err(), busy);
        drop(first);
        assert_eq!(unpack().await.unwrap().len(), 1_000_000);
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_passed_over() {
        let bodies = Bodies::new(8, Duration::from_secs(9), 10);
        let too_large = async |body: Body| bodies.read(&HeaderMap::new(), body).await.unwrap_err().code();
        assert_eq!(too_large(Body::from("123456789")).await, "request_too_large");
        for chunks in [2, 1_000, usize::MAX] {
            let read = Arc::new(AtomicUsize::new(0));
            let chunk = {
                let read = read.clone();
                move |_| {
                    read.fetch_add(1, Relaxed);
                    Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1_000]))
                }
            };
            let endless = futures_util::stream::iter((0..chunks).map(chunk));
            assert_eq!(too_large(Body::from_stream(endless)).await, "request_too_large");
            // The first is what makes it too large.
            assert_eq!(read.load(Relaxed), chunks.min((8 + BODY_BYTES_PASSED_OVER_MAX) / 1_000 + 2));
        }
    }
}
