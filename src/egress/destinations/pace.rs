//! How calls to a destination follow each other.

use std::time::Duration;

use crate::egress::outbox::BatchLimit;
use crate::limits::CONCURRENCY_MAX;
use crate::project::{SettingsSection, TextSpan};

/// Bytes of one call, about: a usual limit on the bodies that endpoints take is 1 MB.
const CALL_BYTES_MAX: usize = 512 * 1024;

/// How calls follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// What a batch may hold. Default: 100 changes or events, and about 512 KB.
    pub limit: BatchLimit,
    /// How long one call may take. Default: 10 s.
    pub timeout: Duration,
    /// The first wait after a failed call; it doubles with each further failure. Default: 100 ms.
    pub backoff_min: Duration,
    /// The longest wait between calls. Default: 30 s.
    pub backoff_max: Duration,
    /// Refusals of one batch until it is given up, or split. Default: 5.
    pub attempts_max: u32,
    /// How often deletes that were given up are tried again. Default: 10 min.
    pub retry_deletes: Duration,
    /// Calls on their way at a time, at most. Default: 1.
    pub concurrency: usize,
    /// Calls that begin in a second, at most, repeated ones included. Default: no limit.
    pub calls_per_second: Option<u32>,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            limit: BatchLimit { changes: 100, bytes: CALL_BYTES_MAX },
            timeout: Duration::from_secs(10),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            attempts_max: 5,
            retry_deletes: Duration::from_secs(600),
            concurrency: 1,
            calls_per_second: None,
        }
    }
}

impl Pace {
    /// What a section says of it, under the keys that a webhook has, too: `batch_changes_max`, `timeout`, `backoff_min`, `backoff_max`,
    /// `attempts_max`, `retry_deletes`, `concurrency`, `calls_per_second`.
    pub fn read(section: &mut SettingsSection<'_, '_>) -> Self {
        let usual = Pace::default();
        let batch_changes_max = section.count("batch_changes_max", 1..=100_000);
        let timeout = section.duration("timeout");
        let (backoff_min, backoff_max) = (section.duration("backoff_min"), section.duration("backoff_max"));
        let attempts_max = section.count("attempts_max", 1..=1_000_000);
        let retry_deletes = section.duration("retry_deletes");
        let concurrency = section.count("concurrency", 1..=CONCURRENCY_MAX);
        let calls_per_second = section.count("calls_per_second", 1..=1_000_000);
        let (backoff_min, backoff_max) = backoff(backoff_min, backoff_max, section);
        Pace {
            limit: BatchLimit { changes: batch_changes_max.unwrap_or(usual.limit.changes), ..usual.limit },
            timeout: timeout.map_or(usual.timeout, |(timeout, _)| timeout),
            backoff_min,
            backoff_max,
            attempts_max: attempts_max.unwrap_or(usual.attempts_max),
            retry_deletes: retry_deletes.map_or(usual.retry_deletes, |(every, _)| every),
            concurrency: concurrency.unwrap_or(usual.concurrency),
            calls_per_second,
        }
    }
}

type WrittenDuration = Option<(Duration, TextSpan)>;

fn backoff(min: WrittenDuration, max: WrittenDuration, section: &mut SettingsSection<'_, '_>) -> (Duration, Duration) {
    let Pace { backoff_min: shortest, backoff_max: longest, .. } = Pace::default();
    match (min, max) {
        (Some((min, place)), Some((max, _))) if min > max => {
            section.report(place, "`backoff_min` is longer than `backoff_max`", None);
            (min, max)
        }
        // One that is not written gives way to the one that is.
        (min, max) => {
            let (min, max) = (min.map(|(min, _)| min), max.map(|(max, _)| max));
            let low = min.unwrap_or_else(|| max.map_or(shortest, |max| shortest.min(max)));
            (low, max.unwrap_or(longest.max(low)))
        }
    }
}
