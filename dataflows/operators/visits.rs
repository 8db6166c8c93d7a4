//! How much is looked at, of the past or of a tick: counted in tests of this crate, and nowhere else.

#[cfg(test)]
pub use counter::so_far;
pub use counter::{count, count_rows};

#[cfg(test)]
mod counter {
    use std::cell::Cell;

    thread_local! {
        static VISITS: Cell<usize> = const { Cell::new(0) };
    }

    /// One more row is looked at.
    pub fn count() {
        count_rows(1);
    }

    /// So many more.
    pub fn count_rows(rows: usize) {
        VISITS.with(|visits| visits.set(visits.get() + rows));
    }

    /// How many were on this thread.
    pub fn so_far() -> usize {
        VISITS.with(Cell::get)
    }
}

#[cfg(not(test))]
mod counter {
    /// Nothing is counted.
    #[inline(always)]
    pub fn count() {}

    /// Nor here.
    #[inline(always)]
    pub fn count_rows(_: usize) {}
}
