//! Subscriptions: who hears of the changes of a relation.
//!
//! A subscriber of the engine itself ([`Subscribers`]) is there from the start and hears of everything, in the collector's thread: what it
//! does, everybody waits for. Others come and go ([`Subscription`]): each has a queue of its own, and whoever does not keep up loses
//! the subscription and delays nobody.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use dataflows::model::Tick;
use dataflows::relations::{AnyChanges, Subscribe};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::limits::SUBSCRIPTION_TICKS_MAX;

/// What changed in a relation at a tick: each row once, with how many more of it there are.
#[derive(Debug)]
pub struct TickChanges<R: Subscribe> {
    /// The tick.
    pub tick: Tick,
    /// When the earliest request of the tick arrived; nothing where it has none.
    pub received: Option<Instant>,
    /// The changes.
    pub changes: Vec<(R::Change, i64)>,
}

/// Those who hear of changes from the start, each tick when it is complete, in order.
#[derive(Default)]
pub struct Subscribers(Vec<Subscriber>);

struct Subscriber {
    relation: &'static str,
    take: Box<dyn FnMut(Tick, Option<Instant>, AnyChanges) + Send>,
}

impl Subscribers {
    /// These, and one that hears of the changes of a relation.
    pub fn with<R: Subscribe>(mut self, mut take: impl FnMut(TickChanges<R>) + Send + 'static) -> Self {
        let take = move |tick, received, any| {
            if let Some(changes) = R::changes_of(any) {
                take(TickChanges { tick, received, changes });
            }
        };
        self.0.push(Subscriber { relation: R::NAME, take: Box::new(take) });
        self
    }

    /// The relations that they hear of.
    pub(super) fn relations(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|subscriber| subscriber.relation)
    }

    /// Whether any of them hears of this relation.
    pub(super) fn hear_of<R: Subscribe>(&self) -> bool {
        self.relations().any(|relation| relation == R::NAME)
    }

    /// Tells them.
    pub(super) fn tell(&mut self, tick: Tick, received: Option<Instant>, changes: AnyChanges) {
        let mut interested = self.0.iter_mut().filter(|of| of.relation == changes.relation());
        let Some(first) = interested.next() else { return };
        interested.for_each(|of| (of.take)(tick, received, changes.clone()));
        (first.take)(tick, received, changes);
    }
}

/// The subscriptions that there are.
#[derive(Default)]
pub struct Subscriptions {
    /// How many, so that nothing is done where there is none.
    open: AtomicUsize,
    state: Mutex<SubscriptionsState>,
}

#[derive(Default)]
struct SubscriptionsState {
    /// The relations whose changes come here.
    told: Vec<&'static str>,
    /// Everything before this tick was told.
    complete: Tick,
    open: Vec<OpenSubscription>,
}

struct OpenSubscription {
    relation: &'static str,
    queue: mpsc::Sender<(Tick, Arc<AnyChanges>)>,
    is_slow: Arc<AtomicBool>,
}

impl Subscriptions {
    /// The changes of these relations come here.
    pub(super) fn tells_of(&self, relations: &[&'static str]) {
        self.state.lock().told = relations.to_vec();
    }

    /// Begins one.
    pub(super) fn begin<R: Subscribe>(&self) -> Result<Subscription<R>, SubscribeError> {
        let mut state = self.state.lock();
        if !state.told.contains(&R::NAME) {
            return Err(SubscribeError::NotTold { relation: R::NAME });
        }
        let (queue, changes) = mpsc::channel(SUBSCRIPTION_TICKS_MAX);
        let is_slow = Arc::<AtomicBool>::default();
        state.open.push(OpenSubscription { relation: R::NAME, queue, is_slow: is_slow.clone() });
        self.open.store(state.open.len(), Ordering::Release);
        Ok(Subscription { from: state.complete, changes, is_slow, relation: PhantomData })
    }

    /// Whether anybody is to be told.
    fn has_any(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }

    /// Tells of changes at a tick.
    pub(super) fn tell(&self, tick: Tick, changes: &AnyChanges) {
        if !self.has_any() {
            return;
        }
        let mut state = self.state.lock();
        let relation = changes.relation();
        if !state.open.iter().any(|open| open.relation == relation) {
            return;
        }
        let changes = Arc::new(changes.clone());
        state.open.retain(|open| {
            open.relation != relation
                || match open.queue.try_send((tick, changes.clone())) {
                    Ok(()) => true,
                    Err(mpsc::error::TrySendError::Full(_)) => {
                        open.is_slow.store(true, Ordering::Release);
                        false
                    }
                    Err(mpsc::error::TrySendError::Closed(_)) => false,
                }
        });
        self.open.store(state.open.len(), Ordering::Release);
    }

    /// Everything before `frontier` was told.
    pub(super) fn complete(&self, frontier: Tick) {
        self.state.lock().complete = frontier;
    }

    /// Nothing more will be told.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.told.clear();
        state.open.clear();
        self.open.store(0, Ordering::Release);
    }
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriptions").field("open", &self.open).finish_non_exhaustive()
    }
}

/// The changes of a relation, from one tick on. Ends when it is dropped.
#[derive(Debug)]
pub struct Subscription<R> {
    from: Tick,
    changes: mpsc::Receiver<(Tick, Arc<AnyChanges>)>,
    is_slow: Arc<AtomicBool>,
    relation: PhantomData<fn() -> R>,
}

/// What changed at a tick, as a subscription has it.
#[derive(Debug)]
pub struct ChangesAt<R> {
    tick: Tick,
    changes: Arc<AnyChanges>,
    relation: PhantomData<fn() -> R>,
}

impl<R: Subscribe> Subscription<R> {
    /// The tick from which on, and at which, it has all changes. What was there before a scan shows: one that is as of this tick or
    /// a later one, to which the changes of the ticks after that are added.
    pub fn from(&self) -> Tick {
        self.from
    }

    /// Waits for the next changes. Ticks come in their order; those without a change do not come. All that changed before
    /// [`Handle::frontier`](super::Handle::frontier) has come, or comes without waiting.
    pub async fn next(&mut self) -> Result<ChangesAt<R>, SubscriptionEnd> {
        let next = self.changes.recv().await;
        let is_slow = || self.is_slow.load(Ordering::Acquire);
        let (tick, changes) =
            next.ok_or_else(|| if is_slow() { SubscriptionEnd::Slow } else { SubscriptionEnd::Stopping })?;
        Ok(ChangesAt { tick, changes, relation: PhantomData })
    }

    /// The next changes, if there are any by now.
    pub fn try_next(&mut self) -> Option<ChangesAt<R>> {
        let (tick, changes) = self.changes.try_recv().ok()?;
        Some(ChangesAt { tick, changes, relation: PhantomData })
    }
}

impl<R: Subscribe> ChangesAt<R> {
    /// The tick.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// Each row that changed, with how many more of it there are.
    pub fn changes(&self) -> &[(R::Change, i64)] {
        R::changes_in(&self.changes).unwrap_or_default()
    }
}

/// Why nobody can subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubscribeError {
    /// Nobody asked for these changes at the start, or they arrive at another process of the cluster, or the engine has ended.
    #[error("the changes of `{relation}` are not told here")]
    NotTold {
        /// The relation.
        relation: &'static str,
    },
}

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubscriptionEnd {
    /// Its reader did not keep up.
    #[error("the subscription ended: {SUBSCRIPTION_TICKS_MAX} ticks with changes were waiting to be read")]
    Slow,
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopping,
}

#[cfg(test)]
mod tests {
    use dataflows::limits::Limit;
    use dataflows::relations::{LimitsReached, Memberships, Relation};

    use super::*;

    fn reached(tick: u64) -> (Tick, AnyChanges) {
        (Tick::from_ms(tick), LimitsReached::into_any(vec![(Limit::Links, 1)]))
    }

    #[tokio::test]
    async fn who_does_not_keep_up_loses_the_subscription_and_nobody_else_does() {
        let subscriptions = Subscriptions::default();
        assert!(subscriptions.begin::<LimitsReached>().is_err(), "nothing is told yet");
        subscriptions.tells_of(&[LimitsReached::NAME]);
        assert_eq!(
            subscriptions.begin::<Memberships>().unwrap_err(),
            SubscribeError::NotTold { relation: "memberships" }
        );
        subscriptions.complete(Tick::from_ms(5));
        let mut slow = subscriptions.begin::<LimitsReached>().unwrap();
        let mut fast = subscriptions.begin::<LimitsReached>().unwrap();
        assert_eq!(fast.from(), Tick::from_ms(5));
        let ticks = SUBSCRIPTION_TICKS_MAX as u64 + 1;
        for tick in 5..5 + ticks {
            let (tick, changes) = reached(tick);
            subscriptions.tell(tick, &changes);
            let heard = fast.next().await.unwrap();
            assert_eq!((heard.tick(), heard.changes()), (tick, &[(Limit::Links, 1)][..]));
        }
        // What waited is read, and then it says why there is no more.
        for tick in 5..4 + ticks {
            assert_eq!(slow.next().await.unwrap().tick(), Tick::from_ms(tick));
        }
        assert_eq!(slow.next().await.unwrap_err(), SubscriptionEnd::Slow);
        assert!(fast.try_next().is_none());
        subscriptions.end();
        assert_eq!(fast.next().await.unwrap_err(), SubscriptionEnd::Stopping);
        assert!(subscriptions.begin::<LimitsReached>().is_err());
    }

    #[test]
    fn those_from_the_start_hear_of_their_relation() {
        let (heard, all) = std::sync::mpsc::channel();
        let (one, other) = (heard.clone(), heard);
        let mut subscribers = Subscribers::default()
            .with::<LimitsReached>(move |of| one.send((1, of.tick, of.changes)).unwrap())
            .with::<Memberships>(|of| panic!("{of:?}"))
            .with::<LimitsReached>(move |of| other.send((2, of.tick, of.changes)).unwrap());
        assert_eq!(subscribers.relations().collect::<Vec<_>>(), ["limits_reached", "memberships", "limits_reached"]);
        let (tick, changes) = reached(7);
        subscribers.tell(tick, None, changes);
        let mut all: Vec<_> = all.try_iter().collect();
        all.sort_unstable();
        assert_eq!(all, [(1, tick, vec![(Limit::Links, 1)]), (2, tick, vec![(Limit::Links, 1)])]);
    }
}
