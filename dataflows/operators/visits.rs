//! How much of the past is looked at: counted in tests of this crate, and nowhere else.

pub use counter::count;
#[cfg(test)]
pub use counter::so_far;

#[cfg(test)]
mod counter {
    use std::cell::Cell;

    thread_local! {
        static VISITS: Cell<usize> = const { Cell::new(0) };
    }

    /// One more row is looked at.
    pub fn count() {
        VISITS.with(|visits| visits.set(visits.get() + 1));
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
}
