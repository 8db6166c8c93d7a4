//! By how much ticks were set forward: time that did not pass.
//!
//! A message is recognised for a time after it counted (`clock.dedupe_window`), and ticks say how long ago that was. Where they jumped
//! in between, less time has passed than they say. So the jumps are remembered with the data, in the file `CLOCK`:
//!
//! ```text
//! deltaic clock 1
//! TICK MS          ticks jumped at TICK, by MS milliseconds
//! ```

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::model::Tick;
use parking_lot::RwLock;

use crate::limits::CLOCK_JUMPS_MAX;
use crate::log::{read_small, write_whole};

const HEAD: &str = "deltaic clock 1";

/// Jumps of ticks. Cheap to clone; clones are the same jumps.
#[derive(Clone, Debug, Default)]
pub struct Jumps(Arc<JumpsInner>);

#[derive(Debug, Default)]
struct JumpsInner {
    /// Where they are kept, if they are.
    file: Option<PathBuf>,
    /// In the order of their ticks: the one before each, and by how many milliseconds.
    jumps: RwLock<Vec<(Tick, u64)>>,
}

impl Jumps {
    /// The name of the file.
    pub const FILE: &str = "CLOCK";

    /// Those of a data folder, which is only read.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let file = folder.join(Jumps::FILE);
        let jumps = match read_small(&file)? {
            Some(bytes) => parsed(&bytes).ok_or_else(|| {
                let reason = "it is not as it was written; without it, messages that were sent before the clock was last set \
                              may count again: delete it to go on";
                io::Error::new(io::ErrorKind::InvalidData, reason)
            })?,
            None => Vec::new(),
        };
        Ok(Jumps(Arc::new(JumpsInner { file: Some(file), jumps: RwLock::new(jumps) })))
    }

    /// Ticks are about to jump at `at`, by so many milliseconds. Where this fails, they must not.
    pub fn add(&self, at: Tick, by_ms: u64) -> io::Result<()> {
        let mut jumps = self.0.jumps.write();
        let mut all = jumps.clone();
        all.push((at, by_ms));
        all.drain(..all.len().saturating_sub(CLOCK_JUMPS_MAX));
        if let Some(file) = &self.0.file {
            write_whole(file, text(&all).as_bytes())?;
        }
        *jumps = all;
        Ok(())
    }

    /// The latest tick that there was, where the data know of `last` and the clock shows `now`: a jump was the end of it, if the clock
    /// is behind that jump by no more than `slack_ms`. Else the jump never came true.
    pub fn reached(&self, last: Tick, now: Tick, slack_ms: u64) -> Tick {
        let jumps = self.0.jumps.read();
        let came_true = |(at, by_ms): &&(Tick, u64)| *at >= last && at.after_ms(*by_ms) <= now.after_ms(slack_ms);
        let ends = jumps.iter().filter(came_true).map(|(at, by_ms)| at.after_ms(*by_ms));
        ends.max().unwrap_or_default().max(last)
    }

    /// Takes over those of process 0, whose ticks are those of all.
    pub fn adopt(&self, all: Vec<(Tick, u64)>) -> io::Result<()> {
        let mut jumps = self.0.jumps.write();
        if *jumps != all {
            if let Some(file) = &self.0.file {
                write_whole(file, text(&all).as_bytes())?;
            }
            *jumps = all;
        }
        Ok(())
    }

    /// Forgets those that had not come to their end at a tick.
    pub fn forget_after(&self, tick: Tick) -> io::Result<()> {
        let mut jumps = self.0.jumps.write();
        let stays = jumps.partition_point(|(at, by_ms)| at.after_ms(*by_ms) <= tick);
        if stays < jumps.len() {
            if let Some(file) = &self.0.file {
                write_whole(file, text(&jumps[..stays]).as_bytes())?;
            }
            jumps.truncate(stays);
        }
        Ok(())
    }

    /// How many of the milliseconds between two ticks did not pass.
    pub fn between_ms(&self, from: Tick, to: Tick) -> u64 {
        let jumps = self.0.jumps.read();
        let skipped = |(at, by_ms): &(Tick, u64)| {
            let (first, last) = (from.max(*at), to.min(at.after_ms(*by_ms)));
            last.as_ms().saturating_sub(first.as_ms())
        };
        jumps.iter().rev().take_while(|(at, by_ms)| at.after_ms(*by_ms) > from).map(skipped).sum()
    }

    /// The first tick since which, at `now`, no more than `passed_ms` have passed.
    pub fn since(&self, now: Tick, passed_ms: u64) -> Tick {
        let jumps = self.0.jumps.read();
        let (mut from, mut left_ms) = (now, passed_ms);
        for (at, by_ms) in jumps.iter().rev().filter(|(at, _)| *at < now) {
            let passed_ms = from.as_ms().saturating_sub(at.after_ms(*by_ms).as_ms());
            if left_ms < passed_ms {
                break;
            }
            left_ms -= passed_ms;
            from = from.min(*at);
        }
        Tick::from_ms(from.as_ms().saturating_sub(left_ms))
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> Vec<(Tick, u64)> {
        self.0.jumps.read().clone()
    }
}

fn text(jumps: &[(Tick, u64)]) -> String {
    jumps.iter().fold(format!("{HEAD}\n"), |mut text, (at, by_ms)| {
        writeln!(text, "{at} {by_ms}").expect("writing to memory cannot fail");
        text
    })
}

fn parsed(bytes: &[u8]) -> Option<Vec<(Tick, u64)>> {
    let mut lines = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?.split('\n');
    lines.next().filter(|head| *head == HEAD)?;
    let jump = |line: &str| {
        let (at, by_ms) = line.split_once(' ')?;
        Some((Tick::from_ms(at.parse().ok()?), by_ms.parse().ok()?))
    };
    let jumps = lines.map(jump).collect::<Option<Vec<_>>>()?;
    jumps.is_sorted_by_key(|(at, _)| *at).then_some(jumps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Tick {
        Tick::from_ms(ms)
    }

    #[test]
    fn what_did_not_pass_is_what_was_jumped_over() {
        let jumps = Jumps::default();
        jumps.add(ms(100), 50).unwrap();
        jumps.add(ms(200), 10).unwrap();
        let between = |from, to| jumps.between_ms(ms(from), ms(to));
        assert_eq!(between(0, 100), 0);
        assert_eq!(between(0, 150), 50);
        assert_eq!(between(0, 1_000), 60);
        assert_eq!(between(100, 1_000), 60);
        assert_eq!(between(150, 1_000), 10);
        assert_eq!(between(210, 1_000), 0);
        // Nothing is ever in between; if it were, it would be counted in part.
        assert_eq!(between(120, 130), 10);
    }

    #[test]
    fn ticks_since_are_those_between_which_no_more_has_passed() {
        let jumps = Jumps::default();
        for (at, by) in [(100, 50), (200, 10), (210, 5)] {
            jumps.add(ms(at), by).unwrap();
        }
        for now in (0..100).chain(150..200).chain(215..400) {
            for passed in 0..400 {
                let within = |from: &u64| now - from - jumps.between_ms(ms(*from), ms(now)) <= passed;
                let expected = (0..=now).find(within).unwrap();
                assert_eq!(jumps.since(ms(now), passed), ms(expected), "{passed} before {now}");
            }
        }
    }

    #[test]
    fn a_jump_that_never_came_true_is_forgotten() {
        let jumps = Jumps::default();
        jumps.add(ms(100), 50).unwrap();
        jumps.add(ms(200), 1_000).unwrap();
        // No event came after it: it came true if the clock is still there.
        assert_eq!(jumps.reached(ms(190), ms(1_300), 5), ms(1_200));
        assert_eq!(jumps.reached(ms(190), ms(1_195), 5), ms(1_200));
        assert_eq!(jumps.reached(ms(190), ms(250), 5), ms(190));
        jumps.forget_after(ms(190)).unwrap();
        assert_eq!(jumps.all(), [(ms(100), 50)]);
        // One that ticks went on within.
        jumps.forget_after(ms(149)).unwrap();
        assert_eq!(jumps.all(), []);
    }

    #[test]
    fn they_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let jumps = Jumps::read(folder.path()).unwrap();
        assert_eq!(jumps.all(), []);
        assert!(!folder.path().join(Jumps::FILE).exists(), "to read changes nothing");
        jumps.add(ms(5), 7).unwrap();
        jumps.add(ms(20), 1).unwrap();
        assert_eq!(Jumps::read(folder.path()).unwrap().all(), [(ms(5), 7), (ms(20), 1)]);
        for damaged in
            ["", "deltaic clock 1", "deltaic clock 2\n", "deltaic clock 1\n5\n", "deltaic clock 1\n5 7\n4 7\n"]
        {
            std::fs::write(folder.path().join(Jumps::FILE), damaged).unwrap();
            assert!(Jumps::read(folder.path()).is_err(), "{damaged:?}");
        }
    }

    #[test]
    fn there_is_a_limit_on_their_number() {
        let jumps = Jumps::default();
        (0..2_000).for_each(|at| jumps.add(ms(at * 10), 1).unwrap());
        assert_eq!(jumps.all().len(), CLOCK_JUMPS_MAX);
        assert_eq!(jumps.all().last(), Some(&(ms(19_990), 1)));
    }
}
