//! How long to wait after a failed call.
//!
//! Not `backon`, which repeats a closure: here the other side may ask for a wait of its own, and calls go on where they were after a restart.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime};

/// The longest wait that the other side may ask for. It knows best how long it is away, but one of a year is a mistake.
const ASKED_MAX: Duration = Duration::from_secs(3_600);

/// The waits between the calls of one batch: each twice the one before, up to a longest one, with jitter.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    /// What makes the jitter of two callers differ.
    seed: u64,
    failures: u32,
}

impl Backoff {
    /// Waits between `min` and `max`. The jitter follows from `seed` and so repeats with it (docs/architecture/overview.md, Borders).
    pub fn new(min: Duration, max: Duration, seed: impl Hash) -> Self {
        Backoff { min, max: max.max(min), seed: hash(seed), failures: 0 }
    }

    /// The wait after one more failure; the one that the other side asked for, where it did: an hour at most.
    pub fn after_failure(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = self.min.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        if let Some(asked) = asked {
            return asked.clamp(self.min, ASKED_MAX.max(self.max));
        }
        self.part_of(doubled.min(self.max))
    }

    /// The longest wait, as after many failures.
    pub fn longest(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.part_of(self.max)
    }

    /// From half to the whole of it, so that callers that failed together do not come back together.
    fn part_of(&self, whole: Duration) -> Duration {
        let part = (hash((self.seed, self.failures)) >> 32) as f64 / f64::from(u32::MAX);
        whole.mul_f64(0.5 + part / 2.0)
    }
}

fn hash(value: impl Hash) -> u64 {
    // Has fixed keys, other than `RandomState`.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The wait that a `Retry-After` header asks for: seconds, or a date in any of its three forms (RFC 9110, 5.6.7 and 10.2.3). Nothing
/// where it is neither. Some send seconds with a fraction.
pub fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    let is_number = !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_number {
        let seconds = header.parse::<f64>().ok()?;
        return Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    // A date that is past asks for no wait.
    Some(httpdate::parse_http_date(header).ok()?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new(10 * MS, 100 * MS, "seed");
        for whole in [10, 20, 40, 80, 100, 100] {
            let wait = backoff.after_failure(None);
            assert!(whole * MS / 2 <= wait && wait <= whole * MS, "{wait:?} of {whole} ms");
        }
        (0..100).for_each(|_| assert!(backoff.after_failure(None) <= 100 * MS));
    }

    #[test]
    fn the_jitter_follows_from_the_seed() {
        let waits = |seed| {
            let mut backoff = Backoff::new(MS, 1_000 * MS, seed);
            [(); 5].map(|()| backoff.after_failure(None))
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    #[test]
    fn what_is_asked_for_is_done_up_to_an_hour() {
        let mut backoff = Backoff::new(10 * MS, 100 * MS, ());
        for (asked, wait) in [(0, 10), (50, 50), (5_000, 5_000), (86_400_000, 3_600_000)] {
            assert_eq!(backoff.after_failure(Some(asked * MS)), wait * MS);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // 1994-11-06T08:49:30Z
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        for (header, ms) in [
            ("120", Some(120_000)),
            (" 0 ", Some(0)),
            ("1.5", Some(1_500)),
            ("0.25", Some(250)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7_000)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(7_000)),
            ("Sun Nov  6 08:49:37 1994", Some(7_000)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1e3", None),
            ("1.2.3", None),
            ("", None),
        ] {
            assert_eq!(retry_after(header, now), ms.map(Duration::from_millis), "{header}");
        }
        assert_eq!(retry_after(&"9".repeat(400), now), Some(Duration::MAX));
    }
}
