//! A copy of the storage, to be looked at: opening the original would change it.
//!
//! What the storage never changes, the files of tables, is not copied but linked to; it removes links, and not what they lead
//! to. So a copy costs what is in the journals.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::files::make_folder;

/// The folders whose files are written once.
const NEVER_CHANGED: [&str; 2] = ["tables", "blobs"];

/// Copies a folder and all that is in it.
pub(super) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    make_folder(to)?;
    let links = from.file_name().is_some_and(|name| NEVER_CHANGED.iter().any(|never| name == *never));
    for entry in fs::read_dir(from)? {
        let (from, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        let kind = fs::metadata(&from)?.file_type();
        if kind.is_dir() {
            copy_tree(&from, &to)?;
        } else if links {
            symlink(fs::canonicalize(&from)?, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
