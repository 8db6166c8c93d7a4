//! The files of destinations: what is there already must be something that lines can be appended to.

use std::fs::{FileType, Metadata};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::problem::ProjectProblem;
use super::written::{WrittenDestination, WrittenKind};

/// Why nothing can be appended to what this is of.
pub fn not_appendable(metadata: &Metadata) -> Option<&'static str> {
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

/// Reports the files of destinations that are none.
pub(super) fn check(destinations: &[WrittenDestination], folder: &Path, problems: &mut Vec<ProjectProblem>) {
    for destination in destinations {
        let WrittenKind::File { path: Some(path) } = &destination.kind else { continue };
        if path.is_broken || path.value.trim().is_empty() {
            continue;
        }
        // What cannot be looked at may be there by the time it is written to; then is said what is wrong with it.
        let there = std::fs::metadata(folder.join(&path.value));
        if let Some(why) = there.ok().as_ref().and_then(not_appendable) {
            problems
                .push(ProjectProblem::at(path.place, format!("nothing can be appended to `{}`", path.value)).help(why));
        }
    }
}
