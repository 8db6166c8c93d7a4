//! Where a request may say its write key.

use axum::extract::Query;
use axum::http::HeaderName;
use axum::http::request::Parts;
use compact_str::CompactString;

use crate::http::{Admission, Problem, sent_token};

/// The header of write keys. RudderStack's and Segment's gateways know it, too.
const WRITE_KEY: HeaderName = HeaderName::from_static("x-write-key");

/// The write keys of all sources, as they are now.
pub(super) struct WriteKeys(Admission);

impl WriteKeys {
    /// Those of whom it lets in.
    pub fn new(admission: Admission) -> Self {
        WriteKeys(admission)
    }

    /// The place of the source that has this key.
    pub fn source(&self, key: &str) -> Option<usize> {
        self.0.now().source(key)
    }

    /// The source whose key is in the head of a request: in `Authorization`, `X-Write-Key` or the address, of these the first that
    /// knows one. What else is there may be for somebody else, such as a gateway in between.
    pub fn source_of_head(&self, head: &Parts) -> Option<usize> {
        let header = || Some(head.headers.get(WRITE_KEY)?.to_str().ok()?.trim().to_owned());
        let in_address = || {
            let Query(said) = Query::<Vec<(CompactString, String)>>::try_from_uri(&head.uri).ok()?;
            said.into_iter().find(|(name, _)| name == "writeKey").map(|(_, key)| key)
        };
        let source = |key: Option<String>| self.source(&key?);
        source(sent_token(&head.headers)).or_else(|| source(header())).or_else(|| source(in_address()))
    }

    /// Nobody has this key.
    pub fn unknown() -> Problem {
        let expected = "expected the write key of a source: as user name of Basic authorization, as `Authorization: Bearer …`, as \
                        `X-Write-Key`, as `?writeKey=…`, or as `writeKey` in the body";
        Problem::new(axum::http::StatusCode::UNAUTHORIZED, "unknown_write_key", expected)
    }
}
