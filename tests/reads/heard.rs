//! What a subscription hears: the changes of memberships, tick by tick, from its beginning on, or since a scan.

use std::collections::BTreeSet;

use dataflows::definitions::AudienceId;
use dataflows::model::{ProfileId, Tick};
use dataflows::relations::{IdentityChanges, Memberships};
use deltaic::engine::{Handle, ReadAnswer, ReadOptions, SubscribeError, Subscription};

use super::relations::small_slices;
use crate::program::DEADLINE;

/// A subscription to all memberships, and what there is by it.
pub struct HeardChanges {
    subscription: Subscription<Memberships>,
    /// The last tick of which anything was heard.
    heard: Option<Tick>,
    /// The tick that the memberships are of, or a later one at which nothing has changed.
    at: Tick,
    memberships: BTreeSet<(AudienceId, ProfileId)>,
}

impl HeardChanges {
    pub fn subscribe(handle: &Handle) -> Self {
        // From a time on when there were none.
        let refused = handle.subscribe::<IdentityChanges>().expect_err("nobody asked for it at the start");
        assert_eq!(refused, SubscribeError::NotTold { relation: "identity_changes" });
        let subscription = handle.subscribe().expect("it is told");
        HeardChanges { subscription, heard: None, at: Tick::default(), memberships: BTreeSet::new() }
    }

    /// Begins in the middle: with what is there by then.
    pub async fn after_a_scan(handle: &Handle) -> Self {
        let subscription: Subscription<Memberships> = handle.subscribe().expect("it is told");
        let of = small_slices(ReadOptions::within(DEADLINE).after(subscription.from()));
        let ReadAnswer { as_of, found } = handle.scan::<Memberships>(of).await.unwrap().collect().await.unwrap();
        HeardChanges {
            subscription,
            heard: None,
            at: as_of,
            memberships: found.into_iter().map(|(key, ())| key).collect(),
        }
    }

    /// Takes in what was told before `frontier`; gives what there is at each tick of a change, and in the end.
    pub fn take_in(&mut self, frontier: Tick, mut is: impl FnMut(Tick, &BTreeSet<(AudienceId, ProfileId)>)) {
        while let Some(heard) = self.subscription.try_next() {
            assert!(
                heard.tick() >= self.subscription.from() && Some(heard.tick()) > self.heard,
                "ticks come in their order"
            );
            self.heard = Some(heard.tick());
            if heard.tick() <= self.at {
                // The scan has it.
                continue;
            }
            self.at = heard.tick();
            for (row, diff) in heard.changes() {
                let is_right = match diff {
                    1 => self.memberships.insert(*row),
                    -1 => self.memberships.remove(row),
                    _ => false,
                };
                assert!(is_right, "{row:?} changes by {diff} at {}", self.at);
            }
            is(self.at, &self.memberships);
        }
        if self.at < frontier.before() {
            is(frontier.before(), &self.memberships);
        }
    }
}
