//! Logical time: one tick per batch of input.

use std::fmt;

use differential_dataflow::lattice::{Lattice, Maximum};
use serde::{Deserialize, Serialize};
use timely::order::{PartialOrder, TotalOrder};
use timely::progress::timestamp::{PathSummary, Refines, Timestamp};

/// A point of logical time, in milliseconds since the Unix epoch.
///
/// It serves both as the time of the dataflow and as the time of an event, because windows compare the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tick(u64);

impl Tick {
    /// The latest tick there can be; it stands for "never" where an end is asked for.
    pub const MAX: Tick = Tick(u64::MAX);

    /// The tick at `ms` milliseconds since the Unix epoch.
    pub const fn from_ms(ms: u64) -> Self {
        Tick(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// The tick `ms` milliseconds later; stops at [`Tick::MAX`].
    pub const fn after_ms(self, ms: u64) -> Self {
        Tick(self.0.saturating_add(ms))
    }

    /// The tick right after this one.
    pub const fn next(self) -> Self {
        self.after_ms(1)
    }

    /// The tick right before this one; that of the first is the first itself.
    pub const fn before(self) -> Self {
        Tick(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialOrder for Tick {
    #[inline]
    fn less_than(&self, other: &Self) -> bool {
        self < other
    }
    #[inline]
    fn less_equal(&self, other: &Self) -> bool {
        self <= other
    }
}

impl TotalOrder for Tick {}

impl PathSummary<Tick> for Tick {
    #[inline]
    fn results_in(&self, src: &Tick) -> Option<Tick> {
        self.0.checked_add(src.0).map(Tick)
    }
    #[inline]
    fn followed_by(&self, other: &Tick) -> Option<Tick> {
        self.0.checked_add(other.0).map(Tick)
    }
}

impl Timestamp for Tick {
    type Summary = Tick;
    fn minimum() -> Self {
        Tick(0)
    }
}

impl Refines<()> for Tick {
    fn to_inner(_: ()) -> Self {
        Tick(0)
    }
    fn to_outer(self) {}
    fn summarize(_: Tick) {}
}

impl Lattice for Tick {
    #[inline]
    fn join(&self, other: &Self) -> Self {
        *self.max(other)
    }
    #[inline]
    fn meet(&self, other: &Self) -> Self {
        *self.min(other)
    }
}

impl Maximum for Tick {
    fn maximum() -> Self {
        Tick::MAX
    }
}
