//! How many calls may begin in a second.
//!
//! Not `governor`, which limits what comes in: it has no wait that claims nothing ([`RateLimiter::ready`]).

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::sleep;

/// Lets calls begin at equal distances: an endpoint that counts by the second is then never surprised, whenever its second
/// begins. What was not used is not saved up.
#[derive(Debug)]
pub struct RateLimiter {
    distance: Duration,
    /// When the next call may begin, if anybody waited for it.
    next: Mutex<Option<Instant>>,
}

impl RateLimiter {
    /// So many calls a second; without a number, as many as there are.
    pub fn new(calls_per_second: Option<u32>) -> Self {
        let distance = calls_per_second.map_or(Duration::ZERO, |calls| Duration::from_secs(1) / calls.max(1));
        RateLimiter { distance, next: Mutex::new(None) }
    }

    /// Waits until a call could begin, without a claim to it: what happens meanwhile may still change the batch.
    pub async fn ready(&self) {
        let next = *self.next.lock();
        if let Some(wait) = next.and_then(|next| next.checked_duration_since(Instant::now())) {
            sleep(wait).await;
        }
    }

    /// Waits for a turn.
    pub async fn turn(&self) {
        let wait = self.claim(Instant::now());
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    /// Takes the next turn; says how long it is until then.
    fn claim(&self, now: Instant) -> Duration {
        if self.distance.is_zero() {
            return Duration::ZERO;
        }
        let mut next = self.next.lock();
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + self.distance);
        turn - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn turns_are_at_equal_distances() {
        let rate_limiter = RateLimiter::new(Some(100));
        let now = Instant::now();
        assert_eq!([0, 0, 5, 40, 40].map(|ms| rate_limiter.claim(now + ms * MS)), [0, 10, 15, 0, 10].map(|ms| ms * MS));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let rate_limiter = RateLimiter::new(None);
        let now = Instant::now();
        assert!((0..1_000).all(|_| rate_limiter.claim(now).is_zero()));
    }
}
