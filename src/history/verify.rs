//! Reads all of a history and says what is wrong with it. Nothing is changed.

use std::collections::HashSet;
use std::sync::Arc;

use dataflows::model::{Identifier, IdentifierKey, Tick};

use super::{Archive, DataFile, HistoryError, HistoryFiles, HistoryOwner, Portions, portions};

/// What a look at a history found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryFound {
    /// Files that the manifest names.
    pub files: usize,
    /// The events in them.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The tick up to which it goes.
    pub until: Tick,
    /// What is wrong, a line each.
    pub damage: Vec<String>,
    /// Files that the manifest does not name: a crash leaves them.
    pub unlisted: Vec<String>,
}

impl HistoryFound {
    /// What the manifest says; nothing where there is no history.
    pub fn stat(files: Arc<dyn HistoryFiles>) -> Result<Option<Self>, HistoryError> {
        let archive = Archive::open(files, String::new())?;
        Ok((!archive.is_new()).then(|| Self::of(&archive)))
    }

    /// Reads all files; nothing where there is no history. `owner` is whose it has to be, where it could be another's; `last`, the last
    /// tick that the log, or a checkpoint, has.
    pub fn verify(
        files: &Arc<dyn HistoryFiles>,
        owner: Option<HistoryOwner>,
        last: Tick,
    ) -> Result<Option<Self>, HistoryError> {
        let opened = Archive::open(files.clone(), String::new());
        let archive = match owner.into_iter().fold(opened, |archive, owner| archive?.owned_by(owner)) {
            Ok(archive) if archive.is_new() => return Ok(None),
            Ok(archive) => archive,
            Err(
                error
                @ (HistoryError::Manifest { .. } | HistoryError::NoManifest { .. } | HistoryError::Foreign { .. }),
            ) => {
                return Ok(Some(HistoryFound { damage: vec![error.to_string()], ..HistoryFound::default() }));
            }
            Err(error) => return Err(error),
        };
        let mut found = Self::of(&archive);
        found.damage.extend(archive.is_of_log(last).err().map(|error| error.to_string()));
        for file in archive.files() {
            if let Err(error) = read(files, file) {
                match error {
                    HistoryError::Damaged { .. } => found.damage.push(error.to_string()),
                    error => return Err(error),
                }
            }
        }
        let listed: HashSet<String> = archive.files().iter().map(DataFile::name).collect();
        found.unlisted = archive.names()?.into_iter().filter(|name| !listed.contains(name)).collect();
        found.unlisted.sort();
        Ok(Some(found))
    }

    fn of(archive: &Archive) -> Self {
        let sum = |of: fn(&DataFile) -> u64| archive.files().iter().map(of).fold(0, u64::saturating_add);
        HistoryFound {
            files: archive.files().len(),
            rows: sum(|file| file.rows),
            bytes: sum(|file| file.bytes),
            until: archive.until(),
            ..HistoryFound::default()
        }
    }
}

/// Reads a file to its end, and its filters.
fn read(files: &Arc<dyn HistoryFiles>, file: &DataFile) -> Result<(), HistoryError> {
    let portions = Portions::new(files.clone(), vec![file.clone()], Tick::default(), Tick::MAX);
    portions.into_iter().try_for_each(|portion| portion.map(drop))?;
    // Whom it is asked for does not matter: nobody has this one.
    let nobody = Identifier::new(&IdentifierKey::from_secret("verify"), "", "nobody").id();
    portions::may_hold(&**files, file, nobody).map(drop)
}
