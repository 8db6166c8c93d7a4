//! In a cluster: each message id has an owner, and that process decides, before anything is logged, whether the message counts.
//!
//! A sender that gets no answer may try again at another process. So no process can tell by itself whether a message counted; the
//! one that owns the id's hash can. What comes in goes this way:
//!
//! ```text
//!  request ─► claim ids at their owners ─► tick and log, here ─► settle: counted at that tick ─► answer
//!                    │                                              │
//!                    ▼                                              ▼
//!              OwnedIds of each owner: claimed, counted, and, once all processes have passed that tick, in `Dedupe`
//! ```
//!
//! - A message is in one log at most, so each log is true by itself: nothing has to be decided when it is read again.
//! - Whoever asks for what another request has claimed waits for what becomes of it, and is refused if that takes too long.
//! - Logs are the truth. A process tells the owners again, at a start, what its checkpoint and its log have; what is behind a
//!   checkpoint is on the owners' disks before that is made. An owner that lost it does not start.
//! - The processes connect to each other once they have met over the connections of their workers, where they tell their port and
//!   a secret. A connection that ends, ends the process, as it is with those of the workers.
//!
//! `ids` decides and knows nothing of the network, `former` for logs of earlier versions; `wire` is what is said; `link` is the way to
//! an owner, `owner` the owner, `net` what is between them.

mod former;
mod ids;
mod link;
mod net;
mod owner;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dataflows::model::Tick;
use rustc_hash::FxHashSet;
use tokio::time::{Instant, sleep, timeout_at};

pub use former::FormerId;
pub use ids::{ClaimVerdict, OwnedIds, Passed, RequestId};
pub use link::ClaimGuard;
use link::{OwnerAnswer, OwnerLink};
pub use net::{Net, NetError, OwnerEndpoint, OwnersSettings};
use wire::Said;

use crate::clock::Now;
use crate::limits::{OWNERS_IDS_AT_ONCE, OWNERS_WAIT};

/// How long who met another request waits at first; each time twice as long as before.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(32);

/// Which process owns an id.
pub fn owner_of(id: u128, processes: usize) -> usize {
    // Ids are hashes, whose halves runs are sorted and grouped by: these are other bits.
    ((id >> 32) as u64 % processes as u64) as usize
}

/// Why messages could not be claimed. None of them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimError {
    /// An owner does not answer, or cannot.
    Away,
    /// Another request is about to count one of them, and does not come to an end.
    Contested,
}

/// The right to count messages. It goes back to the owners with this, unless it is said what became of them.
#[derive(Debug, Default)]
pub struct Claim {
    parts: Vec<ClaimGuard>,
}

impl Claim {
    /// They are in the log, and count at this tick.
    pub fn counted(self, tick: Tick) {
        self.parts.into_iter().for_each(|part| part.settle(tick));
    }

    /// Nobody knows whether they are in the log: nobody may count them before the log has been read again.
    pub fn leave(self) {
        self.parts.into_iter().for_each(ClaimGuard::leave);
    }
}

/// What became of messages that were to be claimed.
#[derive(Debug)]
pub struct Claimed {
    /// The right to count those that are new.
    pub claim: Claim,
    /// Of each message, whether it is new.
    pub is_new: Vec<bool>,
    /// The last tick at which one of the others counted.
    pub seen: Tick,
}

/// The ways to all owners.
#[derive(Clone)]
pub struct Owners {
    links: Arc<[Arc<OwnerLink>]>,
    requests: Arc<AtomicU64>,
    now: Now,
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owners").field("links", &self.links).finish_non_exhaustive()
    }
}

impl Owners {
    fn new(links: Vec<Arc<OwnerLink>>, now: Now) -> Self {
        Owners { links: links.into(), requests: Arc::default(), now }
    }

    /// Claims messages. Of those that a request has twice, the first may be new.
    pub async fn claim(&self, ids: &[u128]) -> Result<Claimed, ClaimError> {
        let deadline = Instant::now() + OWNERS_WAIT;
        let mut pause = PAUSE_MIN;
        // What was heard last, should nothing be heard any more.
        let mut why = ClaimError::Away;
        loop {
            why = match timeout_at(deadline, self.try_to_claim(ids)).await {
                Err(_) => return Err(why),
                Ok(Ok(claimed)) => return Ok(claimed),
                Ok(Err(ClaimVerdict::Busy)) => ClaimError::Contested,
                Ok(Err(_)) => ClaimError::Away,
            };
            if Instant::now() + pause >= deadline {
                return Err(why);
            }
            // What was claimed has gone back: whoever else wants to go on can.
            sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    /// Claims at all owners at once; all messages or none.
    async fn try_to_claim(&self, ids: &[u128]) -> Result<Claimed, ClaimVerdict> {
        let now = (self.now)();
        let mut seen_ids: FxHashSet<u128> = FxHashSet::default();
        let distinct = ids.iter().copied().enumerate().filter(|(_, id)| seen_ids.insert(*id));
        let mut asked = Vec::new();
        for (link, of_owner) in self.links.iter().zip(self.by_owner(distinct, |(_, id)| *id)) {
            for chunk in of_owner.chunks(OWNERS_IDS_AT_ONCE) {
                let (places, ids): (Vec<usize>, Vec<u128>) = chunk.iter().copied().unzip();
                let request = self.requests.fetch_add(1, Ordering::Relaxed);
                asked.push((places, link.ask(request, now, ids)));
            }
        }
        let mut claimed = Claimed { claim: Claim::default(), is_new: vec![false; ids.len()], seen: Tick::default() };
        for (places, answer) in asked {
            let OwnerAnswer { part, verdict } = answer.await.map_err(|_| ClaimVerdict::Unable)?;
            let counted = match verdict {
                ClaimVerdict::Claimed(counted) if counted.len() == places.len() => counted,
                ClaimVerdict::Claimed(_) => return Err(ClaimVerdict::Unable),
                refused => return Err(refused),
            };
            claimed.claim.parts.extend(part);
            for (place, counted) in places.into_iter().zip(counted) {
                claimed.is_new[place] = counted.is_none();
                claimed.seen = claimed.seen.max(counted.unwrap_or_default());
            }
        }
        Ok(claimed)
    }

    /// Tells the owners what counted at a tick, as a checkpoint or the log says.
    pub fn count(&self, tick: Tick, ids: impl IntoIterator<Item = u128>) {
        for (link, ids) in self.links.iter().zip(self.by_owner(ids, |id| *id)) {
            ids.chunks(OWNERS_IDS_AT_ONCE).for_each(|ids| link.say(Said::Counted { tick, ids: ids.to_vec() }));
        }
    }

    /// Things by the owners of their ids, in the order of the links.
    fn by_owner<T>(&self, things: impl IntoIterator<Item = T>, id: impl Fn(&T) -> u128) -> Vec<Vec<T>> {
        let mut of_owners: Vec<Vec<T>> = self.links.iter().map(|_| Vec::new()).collect();
        for thing in things {
            of_owners[owner_of(id(&thing), self.links.len())].push(thing);
        }
        of_owners
    }

    /// Tells what the log has from an earlier version; gives what of it does not count. All processes have to call it.
    pub async fn former(&self, ids: &[FormerId]) -> Vec<(Tick, u128)> {
        let mut repeated = Vec::new();
        for (link, ids) in self.links.iter().zip(self.by_owner(ids.iter().copied(), |of| of.id)) {
            ids.chunks(OWNERS_IDS_AT_ONCE).for_each(|ids| link.say(Said::Former(ids.to_vec())));
            link.say(Said::FormerEnd);
        }
        for link in &*self.links {
            repeated.extend(link.repeated().await);
        }
        repeated
    }

    /// Nothing of this process counts before a tick any more; with nothing, nothing counts at all.
    pub fn pass(&self, passed: Option<Passed>) {
        self.links.iter().for_each(|link| link.say(Said::Passed(passed)));
    }

    /// Waits until all owners are there; gives the last tick that one of them has on its disk. What counts from now on has to be
    /// later: owners have all up to there.
    pub async fn joined(&self) -> Tick {
        let mut last = Tick::default();
        for link in &*self.links {
            last = last.max(link.joined().await);
        }
        last
    }

    /// Waits until all ids that counted up to `tick` are on the disks of their owners, and says so; it says no where `is_over`.
    pub fn on_disk(&self, tick: Tick, is_over: &AtomicBool) -> bool {
        self.links.iter().for_each(|link| link.say(Said::Want(tick)));
        self.links.iter().all(|link| link.on_disk(tick, is_over))
    }
}
