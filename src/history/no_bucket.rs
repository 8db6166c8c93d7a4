//! In the place of `bucket.rs` where the program is built without the cargo feature `s3`.

use std::sync::Arc;

use super::{HistoryError, HistoryFiles};
use crate::features;
use crate::project::BucketSettings;

/// Refuses the history under `settings.url`: this program cannot read or write it.
pub fn open_bucket(settings: &BucketSettings) -> Result<Arc<dyn HistoryFiles>, HistoryError> {
    let reason = format!("{}; {}", features::S3_MISSING, features::S3_HELP);
    Err(HistoryError::Settings { place: settings.url.to_string(), reason })
}
