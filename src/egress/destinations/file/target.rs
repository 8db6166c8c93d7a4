//! The file of a destination, which others may move, remove, truncate, lock or write to at any time.
//!
//! Nothing that somebody else wrote is ever taken away, nor what a process before this one wrote: a line without an end is ended.
//! So readers see each line whole, or what was torn on a line of its own.

use std::fs::{self, File, FileType, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rustix::fs::OFlags;

/// How often lines are written anew since the file was removed meanwhile. Once is bad luck.
const REMOVED_MAX: usize = 10;

/// Where lines are appended.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    /// Open between batches; closed after a failure, so that the next attempt begins anew.
    file: Mutex<Option<File>>,
    /// Bytes of the lines that were appended.
    bytes: AtomicU64,
    /// How often it was opened: more than once where it is rotated, or fails.
    opened: AtomicU64,
}

/// Why lines were not appended.
#[derive(Debug)]
pub(super) enum NotAppended {
    /// Somebody else holds a lock. The file is as it was.
    Locked,
    /// The file is as it was.
    Nothing(io::Error),
    /// The file may have some of the lines.
    InPart(io::Error),
}

impl Target {
    /// The file at `path`, which is not opened yet.
    pub fn new(path: PathBuf) -> Self {
        Target { path, file: Mutex::default(), bytes: AtomicU64::new(0), opened: AtomicU64::new(0) }
    }

    /// What is counted of it.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![("bytes", self.bytes.load(Ordering::Relaxed)), ("opened", self.opened.load(Ordering::Relaxed))]
    }

    /// Appends whole lines.
    pub fn append(&self, lines: &[u8]) -> Result<(), NotAppended> {
        let mut slot = self.file.lock();
        for _ in 0..REMOVED_MAX {
            let mut file = match slot.take().filter(|file| is_at(file, &self.path)) {
                Some(file) => file,
                None => {
                    let file = open(&self.path).map_err(NotAppended::Nothing)?;
                    self.opened.fetch_add(1, Ordering::Relaxed);
                    file
                }
            };
            // Others who append are a destination's events beside its changes, and destinations with the same path. Any other
            // error: a file system without locks is one for a single writer.
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                *slot = Some(file);
                return Err(NotAppended::Locked);
            }
            let written = write(&mut file, lines);
            let _ = file.unlock();
            written?;
            // In one that was moved meanwhile they are where those before them are. One that was removed nobody can read.
            if !file.metadata().is_ok_and(|metadata| metadata.nlink() == 0) {
                *slot = Some(file);
                self.bytes.fetch_add(lines.len() as u64, Ordering::Relaxed);
                return Ok(());
            }
        }
        Err(NotAppended::Nothing(io::Error::other("it is removed again and again")))
    }
}

/// Why nothing can be appended to what this is of.
pub(super) fn not_appendable(metadata: &Metadata) -> Option<&'static str> {
    let is = |kind: fn(&FileType) -> bool| kind(&metadata.file_type());
    if metadata.is_file() {
        None
    } else if metadata.is_dir() {
        Some("it is a folder: name a file in it")
    } else if is(FileTypeExt::is_fifo) {
        Some(
            "it is a FIFO, which loses what is in it with its reader: name a file, and let the reader follow it (`tail -F`)",
        )
    } else if is(FileTypeExt::is_char_device) || is(FileTypeExt::is_block_device) {
        Some("it is a device, which keeps no lines: name a file")
    } else {
        Some("it is a socket: name a file")
    }
}

/// Whether the open file is the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// Opens the file to append to it, with its folders made.
fn open(path: &Path) -> io::Result<File> {
    let refused = |metadata: io::Result<Metadata>| match metadata {
        Ok(metadata) => not_appendable(&metadata).map_or(Ok(()), |why| Err(io::Error::other(why))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Before it is opened, which does something to some devices; and after it, when it is sure what it is.
    refused(fs::metadata(path))?;
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    // Nobody need be at the other end of what is a FIFO now.
    let file = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    refused(file.metadata())?;
    Ok(file)
}

/// Writes lines to the end. Where that fails, what was written of them is taken away again, if that is still the end.
fn write(file: &mut File, lines: &[u8]) -> Result<(), NotAppended> {
    let begin = |file: &File| Ok((length(file)?, ends_within_line(file)?));
    let (before, is_torn) = begin(file).map_err(NotAppended::Nothing)?;
    let mut written = 0;
    let Err(error) =
        put(file, if is_torn { b"\n" } else { b"" }, &mut written).and_then(|()| put(file, lines, &mut written))
    else {
        return Ok(());
    };
    let is_end = length(file).is_ok_and(|length| length == before + written);
    match written == 0 || (is_end && file.set_len(before).is_ok()) {
        true => Err(NotAppended::Nothing(error)),
        false => Err(NotAppended::InPart(error)),
    }
}

/// Writes all of `bytes`, and counts what is written.
fn put(file: &mut File, mut bytes: &[u8], written: &mut u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                *written += count as u64;
                bytes = &bytes[count..];
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn length(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

/// Whether the last line has no end.
fn ends_within_line(file: &File) -> io::Result<bool> {
    let Some(last) = length(file)?.checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    // Somebody may have truncated it: then there is no line.
    Ok(file.read_at(&mut byte, last)? == 1 && byte != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn what_others_wrote_stays_and_a_torn_line_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/out.jsonl");
        Target::new(path.clone()).append(b"{\"n\":1}\n").unwrap();
        fs::write(&path, "not ours\n{\"torn\":\"").unwrap();
        let again = Target::new(path.clone());
        again.append(b"{\"n\":2}\n").unwrap();
        again.append(b"{\"n\":3}\n").unwrap();
        assert_eq!(read(&path), "not ours\n{\"torn\":\"\n{\"n\":2}\n{\"n\":3}\n");
    }

    #[test]
    fn a_file_that_is_moved_removed_or_truncated_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let target = Target::new(at("out"));
        target.append(b"1\n").unwrap();
        fs::rename(at("out"), at("out.1")).unwrap();
        target.append(b"2\n").unwrap();
        assert_eq!((read(&at("out.1")), read(&at("out"))), ("1\n".to_owned(), "2\n".to_owned()));
        fs::rename(at("out"), at("out.2")).unwrap();
        fs::write(at("out"), "").unwrap();
        target.append(b"3\n").unwrap();
        assert_eq!(read(&at("out")), "3\n");
        fs::remove_file(at("out")).unwrap();
        target.append(b"4\n").unwrap();
        assert_eq!(read(&at("out")), "4\n");
        File::options().write(true).open(at("out")).unwrap().set_len(0).unwrap();
        target.append(b"5\n").unwrap();
        assert_eq!(read(&at("out")), "5\n");
        assert_eq!(target.counters(), [("bytes", 10), ("opened", 4)]);
    }

    #[test]
    fn who_holds_a_lock_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let target = Target::new(path.clone());
        target.append(b"1\n").unwrap();
        let held = File::open(&path).unwrap();
        held.lock().unwrap();
        assert!(matches!(target.append(b"2\n"), Err(NotAppended::Locked)));
        held.unlock().unwrap();
        target.append(b"3\n").unwrap();
        assert_eq!(read(&path), "1\n3\n");
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), Path::new("/dev/null"), Path::new("/dev/full")] {
            let error = match Target::new(path.to_owned()).append(b"1\n") {
                Err(NotAppended::Nothing(error)) => error.to_string(),
                other => panic!("{other:?}"),
            };
            assert!(error.contains("is a folder") || error.contains("is a device"), "{error}");
        }
    }

    #[test]
    fn of_lines_that_do_not_fit_nothing_stays_but_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, "torn").unwrap();
        // Opened to be read only: every write to it fails.
        let mut file = File::open(&path).unwrap();
        assert!(matches!(write(&mut file, b"1\n"), Err(NotAppended::Nothing(_))));
        assert_eq!(read(&path), "torn");
    }
}
