//! What is beside the log and its checkpoints: the catalogue, the ids of messages, the history.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dataflows::model::Tick;

use super::InspectError;
use crate::catalogue::Catalogue;
use crate::dedupe::{ExpectedRuns, MessageWindow, ToldBy};
use crate::history::{self, Archive, Folder, HistoryAddress, HistoryFiles, HistoryFound, HistoryOwner};
use crate::log::checkpoint::{CheckpointList, PastSources, begins};
use crate::log::{DataFolder, ProcessNumber, Store};

/// Where the history of a data folder is: inside, unless it is said to be elsewhere.
fn files_of(data: &Path, history: Option<&HistoryAddress>) -> Result<Arc<dyn HistoryFiles>, InspectError> {
    Ok(match history {
        Some(address) => address.files()?,
        None => Arc::new(Folder::new(data.join(history::FOLDER))),
    })
}

/// How much there is in the history.
pub(super) fn stat(data: &Path, history: Option<&HistoryAddress>) -> Result<Option<HistoryFound>, InspectError> {
    Ok(HistoryFound::stat(files_of(data, history)?)?)
}

/// Reads the history; `last` is the last tick that log or checkpoints have. What is wrong is added to `damage`.
pub(super) fn verify_history(
    data: &Path,
    history: Option<&HistoryAddress>,
    last: Tick,
    damage: &mut Vec<String>,
) -> Result<Option<HistoryFound>, InspectError> {
    let owner = match history {
        // In a bucket it could be another's. An owner that is damaged is told, and is nobody's.
        Some(HistoryAddress::Bucket(_)) => HistoryOwner::of(data).ok(),
        _ => None,
    };
    let found = HistoryFound::verify(&files_of(data, history)?, owner, last)?;
    damage.extend(found.iter().flat_map(|found| &found.damage).cloned());
    Ok(found)
}

/// Says how much there is in the history, and what nobody needs of it.
pub(super) fn tell(
    found: Option<&HistoryFound>,
    data: &Path,
    history: Option<&HistoryAddress>,
    out: &mut impl Write,
) -> io::Result<()> {
    match found {
        Some(HistoryFound { files, rows, until, unlisted, .. }) => {
            writeln!(out, "history: {files} files, {rows} events, up to tick {until}")?;
            for name in unlisted {
                writeln!(
                    out,
                    "{name}: not in the manifest of the history; a crash left it, and the next start removes it"
                )?;
            }
        }
        None if history.is_none() && data.join(HistoryOwner::FILE).exists() => {
            writeln!(out, "history: elsewhere; name it with --history s3://BUCKET/PREFIX to have it looked at")?;
        }
        None => {}
    }
    Ok(())
}

/// What a start looks at before it changes anything, beside the log and its checkpoints: it is judged here by the same code.
pub(super) struct Beside<'a> {
    pub found: &'a DataFolder,
    /// Whose the folder is, as far as that can be told.
    pub owner: Option<ProcessNumber>,
    /// The checkpoints, where the list of them is whole.
    pub kept: Option<&'a CheckpointList>,
    /// What is sound of the log.
    pub store: Option<&'a Store>,
    /// The last tick that log or checkpoints have.
    pub last: Tick,
}

impl Beside<'_> {
    /// Adds what is wrong to `damage`.
    pub fn verify(&self, history: Option<&HistoryAddress>, damage: &mut Vec<String>) {
        let (folder, owner) = (self.found.folder(), self.owner.unwrap_or(ProcessNumber::ALONE));
        let has_catalogue = self.kept.is_some_and(|kept| self.found.has_catalogue(kept, owner));
        damage.extend(Catalogue::check(folder, has_catalogue).err().map(|error| error.to_string()));
        // Where log or checkpoints are damaged, that is told, and this is not known.
        let newest = self.kept.and_then(CheckpointList::newest).map_or(Tick::default(), |newest| newest.tick);
        let log_begins = self.store.and_then(|store| begins(store, newest).ok()).flatten();
        let ids = ExpectedRuns {
            data: folder,
            owner: self.owner,
            // Only the project says how long they are of use: all that are listed have to be there.
            window: MessageWindow::new(Duration::MAX),
            last: self.last,
            now: self.last,
            told_by: if owner.is_of_cluster() { ToldBy::AllLogs } else { ToldBy::ThisLog },
            complete: self.kept.and_then(|kept| kept.ids_apart().ok()).flatten(),
            log_begins,
            accept_partial: false,
        };
        match ids.verify() {
            Ok((_, damaged)) => damage.extend(damaged),
            Err(error) => damage.push(error.to_string()),
        }
        let is_elsewhere = folder.join(HistoryOwner::FILE).exists();
        if is_elsewhere {
            damage.extend(HistoryOwner::of(folder).err().map(|error| error.to_string()));
        }
        // A history that is not looked at may have what log and checkpoints lack; one that is damaged is told.
        let archive = files_of(folder, history).ok().and_then(|files| Archive::open(files, String::new()).ok());
        if let Some(kept) = self.kept.filter(|_| archive.is_some() && (history.is_some() || !is_elsewhere)) {
            let lack = PastSources::new(log_begins, archive.as_ref()).lack(kept);
            damage.extend(lack.map(|error| error.to_string()));
        }
    }
}
