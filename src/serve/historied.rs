//! The history of a data folder at a start: where the project says that it is, if it can be reached.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use super::{RunError, RunOptions};
use crate::history::{self, Archive, Folder, HistoryError, HistoryOwner, HistoryWriter};
use crate::log::checkpoint::CheckpointError;
use crate::project::{BucketSettings, BucketUrl, Project, Storage};

/// What a start knows of the history.
pub(super) struct Historied {
    /// It, where there is to be one.
    pub writer: Option<HistoryWriter>,
    /// Whose it is, where that has to be said.
    owner: Option<HistoryOwner>,
    /// Why it could not be looked at. It may be reached later, and is written then.
    missed: Cell<Option<HistoryError>>,
}

impl Historied {
    /// Looks at the history, and changes nothing. One that cannot be reached is none, for now; one that is refused ends the start.
    pub fn look(storage: &Storage, project: &Project, options: &RunOptions) -> Result<Self, HistoryError> {
        let Some(settings) = &project.history else {
            return Ok(Historied { writer: None, owner: None, missed: Cell::default() });
        };
        let key = Archive::key_of(&project.identifier_key);
        let inside = storage.folder.join(history::FOLDER);
        let Some(bucket) = &settings.bucket else {
            let mut writer = HistoryWriter::new(Arc::new(Folder::new(inside)), key, None, settings.keep);
            writer.look()?;
            return Ok(Historied { writer: Some(writer), owner: None, missed: Cell::default() });
        };
        let url = part(&bucket.url, options);
        let owner = HistoryOwner::of(&storage.folder)?;
        let files = history::open_bucket(&BucketSettings { url, ..bucket.clone() })?;
        let place = files.title();
        let mut writer = HistoryWriter::new(files, key, Some(owner.clone()), settings.keep);
        let missed = match writer.look() {
            Ok(archive) if archive.is_new() && has_one(&inside) => {
                return Err(HistoryError::LeftBehind { folder: inside, place });
            }
            Ok(_) => None,
            Err(error) if error.is_passing() => {
                tracing::error!(%error, "starting without the history: events are taken in, and the log keeps them until it is there");
                Some(error)
            }
            Err(error) => return Err(error),
        };
        Ok(Historied { writer: Some(writer), owner: Some(owner), missed: Cell::new(missed) })
    }

    /// The history, if there is one that was looked at.
    pub fn archive(&self) -> Option<&Archive> {
        self.writer.as_ref().and_then(HistoryWriter::archive)
    }

    /// Where a start lacks something and could not look at the history, that is why.
    pub fn blame(&self, error: CheckpointError) -> RunError {
        match self.missed.take() {
            Some(missed) if matches!(error, CheckpointError::Gone { .. }) => missed.into(),
            _ => error.into(),
        }
    }

    /// Says in the data folder whose history it writes to.
    pub fn keep_owner(&self, data: &Path) -> Result<(), HistoryError> {
        self.owner.as_ref().map_or(Ok(()), |owner| owner.keep(data))
    }
}

/// Each process of a cluster has its own part.
fn part(url: &BucketUrl, options: &RunOptions) -> BucketUrl {
    let topology = &options.topology;
    if topology.processes() > 1 { url.within(&format!("process-{}", topology.process)) } else { url.clone() }
}

/// Whether there is a history in a folder.
fn has_one(folder: &Path) -> bool {
    Archive::open_existing(Arc::new(Folder::new(folder.to_owned()))).is_ok()
}
