//! What one source may send: so much a second, where the project says so, and where the engine is behind, its share.
//!
//! A write key is in the page of whoever visits a site, so anybody can send with it. What one of them sends must not be what all
//! others wait for. Refusals are for that source alone.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};

use governor::clock::{Clock, MonotonicClock};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::HttpSettings;
use crate::http::Problem;
use crate::limits::Limits;
use crate::project::Source;

type TokenBucket = RateLimiter<NotKeyed, InMemoryState, MonotonicClock>;

/// What the sources may send.
pub(super) struct Rates {
    sources: Vec<SourceRate>,
    /// Events that are under way beyond which each source has its share only.
    crowded: usize,
}

struct SourceRate {
    name: String,
    events: Option<TokenBucket>,
    bytes: Option<TokenBucket>,
    /// Events of requests that are under way.
    under_way: AtomicUsize,
}

/// Events of a request that is under way.
pub(super) struct UnderWay<'a> {
    rate: &'a SourceRate,
    events: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.rate.under_way.fetch_sub(self.events, Ordering::Relaxed);
    }
}

impl Rates {
    /// Those of the sources of a project.
    pub fn new(sources: &[Source], limits: &Limits) -> Self {
        // The largest request goes at once, whatever the rate.
        let bucket = |per_second: Option<NonZeroU32>, request_max: usize| {
            let burst = u32::try_from(request_max).ok().and_then(NonZeroU32::new);
            let quota = |rate: NonZeroU32| Quota::per_second(rate).allow_burst(rate.max(burst.unwrap_or(rate)));
            per_second.map(|rate| TokenBucket::direct_with_clock(quota(rate), MonotonicClock))
        };
        let settings = |source: &Source| source.kind.settings::<HttpSettings>().cloned();
        let rate = |source: &Source| SourceRate {
            name: source.name.to_string(),
            events: bucket(settings(source).and_then(|of| of.events_per_second), limits.batch_events_max),
            bytes: bucket(settings(source).and_then(|of| of.bytes_per_second), limits.request_bytes_max),
            under_way: AtomicUsize::new(0),
        };
        Rates { sources: sources.iter().map(rate).collect(), crowded: limits.pending_events_max / 2 }
    }

    /// A request of a source, of so many events and bytes, of which `pending` are under way with all others.
    pub fn admit(&self, source: usize, events: usize, bytes: usize, pending: usize) -> Result<UnderWay<'_>, Problem> {
        let rate = &self.sources[source];
        self.has_its_share(rate, events, pending)?;
        Self::take(rate, rate.bytes.as_ref(), bytes, "bytes_per_second")?;
        Self::take(rate, rate.events.as_ref(), events, "events_per_second")?;
        rate.under_way.fetch_add(events, Ordering::Relaxed);
        Ok(UnderWay { rate, events })
    }

    /// Refuses a source that has more under way than others, where there is much of it.
    fn has_its_share(&self, rate: &SourceRate, events: usize, pending: usize) -> Result<(), Problem> {
        let own = rate.under_way.load(Ordering::Relaxed);
        if own == 0 || pending + events <= self.crowded {
            return Ok(());
        }
        let others = self.sources.iter().filter(|of| of.under_way.load(Ordering::Relaxed) > 0).count();
        // One that is alone has all of it.
        if others <= 1 || own + events <= self.crowded / others {
            return Ok(());
        }
        let message = format!(
            "the engine is behind, and source `{}` has more events under way than its share among {others} sources; nothing was done",
            rate.name
        );
        Err(Problem::busy(message, 1))
    }

    fn take(rate: &SourceRate, bucket: Option<&TokenBucket>, count: usize, setting: &str) -> Result<(), Problem> {
        let count = u32::try_from(count).ok().and_then(NonZeroU32::new);
        let Some((bucket, count)) = bucket.zip(count) else { return Ok(()) };
        // More than the largest request there never is.
        let Ok(Err(not_until)) = bucket.check_n(count) else { return Ok(()) };
        let wait = not_until.wait_time_from(MonotonicClock.now());
        let message = format!("source `{}` sends more than its `{setting}`; nothing was done", rate.name);
        Err(Problem::rate(message, wait.as_secs() + u64::from(wait.subsec_nanos() > 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::ingest::sources::SourceKind;

    fn source(name: &str, events: u32, bytes: u32) -> Source {
        let of = example::project().sources.remove(0);
        let (events_per_second, bytes_per_second) = (NonZeroU32::new(events), NonZeroU32::new(bytes));
        let settings = HttpSettings { events_per_second, bytes_per_second, ..HttpSettings::with_keys(Vec::new()) };
        Source { name: name.into(), kind: SourceKind::new(settings), ..of }
    }

    fn limits() -> Limits {
        Limits { batch_events_max: 10, request_bytes_max: 1_000, pending_events_max: 200, ..Limits::default() }
    }

    #[test]
    fn a_source_sends_so_much_a_second_and_another_one_as_before() {
        let rates = Rates::new(&[source("slow", 1, 0), source("small", 0, 100), source("free", 0, 0)], &limits());
        let admit = |source, events, bytes| rates.admit(source, events, bytes, 0).map(drop);
        // The largest request is never too large.
        assert_eq!(admit(0, 10, 1_000), Ok(()));
        let refused = admit(0, 5, 10).unwrap_err();
        assert_eq!(refused.code(), "rate");
        assert!(refused.message().contains("source `slow` sends more than its `events_per_second`"), "{refused:?}");
        assert_eq!(admit(1, 10, 1_000), Ok(()));
        assert!(admit(1, 1, 900).unwrap_err().message().contains("`bytes_per_second`"));
        for _ in 0..1_000 {
            assert_eq!(admit(2, 10, 1_000), Ok(()));
        }
    }

    #[test]
    fn each_has_its_share_where_there_is_much() {
        let rates = Rates::new(&[source("loud", 0, 0), source("quiet", 0, 0)], &limits());
        let mut held: Vec<_> = (0..9).map(|n| rates.admit(0, 10, 1, n * 10).unwrap()).collect();
        // Alone, it has all.
        held.push(rates.admit(0, 10, 1, 90).unwrap());
        held.push(rates.admit(0, 10, 1, 100).unwrap());
        let quiet = rates.admit(1, 10, 1, 110).unwrap();
        assert_eq!(rates.admit(0, 10, 1, 120).map(drop).unwrap_err().code(), "busy");
        let more = rates.admit(1, 10, 1, 120).unwrap();
        drop(held);
        assert!(rates.admit(0, 10, 1, 20).is_ok());
        drop((quiet, more));
        assert_eq!(rates.sources.iter().map(|of| of.under_way.load(Ordering::Relaxed)).sum::<usize>(), 0);
    }
}
