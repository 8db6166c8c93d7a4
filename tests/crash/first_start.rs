//! Kills the program while it starts for the first time, and then wants it to start.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::CrashChance;
use super::engine::CrashWorld;

/// Where the program is killed, in microseconds after it was started.
const KILLED_AFTER_US: std::ops::Range<u64> = 2_000..30_000;

/// What the kills found, by what there was of the data folder.
#[derive(Default)]
pub struct FirstStarts(BTreeMap<&'static str, u32>);

impl fmt::Display for FirstStarts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(|(what, times)| format!("{what} {times} times")).collect();
        f.write_str(&words.join(", "))
    }
}

/// Runs so many kills of first starts, one or more in a row for each folder. Panics where the program does not start after them;
/// the folder is kept then.
pub async fn run(binary: &Path, kills: u32, seed: u64) -> FirstStarts {
    let mut chance = CrashChance::of(seed);
    let mut found = FirstStarts::default();
    let mut left = kills;
    while left > 0 {
        let world = CrashWorld::new(binary, "http://127.0.0.1:9/");
        let in_a_row = 1 + chance.below(3).min(u64::from(left) - 1);
        for _ in 0..in_a_row {
            let after = KILLED_AFTER_US.start + chance.below(KILLED_AFTER_US.end - KILLED_AFTER_US.start);
            world.start_and_kill(Duration::from_micros(after)).await;
            *found.0.entry(state(&world.folder().join("data"))).or_default() += 1;
            left -= 1;
        }
        let engine = world.start();
        engine.ready().await;
        engine.kill();
    }
    found
}

fn state(data: &Path) -> &'static str {
    match ["FORMAT", "store.new", "store", "PROCESS"].map(|name| data.join(name).exists()) {
        [false, ..] => "nothing",
        [_, true, ..] => "a store that was being made",
        [_, _, false, _] => "a format and nothing else",
        [_, _, _, false] => "a store that nobody used",
        _ => "all of it",
    }
}
