//! A loss of power, of which a kill is only a part: what the log wrote and did not sync may not be there.

use std::path::Path;

use super::CrashChance;

/// Where frames begin in a segment, the bytes of their heads, and what they begin with: see `src/log/segments/frame.rs`.
const FRAMES_AT: usize = 4096;
const FRAME_HEAD: usize = 48;
const FRAME_MARK: &[u8] = b"DlR";

/// What a disk writes at once, or not at all.
const SECTOR: usize = 512;

/// Takes away, sector by sector and by chance, what the log of a data folder has behind the tick that it notes as safe. The program
/// does not run. Says whether there was something to take.
pub fn lose(data: &Path, chance: &mut CrashChance) -> bool {
    let Ok(files) = std::fs::read_dir(data.join("log")) else { return false };
    let tail = std::fs::read_to_string(data.join("TAIL")).unwrap_or_default();
    let safe: u64 = tail.trim().parse().unwrap_or(0);
    let files = files.map(|file| file.unwrap().path());
    let mut segments: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "seg")).collect();
    segments.sort();
    let mut has_lost = false;
    for segment in segments {
        let mut bytes = std::fs::read(&segment).unwrap();
        let from = end_of_safe(&bytes, safe);
        let Some(end) = bytes.iter().rposition(|byte| *byte != 0).filter(|end| *end >= from) else { continue };
        for sector in from / SECTOR..=end / SECTOR {
            if chance.one_in(2) {
                bytes[(sector * SECTOR).max(from)..((sector + 1) * SECTOR).min(end + 1)].fill(0);
            }
        }
        std::fs::write(segment, bytes).unwrap();
        has_lost = true;
    }
    has_lost
}

/// Where the frames of ticks up to `safe` end in a segment.
fn end_of_safe(segment: &[u8], safe: u64) -> usize {
    let mut at = FRAMES_AT;
    while let Some(head) = segment.get(at..at + FRAME_HEAD).filter(|head| head.starts_with(FRAME_MARK)) {
        let number =
            |range: std::ops::Range<usize>| head[range].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        if number(16..24) > safe {
            break;
        }
        at = (at + FRAME_HEAD + number(4..8) as usize).next_multiple_of(8);
    }
    at
}
