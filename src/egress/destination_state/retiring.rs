//! What operators wish of a destination as a whole: that it has nothing any more, or that it is another one and has nothing yet.

use std::mem;

use dataflows::model::{ProfileId, Tick};

use super::{DestinationState, LastSent, RowKey, RowMap};
use crate::egress::change::Action;

impl DestinationState {
    /// Nothing is desired from now on. What the definitions say is remembered. All ticks before `complete` were taken in.
    pub fn retire(&mut self, complete: Tick) {
        if mem::replace(&mut self.lifecycle.is_retired, true) {
            return;
        }
        let as_of = self.as_of_order(complete);
        for (key, LastSent { action, profile }) in self.all_desired() {
            if action != Action::Delete {
                self.withheld.insert(key.clone(), LastSent { action, profile });
                self.desire_nothing(key, profile, as_of);
            }
        }
    }

    /// What the definitions say is desired again.
    pub fn unretire(&mut self, complete: Tick) {
        if !mem::take(&mut self.lifecycle.is_retired) {
            return;
        }
        let as_of = self.as_of_order(complete);
        let withheld = mem::take(&mut self.withheld);
        for (key, told) in sorted(withheld) {
            self.desire(key, told, as_of, None);
        }
    }

    /// As of when something is told that an operator wishes: later than all that was told.
    fn as_of_order(&self, complete: Tick) -> Tick {
        self.as_of_now(complete).max(self.told_to.next())
    }

    /// What is desired of a row, of which the definitions say `told`.
    pub(super) fn unless_retired(&mut self, key: &RowKey, told: LastSent) -> LastSent {
        if !self.lifecycle.is_retired {
            return told;
        }
        let profile = told.profile;
        match told.action {
            Action::Add(_) => _ = self.withheld.insert(key.clone(), told),
            Action::Delete => _ = self.withheld.remove(key),
        }
        LastSent { action: Action::Delete, profile }
    }

    fn desire_nothing(&mut self, key: RowKey, profile: ProfileId, as_of: Tick) {
        let nothing = LastSent { action: Action::Delete, profile };
        match self.left.is_some() {
            // What the destination has is known later.
            true => self.pend(key, nothing, as_of, None),
            // The row is remembered already.
            false => {
                let withheld = self.withheld.remove(&key);
                self.desire(key.clone(), nothing, as_of, None);
                self.withheld.extend(withheld.map(|told| (key, told)));
            }
        }
    }

    /// The destination is another one: it has nothing yet, and all that is desired is told. Nothing is under way to it.
    pub fn renew(&mut self, complete: Tick) {
        self.lifecycle.round += 1;
        if let Some(left) = &mut self.left {
            left.rows.clear();
            left.refused.clear();
            left.frontier = Tick::default();
            self.in_flight = Default::default();
            return;
        }
        let (as_of, desired) = (self.as_of_now(complete), self.all_desired());
        self.in_flight = Default::default();
        (self.acknowledged, self.stale, self.refused, self.resync_queue) = Default::default();
        (self.pending, self.queue) = Default::default();
        // What is not desired, a new one has not.
        for (key, told) in desired.into_iter().filter(|(_, told)| told.action != Action::Delete) {
            self.desire(key, told, as_of, None);
        }
    }

    /// What is desired of each row that the books know, in an order that does not depend on chance.
    fn all_desired(&self) -> Vec<(RowKey, LastSent)> {
        let mut desired: RowMap<LastSent> = RowMap::default();
        for (key, held) in self.acknowledged.iter().chain(&self.stale) {
            desired.insert(key.clone(), LastSent { action: Action::Add(held.traits.clone()), profile: held.profile });
        }
        desired.extend(self.refused.iter().map(|(key, told)| (key.clone(), told.clone())));
        desired.extend(self.in_flight.iter().flat_map(|in_flight| super::told(&in_flight.batch)));
        let told = |pending: &super::PendingRow| LastSent { action: pending.action.clone(), profile: pending.profile };
        desired.extend(self.pending.iter().map(|(key, pending)| (key.clone(), told(pending))));
        sorted(desired)
    }
}

fn sorted(rows: RowMap<LastSent>) -> Vec<(RowKey, LastSent)> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_unstable_by(|(a, of_a), (b, of_b)| (a.0, of_a.profile, &a.1).cmp(&(b.0, of_b.profile, &b.1)));
    rows
}
