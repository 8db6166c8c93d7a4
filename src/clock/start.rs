//! Whether the clock and the data go together when an engine starts.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dataflows::model::Tick;
use thiserror::Error;

use super::words::{moment, span};
use super::{Jumps, reached};
use crate::project::Clock;

/// The latest tick that a data folder knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestTick {
    /// The folder.
    pub folder: PathBuf,
    /// The tick.
    pub tick: Tick,
}

impl LatestTick {
    /// That of a folder whose data are of `last` and before, by a clock that shows `now`; none where it has nothing. Ticks may have been
    /// further, though nothing came at them: then that was written down, or the clock had been accepted.
    pub fn of(folder: &Path, last: Tick, jumps: &Jumps, now: Tick, clock: &Clock) -> Option<Self> {
        let (step_max_ms, pause_max_ms) = (ms(clock.step_max), ms(clock.pause_max));
        // Where there are no data, no clock does them harm.
        let written = if last > Tick::default() { reached::read(folder) } else { None };
        let last = reached::believed(last, written, now, step_max_ms, pause_max_ms);
        let tick = jumps.reached(last, now, step_max_ms);
        (tick > Tick::default()).then(|| LatestTick { folder: folder.to_owned(), tick })
    }
}

/// Why ticks cannot go on with the clock as it is.
#[derive(Debug, Error)]
pub enum ClockError {
    /// It is behind the data.
    #[error(
        "{}: ticks cannot go back; set the clock right; or \
         wait until it is there; or, if the clock is right now, start with --accept-clock: ticks then go at half speed until it has \
         caught up, {} long; or, if what came at those ticks is not to count, set it aside first: deltaic log rewind {} --to TIME",
        behind(*.now, .latest), span((.latest.tick.as_ms() - now.as_ms()).saturating_mul(2)), .latest.folder.display()
    )]
    Behind {
        /// What it shows.
        now: Tick,
        /// What the data have.
        latest: LatestTick,
    },
    /// It is far ahead of the data.
    #[error(
        "{}, and more than `clock.pause_max`, {}: were it \
         wrong, everybody would leave all windows, and ticks could not go back; set the clock right; or, if it is right, start with \
         --accept-clock",
        ahead(*.now, .latest), span(*.pause_max_ms)
    )]
    Ahead {
        /// What it shows.
        now: Tick,
        /// What the data have.
        latest: LatestTick,
        /// How far it may be ahead.
        pause_max_ms: u64,
    },
    /// What ticks jump over cannot be kept.
    #[error("how far ticks are set forward cannot be written down: {0}")]
    Jumps(#[from] io::Error),
}

impl ClockError {
    /// What speaks against going on at `now` after `latest`, if anything does.
    pub fn of(now: Tick, latest: LatestTick, clock: &Clock) -> Result<(), ClockError> {
        let (step_max_ms, pause_max_ms) = (ms(clock.step_max), ms(clock.pause_max));
        if latest.tick > now.after_ms(step_max_ms) {
            return Err(ClockError::Behind { now, latest });
        }
        if now > latest.tick.after_ms(pause_max_ms) {
            return Err(ClockError::Ahead { now, latest, pause_max_ms });
        }
        Ok(())
    }

    /// What is so, and what follows from it, where the clock is accepted all the same.
    pub fn accepted(&self) -> String {
        match self {
            ClockError::Behind { now, latest } => {
                let long = span((latest.tick.as_ms() - now.as_ms()).saturating_mul(2));
                format!(
                    "{}: ticks go on after it, at half speed until the clock has caught up, {long} long",
                    behind(*now, latest)
                )
            }
            ClockError::Ahead { now, latest, .. } => {
                format!("{}: ticks go on at what it shows, and windows that are over by then end", ahead(*now, latest))
            }
            ClockError::Jumps(_) => self.to_string(),
        }
    }
}

fn behind(now: Tick, latest: &LatestTick) -> String {
    let by = span(latest.tick.as_ms() - now.as_ms());
    format!("the clock of this machine shows {}, which is {by} before the last tick of {latest}", moment(now))
}

fn ahead(now: Tick, latest: &LatestTick) -> String {
    let by = span(now.as_ms() - latest.tick.as_ms());
    format!("the clock of this machine shows {}, which is {by} after the last tick of {latest}", moment(now))
}

impl fmt::Display for LatestTick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.folder.display(), moment(self.tick))
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_refused_where_the_clock_is_wrong() {
        let clock = Clock::default();
        let last = Tick::from_ms(1_800_000_000_000);
        let check = |now: u64, expected: &str| {
            let latest = LatestTick { folder: "data".into(), tick: last };
            let said = ClockError::of(Tick::from_ms(now), latest, &clock).err().map(|error| error.to_string());
            match said {
                None => assert_eq!(expected, ""),
                Some(said) => assert!(!expected.is_empty() && said.contains(expected), "{said}"),
            }
        };
        let last = last.as_ms();
        let day = 86_400_000;
        check(last, "");
        check(last - 5_000, "");
        check(last - 5_001, "5.001 s before the last tick of data, 2027-01-15T08:00:00.000Z: ticks cannot go back");
        check(last - 3_600_000, "until it has caught up, 2 h long");
        check(0, "shows 1970-01-01T00:00:00.000Z");
        check(last + 30 * day, "");
        check(last + 30 * day + 1, "30 d after the last tick of data");
        check(
            last + 365 * day,
            "365 d after the last tick of data, 2027-01-15T08:00:00.000Z, and more than `clock.pause_max`, 30 d",
        );
        check(u64::MAX, "after the last tick");
    }
}
