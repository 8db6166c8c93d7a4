//! `deltaic log rewind`: a data folder as it was at a tick, for one whose clock was wrong.
//!
//! Ticks never go back. So a clock that was a year ahead leaves a log whose last ticks are in the next year, and an engine that has to
//! wait for them. What came at these ticks is set aside: the folder is made anew without it, and takes the place of the old one, which
//! stays beside it under another name, whole. So nothing is lost, and a kill at any moment leaves one of the two in its place.
//!
//! - The log: the entries up to the tick. Checkpoints: those up to it.
//! - Message ids and history: without what counted after it.
//! - What destinations confirmed stays: they have it. How far they were told goes back, so that they are told what is different now.
//! - Catalogue, instance, quarantine stay.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::model::Tick;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use thiserror::Error;

use super::checkpoint::{CheckpointError, CheckpointList, salvage};
use super::segments::SegmentEntry;
use super::store::KEYSPACES;
use super::{DataFolder, OpenPurpose, ProcessNumber, Store, StoreError, codec, files, latest_tick};
use crate::clock::{Jumps, reached};
use crate::dedupe::{self, DedupeError};
use crate::history::{self, Archive, HistoryError, HistoryOwner};

/// Rows that are written together.
const ROWS_AT_ONCE: usize = 1_000;

/// What becomes of a row of the storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewoundRow {
    /// It stays as it is.
    Stays,
    /// It has this value.
    Becomes(Vec<u8>),
    /// It is of what is set aside.
    Goes,
}

/// What becomes of a row of a keyspace, by its key and value, where all goes back to a tick.
pub type RowRule = dyn Fn(&str, &[u8], &[u8], Tick) -> RewoundRow;

/// Why a folder cannot go back.
#[derive(Debug, Error)]
pub enum RewindError {
    /// It cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A checkpoint is not there.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Message ids cannot be read.
    #[error(transparent)]
    Dedupe(#[from] DedupeError),
    /// The history cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A file cannot be copied, or what is said cannot be written.
    #[error("cannot make the new data folder: {0}")]
    Io(#[from] io::Error),
    /// Nothing would be left.
    #[error(
        "nothing in {folder} is of tick {to} or before, so nothing would be left: its first tick is {first}; ticks are milliseconds since \
         1970"
    )]
    NothingLeft {
        /// The folder.
        folder: PathBuf,
        /// Where it was to go back to.
        to: Tick,
        /// Its first tick.
        first: Tick,
    },
    /// What came before is gone.
    #[error(
        "{folder} cannot go back to tick {to}: its log has what came after tick {begins} only, and no checkpoint is of tick {to} or \
         before; the earliest that it can go back to is tick {earliest}"
    )]
    TooFar {
        /// The folder.
        folder: PathBuf,
        /// Where it was to go back to.
        to: Tick,
        /// The log has what came after this.
        begins: Tick,
        /// The oldest checkpoint, or the beginning of the log.
        earliest: Tick,
    },
    /// It is of a former format.
    #[error(
        "{folder} is of a former format: start this version on it once, with --no-delivery, and stop it; then it can go back"
    )]
    Former {
        /// The folder.
        folder: PathBuf,
    },
    /// Its history is not in it.
    #[error(
        "the history of {folder} is elsewhere, and would go on having what is set aside: this cannot be done yet; wait until the clock has \
         caught up, or start with --accept-clock"
    )]
    HistoryElsewhere {
        /// The folder.
        folder: PathBuf,
    },
    /// Something is in the way.
    #[error(
        "{path} is in the way: an attempt was killed, and this is what it has not finished, or the folder as it was; look at it \
         (deltaic log stat {path}), keep it if it has what is needed, and move it away"
    )]
    InTheWay {
        /// What.
        path: PathBuf,
    },
    /// The new folder cannot take the place of the old one.
    #[error("{made} is made, and cannot take the place of {folder}: {source}; put it there yourself")]
    Place {
        /// The old one.
        folder: PathBuf,
        /// The new one.
        made: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Takes a data folder back to `to`, where `rule` knows what the rows of the storage mean; says what is set aside.
pub fn rewind(folder: &Path, to: Tick, rule: &RowRule, out: &mut impl Write) -> Result<(), RewindError> {
    let folder = &folder.canonicalize().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => StoreError::NoFolder { folder: folder.to_owned() },
        _ => StoreError::Io { folder: folder.to_owned(), source },
    })?;
    if !folder.join("FORMAT").exists() {
        return Err(StoreError::Missing { folder: folder.clone() }.into());
    }
    // Nobody else may have it, but it is only read.
    let found = DataFolder::find(folder, OpenPurpose::Start)?;
    if found.is_former() {
        return Err(RewindError::Former { folder: folder.clone() });
    }
    let source = found.copy()?;
    let goes = Goes::of(folder, &source, &CheckpointList::look(folder)?, found.owner()?, to)?;
    if goes.last <= to {
        let (shown, last) = (folder.display(), goes.last);
        writeln!(out, "nothing in {shown} is of a time after tick {to}: its last tick is {last}; it stays as it is")?;
        if let Some(quiet) = reached::set_back(folder, to)? {
            writeln!(out, "ticks without events were written down up to {quiet}, and are now up to {to}")?;
        }
        return Ok(());
    }
    let checkpoint = goes.check(folder, to)?;
    if folder.join(HistoryOwner::FILE).exists() {
        return Err(RewindError::HistoryElsewhere { folder: folder.clone() });
    }
    let made = beside(folder, "rewound");
    if made.exists() {
        return Err(RewindError::InTheWay { path: made });
    }
    // What was set aside before stays, whatever it was.
    let mut names = (1..).map(|copy| if copy == 1 { format!("aside-{to}") } else { format!("aside-{to}-{copy}") });
    let aside = names.find_map(|name| Some(beside(folder, &name)).filter(|path| !path.exists())).unwrap_or_default();
    let owner = found.owner()?;
    if let Err(error) = make(folder, &made, &source, owner, (checkpoint, to), rule, out) {
        // Nobody is to take what is not whole for the folder.
        _ = fs::remove_dir_all(&made);
        return Err(error);
    }
    let place = |source| RewindError::Place { folder: folder.clone(), made: made.clone(), source };
    renameat_with(CWD, &made, CWD, folder, RenameFlags::EXCHANGE).map_err(|error| place(error.into()))?;
    fs::rename(&made, &aside)?;
    files::sync_folder(folder.parent().unwrap_or(Path::new("/")))?;
    // An engine that is started there by mistake is to see that the folder is not its own.
    let instance = aside.join(INSTANCE);
    if let Some(content) = files::read_small(&instance)? {
        files::write_whole(&instance, &content)?;
    }
    let Goes { entries, events, ticks, checkpoints, .. } = goes;
    if let Some((first, last)) = ticks {
        writeln!(out, "set aside    {events} events in {entries} entries, from tick {first} to {last}")?;
    }
    for tick in checkpoints {
        writeln!(out, "set aside    the checkpoint of tick {tick}")?;
    }
    writeln!(out, "{} is as of tick {to} now; as it was, it is {}", folder.display(), aside.display())?;
    if events > 0 {
        let (aside, from) = (aside.display(), to.next());
        writeln!(
            out,
            "what came after that was acknowledged: `deltaic log dump {aside} --from {from}` has it, to be sent again"
        )?;
    }
    Ok(())
}

/// The file that says which engine delivers from a folder, and which file it is itself.
const INSTANCE: &str = "INSTANCE";

/// What is of a time after the tick.
struct Goes {
    entries: u64,
    events: u64,
    /// The first and the last of them.
    ticks: Option<(Tick, Tick)>,
    /// The checkpoints that go, and those that stay.
    checkpoints: Vec<Tick>,
    stays: Vec<Tick>,
    /// What the log has came after this.
    begins: Tick,
    /// The first tick that the log has, and the last one of the folder.
    first: Tick,
    last: Tick,
}

impl Goes {
    fn of(
        folder: &Path,
        source: &Store,
        kept: &CheckpointList,
        owner: Option<ProcessNumber>,
        to: Tick,
    ) -> Result<Self, RewindError> {
        let newest = kept.newest().map_or(Tick::default(), |newest| newest.tick);
        let (checkpoints, stays) = kept.entries().iter().map(|entry| entry.tick).partition(|tick| *tick > to);
        let last = latest_tick::<RewindError>(folder, source, newest, owner)?;
        let mut goes =
            Goes { entries: 0, events: 0, ticks: None, checkpoints, stays, begins: newest, first: last, last };
        let mut is_first = true;
        for entry in source.entries(Tick::default()) {
            let SegmentEntry { tick, bytes } = entry?;
            let envelope = codec::envelope(tick, &bytes).map_err(|error| source.undecodable(tick, error))?;
            if std::mem::take(&mut is_first) {
                (goes.begins, goes.first) = (envelope.previous, tick);
            }
            if tick > to {
                goes.entries += 1;
                goes.events += u64::from(envelope.events);
                goes.ticks = Some((goes.ticks.map_or(tick, |(first, _)| first), tick));
            }
        }
        Ok(goes)
    }

    /// The checkpoint to go on from, if there is to be one. Refuses where what came before is not there any more.
    fn check(&self, folder: &Path, to: Tick) -> Result<Tick, RewindError> {
        let folder = folder.to_owned();
        let checkpoint = self.stays.last().copied().unwrap_or_default();
        if self.stays.is_empty() && self.begins == Tick::default() && self.first > to {
            return Err(RewindError::NothingLeft { folder, to, first: self.first });
        }
        if checkpoint < self.begins {
            let oldest = self.checkpoints.first().copied();
            return Err(RewindError::TooFar {
                folder,
                to,
                begins: self.begins,
                earliest: oldest.unwrap_or(self.begins),
            });
        }
        Ok(checkpoint)
    }
}

/// A folder that stands beside another one.
fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    folder.with_file_name(name)
}

/// Makes the folder at `made`, which goes on from `checkpoint`.
fn make(
    folder: &Path,
    made: &Path,
    source: &Store,
    owner: Option<ProcessNumber>,
    (checkpoint, to): (Tick, Tick),
    rule: &RowRule,
    out: &mut impl Write,
) -> Result<(), RewindError> {
    let target = Store::open(made)?;
    let lost = salvage(folder, made, to)?.lost;
    if let Some(lost) = lost.first() {
        return Err(io::Error::other(format!("a checkpoint is damaged: {lost}")).into());
    }
    let mut stays = source.entries(Tick::default()).take_while(|entry| entry.as_ref().map_or(true, |of| of.tick <= to));
    if let Some(first) = stays.next() {
        target.append_all(std::iter::once(first).chain(stays), Tick::MAX)?;
    }
    for name in KEYSPACES {
        let (changed, gone) = take_back(source, &target, name, to, rule)?;
        if changed + gone > 0 {
            writeln!(out, "{name:<12} {changed} rows set back, {gone} set aside")?;
        }
    }
    target.sync()?;
    drop(target);
    for name in ["CATALOGUE", "PROCESS", "KEY", Jumps::FILE, "NAMES", "messages"] {
        if folder.join(name).exists() {
            files::copy(&folder.join(name), &made.join(name))?;
        }
    }
    Jumps::read(made)?.forget_after(to)?;
    reached::copy(folder, made)?;
    reached::set_back(made, to)?;
    // What came after the checkpoint is read from the log. It has to be: ids that were over by the wrong clock are gone. But in a cluster
    // they came with the logs of others, which may be cut.
    let is_of_cluster = owner.is_some_and(ProcessNumber::is_of_cluster);
    let ids = dedupe::forget_after(made, owner, if is_of_cluster { to } else { checkpoint })?;
    if ids > 0 {
        writeln!(out, "{:<12} {ids} set aside, or left to the log", "message ids")?;
        writeln!(out, "{:<12} what was over by the wrong clock, and is sent again, counts again", "")?;
    }
    // Without a manifest nothing was written to it yet.
    if folder.join(history::FOLDER).join("MANIFEST").exists() {
        files::link(&folder.join(history::FOLDER), &made.join(history::FOLDER))?;
        let place = Arc::new(history::Folder::new(made.join(history::FOLDER)));
        // What came after the checkpoint is in the log.
        let rows = Archive::open_existing(place)?.forget_after(checkpoint)?;
        if rows > 0 {
            writeln!(out, "{:<12} {rows} events set aside, or left to the log", "history")?;
        }
    }
    match fs::hard_link(folder.join(INSTANCE), made.join(INSTANCE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(files::sync_folder(made)?),
    }
}

/// Copies the rows of a keyspace as `rule` says. Gives how many have another value, and how many are not there.
fn take_back(source: &Store, target: &Store, name: &str, to: Tick, rule: &RowRule) -> Result<(u64, u64), RewindError> {
    let (mut changed, mut gone) = (0, 0);
    let mut rows = source.rows(name).peekable();
    while rows.peek().is_some() {
        let mut batch = target.batch();
        for row in rows.by_ref().take(ROWS_AT_ONCE) {
            let (key, value) = row?;
            match rule(name, &key, &value, to) {
                RewoundRow::Stays => batch.insert(target.keyspace(name), key, value),
                RewoundRow::Becomes(value) => {
                    changed += 1;
                    batch.insert(target.keyspace(name), key, value);
                }
                RewoundRow::Goes => gone += 1,
            }
        }
        batch.commit().map_err(|source| target.failed(source))?;
    }
    Ok((changed, gone))
}
