//! The journals of the storage, seen from outside: what opening it cuts off is not to go without a word.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The journals of the storage: usually one, and never many.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.join("store")).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut journals: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "jnl")).collect();
    journals.sort();
    journals
}

/// The journals, each with the end of what was written to it.
pub(super) fn written(folder: &Path) -> Vec<(PathBuf, u64)> {
    files(folder).into_iter().filter_map(|path| Some((path.clone(), end_of_writes(&path).ok()?))).collect()
}

/// Where what was written to a file ends: storage sets zeros aside for what it will write.
fn end_of_writes(file: &Path) -> io::Result<u64> {
    const BLOCK: u64 = 64 * 1024;
    let file = File::open(file)?;
    let mut end = file.metadata()?.len();
    let mut block = vec![0; BLOCK as usize];
    while end > 0 {
        let start = (end - 1) / BLOCK * BLOCK;
        let read = &mut block[..(end - start) as usize];
        file.read_exact_at(read, start)?;
        if let Some(last) = read.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Tells what opening a folder cut off: writes that a crash interrupted, which the storage drops without a word.
pub(super) fn tell_what_was_cut(written: &[(PathBuf, u64)]) {
    for (journal, end) in written {
        // A journal that is gone was moved to tables as a whole.
        let Ok(now) = fs::metadata(journal) else { continue };
        let cut_bytes = end.saturating_sub(now.len());
        if cut_bytes > 0 {
            let journal = journal.display();
            tracing::warn!(%journal, cut_bytes, "cut off a write that was not finished: nobody was told that it is safe");
        }
    }
}
