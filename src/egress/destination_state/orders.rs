//! What operators wish of a destination.

use std::mem;

use dataflows::model::Tick;
use serde::{Deserialize, Serialize};

use super::{DestinationState, LastSent, RowKey};
use crate::egress::change::Action;

/// What has been wished so far, and stays over a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::egress) struct Lifecycle {
    /// No new call begins.
    pub is_paused: bool,
    /// How many resyncs there have been. A row that was acknowledged in an earlier round is to be told again: that is how
    /// a resync goes on after a crash.
    pub round: u32,
    /// Nothing is desired, whatever the definitions say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_retired: bool,
    /// The tick of the last one: what it tells is true at this tick, unless something else is pending.
    pub resync: Tick,
}

impl DestinationState {
    /// What has been wished so far.
    pub fn lifecycle(&self) -> Lifecycle {
        self.lifecycle
    }

    /// No new call begins from now on, or may begin again.
    pub fn pause(&mut self, is_paused: bool) {
        self.lifecycle.is_paused = is_paused;
    }

    /// Whether no new call may begin.
    pub fn is_paused(&self) -> bool {
        self.lifecycle.is_paused
    }

    /// Everything is told once more. Gives the rows that were refused, and are not any more.
    ///
    /// All ticks before `complete` have been taken in. What is pending is told anyway, also the deletes. Batches that
    /// are in flight end first: the row that they tell goes once more when they have.
    pub fn resync(&mut self, complete: Tick) -> Vec<RowKey> {
        let refused = self.retry(complete);
        self.lifecycle.round += 1;
        self.lifecycle.resync = complete;
        self.resync_as_of = self.as_of_now(complete);
        let mut told = mem::take(&mut self.acknowledged);
        if told.len() > self.stale.len() {
            mem::swap(&mut told, &mut self.stale);
        }
        self.stale.extend(told);
        self.resync_queue.clear();
        refused
    }

    /// What was refused is told once more. Gives the rows.
    pub fn retry(&mut self, complete: Tick) -> Vec<RowKey> {
        self.retry_those(complete, |_| true)
    }

    /// Deletes that were refused are told once more. Gives the rows.
    pub fn retry_deletes(&mut self, complete: Tick) -> Vec<RowKey> {
        self.retry_those(complete, |action| *action == Action::Delete)
    }

    fn retry_those(&mut self, complete: Tick, is_meant: impl Fn(&Action) -> bool) -> Vec<RowKey> {
        if let Some(left) = &mut self.left {
            // What is desired of them is known later, and then differs from what the destination has.
            return left.refused.extract_if(|_, told| is_meant(&told.action)).map(|(key, _)| key).collect();
        }
        let as_of = self.as_of_now(complete);
        let mut refused: Vec<(RowKey, LastSent)> = self.refused.extract_if(|_, told| is_meant(&told.action)).collect();
        refused.sort_unstable_by(|(a, of_a), (b, of_b)| (a.0, of_a.profile, &a.1).cmp(&(b.0, of_b.profile, &b.1)));
        let mut keys = Vec::with_capacity(refused.len());
        for (key, told) in refused {
            keys.push(key.clone());
            // Where something later is pending or on its way, that is what is desired.
            if self.in_flight.action(&key).is_some() {
                continue;
            }
            if !self.pending.contains_key(&key) {
                self.pend(key.clone(), told, as_of, None);
            }
            if let Some(pending) = self.pending.get_mut(&key) {
                pending.is_in_doubt = true;
            }
        }
        keys
    }

    /// What was refused counts as acknowledged. Gives the rows.
    pub fn forget(&mut self) -> Vec<(RowKey, LastSent)> {
        if let Some(left) = &mut self.left {
            let refused: Vec<_> = mem::take(&mut left.refused).into_iter().collect();
            for (key, told) in &refused {
                left.hold(key.clone(), told, self.lifecycle.round);
            }
            return refused;
        }
        let refused: Vec<_> = mem::take(&mut self.refused).into_iter().collect();
        for (key, told) in &refused {
            self.hold(key.clone(), told.clone(), false);
        }
        refused
    }
}
