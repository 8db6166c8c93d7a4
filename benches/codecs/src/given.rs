//! What is known of the shop's events beside their text.

use deltaic::ingest::segment::{Given, Stamp};

/// Of an event that came `now`.
pub fn given(now: &Stamp) -> Given<'_> {
    Given { source: "shop", call: None, received: Some(now), sent_at: Some(now), context: None, ip: None, position: ("", 0) }
}
