//! The names that senders choose: of events, of attributes, of the types of external ids. Each source may use so many of each.
//!
//! A write key is in the page of whoever visits a site, so anybody can make up names with it, and each is something that is kept. An
//! event with one name too many is refused, before the log: what is in the log is a function of nothing but the log, also where the
//! limits are others by then. It is in the quarantine, and can be sent again from there once the source may use more names. Events of
//! known names go on as before. Names that the project itself uses are known from the beginning and do not count. (Purposes of
//! consent are not here: the project lists them, and others are left out.)
//!
//! A name is a keyed hash here: it takes as much memory as another one, however long it is, nobody can make two of them collide,
//! and the file has nothing of what people sent. So that a restart does not give an attacker another go, names are remembered in
//! the file `NAMES` of the data folder:
//!
//! ```text
//! deltaic names 1
//! event 00112233445566778899aabbccddeeff web
//! ```
//!
//! A line is written before the event is handed in. It is synced with the next one that is, at the latest by the system: after
//! a power failure the last names may be new once more. In a cluster each process counts what comes to it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use compact_str::CompactString;
use dataflows::definitions::{ListedTrait, PersonTerm};
use dataflows::model::{Event, Identifier};
use parking_lot::{Mutex, RwLock};
use rustc_hash::{FxHashMap, FxHashSet};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::Rejection;
use super::segment::CallType;
use crate::observe::seldom::Seldom;
use crate::project::{NameLimits, Project};

const HEAD: &str = "deltaic names 1";

/// Bytes of a line of the file: the longest there is has 152.
const LINE_BYTES_MAX: u64 = 256;

/// What has a name that senders choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// An event.
    Event,
    /// An attribute.
    Attribute,
    /// The type of an external id.
    IdentifierType,
}

impl NameKind {
    /// All of them.
    pub const ALL: [NameKind; 3] = [NameKind::Event, NameKind::Attribute, NameKind::IdentifierType];

    /// What it is called in metrics and in the file.
    pub fn label(self) -> &'static str {
        match self {
            NameKind::Event => "event",
            NameKind::Attribute => "attribute",
            NameKind::IdentifierType => "identifier_type",
        }
    }

    /// The setting of a source that says how many.
    pub fn setting(self) -> &'static str {
        match self {
            NameKind::Event => "event_names_max",
            NameKind::Attribute => "attribute_names_max",
            NameKind::IdentifierType => "identifier_types_max",
        }
    }

    fn max(self, limits: &NameLimits) -> usize {
        match self {
            NameKind::Event => limits.event_names_max,
            NameKind::Attribute => limits.attribute_names_max,
            NameKind::IdentifierType => limits.identifier_types_max,
        }
    }
}

/// Whether an event comes for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was sent.
    First,
    /// It comes out of the quarantine: if it was refused for a name, that was counted and told.
    Again,
}

/// How many names of a kind a source uses, and how many events it could not send for want of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameCounts {
    /// Of what.
    pub kind: NameKind,
    /// Those that it uses, without those of the project.
    pub used: u64,
    /// Refused events, since the start; each once, however often it is tried again.
    pub refused: u64,
}

/// The names that each source uses.
#[derive(Debug)]
pub struct KnownNames {
    key: [u8; 16],
    sources: FxHashMap<CompactString, SourceNames>,
    /// Where they are kept, if they are; and when it was last said that this fails.
    file: Option<Mutex<(File, Seldom)>>,
}

#[derive(Debug)]
struct SourceNames {
    limits: NameLimits,
    known: RwLock<NameHashes>,
    refused: [AtomicU64; NameKind::ALL.len()],
    told: [Mutex<Seldom>; NameKind::ALL.len()],
}

/// Hashes of names, and how many of each kind count.
#[derive(Clone, Debug, Default)]
struct NameHashes {
    hashes: FxHashSet<u128>,
    counted: [usize; NameKind::ALL.len()],
}

impl KnownNames {
    /// The name of the file.
    pub const FILE: &str = "NAMES";

    /// Those of a server that forgets.
    pub fn new(project: &Project) -> Self {
        // The hash of identifiers is keyed, so its value of a text that is no identifier (the type is empty) is a key too.
        let key = Identifier::new(&project.identifier_key, "", "names of senders").id().to_bytes();
        let own = NameHashes { hashes: own_names(project, &key), ..NameHashes::default() };
        let source = |limits: NameLimits| SourceNames {
            limits,
            known: RwLock::new(own.clone()),
            refused: Default::default(),
            told: Default::default(),
        };
        let sources = project.sources.iter().map(|of| (of.name.clone(), source(of.names))).collect();
        KnownNames { key, sources, file: None }
    }

    /// Those that a data folder remembers. What is not as it was written is left out: then a name is new once more.
    pub fn open(project: &Project, folder: &Path) -> io::Result<Self> {
        let mut names = KnownNames::new(project);
        let path = folder.join(Self::FILE);
        let mut file = File::options().read(true).append(true).create(true).mode(0o600).open(path)?;
        let is_whole = names.read(&file)?;
        if file.metadata()?.len() == 0 {
            writeln!(file, "{HEAD}")?;
        } else if !is_whole {
            // A crash cut the last line.
            writeln!(file)?;
        }
        names.file = Some(Mutex::new((file, Seldom::default())));
        Ok(names)
    }

    /// Reads a file; says whether its last line has an end.
    fn read(&mut self, file: &File) -> io::Result<bool> {
        let (mut lines, mut line, mut is_whole) = (BufReader::new(file), Vec::new(), true);
        let mut damaged = 0;
        loop {
            line.clear();
            if lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                if damaged > 0 {
                    tracing::warn!(
                        lines = damaged,
                        "the file NAMES of the data folder is damaged: names that it had are new again"
                    );
                }
                return Ok(is_whole);
            }
            is_whole = line.ends_with(b"\n");
            let Some((kind, hash, source)) = std::str::from_utf8(&line).ok().and_then(parsed) else {
                damaged += u64::from(is_whole && line.trim_ascii_end() != HEAD.as_bytes());
                continue;
            };
            let Some(of) = self.sources.get_mut(source) else { continue };
            let known = of.known.get_mut();
            if known.hashes.insert(hash) {
                known.counted[kind as usize] += 1;
            }
        }
    }

    /// Takes in the names of an event that is in order; refuses it where that is a name too many, and then takes in none of them.
    pub fn admit(&self, source: &str, event: &Event, attempt: Attempt) -> Result<(), Rejection> {
        // Of a source that the project does not have nothing comes in.
        let Some((source, of)) = self.sources.get_key_value(source) else { return Ok(()) };
        let known = of.known.read();
        let is_known = self.hashes(event).all(|(_, hash)| known.hashes.contains(&hash));
        drop(known);
        if is_known {
            return Ok(());
        }
        let mut known = of.known.write();
        let mut new: Vec<(NameKind, u128)> =
            self.hashes(event).filter(|(_, hash)| !known.hashes.contains(hash)).collect();
        new.sort_unstable_by_key(|(kind, hash)| (*kind as usize, *hash));
        new.dedup();
        for kind in NameKind::ALL {
            let more = new.iter().filter(|(of, _)| *of == kind).count();
            let max = kind.max(&of.limits);
            if more > 0 && known.counted[kind as usize] + more > max {
                drop(known);
                if attempt == Attempt::First {
                    of.refuse(source, kind, max);
                }
                return Err(Rejection::TooManyNames { kind, max });
            }
        }
        for (kind, hash) in &new {
            known.hashes.insert(*hash);
            known.counted[*kind as usize] += 1;
        }
        drop(known);
        self.keep(source, &new);
        Ok(())
    }

    /// How many names of each kind a source uses.
    pub fn counts(&self, source: &str) -> Vec<NameCounts> {
        let Some(of) = self.sources.get(source) else { return Vec::new() };
        let counted = of.known.read().counted;
        let counts = |kind: NameKind| NameCounts {
            kind,
            used: counted[kind as usize] as u64,
            refused: of.refused[kind as usize].load(Ordering::Relaxed),
        };
        NameKind::ALL.into_iter().map(counts).collect()
    }

    /// The names that senders chose in an event. Hashed where they stand: nothing is copied.
    fn hashes(&self, event: &Event) -> impl Iterator<Item = (NameKind, u128)> {
        let attributes = event.attributes.iter().map(|(name, _)| (NameKind::Attribute, name.as_str()));
        let types = event.identifiers.named().iter().map(|of| (NameKind::IdentifierType, of.kind()));
        let all = std::iter::once((NameKind::Event, event.name.as_str())).chain(attributes).chain(types);
        all.map(|(kind, name)| (kind, hash(&self.key, kind, name)))
    }

    /// Writes names down.
    fn keep(&self, source: &str, new: &[(NameKind, u128)]) {
        let Some(file) = &self.file else { return };
        let lines: String = new.iter().map(|(kind, hash)| format!("{} {hash:032x} {source}\n", kind.label())).collect();
        let mut file = file.lock();
        let (file, told) = &mut *file;
        if let Err(error) = file.write_all(lines.as_bytes())
            && told.happened(Instant::now()).is_some()
        {
            tracing::warn!(%error, "the file NAMES of the data folder cannot be written: a restart forgets the newest names");
        }
    }
}

impl SourceNames {
    /// Counts an event that is refused, and says so once a minute. Not the name: it may say who somebody is.
    fn refuse(&self, source: &str, kind: NameKind, max: usize) {
        self.refused[kind as usize].fetch_add(1, Ordering::Relaxed);
        let mut told = self.told[kind as usize].lock();
        if let Some(events) = told.happened(Instant::now()) {
            let (kind, setting) = (kind.label(), kind.setting());
            tracing::warn!(
                source,
                kind,
                max,
                events,
                "events with new names are refused: the source has as many as its `{setting}`"
            );
        }
    }
}

fn hash(key: &[u8; 16], kind: NameKind, name: &str) -> u128 {
    use std::hash::Hasher;
    let mut hasher = SipHasher13::new_with_key(key);
    hasher.write_u8(kind as u8);
    hasher.write(name.as_bytes());
    hasher.finish128().as_u128()
}

/// The names that the project itself uses, and those of calls.
fn own_names(project: &Project, key: &[u8; 16]) -> FxHashSet<u128> {
    let definitions = &project.definitions;
    let mut own = FxHashSet::default();
    let mut add = |kind, name: &str| _ = own.insert(hash(key, kind, name));
    let calls = CallType::ALL.into_iter().filter(|call| *call != CallType::Track).map(CallType::meant);
    calls.for_each(|call| add(NameKind::Event, call.name()));
    for measure in &definitions.measures {
        measure.events.iter().for_each(|event| add(NameKind::Event, event.as_str()));
    }
    for forward in &definitions.forwards {
        forward.events.iter().for_each(|event| add(NameKind::Event, event.as_str()));
    }
    project.attribute_types.keys().for_each(|name| add(NameKind::Attribute, name));
    let views = definitions.destinations.iter().map(|of| &of.identifiers);
    for kind in views.chain(definitions.forwards.iter().map(|of| &of.identifiers)).flatten() {
        add(NameKind::IdentifierType, kind);
    }
    let listed = definitions.destinations.iter().map(|of| &of.traits);
    for listed in listed.chain(definitions.forwards.iter().map(|of| &of.traits)).flatten() {
        if let ListedTrait::Attribute(name) = listed {
            add(NameKind::Attribute, name);
        }
    }
    let expressions = definitions.traits.iter().map(|of| &of.expression);
    for expression in expressions.chain(definitions.audiences.iter().map(|of| &of.condition)) {
        expression.for_each_term(&mut |term| match term {
            PersonTerm::Attribute(name, _) => add(NameKind::Attribute, name),
            PersonTerm::Has(kind) => add(NameKind::IdentifierType, kind),
            _ => {}
        });
    }
    definitions.identity.known_types().iter().for_each(|kind| add(NameKind::IdentifierType, kind));
    project.origins.iter().for_each(|origin| add(NameKind::IdentifierType, &origin.kind));
    own
}

/// A line of the file: the kind, the hash, the source.
fn parsed(line: &str) -> Option<(NameKind, u128, &str)> {
    let (kind, rest) = line.strip_suffix('\n')?.split_once(' ')?;
    let (hash, source) = rest.split_once(' ')?;
    let kind = NameKind::ALL.into_iter().find(|known| known.label() == kind)?;
    let hash = (hash.len() == 32).then(|| u128::from_str_radix(hash, 16).ok()).flatten()?;
    Some((kind, hash, source))
}

#[cfg(test)]
mod tests;
