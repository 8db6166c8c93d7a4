//! The ticks of lists that are read page by page: what their next pages need of the past is kept for them, for a while.
//!
//! A tick is the same on all workers, so a list goes on at any process. What is kept is the history of arrangements since the
//! oldest of these ticks, so that it costs nothing where nothing changes, and is bounded by how much may change.
//!
//! For how long, questions say: where ticks jump, no time has passed for whoever reads the list. The engine itself puts several a second,
//! to all workers, so what they know of the time is the same but for what is under way. A list goes on only where all of them still have it.

use std::collections::BTreeMap;

use crate::limits::{LIST_BEGUN_MS, LIST_KEPT_MS, LIST_UPDATES_MAX, LISTS_MAX};
use crate::model::Tick;
use crate::relations::Held;

/// The ticks.
#[derive(Default)]
pub(super) struct HeldLists {
    lists: BTreeMap<Tick, HeldList>,
    /// The time as questions have it: ticks, without those that were jumped over.
    now: Tick,
}

/// The lists of one tick.
struct HeldList {
    /// The last moment at which they may go on.
    until: Tick,
    /// What is held for them.
    held: Held,
    /// How many updates there were when they began, in what is held for lists of members, and in everything.
    updates: [usize; 2],
}

impl HeldLists {
    /// It is that late, or later.
    pub fn passed(&mut self, now: Tick) {
        self.now = self.now.max(now);
    }

    /// A list begins at `tick`, with so many updates in the arrangements. It is soon known whether it has a second page.
    pub fn begin(&mut self, tick: Tick, held: Held, updates: [usize; 2]) {
        let until = self.now.after_ms(LIST_BEGUN_MS);
        if self.lists.len() < LISTS_MAX || self.lists.contains_key(&tick) {
            let list = self.lists.entry(tick).or_insert(HeldList { until, held, updates });
            list.until = list.until.max(until);
            list.held = list.held.max(held);
        }
    }

    /// A list that began at `tick` goes on now: whether it can.
    pub fn go_on(&mut self, tick: Tick, held: Held) -> bool {
        let is_kept = |list: &&mut HeldList| list.until >= self.now && list.held >= held;
        let Some(list) = self.lists.get_mut(&tick).filter(is_kept) else { return false };
        list.until = list.until.max(self.now.after_ms(LIST_KEPT_MS));
        true
    }

    /// Gives up lists that were not gone on with, and those since whose beginning too much has changed.
    pub fn release(&mut self, updates: impl FnOnce() -> [usize; 2]) {
        self.lists.retain(|_, list| list.until >= self.now);
        if self.lists.is_empty() {
            return;
        }
        let updates = updates();
        let more = |list: &HeldList| {
            let of = |updates: [usize; 2]| updates[usize::from(list.held == Held::Everything)];
            of(updates).saturating_sub(of(list.updates))
        };
        while let Some(oldest) = self.lists.first_entry()
            && more(oldest.get()) > LIST_UPDATES_MAX
        {
            oldest.remove();
        }
    }

    /// The oldest of the ticks for which as much is held, or more.
    pub fn oldest(&self, held: Held) -> Option<Tick> {
        self.lists.iter().find(|(_, list)| list.held >= held).map(|(tick, _)| *tick)
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
        let go_on = |held: &mut HeldLists, tick: u64, now: u64| {
            held.passed(ms(now));
            held.go_on(ms(tick), Held::Members)
        };
        // A year of ticks was jumped over: that is no time.
        let year = 365 * 86_400_000;
        held.passed(ms(10));
        held.begin(ms(year + 10), Held::Members, [0; 2]);
        held.passed(ms(20));
        held.begin(ms(year + 20), Held::Members, [0; 2]);
        assert!(!go_on(&mut held, year + 11, 30));
        assert!(go_on(&mut held, year + 10, 10 + LIST_BEGUN_MS));
        held.passed(ms(21 + LIST_BEGUN_MS));
        held.release(|| [0; 2]);
        assert_eq!(held.oldest(Held::Members), Some(ms(year + 10)), "the other was not gone on with");
        let last = 10 + LIST_BEGUN_MS + LIST_KEPT_MS;
        assert!(go_on(&mut held, year + 10, last) && go_on(&mut held, year + 10, last + LIST_KEPT_MS));
        // Who does not know the time takes none of it back.
        held.passed(ms(0));
        assert!(!go_on(&mut held, year + 10, last + 2 * LIST_KEPT_MS + 1));
        held.release(|| [0; 2]);
        assert_eq!(held.oldest(Held::Members), None);
    }

    #[test]
    fn the_oldest_are_given_up_where_too_much_changes() {
        let mut held = HeldLists::default();
        held.begin(ms(1), Held::Members, [100, 0]);
        held.begin(ms(2), Held::Members, [200, 0]);
        held.release(|| [100 + LIST_UPDATES_MAX, usize::MAX]);
        assert_eq!(held.oldest(Held::Members), Some(ms(1)));
        held.release(|| [101 + LIST_UPDATES_MAX, usize::MAX]);
        assert_eq!(held.oldest(Held::Members), Some(ms(2)));
        // While much is worked off, one tick stays the latest for long.
        held.passed(ms(2 * LIST_BEGUN_MS));
        held.begin(ms(2), Held::Members, [300, 0]);
        held.passed(ms(3 * LIST_BEGUN_MS));
        assert!(held.go_on(ms(2), Held::Members), "it began once more");
        (3..2 * LISTS_MAX as u64).for_each(|tick| held.begin(ms(tick), Held::Members, [0; 2]));
        assert_eq!(held.lists.len(), LISTS_MAX);
    }

    #[test]
    fn what_is_derived_is_held_for_those_who_read_it() {
        let mut held = HeldLists::default();
        held.begin(ms(1), Held::Members, [0, 0]);
        held.begin(ms(2), Held::Everything, [0, 5]);
        assert_eq!([Held::Members, Held::Everything].map(|kept| held.oldest(kept)), [Some(ms(1)), Some(ms(2))]);
        assert!(!held.go_on(ms(1), Held::Everything) && held.go_on(ms(1), Held::Members));
        assert!(held.go_on(ms(2), Held::Everything) && held.go_on(ms(2), Held::Members));
        // One more list of the same tick needs more, and is the same one from then on.
        held.begin(ms(1), Held::Everything, [0, 5]);
        assert_eq!(held.oldest(Held::Everything), Some(ms(1)));
        // Members have not changed; what is derived has.
        held.release(|| [0, 6 + LIST_UPDATES_MAX]);
        assert_eq!(held.oldest(Held::Members), None);
    }
}
