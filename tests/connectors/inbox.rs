//! Sources of the type `inbox`: files of events in a folder, one a line. A file that is taken in is renamed, which is what a committed offset is
//! to a log.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use deltaic::ingest::sources::{SourceBatch, SourceInput, SourceSettings};
use deltaic::project::SettingsSection;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxSettings {
    folder: PathBuf,
    every: Duration,
}

impl SourceSettings for InboxSettings {
    const TYPE: &'static str = "inbox";

    fn read(section: &mut SettingsSection<'_, '_>) -> Option<Self> {
        let folder = section.required_text("folder", "where the files are");
        let every = section.duration("every").map_or(Duration::from_secs(1), |(every, _)| every);
        Some(InboxSettings { folder: folder?.as_str().into(), every })
    }

    async fn run(&self, input: SourceInput) -> Result<(), String> {
        let folder = input.folder().join(&self.folder);
        loop {
            for file in waiting(&folder).map_err(|error| format!("the inbox cannot be read: {error}"))? {
                take(&file, &input).await?;
            }
            tokio::select! {
                () = input.stopped() => return Ok(()),
                () = tokio::time::sleep(self.every) => {}
            }
        }
    }
}

/// The files that were not taken in yet, in the order of their names.
fn waiting(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let files: Result<Vec<_>, _> = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = files?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    Ok(files)
}

async fn take(file: &Path, input: &SourceInput) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    let text = fs::read(file).map_err(failed)?;
    let records: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    // The place is the same if the file is read once more: then none of its events counts again.
    let place = file.file_name().unwrap_or_default().to_string_lossy();
    input.submit(SourceBatch { records: &records, place: &place, first: 0, is_historical: false }).await?;
    // All of it is in the log. A crash before this line is why it may be read once more.
    fs::rename(file, file.with_extension("done")).map_err(failed)?;
    input.counter("files").fetch_add(1, Relaxed);
    Ok(())
}
