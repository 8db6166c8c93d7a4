//! Large files beside a log that is synced all the time: room is set aside and given back in steps. Where a file grows with each
//! write, or goes as a whole, the file system writes about that in its own journal, and a sync of the log waits for it: up to
//! 12 and 19 ms were measured on ext4.

use std::fs::{self, File};
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

/// Bytes that are set aside at a time: as many as there are, within these bounds.
const ROOM_BYTES: RangeInclusive<u64> = 1024 * 1024..=64 * 1024 * 1024;

/// Bytes that are given back at a time.
const FREED_BYTES: u64 = 8 * 1024 * 1024;

/// Sets room aside behind `end`, where a file ends; gives where the room ends.
pub fn set_aside(file: &File, end: u64) -> u64 {
    let bytes = end.clamp(*ROOM_BYTES.start(), *ROOM_BYTES.end());
    // Without it all works as well, only less evenly: not every file system can.
    _ = fallocate(file, FallocateFlags::empty(), end, bytes).and_then(|()| rustix::fs::fsync(file));
    end + bytes
}

/// Removes a file.
pub fn remove(path: &Path) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let mut bytes = file.metadata()?.len();
    while bytes > FREED_BYTES {
        bytes -= FREED_BYTES;
        file.set_len(bytes)?;
        file.sync_data()?;
    }
    fs::remove_file(path)
}
