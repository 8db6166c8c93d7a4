//! What is beside the log and its checkpoints: the history, and what every data folder with a checkpoint has.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use dataflows::model::Tick;

use super::InspectError;
use crate::history::{Folder, HistoryAddress, HistoryFiles, HistoryFound, HistoryOwner};
use crate::log::checkpoint::{Kept, MessageIds};

/// Where the history of a data folder is: inside, unless it is said to be elsewhere.
fn files_of(data: &Path, history: Option<&HistoryAddress>) -> Result<Arc<dyn HistoryFiles>, InspectError> {
    Ok(match history {
        Some(address) => address.files()?,
        None => Arc::new(Folder::new(data.join("history"))),
    })
}

/// How much there is in the history.
pub(super) fn stat(data: &Path, history: Option<&HistoryAddress>) -> Result<Option<HistoryFound>, InspectError> {
    Ok(HistoryFound::stat(files_of(data, history)?)?)
}

/// Reads the history; `last` is the last tick that log or checkpoints have. What is wrong is added to `damage`.
pub(super) fn verify(
    data: &Path,
    history: Option<&HistoryAddress>,
    last: Tick,
    damage: &mut Vec<String>,
) -> Result<Option<HistoryFound>, InspectError> {
    let found = HistoryFound::verify(&files_of(data, history)?, last)?;
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

/// What a folder of this format lacks that has checkpoints: a start would go on without, and make it anew.
pub(super) fn missing(data: &Path, kept: &Kept) -> Vec<String> {
    let Some(newest) = kept.newest() else { return Vec::new() };
    let mut missing = Vec::new();
    if !data.join("CATALOGUE").exists() {
        missing.push(
            "CATALOGUE is missing: the ids of definitions are known nowhere else; restore it from a copy".to_owned(),
        );
    }
    // One that cannot be read is damage already.
    let are_apart = kept.read(newest).is_ok_and(|(head, _)| head.messages != MessageIds::Within);
    if are_apart && !data.join("messages/RUNS").exists() {
        missing.push(
            "messages/RUNS is missing: ids of messages are known as far as the log reaches back only; restore the folder from a copy"
                .to_owned(),
        );
    }
    missing
}
