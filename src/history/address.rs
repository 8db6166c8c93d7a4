//! How a history is named by who wants to read it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Archive, Bucket, Folder, HistoryError, HistoryFiles};
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

    /// The history there, to be read.
    pub fn open(&self) -> Result<Archive, HistoryError> {
        Archive::open_existing(self.files()?)
    }

    /// Its files.
    pub fn files(&self) -> Result<Arc<dyn HistoryFiles>, HistoryError> {
        Ok(match self {
            HistoryAddress::Folder(folder) => {
                // A data folder has its history inside.
                let inside = folder.join("history");
                Arc::new(Folder::new(if inside.is_dir() { inside } else { folder.clone() }))
            }
            HistoryAddress::Bucket(settings) => Arc::new(Bucket::new(settings)?),
        })
    }
}
