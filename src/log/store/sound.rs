//! Whether the storage of a data folder is as it was written. Nothing is opened for writing to find out.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::Flaw;
use crate::log::journal::seal::{self, JournalSeal};
use crate::log::journal::{self, Journal, JournalContent, Rest};
use crate::log::{files, keyspaces};

/// What was found.
#[derive(Debug, Default)]
pub struct Sound {
    /// The journals, oldest first.
    pub journals: Vec<(Journal, JournalContent)>,
    /// What is damaged.
    pub damage: Vec<Flaw>,
    /// A write that was not finished, at the end of the last journal.
    pub torn: Option<Unfinished>,
}

/// A write that was not finished, as a crash leaves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    journal: Journal,
    /// Where it begins.
    pub at: u64,
    /// How much there is of it.
    pub bytes: u64,
    /// Whether it may have been finished, and lost when the machine went down before it was on the disk.
    was_finished: bool,
}

impl Unfinished {
    /// The file.
    pub fn file(&self) -> String {
        format!("store/{}.jnl", self.journal.id)
    }

    /// Cuts it off.
    pub fn cut(&self) -> io::Result<()> {
        let file = File::options().write(true).open(&self.journal.path)?;
        file.set_len(self.at)?;
        file.sync_all()?;
        let (journal, cut_bytes) = (self.journal.path.display(), self.bytes);
        if self.was_finished {
            tracing::warn!(
                %journal, cut_bytes,
                "cut off what was not on the disk yet when the machine went down: destinations may be told it again"
            );
        } else {
            tracing::warn!(%journal, cut_bytes, "cut off a write that was not finished: nobody was told that it is safe");
        }
        Ok(())
    }
}

/// Checks the storage in a data folder.
pub fn check(folder: &Path) -> io::Result<Sound> {
    let mut sound = Sound::default();
    let store = folder.join("store");
    if !store.exists() {
        sound.damage.push(Flaw::new("store", "it is missing", "all that is in it"));
        return Ok(sound);
    }
    sound.check_journals(folder, &store)?;
    let has_batches = sound.journals.iter().any(|(_, content)| content.bytes > 0);
    keyspaces::check(&store, has_batches, &mut sound.damage)?;
    Ok(sound)
}

impl Sound {
    fn check_journals(&mut self, folder: &Path, store: &Path) -> io::Result<()> {
        let seal = match JournalSeal::read(folder) {
            Ok(seal) => seal,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let lost = "nothing, if the rest is sound: delete it, and less is known of the journals";
                self.damage.push(Flaw::new("SEAL", &error.to_string(), lost));
                None
            }
            Err(error) => return Err(error),
        };
        let boot = seal::boot();
        let found = journal::journals(store)?;
        if found.is_empty() && store.join("version").exists() {
            self.damage.push(Flaw::new("store", "it has no journal (0.jnl, or a later one)", LOST));
        }
        let mut last = None;
        let count = found.len();
        for (journal, number) in found.into_iter().zip(1..) {
            let content = journal::read(&journal, last)?;
            last = content.last.or(last);
            let safe = seal.as_ref().and_then(|seal| seal.may_be_torn_from(journal.id, boot.as_deref()));
            let went_down = safe.is_some_and(|safe| content.bytes >= safe);
            let is_last = number == count;
            let torn = |bytes, was_finished| {
                Some(Unfinished { journal: journal.clone(), at: content.bytes, bytes, was_finished })
            };
            match &content.rest {
                Rest::Nothing => {}
                Rest::Torn(_, bytes) if is_last => self.torn = torn(*bytes, went_down),
                Rest::Damaged(_, next) if is_last && went_down => {
                    // Pages reach the disk in any order.
                    self.torn = torn(next.saturating_sub(content.bytes).max(1), true);
                }
                Rest::Torn(why, _) => self.wrong(&journal, content.bytes, &why.to_string()),
                Rest::Damaged(why, next) => {
                    let reason = format!("{why}, and what follows from byte {next} on was written after it");
                    self.wrong(&journal, content.bytes, &reason);
                }
            }
            self.journals.push((journal, content));
        }
        if let Some(seal) = seal {
            for (name, place, reason) in seal.check(boot.as_deref(), &self.journals)? {
                let file = format!("store/{name}");
                if !self.damage.iter().any(|damage| damage.file == file) {
                    self.damage.push(Flaw::at(&file, place, &format!("{reason} (as SEAL says)"), LOST));
                }
                self.torn.take_if(|torn| torn.file() == file);
            }
        }
        Ok(())
    }

    fn wrong(&mut self, journal: &Journal, place: u64, reason: &str) {
        self.damage.push(Flaw::at(&format!("store/{}.jnl", journal.id), place, reason, LOST));
    }

    /// Writes what is sound of the storage to another place, for it to be opened there. Tables stay where they are.
    pub fn copy(&self, store: &Path, to: &Path) -> io::Result<()> {
        files::make_folder(to)?;
        for (journal, content) in &self.journals {
            let mut from = io::Read::take(File::open(&journal.path)?, content.bytes);
            let mut copy = File::create_new(to.join(format!("{}.jnl", journal.id)))?;
            io::copy(&mut from, &mut copy)?;
        }
        fs::write(to.join("version"), keyspaces::VERSION)?;
        fs::write(to.join("lock"), "")?;
        let keyspaces = store.join("keyspaces");
        if keyspaces.exists() { crate::log::look::copy_tree(&keyspaces, &to.join("keyspaces")) } else { Ok(()) }
    }
}

/// What is lost with a part of a journal.
const LOST: &str = "what was written after it: what destinations acknowledged, what waits for them, what was rejected";
