//! Processes of a cluster go by the clock of process 0, whatever their own ones show.
//!
//! A tick is complete when all processes are past it. Were each to go by its own clock, what the fastest took in could not be read
//! before the slowest is there. So they ask process 0 for its time, as often as they say that they are there ([`Measured`]), and go by that
//! in between. Their own clocks are only compared with it.

use std::time::{Duration, Instant};

use super::course::{ClockReading, Course};
use super::reference::{Measured, ReferenceClock};
use super::start::{ClockError, LatestTick};
use super::steady::{OnMismatch, SteadyClock, micros, tick};
use crate::observe::seldom::Seldom;
use crate::project::Clock;

/// How far the clocks of machines may be apart before people are told.
pub(super) const SKEW_TOLD_US: i64 = 250_000;

/// How far they may be apart before a process is not ready any more.
pub(super) const SKEW_MAX_US: i64 = 2_000_000;

/// Process 0 has decided what is followed: no step of it is too large.
const ANY_STEP_US: i64 = i64::MAX / 4;

/// The clock of process 0.
pub(super) struct FollowedClock {
    reference: ReferenceClock,
    /// How far it is ahead of the time since this machine was started, as far as it is followed.
    offset_us: i64,
    /// When that was measured, since this machine was started.
    at_us: i64,
    /// The latest measurement, whether it is followed or not, and when it was made.
    latest: (Measured, i64),
    /// Whether it goes at half speed, since the clock on the wall there is behind it.
    is_slow: bool,
    /// How far the clock on the wall there is ahead of its ticks.
    pub wall_ahead_us: i64,
}

impl FollowedClock {
    /// What it shows.
    pub fn leading(&self, machine: ClockReading) -> ClockReading {
        let since_us = machine.boot_us.saturating_sub(self.at_us).max(0);
        let behind_us = if self.is_slow { since_us / 2 } else { 0 };
        ClockReading { wall_us: machine.boot_us.saturating_add(self.offset_us).saturating_sub(behind_us), ..machine }
    }

    /// Whether two measurements in a row say that it goes at half speed, as surely as they can.
    fn goes_slow(&self, measured: Measured, at_us: i64) -> bool {
        let (before, before_us) = self.latest;
        let (back_us, passed_us) =
            (before.offset_us.saturating_sub(measured.offset_us), at_us.saturating_sub(before_us));
        back_us > (passed_us / 4).saturating_add(before.took_us).saturating_add(measured.took_us)
            // A clock that was set back is no slow one.
            && back_us < passed_us
    }
}

impl SteadyClock {
    /// Goes on after the last tick that any process of the cluster has. Refuses where this clock, which is that of all, is further behind it
    /// than it may be, unless somebody said that it is right.
    pub fn go_on_after(&self, latest: LatestTick, clock: &Clock) -> Result<(), ClockError> {
        let last = latest.tick;
        match ClockError::of(self.now(), latest, clock) {
            Err(error @ ClockError::Behind { .. }) if self.on_mismatch == OnMismatch::Refuse => return Err(error),
            Err(error @ ClockError::Behind { .. }) if self.on_mismatch == OnMismatch::Accept => {
                tracing::warn!("the clock is accepted as it is (--accept-clock): {}", error.accepted());
            }
            _ => {}
        }
        let mut told = self.lock();
        let reading = told.leading((self.machine)());
        if told.course.time_us(reading) <= micros(last) {
            let step_max_us = if told.followed.is_some() { ANY_STEP_US } else { self.step_max_us };
            told.course = Course::begin(reading, micros(last.next()), step_max_us);
        }
        Ok(())
    }

    /// The time since the machine was started, in microseconds: what measurements are made with.
    pub fn boot_us(&self) -> i64 {
        (self.machine)().boot_us
    }

    /// The time of ticks, for processes that go by it, and what the clock on the wall shows; in microseconds.
    pub fn times_us(&self) -> (i64, i64) {
        let mut told = self.lock();
        let machine = (self.machine)();
        let reading = told.leading(machine);
        (told.course.time_us(reading), machine.wall_us)
    }

    /// The ticks of process 0 were measured: from now on these go by them. Its clock on the wall is so far ahead of them.
    pub fn measured(&self, measured: Measured, wall_ahead_us: i64) {
        let mut told = self.lock();
        let machine = (self.machine)();
        let Some(followed) = &mut told.followed else {
            // However far away it is, it is the one that counts.
            let mut reference = ReferenceClock::default();
            let (offset_us, at_us) = (reference.measured(measured), machine.boot_us);
            let latest = (measured, at_us);
            let followed = FollowedClock { offset_us, at_us, latest, is_slow: false, reference, wall_ahead_us };
            let there = followed.leading(machine);
            told.course = Course::begin(there, there.wall_us.max(micros(self.last.next())), ANY_STEP_US);
            told.followed = Some(followed);
            self.measured.notify_all();
            return;
        };
        let offset_us = followed.reference.measured(measured);
        let is_slow = followed.goes_slow(measured, machine.boot_us);
        followed.latest = (measured, machine.boot_us);
        followed.wall_ahead_us = wall_ahead_us;
        let before = told.leading(machine);
        let now_us = told.course.time_us(before);
        let ahead_us = machine.boot_us.saturating_add(offset_us).saturating_sub(now_us);
        if ahead_us > self.step_max_us {
            if told.attempts.happened(Instant::now()).is_none() {
                return;
            }
            if let Err(error) = self.jumps.add(tick(now_us), u64::try_from(ahead_us / 1_000).unwrap_or_default()) {
                tracing::error!(%error, "ticks cannot follow the clock of process 0: it cannot be written down");
                return;
            }
            told.attempts = Seldom::default();
        }
        told.course.slowed(is_slow);
        if let Some(followed) = &mut told.followed {
            (followed.offset_us, followed.at_us, followed.is_slow) = (offset_us, machine.boot_us, is_slow);
        }
    }

    /// Waits until the clock of process 0 is known. Says whether it is.
    pub fn wait_until_measured(&self, wait: Duration) -> bool {
        let mut told = self.lock();
        _ = self.measured.wait_while_for(&mut told, |told| told.followed.is_none(), wait);
        told.followed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Jumps;
    use super::*;
    use dataflows::model::Tick;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    const S: i64 = 1_000_000;
    /// What process 0 shows when this machine was started.
    const THERE: i64 = 1_800_000_000 * S;

    /// A process that was started so long ago, whose own clock is five seconds ahead.
    fn process(last: Option<i64>) -> (Arc<AtomicI64>, SteadyClock) {
        let boot = Arc::new(AtomicI64::new(0));
        let of = boot.clone();
        let machine = Box::new(move || {
            let boot_us = of.load(Ordering::Relaxed);
            ClockReading { boot_us, wall_us: THERE + boot_us + 5 * S }
        });
        let clock = Clock::default();
        let steady = match last {
            None => SteadyClock::new(machine, &clock, Jumps::default()),
            Some(us) => {
                let latest = LatestTick { folder: "data".into(), tick: tick(THERE + us) };
                SteadyClock::after(latest, machine, &clock, Jumps::default(), OnMismatch::Ignore).unwrap()
            }
        };
        (boot, steady)
    }

    fn at(us: i64) -> Tick {
        tick(THERE + us)
    }

    #[test]
    fn ticks_go_by_process_0_whatever_the_own_clock_shows() {
        let (boot, clock) = process(None);
        assert!(!clock.wait_until_measured(Duration::ZERO));
        clock.measured(Measured { offset_us: THERE, took_us: 100 }, 0);
        assert!(clock.wait_until_measured(Duration::ZERO));
        assert_eq!((clock.now(), clock.standing().skew_ms()), (at(0), Some(5_000)));
        let why = clock.standing().check().unwrap_err();
        assert!(why.contains("the clock of this machine is 5 s ahead of that of process 0"), "{why}");
        boot.store(10 * S, Ordering::Relaxed);
        assert_eq!(clock.now(), at(10 * S));
        // Process 0 follows its clock by an hour: so does this one, and what was jumped over is kept.
        clock.measured(Measured { offset_us: THERE + 3_600 * S, took_us: 100 }, 0);
        assert_eq!(clock.now(), at(3_610 * S));
        assert_eq!(clock.jumps().all(), [(at(10 * S), 3_600_000)]);
        // It is a little behind: half speed.
        clock.measured(Measured { offset_us: THERE + 3_599 * S, took_us: 100 }, 0);
        boot.store(11 * S, Ordering::Relaxed);
        assert_eq!(clock.now(), at(3_610 * S + S / 2));
        boot.store(20 * S, Ordering::Relaxed);
        assert_eq!(clock.now(), at(3_619 * S));
    }

    #[test]
    fn ticks_go_on_after_the_own_data() {
        let (boot, clock) = process(Some(2 * S));
        clock.measured(Measured { offset_us: THERE, took_us: 100 }, 0);
        assert_eq!(clock.now(), tick(THERE + 2 * S + 1_000));
        boot.store(10 * S, Ordering::Relaxed);
        assert_eq!(clock.now(), at(10 * S));
    }

    #[test]
    fn ticks_go_on_after_the_data_of_any_process() {
        let clock = Clock::default();
        let latest = |us| LatestTick { folder: "another".into(), tick: tick(THERE + us) };
        // Process 0, whose clock is behind what another one has by less than a step: at half speed.
        let first = |us| {
            let boot = Arc::new(AtomicI64::new(0));
            let of = boot.clone();
            let machine = Box::new(move || {
                let boot_us = of.load(Ordering::Relaxed);
                ClockReading { boot_us, wall_us: THERE + boot_us + us }
            });
            (boot, SteadyClock::new(machine, &clock, Jumps::default()))
        };
        let (boot, steady) = first(0);
        steady.go_on_after(latest(4 * S), &clock).unwrap();
        assert_eq!(steady.now(), tick(THERE + 4 * S + 1_000));
        boot.store(2 * S, Ordering::Relaxed);
        assert_eq!(steady.now(), tick(THERE + 5 * S + 1_000));
        boot.store(20 * S, Ordering::Relaxed);
        assert_eq!(steady.now(), at(20 * S));
        // What is not behind stays as it is.
        steady.go_on_after(latest(4 * S), &clock).unwrap();
        assert_eq!(steady.now(), at(20 * S));
        // By more than a step: only where somebody said that it is right.
        let (_, steady) = first(0);
        let refused = steady.go_on_after(latest(8 * S), &clock).unwrap_err().to_string();
        assert!(refused.contains("8 s before the last tick of another"), "{refused}");
        let (boot, steady) = first(0);
        let steady = steady.on_mismatch(OnMismatch::Accept);
        steady.go_on_after(latest(8 * S), &clock).unwrap();
        boot.store(2 * S, Ordering::Relaxed);
        assert_eq!(steady.now(), tick(THERE + 9 * S + 1_000));
        assert_eq!(steady.jumps().all(), []);
        // Another process, which hears of that later than it starts.
        let (boot, steady) = process(None);
        let steady = steady.on_mismatch(OnMismatch::Ignore);
        steady.measured(Measured { offset_us: THERE, took_us: 100 }, 0);
        steady.go_on_after(latest(8 * S), &clock).unwrap();
        assert_eq!(steady.now(), tick(THERE + 8 * S + 1_000));
        boot.store(S, Ordering::Relaxed);
        steady.measured(Measured { offset_us: THERE + 8 * S, took_us: 100 }, 0);
        assert_eq!(steady.now(), at(9 * S));
        assert_eq!(steady.jumps().all(), [], "nothing was jumped over");
    }

    #[test]
    fn ticks_follow_process_0_while_that_goes_at_half_speed() {
        let (boot, clock) = process(None);
        let there = |us: i64| THERE + us / 2;
        let mut most = 0;
        for quarter in 0..40 {
            let now = quarter * S / 4;
            boot.store(now, Ordering::Relaxed);
            clock.measured(Measured { offset_us: there(now) - now, took_us: 100 }, -1_800 * S);
            for us in (now..now + S / 4).step_by(10_000) {
                boot.store(us, Ordering::Relaxed);
                let ahead = i64::try_from(clock.now().as_ms()).unwrap() * 1_000 - there(us);
                // The first measurement does not say that it is slow.
                most = if quarter < 8 { 0 } else { most.max(ahead.abs()) };
                assert!(ahead.abs() <= S / 8, "{ahead} µs ahead after {us} µs");
            }
        }
        assert!(most <= 2_000, "{most} µs ahead");
        // It has caught up: as fast as ever.
        let (begin, off) = (10 * S, there(10 * S) - 10 * S);
        for quarter in 0..8 {
            let now = begin + quarter * S / 4;
            boot.store(now, Ordering::Relaxed);
            clock.measured(Measured { offset_us: off, took_us: 100 }, 0);
        }
        boot.store(begin + 2 * S, Ordering::Relaxed);
        assert_eq!(clock.now(), tick(begin + 2 * S + off));
    }
}
