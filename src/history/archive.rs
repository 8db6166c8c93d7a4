//! What a history has, and how it changes.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use dataflows::model::{Identifier, IdentifierId, IdentifierKey, Tick};

use super::files::HistoryFiles;
use super::manifest::{DataFile, FileContent, MANIFEST, Manifest};
use super::portions::{self, Portions};
use super::recorder::Draft;
use super::{HistoryError, HistoryFigures, HistoryOwner, Placed, Portion, Reading, Recorder, Way, merge};

/// The history in a place.
#[derive(Debug)]
pub struct Archive {
    place: Arc<dyn HistoryFiles>,
    /// Tells the key of identifier hashes from others.
    key: String,
    /// Whose it is, where it could be another's.
    owner: Option<HistoryOwner>,
    manifest: Manifest,
    /// Whether there is no manifest yet.
    is_new: bool,
    /// Whether what a crash left over is gone.
    is_swept: bool,
    figures: Arc<HistoryFigures>,
}

impl Archive {
    /// What tells this key of identifier hashes from others, and says nothing else of it.
    pub fn key_of(key: &IdentifierKey) -> String {
        Identifier::new(key, "", "key of history").id().to_string()
    }

    /// The history in `place`, to be written to; there may be none yet. `key` tells the key of identifier hashes from others.
    /// Nothing is changed before something is written.
    pub fn open(place: Arc<dyn HistoryFiles>, key: String) -> Result<Self, HistoryError> {
        let manifest = read_manifest(&*place)?;
        let is_new = manifest.is_none();
        let manifest = manifest.unwrap_or_default();
        let archive = Archive { place, key, owner: None, manifest, is_new, is_swept: false, figures: Arc::default() };
        // A manifest is there before any file is.
        if is_new && archive.names()?.iter().any(|name| name.ends_with(".parquet")) {
            return Err(HistoryError::NoManifest { place: archive.title() });
        }
        Ok(archive)
    }

    /// The same, where it is the history of `owner`, or nobody's yet.
    pub fn owned_by(mut self, owner: HistoryOwner) -> Result<Self, HistoryError> {
        if self.manifest.owner.as_deref().is_some_and(|found| found != owner.text()) {
            return Err(HistoryError::Foreign { place: self.title() });
        }
        self.owner = Some(owner);
        Ok(self)
    }

    /// The same, and it is told in `figures` how it is.
    pub(super) fn told_in(self, figures: Arc<HistoryFigures>) -> Self {
        figures.has(&self.manifest);
        Archive { figures, ..self }
    }

    /// The history in `place`, to be read.
    pub fn open_existing(place: Arc<dyn HistoryFiles>) -> Result<Self, HistoryError> {
        let manifest = read_manifest(&*place)?.ok_or_else(|| HistoryError::Missing { place: place.title() })?;
        Ok(Archive {
            place,
            key: String::new(),
            owner: None,
            manifest,
            is_new: false,
            is_swept: false,
            figures: Arc::default(),
        })
    }

    /// All events after this tick, and up to [`Archive::until`], are there. Files may have older ones, with gaps.
    pub fn begins(&self) -> Tick {
        self.manifest.begins
    }

    /// See [`Archive::begins`].
    pub fn until(&self) -> Tick {
        self.manifest.until
    }

    /// Whether it can be that of a log that ends at `last`.
    pub fn is_of_log(&self, last: Tick) -> Result<(), HistoryError> {
        if self.until() > last {
            let (until, last) = (self.until().as_ms(), last.as_ms());
            return Err(HistoryError::Ahead { place: self.title(), until, last });
        }
        Ok(())
    }

    /// Whether nothing was ever written.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Its files, sorted by their ticks.
    pub fn files(&self) -> &[DataFile] {
        &self.manifest.files
    }

    /// Where it is, for messages.
    pub fn title(&self) -> String {
        self.place.title()
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The events after `after`, up to `until`, in their order.
    pub fn portions(&self, after: Tick, until: Tick) -> Portions {
        let wanted = self.files().iter().filter(|file| file.last > after && file.first <= until);
        Portions::new(self.place.clone(), wanted.cloned().collect(), after, until)
    }

    /// It has nothing of what follows up to `begins`: from there on it is complete.
    pub fn begin(&mut self, begins: Tick) -> Result<(), HistoryError> {
        let files = self.manifest.files.clone();
        self.replace(Manifest { begins, until: begins, files, ..self.manifest.clone() })
    }

    /// Begins to write what follows on it. What a crash left over goes first.
    pub fn record(&mut self) -> Result<Recorder<'_>, HistoryError> {
        if self.is_new {
            self.begin(Tick::default())?;
        }
        if !self.is_swept {
            self.sweep()?;
            self.is_swept = true;
        }
        Recorder::new(self)
    }

    /// Writes a file that is not in the manifest yet.
    pub(super) fn put(&self, file: &DataFile, content: Bytes) -> Result<(), HistoryError> {
        let (name, bytes) = (file.name(), content.len());
        self.place.write(&name, content).map_err(|source| self.io(Way::Write, name, source))?;
        self.figures.wrote(bytes);
        Ok(())
    }

    /// Files that were written follow, and with them there is everything up to `until`.
    pub(super) fn append(&mut self, written: Vec<DataFile>, until: Tick) -> Result<(), HistoryError> {
        if written.is_empty() && until <= self.until() {
            return Ok(());
        }
        let mut manifest = self.manifest.clone();
        manifest.files.extend(written);
        manifest.until = until.max(manifest.until);
        self.replace(manifest)?;
        if let Err(error) = self.merge() {
            // They stay as they are, which is as good for all but the number of files.
            tracing::error!(%error, "cannot make one file of several of the history");
        }
        Ok(())
    }

    /// Makes one file of the last ones, where they are many and small: checkpoints come more often than files are worth it.
    fn merge(&mut self) -> Result<(), HistoryError> {
        let Some(run) = merge::due(self.files()) else { return Ok(()) };
        let old = self.manifest.files[run].to_vec();
        let contents = old.iter().map(|file| portions::whole(&*self.place, file)).collect::<Result<Vec<_>, _>>()?;
        let (mut merged, content) = merge::merge(&old, &contents)?;
        // A file alone has its own name.
        merged.copy = old.iter().map(|file| file.copy).max().unwrap_or_default();
        self.exchange(&old, Some((merged, content)))
    }

    /// The files that may have events of an identifier; no other has one. Of a hundred others, one is named for nothing.
    pub fn files_that_may_hold(&self, id: IdentifierId) -> Result<Vec<DataFile>, HistoryError> {
        let mut found = Vec::new();
        for file in self.files() {
            // What nobody could read may be of anybody; and hashes under another key say nothing.
            if file.unread > 0 || file.key != self.key || portions::may_hold(&*self.place, file, id)? {
                found.push(file.clone());
            }
        }
        Ok(found)
    }

    /// Puts a file in the place of `file` that has of its events only those that `keeps` says; `read` reads them again. Gives how
    /// many events went.
    pub fn rewrite(
        &mut self,
        file: &DataFile,
        read: &dyn Fn(&Placed) -> Option<Reading>,
        keeps: &mut dyn FnMut(&Placed, Option<&Reading>) -> bool,
    ) -> Result<u64, HistoryError> {
        let properties = Draft::properties()?;
        let mut draft: Option<Draft> = None;
        let mut kept = 0;
        for portion in Portions::new(self.place.clone(), vec![file.clone()], Tick::default(), Tick::MAX) {
            let Portion { tick, events } = portion?;
            let with_readings = events.into_iter().map(|placed| (read(&placed), placed));
            let kept_of_it = with_readings.filter(|(reading, placed)| keeps(placed, reading.as_ref()));
            let (readings, events): (Vec<_>, Vec<_>) = kept_of_it.unzip();
            kept += events.len() as u64;
            if !events.is_empty() {
                let draft = match &mut draft {
                    Some(draft) => draft,
                    none => none.insert(Draft::new(tick, &properties)?),
                };
                draft.add(&Portion { tick, events }, &readings)?;
            }
        }
        if kept < file.rows {
            let new = draft.map(|draft| draft.finish(&self.key)).transpose()?;
            let copy = file.copy.saturating_add(1);
            self.exchange(std::slice::from_ref(file), new.map(|(new, content)| (DataFile { copy, ..new }, content)))?;
        }
        Ok(file.rows - kept)
    }

    /// Drops the files all of whose ticks are before `tick`; gives how many. The history begins later then.
    pub fn drop_before(&mut self, tick: Tick) -> Result<usize, HistoryError> {
        let goes = self.files().partition_point(|file| file.last < tick);
        let Some(last) = goes.checked_sub(1).map(|place| self.files()[place].last) else { return Ok(0) };
        let mut manifest = self.manifest.clone();
        let gone: Vec<DataFile> = manifest.files.drain(..goes).collect();
        manifest.begins = manifest.begins.max(last);
        self.replace(manifest)?;
        self.remove(&gone)?;
        Ok(gone.len())
    }

    /// Forgets what came after `until`, which is the tick of a checkpoint; gives how many events went.
    pub fn forget_after(&mut self, until: Tick) -> Result<u64, HistoryError> {
        if self.until() <= until {
            return Ok(0);
        }
        let mut manifest = self.manifest.clone();
        let stays = manifest.files.partition_point(|file| file.last <= until);
        let goes = manifest.files.split_off(stays);
        let mut rows: u64 = goes.iter().map(|file| file.rows).sum();
        for file in goes.iter().filter(|file| file.first <= until) {
            if let Some((new, content)) = merge::cut(file, &portions::whole(&*self.place, file)?, until)? {
                self.put(&new, content.whole)?;
                rows -= new.rows;
                manifest.files.push(new);
            }
        }
        (manifest.begins, manifest.until) = (manifest.begins.min(until), until);
        self.replace(manifest)?;
        self.remove(&goes)?;
        Ok(rows)
    }

    /// Takes a file, if there is one, in the place of others, which stand side by side. At each moment the manifest names either
    /// the old ones or the new one, all of which are there.
    fn exchange(&mut self, old: &[DataFile], new: Option<(DataFile, FileContent)>) -> Result<(), HistoryError> {
        let Some(at) = self.files().windows(old.len()).position(|files| files == old) else {
            let reason = "it is not in the manifest any more".to_owned();
            return Err(HistoryError::Damaged { name: old[0].name(), place: self.title(), reason });
        };
        let mut manifest = self.manifest.clone();
        let file = match new {
            Some((file, content)) => {
                self.put(&file, content.whole)?;
                Some(file)
            }
            None => None,
        };
        manifest.files.splice(at..at + old.len(), file);
        self.replace(manifest)?;
        self.remove(old)
    }

    fn replace(&mut self, mut manifest: Manifest) -> Result<(), HistoryError> {
        // One that was copied there is nobody's, and theirs who writes it.
        manifest.owner = self.owner.as_ref().map(|owner| owner.text().to_owned()).or(manifest.owner);
        let replaced = self.place.replace_manifest(manifest.encode());
        replaced.map_err(|source| self.io(Way::Write, MANIFEST.to_owned(), source))?;
        (self.manifest, self.is_new) = (manifest, false);
        self.figures.has(&self.manifest);
        Ok(())
    }

    fn remove(&self, files: &[DataFile]) -> Result<(), HistoryError> {
        for name in files.iter().map(DataFile::name) {
            self.place.remove(&name).map_err(|source| self.io(Way::Remove, name, source))?;
        }
        Ok(())
    }

    pub(super) fn names(&self) -> Result<Vec<String>, HistoryError> {
        self.place.names().map_err(|source| self.io(Way::Read, "the folders".to_owned(), source))
    }

    /// Removes files that the manifest does not name: a crash left them.
    pub(super) fn sweep(&self) -> Result<(), HistoryError> {
        let listed: HashSet<String> = self.files().iter().map(DataFile::name).collect();
        for name in self.names()?.into_iter().filter(|name| !listed.contains(name)) {
            self.place.remove(&name).map_err(|source| self.io(Way::Remove, name, source))?;
        }
        Ok(())
    }

    fn io(&self, way: Way, name: String, source: std::io::Error) -> HistoryError {
        HistoryError::Io { way, name, place: self.title(), source }
    }
}

fn read_manifest(place: &dyn HistoryFiles) -> Result<Option<Manifest>, HistoryError> {
    let name = MANIFEST.to_owned();
    let read = place.manifest();
    let read = read.map_err(|source| HistoryError::Io { way: Way::Read, name, place: place.title(), source })?;
    let Some(content) = read else { return Ok(None) };
    let manifest = Manifest::decode(&content);
    let manifest = manifest.map_err(|(line, reason)| HistoryError::Manifest { place: place.title(), line, reason })?;
    Ok(Some(manifest))
}
