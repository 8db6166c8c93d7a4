//! An entry of the quarantine, and how it is written.
//!
//! ```text
//! 0  version                1
//! 1  bytes of the head      u32, big endian
//! 5  head                   JSON: all but the text
//!    text                   as it was sent, without write keys; that of an event is cut at the limit of an event
//! ```

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use dataflows::model::Tick;
use serde::{Deserialize, Serialize};

use super::RejectedInput;
use crate::ingest::segment::{CallType, Extractor, redact};

const VERSION: u8 = 1;
const HEAD: usize = 5;

/// The number of an entry. Later entries have greater ones; none is given twice in a data folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryId(u64);

impl EntryId {
    /// The greatest there could be.
    pub const MAX: EntryId = EntryId(u64::MAX);

    /// The next one.
    pub fn next(self) -> Self {
        EntryId(self.0.saturating_add(1))
    }

    /// The one before it; there is none before the first.
    pub fn previous(self) -> Self {
        EntryId(self.0.saturating_sub(1))
    }

    /// How keys are written: in the order of the numbers.
    pub fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The number that is written like this.
    pub fn from_be_bytes(bytes: [u8; 8]) -> Self {
        EntryId(u64::from_be_bytes(bytes))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for EntryId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(EntryId).map_err(|_| "expected the number of an entry, as the list of entries shows it")
    }
}

/// What was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectedPart {
    /// One event.
    Event,
    /// The whole body of a request.
    Request,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// Its number.
    pub id: EntryId,
    /// All but its text.
    pub head: EntryHead,
    /// The text.
    pub text: String,
}

/// What is known of an entry beside its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryHead {
    /// When it arrived: milliseconds since 1970.
    pub at: u64,
    /// The name of its source.
    pub source: CompactString,
    /// An event, or a whole body.
    pub what: RejectedPart,
    /// The call, where the address said it.
    pub call: Option<CompactString>,
    /// Whether it is of the past, as far as its request said so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_historical: bool,
    /// The `sentAt` of its batch.
    pub sent_at: Option<u64>,
    /// The `context` of its batch, as JSON.
    pub context: Option<String>,
    /// Why: the code for programs.
    pub code: CompactString,
    /// Why: for people.
    pub message: String,
    /// The keyed hash of (source, message id), in hexadecimal, where it has one.
    pub hash: Option<CompactString>,
    /// Bytes as it was sent.
    pub bytes: usize,
    /// Whether the text is not all that was sent (too long, or not UTF-8), so that it cannot be retried.
    pub is_cut: bool,
}

impl QuarantineEntry {
    /// The entry of what was rejected. An event is cut at the limit of an event; a body is within that of a request.
    pub fn new(id: EntryId, refused: RejectedInput, extractor: &Extractor) -> Self {
        let RejectedInput { at, source, what, call, is_historical, sent_at, context, code, message, raw } = refused;
        let bytes = raw.len();
        let sent = String::from_utf8(raw);
        let mut is_cut = sent.is_err();
        let sent = sent.unwrap_or_else(|other| String::from_utf8_lossy(other.as_bytes()).into_owned());
        let (hash, mut text) = match what {
            RejectedPart::Event => extractor.examine(&source, &sent),
            RejectedPart::Request => (None, redact(&sent)),
        };
        let most = extractor.event_bytes_max();
        let mut context = context.map(|context| context.to_string());
        if what == RejectedPart::Event {
            is_cut |= text.len() > most || context.as_ref().is_some_and(|context| context.len() > most);
            text.truncate(text.floor_char_boundary(most));
            context = context.filter(|context| context.len() <= most);
        }
        let head = EntryHead {
            at: at.as_ms(),
            source,
            what,
            call: call.map(|call| call.name().into()),
            is_historical,
            sent_at: sent_at.map(Tick::as_ms),
            context,
            code,
            message,
            hash: hash.map(|hash| compact_str::format_compact!("{hash:032x}")),
            bytes,
            is_cut,
        };
        QuarantineEntry { id, head, text }
    }

    /// The call that the address said.
    pub fn call(&self) -> Option<CallType> {
        self.head.call.as_deref().and_then(|name| name.parse().ok())
    }

    /// How it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let head = serde_json::to_vec(&self.head).expect("names, numbers and texts are JSON");
        let bytes = u32::try_from(head.len()).expect("a message is short and a context within the limit of a body");
        [&[VERSION][..], &bytes.to_be_bytes(), &head, self.text.as_bytes()].concat()
    }

    /// The entry that is stored like this; nothing where it is damaged, or of a later version.
    pub fn decode(id: EntryId, stored: &[u8]) -> Option<Self> {
        let (&[version, a, b, c, d], rest) = stored.split_first_chunk::<HEAD>()?;
        let (head, text) = rest.split_at_checked(usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?)?;
        let head = (version == VERSION).then(|| serde_json::from_slice(head).ok()).flatten()?;
        Some(QuarantineEntry { id, head, text: String::from_utf8(text.to_owned()).ok()? })
    }
}
