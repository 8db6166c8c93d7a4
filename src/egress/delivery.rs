//! The way to one destination, for each of its two lanes: calls until what was taken is acknowledged, given up, split or put
//! back.
//!
//! The lanes are what happens to people ([`super::changes`]) and the events themselves ([`super::forward`]). They do not wait
//! for each other, but they share what concerns the destination as such: who carries, when calls may begin, and whether
//! somebody paused it.
//!
//! What is in batch_id is not made anew for a retry, though it may have been undone meanwhile: after a call without a clear
//! answer the destination may have it or not, and only the same body under the same idempotency key tells it which. What
//! happened meanwhile waits behind it. But where no call reached the destination, nothing stays in batch_id: what is desired when
//! one can begin is what is told.

use std::future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use compact_str::CompactString;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::backoff::Backoff;
use super::destinations::{AnyCall, AnyConnector, Failure, Pace};
use super::holding::DeliveryHold;
use super::lane::{Call, CallOutcome, Lane};
use super::letters::Refusal;
use super::parking::Parking;
use super::rate_limiter::RateLimiter;
use super::skipping::Skipping;
use super::status::LaneTally;
use crate::clock::Now;
use crate::ending::vital_task;
use crate::faults;
use crate::log::StoreError;
use crate::observe::latency::{Latency, Stage};

/// What a connector gets beyond the timeout of a call to say by itself that it is over: it knows better what happened.
const TIMEOUT_GRACE: Duration = Duration::from_secs(1);

/// Is told why there can be no delivery any more.
pub type FailureHandler = Arc<dyn Fn(String) + Send + Sync>;

/// What the calls of a lane work with.
#[derive(Clone)]
pub struct LaneContext {
    /// The name of the destination.
    pub destination: CompactString,
    /// Who makes calls.
    pub connector: Arc<dyn AnyConnector>,
    /// How calls follow each other.
    pub pace: Pace,
    /// When calls may begin; one for both lanes.
    pub rate_limiter: Arc<RateLimiter>,
    /// Whether its address is refused; one for both lanes.
    pub parking: Arc<Parking>,
    /// What else keeps calls from being made; one for both lanes.
    pub hold: DeliveryHold,
    /// Whether somebody wishes that calls which fail are given up.
    pub skipping: Arc<Skipping>,
    /// Woken after the lane has got something, or may go on.
    pub wake: Arc<Notify>,
    /// Becomes true when nothing more will come.
    pub stopping: watch::Receiver<bool>,
    /// Where times go.
    pub latency: Arc<Latency>,
    /// Where counts go.
    pub tally: Arc<LaneTally>,
    /// The time.
    pub now: Now,
    /// Who is to end the process.
    pub failed: FailureHandler,
}

impl LaneContext {
    /// Says, when it is called, whether nothing more will come.
    pub fn is_stopping(&self) -> impl Fn() -> bool + Send + use<> {
        let stopping = self.stopping.clone();
        move || *stopping.borrow() || stopping.has_changed().is_err()
    }
}

/// The delivery of one lane, one call at a time. There are as many of these as calls that may be under way; they know of each
/// other only through the lane.
pub struct Delivery<L> {
    /// Where calls come from.
    pub lane: Arc<L>,
    /// What they work with.
    pub line: LaneContext,
}

/// Makes a call once, and waits for it no longer than it may take.
async fn attempt(encoded: &dyn AnyCall, limit: Duration) -> Result<(), Failure> {
    let done = timeout(limit.saturating_add(TIMEOUT_GRACE), encoded.attempt()).await;
    done.unwrap_or_else(|_| Err(Failure::later(format!("the call took longer than {limit:?}"))))
}

impl<L: Lane> Delivery<L> {
    /// Delivers until nothing is pending and nothing more will come.
    pub async fn run(self) {
        let what = format!("delivery to destination {}", self.line.destination);
        let was_to_end = self.line.is_stopping();
        vital_task(what, |()| was_to_end(), self.deliver_all()).await;
    }

    async fn deliver_all(mut self) {
        // Waits while nobody is reached.
        let mut absence: Option<Backoff> = None;
        loop {
            // Asked before the lane: what is taken in between is still found.
            let stopping = *self.line.stopping.borrow_and_update();
            self.line.rate_limiter.ready().await;
            if faults::point("delivery") {
                return;
            }
            match self.next().await {
                Some((call, encoded)) => {
                    if self.line.pace.concurrency > 1 {
                        // There may be more than one batch of it.
                        self.line.wake.notify_one();
                    }
                    self.deliver(call, encoded, &mut absence).await;
                }
                None if stopping => return,
                None => tokio::select! {
                    () = self.line.wake.notified() => {}
                    changed = self.line.stopping.changed() => if changed.is_err() {
                        // Whoever could say that it is over is gone without a word: then this task is, too.
                        future::pending::<()>().await;
                    }
                },
            }
        }
    }

    /// What is next, and what it sends, after what there is to find out of it.
    async fn next(&self) -> Option<(Call<L::Id>, Box<dyn AnyCall>)> {
        let limit = self.line.pace.limit;
        loop {
            if self.line.hold.is_held() {
                return None;
            }
            let connector = self.line.connector.clone();
            // A large call takes milliseconds to encode, for which the threads of the runtime would keep others waiting.
            let encoded = |call: Call<L::Id>| {
                let encoded = connector.encode(&call.rows);
                (call, encoded)
            };
            let taken = self.durably(move |lane| Ok(lane.take(limit)?.map(encoded))).await;
            if taken.is_some() || !self.lane.find_out().await {
                return taken;
            }
        }
    }

    /// Brings what was taken to an end. Where it reached nobody, it waits after that.
    async fn deliver(&self, call: Call<L::Id>, encoded: Box<dyn AnyCall>, absence: &mut Option<Backoff>) {
        let (batch_id, count) = (call.batch_id, call.count);
        let (end, wait) = self.call(call, &*encoded, absence).await;
        // Nobody needs it while the end is written down, and while it is waited.
        drop(encoded);
        let counted = match &end {
            CallOutcome::Acknowledged => LaneTally::acknowledged,
            CallOutcome::GivenUp(Refusal { attempts, .. }) => {
                let destination = &self.line.destination;
                warn!(%destination, count, attempts, "{} are given up: they are dead letters now", L::WHAT);
                LaneTally::given_up
            }
            CallOutcome::Split(_) | CallOutcome::PutBack(_) | CallOutcome::NotBegun(_) => |_: &LaneTally, _| (),
        };
        self.durably(move |lane| lane.end(batch_id, end)).await;
        // Only now: what is counted can be relied on.
        counted(&self.line.tally, count);
        if let Some(wait) = wait {
            self.line.parking.wait(wait).await;
        }
    }

    /// Calls with `call` until that ends; and says how long to wait then, where it reached nobody.
    async fn call(
        &self,
        call: Call<L::Id>,
        encoded: &dyn AnyCall,
        absence: &mut Option<Backoff>,
    ) -> (CallOutcome, Option<Duration>) {
        let Call { rows, parts, received, mut refusals, .. } = call;
        let LaneContext { destination, pace, rate_limiter, parking, skipping, now, .. } = &self.line;
        let new_backoff = || Backoff::new(pace.backoff_min, pace.backoff_max, rows.seed());
        let mut backoff = new_backoff();
        // Of these calls, so many may have reached the destination.
        let (mut failures, mut reached) = (0, 0);
        let mut skip = skipping.watch();
        self.record(Stage::Handed, &received);
        loop {
            rate_limiter.turn().await;
            if self.lane.is_paused() {
                return (
                    if reached == 0 { CallOutcome::NotBegun(refusals) } else { CallOutcome::PutBack(refusals) },
                    None,
                );
            }
            let Err(failure) = attempt(encoded, pace.timeout).await else {
                self.record(Stage::Acknowledged, &received);
                parking.leave();
                if failures > 0 || absence.take().is_some() {
                    info!(%destination, failures, "the destination takes {} again", L::WHAT);
                }
                return (CallOutcome::Acknowledged, None);
            };
            let is_news = failures == 0 && absence.is_none();
            failures += 1;
            if !matches!(failure, Failure::NotReached { .. }) {
                *absence = None;
                reached += 1;
            }
            if !matches!(failure, Failure::NotReached { .. } | Failure::Elsewhere { .. }) {
                parking.leave();
            }
            let latest = failure.error().to_owned();
            let wait = match failure {
                Failure::NotReached { error } => {
                    self.failed(is_news, error);
                    if reached == 0 {
                        let wait = absence.get_or_insert_with(new_backoff).after_failure(None);
                        return (CallOutcome::NotBegun(refusals), Some(wait));
                    }
                    backoff.after_failure(None)
                }
                Failure::Later { error, wait } => {
                    self.failed(is_news, error);
                    backoff.after_failure(wait)
                }
                Failure::Elsewhere { error } => {
                    self.park(error);
                    backoff.longest()
                }
                Failure::Refused { error, answer, is_too_large } => {
                    refusals += 1;
                    self.failed(is_news, error.clone());
                    if parts > 1 && (is_too_large || refusals >= pace.attempts_max) {
                        return (CallOutcome::Split(refusals), None);
                    }
                    if refusals >= pace.attempts_max {
                        return (CallOutcome::GivenUp(Refusal { at: now(), error, answer, attempts: refusals }), None);
                    }
                    backoff.after_failure(None)
                }
            };
            tokio::select! {
                () = parking.wait(wait) => {}
                () = skip.wished() => {
                    let error = format!("an operator skipped it; the latest error: {latest}");
                    let refusal = Refusal { at: now(), error, answer: String::new(), attempts: failures };
                    return (CallOutcome::GivenUp(refusal), None);
                }
            }
        }
    }

    /// Has something done that may wait for the disk. Where the disk fails, nothing goes on.
    async fn durably<T: Send + 'static>(&self, work: impl FnOnce(&L) -> Result<T, StoreError> + Send + 'static) -> T {
        let lane = self.lane.clone();
        let error = match spawn_blocking(move || work(&lane)).await {
            Ok(Ok(done)) => return done,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let reason = format!("destination {}: delivery of {} ends: {error}", self.line.destination, L::WHAT);
        error!("{reason}");
        (self.line.failed)(reason);
        future::pending().await
    }

    /// Counts a failed call. Only the first failure of an outage is worth a line: the rest would say the same again and again.
    fn failed(&self, is_news: bool, error: String) {
        if is_news {
            let destination = &self.line.destination;
            warn!(%destination, %error, "a call with {} failed and will be repeated", L::WHAT);
        }
        self.line.tally.failed(error);
    }

    /// Counts a call whose address was refused.
    fn park(&self, error: String) {
        if self.line.parking.park(&error) {
            let destination = &self.line.destination;
            let longest = self.line.pace.backoff_max;
            error!(
                %destination, %error,
                "the address is refused, whatever it is sent: the destination is parked, nothing is given up, and it is tried every \
                 {longest:?}. See to its `url`, or to who is let in there; `deltaic destination resume` tries at once"
            );
        }
        self.line.tally.failed(error);
    }

    /// One measurement per cause, which the limit on batches bounds.
    fn record(&self, stage: Stage, received: &[Instant]) {
        received.iter().for_each(|received| self.line.latency.record(stage, received.elapsed()));
    }
}
