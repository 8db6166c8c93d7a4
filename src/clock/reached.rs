//! The last tick where nothing happened: what a restart knows of a quiet time.
//!
//! Ticks without events are not in the log. So now and then, and at the end, the last tick is written down in the file `REACHED` of the
//! data folder, with a checksum:
//!
//! ```text
//! deltaic reached 1
//! TICK XXH3
//! ```
//!
//! Nothing follows from it but whether the clock and the data go together. So it is believed less than the data: without it, or where it
//! is damaged, the data alone count; and a clock that is behind it is not wrong for that. Else a clock that was ahead while nothing
//! happened would stand in the way of a start, and that did no harm.

use std::fs;
use std::io;
use std::path::Path;

use dataflows::model::Tick;
use xxhash_rust::xxh3::xxh3_64;

use crate::log::{read_small, write_whole};

/// The file of a data folder that has it.
const FILE: &str = "REACHED";

const HEAD: &str = "deltaic reached 1";

/// What a data folder has written down of its last tick; nothing where there is nothing that can be read.
pub fn read(folder: &Path) -> Option<Tick> {
    let file = folder.join(FILE);
    let found = match read_small(&file) {
        Ok(found) => found?,
        Err(error) => {
            tracing::warn!(%error, "{} cannot be read: only the data say how far ticks were", file.display());
            return None;
        }
    };
    let tick = parsed(&found);
    if tick.is_none() {
        tracing::warn!("{} is not as it was written: only the data say how far ticks were", file.display());
    }
    tick
}

/// Writes it down: ticks were that far.
pub fn write(folder: &Path, tick: Tick) -> io::Result<()> {
    write_whole(&folder.join(FILE), text(tick).as_bytes())
}

/// Writes down no more than this, where more is written down. Says what that was.
pub fn set_back(folder: &Path, to: Tick) -> io::Result<Option<Tick>> {
    let Some(tick) = read(folder).filter(|tick| *tick > to) else { return Ok(None) };
    write(folder, to)?;
    Ok(Some(tick))
}

/// Copies it to another data folder, if it is there and as it was written. Says whether.
pub fn copy(from: &Path, to: &Path) -> io::Result<bool> {
    let Some(tick) = read(from) else { return Ok(false) };
    write(to, tick)?;
    Ok(true)
}

/// Whether a data folder has the file, whatever is in it.
pub fn is_there(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join(FILE)).is_ok()
}

/// The last tick, where the data know of `last`, this was written down, and the clock shows `now`, which may be behind by `slack_ms`. Where
/// it is further behind, it was that far before: but not where it is behind by more than `pause_max_ms`, since then one of them was wrong.
pub fn believed(last: Tick, written: Option<Tick>, now: Tick, slack_ms: u64, pause_max_ms: u64) -> Tick {
    match written {
        Some(written) if written <= now.after_ms(slack_ms) => written.max(last),
        Some(written) if written <= now.after_ms(pause_max_ms) => now.max(last),
        Some(_) | None => last,
    }
}

fn text(tick: Tick) -> String {
    let text = format!("{HEAD}\n{tick}");
    let sum = xxh3_64(text.as_bytes());
    format!("{text} {sum:016x}\n")
}

fn parsed(bytes: &[u8]) -> Option<Tick> {
    let said = std::str::from_utf8(bytes).ok()?.strip_prefix(HEAD)?.strip_prefix('\n')?;
    let tick = Tick::from_ms(said.split_once(' ')?.0.parse().ok()?);
    (text(tick).as_bytes() == bytes).then_some(tick)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    #[test]
    fn what_was_written_is_read_and_what_is_damaged_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!((read(folder), is_there(folder)), (None, false));
        let tick = Tick::from_ms(1_800_000_000_000);
        write(folder, tick).unwrap();
        assert_eq!(read(folder), Some(tick));
        let whole = fs::read(folder.join(FILE)).unwrap();
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs::write(folder.join(FILE), damaged).unwrap();
            assert_eq!(read(folder), None, "byte {place}");
            fs::write(folder.join(FILE), &whole[..place]).unwrap();
            assert_eq!(read(folder), None, "{place} bytes");
        }
        assert!(is_there(folder));
        fs::write(folder.join(FILE), &whole).unwrap();
        assert_eq!(set_back(folder, tick).unwrap(), None);
        assert_eq!(set_back(folder, Tick::from_ms(7)).unwrap(), Some(tick));
        let other = tempfile::tempdir().unwrap();
        assert!(copy(folder, other.path()).unwrap());
        assert_eq!(read(other.path()), Some(Tick::from_ms(7)));
    }

    #[test]
    fn it_is_believed_unless_the_clock_says_otherwise() {
        let now = 1_000 * DAY;
        let check = |last: u64, written: Option<u64>, expected: u64| {
            let tick = believed(Tick::from_ms(last), written.map(Tick::from_ms), Tick::from_ms(now), 5_000, 30 * DAY);
            assert_eq!(tick, Tick::from_ms(expected), "{last} {written:?}");
        };
        let last = now - 40 * DAY;
        check(last, None, last);
        check(last, Some(now - DAY), now - DAY);
        check(last, Some(now + 5_000), now + 5_000);
        // Which of two clocks is wrong is not known, and both are possible.
        check(last, Some(now + 5_001), now);
        check(last, Some(now + 30 * DAY), now);
        check(last, Some(now + 30 * DAY + 1), last);
        check(last, Some(now + 365 * DAY), last);
        // The data know of more.
        check(now, Some(last), now);
        check(now + DAY, Some(now), now + DAY);
    }
}
