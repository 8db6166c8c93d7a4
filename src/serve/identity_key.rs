//! With which key of `[identity]` a data folder was written: the file `KEY` has its fingerprint.
//!
//! Another key makes other hashes of all identifiers and messages. What is in the log can be read anew with it, but a message that was sent
//! before is not recognised, and counts twice. A variable of the environment that somebody forgot must not be enough for that.

use std::io;
use std::path::Path;

use super::RunError;
use crate::log::{StoreError, read_small, write_whole};
use crate::project::Project;

/// The file.
const FILE: &str = "KEY";

fn text(project: &Project) -> String {
    format!("{:016x}\n", project.identifier_key.fingerprint())
}

/// Refuses a folder that was written with another key, unless that is accepted. Changes nothing.
pub fn check(folder: &Path, project: &Project, is_accepted: bool) -> Result<(), RunError> {
    let found = read_small(&folder.join(FILE)).map_err(|source| broken(folder, source))?;
    // Folders of earlier versions do not say it.
    match found {
        Some(found) if found != text(project).as_bytes() && !is_accepted => {
            Err(RunError::OtherKey { folder: folder.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Writes down that the folder is written with the project's key from now on.
pub fn keep(folder: &Path, project: &Project) -> Result<(), RunError> {
    let file = folder.join(FILE);
    let found = read_small(&file).map_err(|source| broken(folder, source))?;
    if found.as_deref() == Some(text(project).as_bytes()) {
        return Ok(());
    }
    if found.is_some() {
        tracing::warn!(
            "the key of [identity] is another one: what was sent within `dedupe_window` counts again if it is sent again"
        );
    }
    write_whole(&file, text(project).as_bytes()).map_err(|source| broken(folder, source))
}

fn broken(folder: &Path, source: io::Error) -> RunError {
    StoreError::Io { folder: folder.to_owned(), source }.into()
}
