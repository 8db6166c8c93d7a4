//! When the events of a measure count.

use crate::calendar::{CALENDAR_SPREAD_MS, CalendarSpan, Zone};
use crate::model::Tick;

/// When an event counts, by its time (docs/concepts/windows.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Period {
    /// While it is younger than the window is long.
    Within(Window),
    /// When a window of the one length lets go of it, or would not take it any more, and until one of the other length does; without that
    /// one, for ever.
    Aged {
        /// The lesser age.
        to: Window,
        /// The greater age.
        from: Option<Window>,
    },
    /// While its day, or week, … in the zone is the one of now. All ends of an identifier are the same time after the exact ones, less than
    /// [`CALENDAR_SPREAD_MS`].
    During(CalendarSpan, Zone),
    /// From its arrival to the moment so long after its time, or to its arrival where that is later, that moment included.
    UntilDue {
        /// How long after its time, in milliseconds.
        after_ms: u64,
    },
}

impl Period {
    /// Whether an event stops counting at some time.
    pub fn ends(&self) -> bool {
        match self {
            Period::Within(_) | Period::During(..) | Period::UntilDue { .. } => true,
            Period::Aged { from, .. } => from.is_some(),
        }
    }

    /// Events of times before this do not count at `now` any more; nothing where events count for ever.
    pub fn begins(&self, now: Tick) -> Option<Tick> {
        let window = match self {
            Period::Within(window) => Some(window),
            Period::Aged { from, .. } => from.as_ref(),
            Period::UntilDue { after_ms } => return Some(Tick::from_ms(now.as_ms().saturating_sub(*after_ms))),
            Period::During(span, zone) => {
                return span.begins(zone, Tick::from_ms(now.as_ms().saturating_sub(CALENDAR_SPREAD_MS)));
            }
        };
        window.map(|window| Tick::from_ms(now.as_ms().saturating_sub(window.length_ms)))
    }
}

/// A sliding window (docs/concepts/windows.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Its length, at least 1 ms.
    pub length_ms: u64,
    /// The end of an event's stay is rounded up to a multiple of this, at least 1 ms, shifted for each identifier.
    pub grain_ms: u64,
}

impl Window {
    /// A window of this length with the grain of docs/concepts/windows.md.
    pub fn new(length_ms: u64) -> Self {
        const GRAINS_MS: [u64; 12] =
            [1, 10, 100, 1_000, 5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000, 21_600_000, 86_400_000];
        let largest = length_ms / 1_000;
        let grain_ms = GRAINS_MS.into_iter().rev().find(|grain| *grain <= largest).unwrap_or(1);
        Window { length_ms, grain_ms }
    }
}
