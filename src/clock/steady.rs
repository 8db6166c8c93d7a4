//! The clock that ticks go by: the rules of [`Course`] over the clocks of the machine.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use dataflows::model::Tick;
use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::time::{ClockId, clock_gettime};

use super::course::{ClockReading, ClockState, Course};
use super::following::{FollowedClock, SKEW_MAX_US, SKEW_TOLD_US};
use super::start::{ClockError, LatestTick};
use super::words::{moment, span};
use super::{Jumps, Now};
use crate::observe::seldom::Seldom;
use crate::project::Clock;

/// How old the data may be at a start before people are told: a restart takes less.
const PAUSE_TOLD_MS: u64 = 60 * 60 * 1_000;

/// Reads both clocks.
pub type Machine = Box<dyn Fn() -> ClockReading + Send + Sync>;

/// What a start does where the clock and the data do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMismatch {
    /// It says so, and does not go on.
    Refuse,
    /// It goes on: somebody said that the clock is right.
    Accept,
    /// It goes on: ticks go by the clock of another process.
    Ignore,
}

/// A clock that never goes back, and jumps only where that has been agreed to.
pub struct SteadyClock {
    pub(super) machine: Machine,
    pub(super) jumps: Jumps,
    /// After this ticks go on.
    pub(super) last: Tick,
    pub(super) step_max_us: i64,
    /// What is done where the clock and the data of another process do not go together.
    pub(super) on_mismatch: OnMismatch,
    course: Mutex<CourseNotices>,
    /// Told when the clock of process 0 is known.
    pub(super) measured: Condvar,
}

/// The course, and what of it has been told to people.
pub(super) struct CourseNotices {
    pub course: Course,
    /// The clock of process 0, where ticks go by that.
    pub followed: Option<FollowedClock>,
    is_apart: bool,
    skewed: Seldom,
    /// Attempts to follow a clock that jumped: where the disk is full, each request, or each beat of process 0, would make one.
    pub attempts: Seldom,
}

/// How ticks and the clock of the machine stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStanding {
    /// The time of ticks.
    pub ticks: Tick,
    /// What the clock on the wall shows.
    pub wall: Tick,
    /// How they stand.
    pub state: ClockState,
    /// How far the clock on the wall is ahead of that of process 0, where ticks go by that: in microseconds.
    pub skew_us: Option<i64>,
}

/// What came of an order to accept the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockAccepted {
    /// By how many milliseconds ticks jumped.
    pub jumped_ms: u64,
    /// How they stand since.
    pub now: ClockStanding,
}

impl SteadyClock {
    /// Begins with what the clock on the wall shows.
    pub fn new(machine: Machine, clock: &Clock, jumps: Jumps) -> Self {
        let begin = shown(&machine);
        SteadyClock::at((begin, Tick::default()), machine, clock, jumps, OnMismatch::Refuse)
    }

    /// The same, that does this where the data of another process do not go together with it.
    pub fn on_mismatch(self, on_mismatch: OnMismatch) -> Self {
        SteadyClock { on_mismatch, ..self }
    }

    /// Begins after what the data have, where the clock goes together with them.
    pub fn after(
        latest: LatestTick,
        machine: Machine,
        clock: &Clock,
        jumps: Jumps,
        on_mismatch: OnMismatch,
    ) -> Result<Self, ClockError> {
        let (now, last) = (shown(&machine), latest.tick);
        match (ClockError::of(now, latest, clock), on_mismatch) {
            (Ok(()), OnMismatch::Refuse) if now > last.after_ms(PAUSE_TOLD_MS) => {
                let pause = span(now.as_ms() - last.as_ms());
                tracing::warn!(
                    "the latest of the data is {pause} old, by the clock of this machine: windows go on by that clock"
                );
            }
            (Ok(()), _) | (_, OnMismatch::Ignore) => {}
            (Err(error), OnMismatch::Refuse) => return Err(error),
            (Err(error), OnMismatch::Accept) => {
                tracing::warn!("the clock is accepted as it is (--accept-clock): {}", error.accepted());
                let skipped_ms = now.as_ms().saturating_sub(last.as_ms());
                if skipped_ms > 0 {
                    // Nobody knows how much of that has passed.
                    jumps.add(last, skipped_ms)?;
                }
            }
        }
        Ok(SteadyClock::at((now.max(last.next()), last), machine, clock, jumps, on_mismatch))
    }

    /// One that shows this for ever.
    #[cfg(test)]
    pub fn still(at: Tick) -> Arc<Self> {
        let machine = Box::new(move || ClockReading { boot_us: 0, wall_us: micros(at) });
        Arc::new(SteadyClock::new(machine, &Clock::default(), Jumps::default()))
    }

    fn at((begin, last): (Tick, Tick), machine: Machine, clock: &Clock, jumps: Jumps, on_mismatch: OnMismatch) -> Self {
        let step_max_us = i64::try_from(clock.step_max.as_micros()).unwrap_or(i64::MAX);
        let course = Course::begin(machine(), micros(begin), step_max_us);
        let told = CourseNotices {
            course,
            followed: None,
            is_apart: false,
            skewed: Seldom::default(),
            attempts: Seldom::default(),
        };
        SteadyClock {
            machine,
            jumps,
            last,
            step_max_us,
            on_mismatch,
            course: Mutex::new(told),
            measured: Condvar::new(),
        }
    }

    /// The time of ticks. It never goes back.
    pub fn now(&self) -> Tick {
        self.standing().ticks
    }

    /// The same as a function.
    pub fn as_now(self: &Arc<Self>) -> Now {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }

    /// How far ticks were set forward.
    pub fn jumps(&self) -> &Jumps {
        &self.jumps
    }

    /// How ticks and the clock stand.
    pub fn standing(&self) -> ClockStanding {
        let mut told = self.lock();
        // Read with the lock held, so that readings come in their order.
        let machine = (self.machine)();
        let reading = told.leading(machine);
        let time_us = told.course.time_us(reading);
        let due = told.course.is_due(reading);
        if let Some(by_us) = due.filter(|_| told.attempts.happened(Instant::now()).is_some()) {
            match self.jump(&mut told.course, reading, tick(time_us), by_us) {
                Ok(by_ms) => {
                    (told.is_apart, told.attempts) = (false, Seldom::default());
                    tracing::warn!("the clock stayed where it jumped to: ticks are {} further now", span(by_ms));
                }
                Err(error) => tracing::error!(%error, "ticks cannot follow the clock: it cannot be written down"),
            }
        }
        let standing = told.standing(machine);
        told.tell(&standing);
        standing
    }

    /// An operator's order: what the clock of the machine shows is right.
    pub fn accept(&self) -> std::io::Result<ClockAccepted> {
        let mut told = self.lock();
        let machine = (self.machine)();
        let reading = told.leading(machine);
        let time_us = told.course.time_us(reading);
        let jumped_ms = match told.course.would_jump(reading) {
            Some(by_us) => self.jump(&mut told.course, reading, tick(time_us), by_us)?,
            None => {
                told.course.accept(reading);
                0
            }
        };
        told.is_apart = false;
        let now = told.standing(machine);
        tracing::info!("an operator's order: the clock is right, {}", now);
        Ok(ClockAccepted { jumped_ms, now })
    }

    /// Sets ticks forward. Written down first: what is not remembered must not happen.
    fn jump(&self, course: &mut Course, reading: ClockReading, at: Tick, by_us: i64) -> std::io::Result<u64> {
        let by_ms = u64::try_from(by_us / 1_000).unwrap_or_default();
        self.jumps.add(at, by_ms)?;
        course.accept(reading);
        Ok(by_ms)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, CourseNotices> {
        self.course.lock()
    }
}

impl std::fmt::Debug for SteadyClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SteadyClock").finish_non_exhaustive()
    }
}

impl CourseNotices {
    /// What ticks go by: the clock of this machine, or that of process 0.
    pub fn leading(&self, machine: ClockReading) -> ClockReading {
        let followed = self.followed.as_ref().map(|followed| followed.leading(machine));
        followed.unwrap_or(machine)
    }

    fn standing(&mut self, machine: ClockReading) -> ClockStanding {
        let reading = self.leading(machine);
        let there_us = |followed: &FollowedClock| reading.wall_us.saturating_add(followed.wall_ahead_us);
        let skew_us = self.followed.as_ref().map(|followed| machine.wall_us.saturating_sub(there_us(followed)));
        let ticks = tick(self.course.time_us(reading));
        ClockStanding { ticks, wall: tick(machine.wall_us), state: self.course.state(reading), skew_us }
    }

    /// Says to people what has changed.
    fn tell(&mut self, standing: &ClockStanding) {
        if standing.skew_us.is_some_and(|skew| skew.abs() > SKEW_TOLD_US)
            && self.skewed.happened(Instant::now()).is_some()
        {
            tracing::warn!("the clocks of the cluster differ: {standing}");
        }
        let is_apart = matches!(standing.state, ClockState::Apart { .. });
        if is_apart != self.is_apart {
            self.is_apart = is_apart;
            match is_apart {
                true => tracing::error!("{standing}"),
                false => tracing::info!("ticks follow the clock of this machine again: {standing}"),
            }
        }
    }
}

impl ClockStanding {
    /// Whether ticks follow the clock; if not, why not.
    pub fn check(&self) -> Result<(), String> {
        let is_skewed = self.skew_us.is_some_and(|skew| skew.abs() > SKEW_MAX_US);
        match self.state {
            ClockState::Agreed | ClockState::Slow { .. } if !is_skewed => Ok(()),
            _ => Err(self.to_string()),
        }
    }

    /// How far the clock of this machine is ahead of that of process 0, in milliseconds, where ticks go by that.
    pub fn skew_ms(&self) -> Option<i64> {
        self.skew_us.map(|skew| skew / 1_000)
    }

    /// By how many milliseconds the clock on the wall is ahead of ticks.
    pub fn ahead_ms(&self) -> i64 {
        let ms = |tick: Tick| i64::try_from(tick.as_ms()).unwrap_or(i64::MAX);
        ms(self.wall).saturating_sub(ms(self.ticks))
    }
}

impl std::fmt::Display for ClockStanding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |us: i64| span(us.unsigned_abs() / 1_000);
        if let Some(skew) = self.skew_us.filter(|skew| skew.abs() <= SKEW_TOLD_US) {
            return write!(f, "ticks go by the clock of process 0, of which this one is {:+} ms ahead", skew / 1_000);
        }
        if let Some(skew) = self.skew_us {
            let side = if skew < 0 { "behind" } else { "ahead of" };
            return write!(
                f,
                "the clock of this machine is {} {side} that of process 0, which ticks go by; set one of them right",
                of(skew)
            );
        }
        match self.state {
            ClockState::Agreed => write!(f, "ticks go by it, {}", moment(self.ticks)),
            ClockState::Slow { left_us } => {
                write!(f, "ticks go at half speed until it has caught up, in {}", of(left_us))
            }
            ClockState::Apart { ahead_us, follows_in_us } => {
                let side = if ahead_us < 0 { "behind" } else { "ahead of" };
                write!(
                    f,
                    "the clock of this machine jumped: it shows {}, which is {} {side} the time that ticks have, {}; events are taken as before; ",
                    moment(self.wall),
                    of(ahead_us),
                    moment(self.ticks)
                )?;
                match follows_in_us {
                    Some(left) => write!(f, "ticks follow in {} if it stays as it is", of(left)),
                    None => f.write_str("set it right; or, if it is right now, say so: deltaic clock accept"),
                }
            }
        }
    }
}

/// The clocks of this machine; with `begin`, a clock on the wall that shows that now and goes on like it.
pub fn machine(begin: Option<Tick>) -> Machine {
    let Some(begin) = begin else { return Box::new(reading) };
    let offset_us = micros(begin).saturating_sub(reading().boot_us);
    Box::new(move || {
        let boot_us = reading().boot_us;
        ClockReading { boot_us, wall_us: boot_us.saturating_add(offset_us) }
    })
}

/// What the clock on the wall shows.
pub fn shown(machine: &Machine) -> Tick {
    tick(machine().wall_us)
}

fn reading() -> ClockReading {
    let boot = clock_gettime(ClockId::Boottime);
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ClockReading {
        boot_us: boot.tv_sec.saturating_mul(1_000_000).saturating_add(boot.tv_nsec / 1_000),
        wall_us: i64::try_from(wall.as_micros()).unwrap_or(i64::MAX),
    }
}

pub(super) fn micros(tick: Tick) -> i64 {
    i64::try_from(tick.as_ms()).unwrap_or(i64::MAX).saturating_mul(1_000)
}

pub(super) fn tick(us: i64) -> Tick {
    Tick::from_ms(u64::try_from(us / 1_000).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    const BEGAN_MS: u64 = 1_800_000_000_000;

    /// A machine that tests set: how long it runs, and by how much its clock is off, in milliseconds.
    #[derive(Clone, Default)]
    struct Set(Arc<[AtomicI64; 2]>);

    impl Set {
        fn to(&self, boot_ms: i64, off_ms: i64) {
            self.0[0].store(boot_ms, Ordering::Relaxed);
            self.0[1].store(off_ms, Ordering::Relaxed);
        }

        fn machine(&self) -> Machine {
            let clocks = self.0.clone();
            Box::new(move || {
                let [boot, off] = [0, 1].map(|clock: usize| clocks[clock].load(Ordering::Relaxed) * 1_000);
                ClockReading { boot_us: boot, wall_us: micros(Tick::from_ms(BEGAN_MS)) + boot + off }
            })
        }
    }

    fn begun(
        set: &Set,
        latest_ms: Option<u64>,
        jumps: Jumps,
        on_mismatch: OnMismatch,
    ) -> Result<SteadyClock, ClockError> {
        let clock = Clock::default();
        match latest_ms {
            None => Ok(SteadyClock::new(set.machine(), &clock, jumps)),
            Some(ms) => {
                let latest = LatestTick { folder: "data".into(), tick: Tick::from_ms(ms) };
                SteadyClock::after(latest, set.machine(), &clock, jumps, on_mismatch)
            }
        }
    }

    const HOUR: i64 = 3_600_000;

    #[test]
    fn what_ticks_jumped_over_is_kept_before_they_do() {
        let folder = tempfile::tempdir().unwrap();
        let set = Set::default();
        let clock = begun(&set, None, Jumps::read(folder.path()).unwrap(), OnMismatch::Refuse).unwrap();
        set.to(1_000, HOUR);
        assert_eq!(clock.now(), Tick::from_ms(BEGAN_MS + 1_000));
        assert!(clock.standing().check().unwrap_err().contains("is 1 h ahead of the time that ticks have"));
        set.to(61_000, HOUR);
        let (before, after) = (BEGAN_MS + 61_000, BEGAN_MS + 61_000 + 3_600_000);
        assert_eq!(clock.now(), Tick::from_ms(after));
        assert_eq!(clock.standing().check(), Ok(()));
        assert_eq!(Jumps::read(folder.path()).unwrap().all(), [(Tick::from_ms(before), 3_600_000)]);
        // Back by an hour: only by order, and slowly, which is no jump.
        set.to(62_000, 0);
        assert!(clock.standing().check().unwrap_err().contains("deltaic clock accept"));
        let accepted = clock.accept().unwrap();
        assert_eq!(accepted.jumped_ms, 0);
        assert_eq!(accepted.now.state, ClockState::Slow { left_us: 2 * HOUR * 1_000 });
        assert_eq!(clock.jumps().all().len(), 1);
    }

    #[test]
    fn ticks_do_not_follow_where_it_cannot_be_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let set = Set::default();
        let clock = begun(&set, None, Jumps::read(folder.path()).unwrap(), OnMismatch::Refuse).unwrap();
        std::fs::remove_dir(folder.path()).unwrap();
        set.to(1_000, HOUR);
        clock.now();
        set.to(90_000, HOUR);
        assert_eq!(clock.now(), Tick::from_ms(BEGAN_MS + 90_000));
        assert!(clock.accept().is_err());
        assert_eq!(clock.now(), Tick::from_ms(BEGAN_MS + 90_000));
    }

    #[test]
    fn a_start_goes_on_after_the_data() {
        let set = Set::default();
        let begin = |latest_ms, on_mismatch| begun(&set, Some(latest_ms), Jumps::default(), on_mismatch);
        assert_eq!(begin(BEGAN_MS + 4_000, OnMismatch::Refuse).unwrap().now(), Tick::from_ms(BEGAN_MS + 4_001));
        assert!(begin(BEGAN_MS + 6_000, OnMismatch::Refuse).is_err());
        let slow = begin(BEGAN_MS + 3_600_000, OnMismatch::Accept).unwrap();
        assert_eq!(slow.now(), Tick::from_ms(BEGAN_MS + 3_600_001));
        assert!(matches!(slow.standing().state, ClockState::Slow { .. }));
        let year = 365 * 86_400_000;
        assert!(begin(BEGAN_MS - year, OnMismatch::Refuse).is_err());
        let jumped = begin(BEGAN_MS - year, OnMismatch::Accept).unwrap();
        assert_eq!(jumped.now(), Tick::from_ms(BEGAN_MS));
        assert_eq!(jumped.jumps().all(), [(Tick::from_ms(BEGAN_MS - year), year)]);
    }
}
