//! `WaitingRows`: rows that wait until their tick is complete, for operators that look at a tick as a whole.

use std::vec::Drain;

use timely::dataflow::operators::{Capability, InputCapability};
use timely::progress::frontier::MutableAntichain;

use crate::model::Tick;

/// Rows that wait, with what lets them be given out at their ticks.
pub struct WaitingRows<T> {
    rows: Vec<T>,
    /// For the earliest tick among the rows, so that nobody behind passes it; none where nothing waits.
    held: Option<Capability<Tick>>,
}

impl<T> Default for WaitingRows<T> {
    fn default() -> Self {
        WaitingRows { rows: Vec::new(), held: None }
    }
}

/// Holds on to `capability`, unless an earlier one is held.
pub fn hold(held: &mut Option<Capability<Tick>>, capability: &InputCapability<Tick>) {
    let earlier = |held: &Capability<Tick>| capability.least().is_some_and(|least| least < held.time());
    if held.as_ref().is_none_or(earlier) {
        *held = capability.retain_least(0);
    }
}

impl<T> WaitingRows<T> {
    /// Takes in rows that came under `capability`.
    pub fn take_in(&mut self, capability: &InputCapability<Tick>, rows: impl Iterator<Item = T>) {
        hold(&mut self.held, capability);
        self.rows.extend(rows);
    }

    /// Gives out the rows whose tick is complete at `frontier`, once there are some: `sort` puts all rows in an order that begins
    /// with `tick`, and may merge some, since what came first must not show.
    pub fn complete(
        &mut self,
        frontier: &MutableAntichain<Tick>,
        sort: impl FnOnce(&mut Vec<T>),
        tick: impl Fn(&T) -> &Tick,
        give: impl FnOnce(&Capability<Tick>, Drain<'_, T>),
    ) {
        let Some(capability) = self.held.as_mut() else { return };
        if frontier.less_equal(capability.time()) {
            return;
        }
        sort(&mut self.rows);
        let complete = self.rows.partition_point(|row| !frontier.less_equal(tick(row)));
        give(capability, self.rows.drain(..complete));
        match self.rows.first() {
            Some(earliest) => capability.downgrade(tick(earliest)),
            None => self.held = None,
        }
    }
}
