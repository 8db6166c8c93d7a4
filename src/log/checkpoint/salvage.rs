//! The checkpoints that a damaged data folder still has, for a new one.

use std::fs;
use std::path::Path;

use dataflows::model::Tick;

use super::kept::{self, ListedCheckpoint};
use super::{CheckpointError, CheckpointList, CheckpointPiece};
use crate::log::files::make_folder;

/// What was found.
#[derive(Debug, Default)]
pub struct Salvaged {
    /// As of when the checkpoints are that were taken over, oldest first.
    pub ticks: Vec<Tick>,
    /// What was not, and why.
    pub lost: Vec<String>,
}

/// Takes the checkpoints of `data` that can be read to their end over to `into`: those that are listed, or all files where the
/// list is lost; but none of a tick after `until`.
pub fn salvage(data: &Path, into: &Path, until: Tick) -> Result<Salvaged, CheckpointError> {
    let mut salvaged = Salvaged::default();
    let mut names = match CheckpointList::listed(data) {
        Ok(Some(entries)) => entries.into_iter().map(|entry| entry.name).collect(),
        Ok(None) => every(data),
        Err(error) => {
            salvaged.lost.push(format!("the list of checkpoints: {error}"));
            every(data)
        }
    };
    names.sort();
    let mut entries = Vec::new();
    for name in names {
        match read(&data.join(kept::FOLDER).join(&name), &name) {
            Ok(entry) if entry.tick > until => {}
            Ok(entry) => entries.push(entry),
            Err(reason) => salvaged.lost.push(format!("checkpoints/{name}: {reason}")),
        }
    }
    entries.sort_by_key(|entry| entry.tick);
    let first = entries.len().saturating_sub(kept::KEPT_MAX);
    let entries = entries.split_off(first);
    let folder = into.join(kept::FOLDER);
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| CheckpointError::Io { path, source }
    };
    make_folder(&folder).map_err(io(&folder))?;
    for entry in &entries {
        let copy = folder.join(&entry.name);
        fs::copy(data.join(kept::FOLDER).join(&entry.name), &copy).map_err(io(&copy))?;
        fs::File::open(&copy).and_then(|file| file.sync_all()).map_err(io(&copy))?;
    }
    salvaged.ticks = entries.iter().map(|entry| entry.tick).collect();
    CheckpointList::write_list(into, entries)?;
    Ok(salvaged)
}

/// The names of all files that may be checkpoints.
fn every(data: &Path) -> Vec<String> {
    let files = fs::read_dir(data.join(kept::FOLDER)).into_iter().flatten().flatten();
    files.filter_map(|file| file.file_name().into_string().ok()).collect()
}

/// Reads a checkpoint to its end. Gives the line that lists it.
fn read(path: &Path, name: &str) -> Result<ListedCheckpoint, String> {
    let (head, reader) = super::file::open(path).map_err(|error| error.to_string())?;
    let mut identifiers = 0;
    for piece in reader {
        match piece.map_err(|error| error.to_string())? {
            CheckpointPiece::Facts(facts) => identifiers += facts.len() as u64,
            CheckpointPiece::Messages(_) => {}
        }
    }
    let bytes = fs::metadata(path).map_err(|error| error.to_string())?.len();
    Ok(ListedCheckpoint { tick: head.tick, bytes, identifiers, name: name.to_owned() })
}
