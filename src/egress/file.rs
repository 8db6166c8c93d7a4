//! Destinations of the kind `file`: JSON lines, one change each, appended.
//!
//! A batch is written at once and counts as acknowledged when the system has it. After a failure the whole batch is
//! written again, after what there is of it was taken away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use compact_str::CompactString;
use tokio::task;

use super::courier::Failure;
use super::outbox::Batch;

/// Appends to a file.
#[derive(Debug)]
pub struct Courier {
    target: Arc<Target>,
    audiences: Arc<[CompactString]>,
}

#[derive(Debug)]
struct Target {
    path: PathBuf,
    /// Open between batches; closed after a failure, so that the next attempt begins anew.
    file: Mutex<Option<File>>,
}

impl Courier {
    /// A courier to the file at `path`. It is not opened yet.
    pub fn new(path: PathBuf, audiences: Arc<[CompactString]>) -> Self {
        Courier { target: Arc::new(Target { path, file: Mutex::new(None) }), audiences }
    }

    /// The lines that tell of `batch`.
    pub fn body(&self, batch: &Batch) -> Bytes {
        let mut lines = Vec::new();
        for change in batch.iter() {
            serde_json::to_writer(&mut lines, &change.named(&self.audiences))
                .expect("names and values are JSON; writing to memory cannot fail");
            lines.push(b'\n');
        }
        lines.into()
    }

    /// Appends once. `Ok` means acknowledged.
    pub async fn attempt(&self, body: &Bytes) -> Result<(), Failure> {
        let (target, body) = (self.target.clone(), body.clone());
        let written = task::spawn_blocking(move || target.append(&body)).await;
        written
            .unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
            .map_err(|error| Failure::later(format!("the file cannot be written: {error}")))
    }
}

impl Target {
    fn append(&self, lines: &[u8]) -> io::Result<()> {
        let mut slot = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = match slot.take() {
            Some(file) => file,
            None => open(&self.path)?,
        };
        lock(&file);
        let before = file.metadata()?.len();
        if let Err(error) = file.write_all(lines) {
            // Half of a batch is taken away again. If that fails too, `open` finds the torn line.
            let _ = file.set_len(before);
            return Err(error);
        }
        let _ = file.unlock();
        *slot = Some(file);
        Ok(())
    }
}

/// Opens the file to append to it, with its folders made, and without a line that was torn when a process ended.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    lock(&file);
    let end = end_of_last_line(&mut file)?;
    file.set_len(end)?;
    let _ = file.unlock();
    Ok(file)
}

/// Keeps others who append to the same file from it until it is unlocked or closed: what looks torn may be what they are
/// writing. Others are a destination's events beside its changes, and destinations with the same path.
fn lock(file: &File) {
    // A file system without locks is one for a single writer.
    let _ = file.lock();
}

/// Where the last complete line ends.
fn end_of_last_line(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = [0; 8 * 1024];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let block = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_after_the_last_complete_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/out.jsonl");
        let target = || Target { path: path.clone(), file: Mutex::new(None) };

        target().append(b"{\"n\":1}\n").unwrap();
        let long = [&b"{\"n\":2}\n{\"torn\":\""[..], &[b'x'; 20_000]].concat();
        fs::write(&path, long).unwrap();
        let again = target();
        again.append(b"{\"n\":3}\n").unwrap();
        again.append(b"{\"n\":4}\n").unwrap();

        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"n\":2}\n{\"n\":3}\n{\"n\":4}\n");
    }

    #[test]
    fn a_file_of_one_torn_line_becomes_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        fs::write(&path, "{\"torn").unwrap();
        assert_eq!(open(&path).unwrap().metadata().unwrap().len(), 0);
    }
}
