//! What goes wrong again and again is told once a minute, and how often it went wrong.

use std::time::{Duration, Instant};

/// How often it is told, at most.
const EVERY: Duration = Duration::from_secs(60);

/// Says when something is to be told that may happen at any rate.
#[derive(Debug, Default)]
pub struct Seldom {
    told: Option<Instant>,
    /// How often it happened since.
    since: u64,
}

impl Seldom {
    /// It happened now. Where it is to be told, gives how often it happened since it was told last, this time included.
    pub fn happened(&mut self, now: Instant) -> Option<u64> {
        self.since += 1;
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_a_minute_with_how_often() {
        let began = Instant::now();
        let mut seldom = Seldom::default();
        let at = [0, 1, 30, 59, 60, 61, 200].map(|second| seldom.happened(began + Duration::from_secs(second)));
        assert_eq!(at, [Some(1), None, None, None, Some(4), None, Some(2)]);
    }
}
