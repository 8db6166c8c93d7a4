//! What is known of the shop's events beside their text.

use deltaic::ingest::segment::{EventContext, Stamp};

/// Of an event that came `now`.
pub fn given(now: &Stamp) -> EventContext<'_> {
    EventContext { source: "shop", call: None, received: Some(now), sent_at: Some(now), context: None, ip: None, position: ("", 0) }
}
