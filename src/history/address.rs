//! How a history is named by who wants to read it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Archive, FOLDER, Folder, HistoryError, HistoryFiles, HistoryOwner, open_bucket};
use crate::project::{BucketSettings, BucketUrl, HistorySettings};

/// Where a history is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryAddress {
    /// In a folder: a data folder with the history inside, or the history itself.
    Folder(PathBuf),
    /// In S3-compatible storage.
    Bucket(BucketSettings),
}

impl HistoryAddress {
    /// `s3://bucket/prefix`, or else a folder. A bucket is opened with what a project says of its own one, if it says anything;
    /// else with what the environment says.
    pub fn of(text: &Path, settings: Option<&HistorySettings>) -> Result<Self, HistoryError> {
        let Some(url) = text.to_str().filter(|text| text.starts_with(BucketUrl::SCHEME)) else {
            return Ok(HistoryAddress::Folder(text.to_owned()));
        };
        let url: BucketUrl = url.parse().map_err(|reason: &str| HistoryError::Settings {
            place: text.display().to_string(),
            reason: reason.to_owned(),
        })?;
        let of_project = settings.and_then(|settings| settings.bucket.clone());
        let none = || BucketSettings { url: url.clone(), endpoint: None, region: None, keys: None };
        Ok(HistoryAddress::Bucket(BucketSettings { url: url.clone(), ..of_project.unwrap_or_else(none) }))
    }

    /// The history there, to be read; nothing in a folder where an engine has not begun one yet: a data folder, or an empty folder.
    pub fn open(&self) -> Result<Option<Archive>, HistoryError> {
        let archive = Archive::open(self.files()?, String::new())?;
        if !archive.is_new() {
            return Ok(Some(archive));
        }
        match self {
            HistoryAddress::Folder(folder) if may_get_one(folder) => Ok(None),
            _ => Err(HistoryError::Missing { place: archive.title() }),
        }
    }

    /// Its files.
    pub fn files(&self) -> Result<Arc<dyn HistoryFiles>, HistoryError> {
        Ok(match self {
            HistoryAddress::Folder(folder) => {
                // A data folder has its history inside.
                let inside = folder.join(FOLDER);
                Arc::new(Folder::new(if inside.is_dir() { inside } else { folder.clone() }))
            }
            HistoryAddress::Bucket(settings) => open_bucket(settings)?,
        })
    }
}

/// Whether an engine would begin a history there: it is a data folder whose history is not elsewhere, or there is nothing in it.
fn may_get_one(folder: &Path) -> bool {
    let is_data = folder.join("FORMAT").exists() && !folder.join(HistoryOwner::FILE).exists();
    is_data || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}
