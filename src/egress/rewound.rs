//! What destinations were told, as of an earlier tick: for a data folder that goes back (`deltaic log rewind`).
//!
//! What they confirmed stays, since they have it. How far they were told goes back, so that what is different now is told; and events
//! that were to be sent are as of their ticks.

use dataflows::model::Tick;

use super::forward;
use crate::log::RewoundRow;

/// What becomes of a row of the storage, where all goes back to `to`.
pub fn rewound(keyspace: &str, key: &[u8], value: &[u8], to: Tick) -> RewoundRow {
    match keyspace {
        "frontiers" => forward::rewound_cursor(key, value, to).unwrap_or_else(|| rewound_frontier(value, to)),
        "forwards" => forward::rewound_entry(key, to),
        _ => RewoundRow::Stays,
    }
}

/// The frontier of a destination, before which it was told everything, and the latest `as_of` that it was told: one behind the other.
fn rewound_frontier(value: &[u8], to: Tick) -> RewoundRow {
    let ticks = value.chunks_exact(8).map(|tick| u64::from_be_bytes(tick.try_into().expect("it has eight bytes")));
    let last = [to.next(), to].map(Tick::as_ms);
    changed(value, ticks.zip(last).flat_map(|(tick, last)| tick.min(last).to_be_bytes()).collect())
}

/// A row whose value may be another one.
pub(super) fn changed(value: &[u8], new: Vec<u8>) -> RewoundRow {
    if value == new { RewoundRow::Stays } else { RewoundRow::Becomes(new) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(numbers: &[u64]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    #[test]
    fn how_far_a_destination_was_told_goes_back() {
        let of = |key: &[u8], value: &[u8]| rewound("frontiers", key, value, Tick::from_ms(50));
        assert_eq!(of(b"crm", &bytes(&[90, 80])), RewoundRow::Becomes(bytes(&[51, 50])));
        assert_eq!(of(b"crm", &bytes(&[90, 20])), RewoundRow::Becomes(bytes(&[51, 20])));
        assert_eq!(of(b"crm", &bytes(&[90])), RewoundRow::Becomes(bytes(&[51])));
        assert_eq!(of(b"crm", &bytes(&[51, 40])), RewoundRow::Stays);
        // A cursor: events up to a tick, and the place where what is in batch_id ends.
        let cursor = |produced: u64, in_flight: Option<(u64, u32)>| {
            let place = in_flight.map(|(tick, index)| [&tick.to_be_bytes()[..], &index.to_be_bytes()].concat());
            [&produced.to_be_bytes()[..], &place.unwrap_or_default()].concat()
        };
        assert_eq!(of(b"crm\0forwards", &cursor(90, Some((70, 1)))), RewoundRow::Becomes(cursor(51, None)));
        assert_eq!(of(b"crm\0forwards", &cursor(90, Some((50, 1)))), RewoundRow::Becomes(cursor(51, Some((50, 1)))));
        assert_eq!(of(b"crm\0forwards", &cursor(40, None)), RewoundRow::Stays);
    }

    #[test]
    fn events_of_later_ticks_go_and_all_else_stays() {
        let key = |tick: u64| [b"crm\0".as_slice(), &tick.to_be_bytes(), &7u32.to_be_bytes()].concat();
        let of = |keyspace, tick| rewound(keyspace, &key(tick), b"{}", Tick::from_ms(50));
        assert_eq!(
            [of("forwards", 50), of("forwards", 51), of("outbox", 51)],
            [RewoundRow::Stays, RewoundRow::Goes, RewoundRow::Stays]
        );
        assert_eq!(rewound("forwards", b"short", b"{}", Tick::from_ms(50)), RewoundRow::Stays);
    }
}
