//! The ticks of lists that are read page by page: what their next pages need of the past is kept for them, for a while.
//!
//! A tick is the same on all workers, so a list goes on at any process. What is kept is the history of arrangements since the
//! oldest of these ticks, so that it costs nothing where nothing changes, and is bounded by how much may change.

use std::collections::BTreeMap;

use crate::limits::{LIST_BEGUN_MS, LIST_KEPT_MS, LIST_UPDATES_MAX, LISTS_MAX};
use crate::model::Tick;

/// The ticks.
#[derive(Default)]
pub(super) struct HeldLists {
    lists: BTreeMap<Tick, HeldList>,
}

/// The lists of one tick.
struct HeldList {
    /// The last tick at which they may go on.
    until: Tick,
    /// How many updates there were when they began.
    updates: usize,
}

impl HeldLists {
    /// A list begins at `tick`, with so many updates in the arrangements. It is soon known whether it has a second page.
    pub fn begin(&mut self, tick: Tick, updates: usize) {
        if self.lists.len() < LISTS_MAX {
            self.lists.entry(tick).or_insert(HeldList { until: tick.after_ms(LIST_BEGUN_MS), updates });
        }
    }

    /// A list that began at `tick` goes on at `now`: whether it can.
    pub fn go_on(&mut self, tick: Tick, now: Tick) -> bool {
        let Some(list) = self.lists.get_mut(&tick).filter(|list| list.until >= now) else { return false };
        list.until = list.until.max(now.after_ms(LIST_KEPT_MS));
        true
    }

    /// Gives up lists that were not gone on with, and those since whose beginning too much has changed. All ticks before
    /// `frontier` are over.
    pub fn release(&mut self, frontier: Tick, updates: impl FnOnce() -> usize) {
        self.lists.retain(|_, list| list.until >= frontier);
        if self.lists.is_empty() {
            return;
        }
        let updates = updates();
        while let Some(oldest) = self.lists.first_entry()
            && updates.saturating_sub(oldest.get().updates) > LIST_UPDATES_MAX
        {
            oldest.remove();
        }
    }

    /// The oldest of the ticks.
    pub fn oldest(&self) -> Option<Tick> {
        self.lists.first_key_value().map(|(tick, _)| *tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Tick {
        Tick::from_ms(ms)
    }

    #[test]
    fn a_list_is_kept_as_long_as_it_is_gone_on_with() {
        let mut held = HeldLists::default();
        held.begin(ms(10), 0);
        held.begin(ms(20), 0);
        assert!(held.go_on(ms(10), ms(10 + LIST_BEGUN_MS)) && !held.go_on(ms(11), ms(30)));
        held.release(ms(21 + LIST_BEGUN_MS), || 0);
        assert_eq!(held.oldest(), Some(ms(10)), "the other was not gone on with");
        let last = 10 + LIST_BEGUN_MS + LIST_KEPT_MS;
        assert!(held.go_on(ms(10), ms(last)) && held.go_on(ms(10), ms(last + LIST_KEPT_MS)));
        assert!(!held.go_on(ms(10), ms(last + 2 * LIST_KEPT_MS + 1)));
        held.release(ms(last + 2 * LIST_KEPT_MS + 1), || 0);
        assert_eq!(held.oldest(), None);
    }

    #[test]
    fn the_oldest_are_given_up_where_too_much_changes() {
        let mut held = HeldLists::default();
        held.begin(ms(1), 100);
        held.begin(ms(2), 200);
        held.release(ms(3), || 100 + LIST_UPDATES_MAX);
        assert_eq!(held.oldest(), Some(ms(1)));
        held.release(ms(3), || 101 + LIST_UPDATES_MAX);
        assert_eq!(held.oldest(), Some(ms(2)));
        (3..2 * LISTS_MAX as u64).for_each(|tick| held.begin(ms(tick), 0));
        assert_eq!(held.lists.len(), LISTS_MAX);
    }
}
