//! The rules by which ticks follow the clock on the wall.
//!
//! Ticks are the time since the machine was started, and an offset. By how far the clock on the wall is ahead of that:
//!
//! - **Up to `step_max`, forwards**: the offset follows at once.
//! - **Up to `step_max`, backwards**: ticks go at half speed until the clock is there.
//! - **Further**: the offset stays. Once the clock has been the same new one for [`CLOCK_SETTLES`], and is less than
//!   [`CLOCK_FOLLOWED_MAX`] ahead, ticks are due to jump there. Anything else needs an order: then they jump, or go at half speed for as
//!   long as it takes.
//!
//! A machine that was suspended is none of these: the time since its start went on.

use crate::limits::{CLOCK_FOLLOWED_MAX, CLOCK_SETTLES};

/// Both clocks of the machine, in microseconds: since it was started, and since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Since the machine was started, also while it was suspended.
    pub boot_us: i64,
    /// What the clock on the wall shows.
    pub wall_us: i64,
}

impl ClockReading {
    fn offset_us(self) -> i64 {
        self.wall_us.saturating_sub(self.boot_us)
    }
}

/// How ticks and the clock on the wall stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockState {
    /// They are the same.
    Agreed,
    /// Ticks go at half speed, since the clock is behind them.
    Slow {
        /// Until it is there, if it goes on.
        left_us: i64,
    },
    /// The clock is too far away to be followed.
    Apart {
        /// How far it is ahead of ticks; behind them where negative.
        ahead_us: i64,
        /// For how long it will have to stay as it is until it is followed; nothing where that needs an order.
        follows_in_us: Option<i64>,
    },
}

/// Where ticks are on their way.
#[derive(Debug)]
pub(super) struct Course {
    step_max_us: i64,
    offset_us: i64,
    /// When it was looked at last, since the machine was started.
    looked_us: i64,
    /// The latest time that was given out.
    given_us: i64,
    /// The offset of a clock that is behind, which an order said is right.
    accepted_us: Option<i64>,
    /// Whether the clock itself goes at half speed: that of another process, which waits for its own.
    is_slowed: bool,
    apart: Option<Apart>,
}

/// A clock that is not followed.
#[derive(Clone, Copy, Debug)]
struct Apart {
    offset_us: i64,
    since_us: i64,
}

impl Course {
    /// Begins at `begin_us`, whatever the clock shows. Where the clock is behind that by more than `step_max_us`, that has been accepted.
    pub fn begin(reading: ClockReading, begin_us: i64, step_max_us: i64) -> Self {
        let ClockReading { boot_us, wall_us } = reading;
        let offset_us = begin_us.saturating_sub(boot_us);
        let accepted_us = (wall_us < begin_us).then_some(reading.offset_us());
        Course {
            step_max_us,
            offset_us,
            looked_us: boot_us,
            given_us: begin_us,
            accepted_us,
            is_slowed: false,
            apart: None,
        }
    }

    /// Whether the clock that is followed goes at half speed itself: what is ahead of it has to go slower than that.
    pub fn slowed(&mut self, is_slowed: bool) {
        self.is_slowed = is_slowed;
    }

    /// The time of ticks now, which never goes back.
    pub fn time_us(&mut self, reading: ClockReading) -> i64 {
        self.look(reading);
        self.given_us = self.given_us.max(reading.boot_us.saturating_add(self.offset_us));
        self.given_us
    }

    /// How ticks and the clock stand, as it was found by the latest [`Course::time_us`].
    pub fn state(&self, reading: ClockReading) -> ClockState {
        let ahead_us = self.ahead_us(reading);
        match self.apart {
            Some(apart) => {
                let is_followed = ahead_us > 0 && ahead_us < micros(CLOCK_FOLLOWED_MAX);
                let left = micros(CLOCK_SETTLES).saturating_sub(reading.boot_us.saturating_sub(apart.since_us));
                ClockState::Apart { ahead_us, follows_in_us: is_followed.then_some(left.max(0)) }
            }
            None if ahead_us < 0 => ClockState::Slow { left_us: ahead_us.saturating_neg().saturating_mul(2) },
            None => ClockState::Agreed,
        }
    }

    /// By how much ticks are due to jump, if they are.
    pub fn is_due(&self, reading: ClockReading) -> Option<i64> {
        match self.state(reading) {
            ClockState::Apart { ahead_us, follows_in_us: Some(0) } => Some(ahead_us),
            _ => None,
        }
    }

    /// How far an order to accept the clock would set ticks forward; nothing where they go slow, or go on.
    pub fn would_jump(&self, reading: ClockReading) -> Option<i64> {
        self.apart.map(|_| self.ahead_us(reading)).filter(|ahead| *ahead > 0)
    }

    /// What the clock shows is right: ticks jump there, or go at half speed until it has caught up.
    pub fn accept(&mut self, reading: ClockReading) {
        if self.apart.take().is_none() {
            return;
        }
        match self.ahead_us(reading) {
            ahead if ahead >= 0 => self.offset_us = reading.offset_us(),
            _ => self.accepted_us = Some(reading.offset_us()),
        }
    }

    /// How far the clock on the wall is ahead.
    fn ahead_us(&self, reading: ClockReading) -> i64 {
        reading.offset_us().saturating_sub(self.offset_us)
    }

    fn look(&mut self, reading: ClockReading) {
        // Another thread may have read the clocks before one that was here first.
        let passed = reading.boot_us.saturating_sub(self.looked_us).max(0);
        // What is too short to be halved, or quartered, counts the next time.
        self.looked_us = self.looked_us.max(reading.boot_us) - passed % 4;
        let ahead = self.ahead_us(reading);
        let near = |offset: i64| reading.offset_us().abs_diff(offset) <= self.step_max_us.unsigned_abs();
        if ahead >= 0 || !self.accepted_us.is_some_and(near) {
            self.accepted_us = None;
        }
        if ahead < 0 && (near(self.offset_us) || self.accepted_us.is_some()) {
            self.apart = None;
            let back = if self.is_slowed { passed / 4 * 3 } else { passed / 2 };
            self.offset_us -= back.min(-ahead);
        } else if near(self.offset_us) {
            self.apart = None;
            self.offset_us = reading.offset_us();
        } else if !self.apart.is_some_and(|apart| near(apart.offset_us)) {
            self.apart = Some(Apart { offset_us: reading.offset_us(), since_us: reading.boot_us });
        }
    }
}

fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;
    const HOUR: i64 = 3_600 * S;
    const DAY: i64 = 24 * HOUR;
    /// When the machine was started, on the wall.
    const BEGAN: i64 = 1_800_000_000 * S;

    /// A machine whose clock on the wall is off by so much.
    fn at(boot_us: i64, off_us: i64) -> ClockReading {
        ClockReading { boot_us, wall_us: BEGAN + boot_us + off_us }
    }

    fn course() -> Course {
        Course::begin(at(0, 0), BEGAN, 5 * S)
    }

    /// Time as far as it is from a right clock.
    fn off(course: &mut Course, boot_us: i64, off_us: i64) -> i64 {
        course.time_us(at(boot_us, off_us)) - BEGAN - boot_us
    }

    #[test]
    fn a_small_step_is_followed_at_once_forwards_and_at_half_speed_backwards() {
        let mut course = course();
        assert_eq!(off(&mut course, S, 5 * S), 5 * S);
        assert_eq!(course.state(at(S, 5 * S)), ClockState::Agreed);
        // Four seconds back: eight seconds at half speed.
        assert_eq!(off(&mut course, S, S), 5 * S);
        assert_eq!(course.state(at(S, S)), ClockState::Slow { left_us: 8 * S });
        assert_eq!(off(&mut course, 3 * S, S), 4 * S);
        assert_eq!(course.state(at(3 * S, S)), ClockState::Slow { left_us: 6 * S });
        assert_eq!(off(&mut course, 9 * S, S), S);
        assert_eq!(course.state(at(9 * S, S)), ClockState::Agreed);
        assert_eq!(off(&mut course, 90 * S, S), S);
    }

    #[test]
    fn an_hour_ahead_is_followed_after_a_minute_of_it() {
        let mut course = course();
        assert_eq!(off(&mut course, S, HOUR), 0);
        let apart = |follows_in_us| ClockState::Apart { ahead_us: HOUR, follows_in_us: Some(follows_in_us) };
        assert_eq!(course.state(at(S, HOUR)), apart(60 * S));
        assert_eq!(off(&mut course, 60 * S, HOUR), 0);
        assert_eq!(course.state(at(60 * S, HOUR)), apart(S));
        assert_eq!(course.is_due(at(60 * S, HOUR)), None);
        assert_eq!(off(&mut course, 61 * S, HOUR), 0);
        assert_eq!(course.is_due(at(61 * S, HOUR)), Some(HOUR));
        course.accept(at(61 * S, HOUR));
        assert_eq!(off(&mut course, 61 * S, HOUR), HOUR);
        assert_eq!(course.state(at(61 * S, HOUR)), ClockState::Agreed);
    }

    #[test]
    fn a_clock_that_goes_on_jumping_is_not_followed() {
        let mut course = course();
        for second in 1..1_000 {
            let wrong = if second / 50 % 2 == 0 { HOUR } else { HOUR + 6 * S };
            assert_eq!(off(&mut course, second * S, wrong), 0);
            assert_eq!(course.is_due(at(second * S, wrong)), None, "{second}");
        }
        // Right again.
        assert_eq!(off(&mut course, 1_000 * S, 0), 0);
        assert_eq!(course.state(at(1_000 * S, 0)), ClockState::Agreed);
    }

    #[test]
    fn a_year_ahead_and_an_hour_back_need_an_order() {
        for wrong in [365 * DAY, DAY, -HOUR, -365 * DAY] {
            let mut course = course();
            assert_eq!(off(&mut course, S, wrong), 0);
            assert_eq!(off(&mut course, HOUR, wrong), 0);
            let apart = ClockState::Apart { ahead_us: wrong, follows_in_us: None };
            assert_eq!((course.state(at(HOUR, wrong)), course.is_due(at(HOUR, wrong))), (apart, None));
        }
        let mut course = course();
        off(&mut course, S, 365 * DAY);
        assert_eq!(course.would_jump(at(S, 365 * DAY)), Some(365 * DAY));
        course.accept(at(S, 365 * DAY));
        assert_eq!(off(&mut course, S, 365 * DAY), 365 * DAY);
    }

    #[test]
    fn a_clock_that_was_set_back_is_accepted_at_half_speed() {
        let mut course = course();
        off(&mut course, S, -HOUR);
        assert_eq!(course.would_jump(at(S, -HOUR)), None);
        course.accept(at(S, -HOUR));
        assert_eq!(off(&mut course, S, -HOUR), 0);
        assert_eq!(course.state(at(S, -HOUR)), ClockState::Slow { left_us: 2 * HOUR });
        assert_eq!(off(&mut course, S + HOUR, -HOUR), -HOUR / 2);
        assert_eq!(off(&mut course, S + 2 * HOUR, -HOUR), -HOUR);
        assert_eq!(course.state(at(S + 2 * HOUR, -HOUR)), ClockState::Agreed);
        // What was accepted is that clock, and no other.
        let mut course = self::course();
        off(&mut course, S, -HOUR);
        course.accept(at(S, -HOUR));
        off(&mut course, 2 * S, -3 * HOUR);
        assert!(matches!(course.state(at(2 * S, -3 * HOUR)), ClockState::Apart { follows_in_us: None, .. }));
    }

    #[test]
    fn a_suspended_machine_has_waited() {
        let mut course = course();
        assert_eq!(off(&mut course, S, 0), 0);
        assert_eq!(off(&mut course, S + 600 * S, 0), 0);
        assert_eq!(course.state(at(S + 600 * S, 0)), ClockState::Agreed);
    }

    #[test]
    fn it_begins_where_the_data_is() {
        // Three seconds behind, and an hour behind, which was accepted.
        for behind in [3 * S, HOUR] {
            let mut course = Course::begin(at(0, 0), BEGAN + behind, 5 * S);
            assert_eq!(off(&mut course, 0, 0), behind);
            assert_eq!(course.state(at(0, 0)), ClockState::Slow { left_us: 2 * behind });
            assert_eq!(off(&mut course, 2 * behind, 0), 0);
        }
    }

    #[test]
    fn time_never_goes_back_whatever_the_clocks_show() {
        let mut course = course();
        let mut seed = 7u64;
        let (mut boot, mut latest) = (0, i64::MIN);
        for _ in 0..100_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let chance = i64::try_from(seed >> 40).unwrap_or_default();
            boot += chance % 3 * S - S / 2;
            let off = [0, 3 * S, -3 * S, HOUR, -HOUR, i64::MAX / 2, i64::MIN / 2]
                [usize::try_from(chance).unwrap_or(0) / 3 % 7];
            let reading = ClockReading { boot_us: boot, wall_us: BEGAN.saturating_add(boot).saturating_add(off) };
            let now = course.time_us(reading);
            assert!(now >= latest, "{now} after {latest}");
            latest = now;
            if let Some(by) = course.is_due(reading) {
                assert!(by < DAY);
                course.accept(reading);
            }
        }
    }
}
