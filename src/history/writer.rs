//! The history that an engine writes to, also while it cannot be reached.

use std::sync::Arc;
use std::time::Duration;

use dataflows::model::Tick;

use super::{Archive, HistoryError, HistoryFigures, HistoryFiles, HistoryOwner};

/// What is needed to open a history, and the history once it is open.
#[derive(Debug)]
pub struct HistoryWriter {
    files: Arc<dyn HistoryFiles>,
    key: String,
    owner: Option<HistoryOwner>,
    keep: Option<Duration>,
    archive: Option<Archive>,
    figures: Arc<HistoryFigures>,
}

impl HistoryWriter {
    /// The history in `files`, whose identifier hashes have the key `key`. `owner` is whose it is, where it could be another's;
    /// `keep`, how long it is kept; for ever where it does not say.
    pub fn new(files: Arc<dyn HistoryFiles>, key: String, owner: Option<HistoryOwner>, keep: Option<Duration>) -> Self {
        HistoryWriter { files, key, owner, keep, archive: None, figures: Arc::default() }
    }

    /// How long it is kept.
    pub fn keep(&self) -> Option<Duration> {
        self.keep
    }

    /// Where it is.
    pub fn files(&self) -> Arc<dyn HistoryFiles> {
        self.files.clone()
    }

    /// How it is, also while it cannot be reached.
    pub fn figures(&self) -> Arc<HistoryFigures> {
        self.figures.clone()
    }

    /// The history, if it is open.
    pub fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref()
    }

    /// Looks at what is there, unless that was done. Nothing is changed.
    pub fn look(&mut self) -> Result<&mut Archive, HistoryError> {
        if self.archive.is_none() {
            let archive = Archive::open(self.files.clone(), self.key.clone())?;
            let archive = match self.owner.clone() {
                Some(owner) => archive.owned_by(owner)?,
                None => archive,
            };
            self.archive = Some(archive.told_in(self.figures.clone()));
        }
        // It was put there, or was there.
        self.archive.as_mut().ok_or_else(|| HistoryError::Missing { place: self.files.title() })
    }

    /// The history, to be written to behind a log that ends at `last`.
    pub fn open(&mut self, last: Tick) -> Result<&mut Archive, HistoryError> {
        let archive = self.look()?;
        archive.is_of_log(last)?;
        Ok(archive)
    }
}
