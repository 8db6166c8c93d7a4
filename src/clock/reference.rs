//! The clock of another process: what its ticks go by, as far as it can be measured over a network.
//!
//! A process asks process 0 for its time, and takes it for the time of the middle between question and answer. The shorter that was,
//! the less it can be wrong: so of the latest measurements the quickest one counts, as NTP does it.

use std::collections::VecDeque;

/// Measurements of which the quickest counts, four a second: clocks of machines drift by less than a millisecond in that time.
const KEPT: usize = 8;

/// What an answer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// How far the time of the other process is ahead of the time since this machine was started, in microseconds.
    pub offset_us: i64,
    /// How long the answer took.
    pub took_us: i64,
}

impl Measured {
    /// Asked at `asked_us` since this machine was started, heard at `heard_us` that it is `time_us` there.
    pub fn new(asked_us: i64, heard_us: i64, time_us: i64) -> Self {
        let took_us = heard_us.saturating_sub(asked_us).max(0);
        Measured { offset_us: time_us.saturating_sub(asked_us.saturating_add(took_us / 2)), took_us }
    }
}

/// The clock of the other process.
#[derive(Debug, Default)]
pub(super) struct ReferenceClock {
    latest: VecDeque<Measured>,
}

impl ReferenceClock {
    /// An answer was heard. Gives how far the other clock is ahead of the time since this machine was started.
    pub fn measured(&mut self, measured: Measured) -> i64 {
        // Where the other clock was set, what was measured before says nothing of it any more.
        let apart = |of: &Measured| {
            of.offset_us.abs_diff(measured.offset_us) > (of.took_us + measured.took_us).unsigned_abs() + 1_000
        };
        if self.latest.back().is_some_and(apart) {
            self.latest.clear();
        }
        self.latest.push_back(measured);
        if self.latest.len() > KEPT {
            self.latest.pop_front();
        }
        self.offset_us().unwrap_or(measured.offset_us)
    }

    /// How far the other clock is ahead, once that is known.
    pub fn offset_us(&self) -> Option<i64> {
        self.latest.iter().min_by_key(|measured| measured.took_us).map(|measured| measured.offset_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_answer_counts() {
        let mut reference = ReferenceClock::default();
        // The other is 1,000,000 ahead. Answers take 100, but for some that waited on their way back, or on their way there.
        let answer =
            |asked: i64, there: i64, back: i64| Measured::new(asked, asked + there + back, asked + there + 1_000_000);
        assert_eq!(reference.measured(answer(0, 50, 50)), 1_000_000);
        assert_eq!(reference.measured(answer(1_000, 50, 9_050)), 1_000_000);
        assert_eq!(reference.measured(answer(2_000, 9_050, 50)), 1_000_000);
        for asked in 3..20 {
            reference.measured(answer(asked * 1_000, 250, 50));
        }
        assert_eq!(reference.offset_us(), Some(1_000_100), "what is old counts no more");
    }

    #[test]
    fn a_clock_that_was_set_is_another_one() {
        let mut reference = ReferenceClock::default();
        reference.measured(Measured::new(0, 10, 1_000_000));
        assert_eq!(reference.measured(Measured::new(1_000_000, 1_000_200, 8_000_000)), 6_999_900);
    }

    #[test]
    fn no_answer_makes_it_overflow() {
        let mut reference = ReferenceClock::default();
        for time in [i64::MIN, i64::MAX, 0] {
            for asked in [i64::MIN, i64::MAX, 0] {
                reference.measured(Measured::new(asked, 0, time));
            }
        }
    }
}
