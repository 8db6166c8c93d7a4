//! How the catalogue is written down:
//!
//! ```text
//! deltaic catalogue, version 1
//! next 7
//! 1 audience 2 00112233445566778899aabbccddeeff "regulars"
//! teller 2 "crm"
//! checksum 0123456789abcdef
//! ```
//!
//! A line has the id, kind, version, meaning (XXH3-128 of its text) and name (as JSON) of a definition. In a cluster lines follow that
//! say which process tells which destination; the file is then of version 2. Where there are triggers it is of version 3, and has lines that
//! say since which tick one is in force: `trigger 1795302821498 "cart_reminder"`. The checksum is XXH3-64 of all before it.

use std::fmt::Display;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use dataflows::model::Tick;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::{Catalogue, Catalogued, DefinitionId, DefinitionKind};
use crate::limits::CATALOGUE_BYTES_MAX;
use crate::log::write_whole;

const HEAD: &str = "deltaic catalogue, version ";

/// The version of the file.
const VERSION: &str = "1";

/// The same where it says who tells which destination.
const VERSION_WITH_TELLERS: &str = "2";

/// The same where it has triggers.
const VERSION_WITH_TRIGGERS: &str = "3";

const VERSIONS: [&str; 3] = [VERSION, VERSION_WITH_TELLERS, VERSION_WITH_TRIGGERS];

/// What a line begins with that says who tells which destination.
const TELLER: &str = "teller ";

/// What a line begins with that says since when a trigger is in force.
const TRIGGER: &str = "trigger ";

/// What is wrong with a catalogue.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// The file is not as it was written.
    #[error(
        "catalogue {file} is damaged: {reason}; restore it from a copy (it has the ids of all definitions, which are given once and \
         cannot be told from the project)"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is none, and there was one.
    #[error(
        "catalogue {file} is missing: it has the ids of all definitions, which are given once and cannot be told from the project; \
         restore it from a copy, or start with --accept-partial to give new ones, which then may have meant something else before"
    )]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// A later version of deltaic wrote it.
    #[error(
        "catalogue {file} has the version {found:?}, which this version of deltaic does not know: run the version that wrote it"
    )]
    Version {
        /// The file.
        file: PathBuf,
        /// What it says.
        found: String,
    },
    /// It cannot be read or written.
    #[error("catalogue {file}: {source}")]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// All ids were given.
    #[error("all ids of definitions, or all versions of one, were given: begin with another data folder")]
    Exhausted,
}

/// Where it is in a data folder.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("CATALOGUE")
}

impl Catalogue {
    /// Refuses a catalogue that is damaged; and where `is_expected`, one that is missing.
    pub fn check(folder: &Path, is_expected: bool) -> Result<(), CatalogueError> {
        match Catalogue::read(folder)? {
            None if is_expected => Err(CatalogueError::Missing { file: path(folder) }),
            _ => Ok(()),
        }
    }

    /// Reads that of a data folder; nothing where there is none yet.
    pub fn read(folder: &Path) -> Result<Option<Self>, CatalogueError> {
        let file = path(folder);
        let io = |source| CatalogueError::Io { file: file.clone(), source };
        let damaged = |reason: &str| CatalogueError::Damaged { file: file.clone(), reason: reason.to_owned() };
        let bytes = match fs::metadata(&file) {
            Ok(found) if found.len() > CATALOGUE_BYTES_MAX => return Err(damaged("it is larger than any can be")),
            Ok(_) => fs::read(&file).map_err(io)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is no text"))?;
        if let Some(found) =
            text.lines().next().and_then(|line| line.strip_prefix(HEAD)).filter(|found| !VERSIONS.contains(found))
        {
            return Err(CatalogueError::Version { file, found: found.to_owned() });
        }
        Self::parse(text).map(Some).map_err(|reason| damaged(&reason))
    }

    /// Writes it into a data folder, whole or not at all; on the disk when this returns.
    pub fn write(&self, folder: &Path) -> Result<(), CatalogueError> {
        let file = path(folder);
        write_whole(&file, self.to_text().as_bytes()).map_err(|source| CatalogueError::Io { file, source })
    }

    /// As it is written.
    pub(super) fn to_text(&self) -> String {
        let mut lines: Vec<(DefinitionId, String)> =
            self.iter().map(|(kind, name, of)| (of.id, line(kind, name, of))).collect();
        lines.sort_unstable();
        let lines: String = lines.into_iter().map(|(_, line)| line).collect();
        let version = match (self.in_force.is_empty(), self.tellers.is_empty()) {
            (false, _) => VERSION_WITH_TRIGGERS,
            (true, false) => VERSION_WITH_TELLERS,
            (true, true) => VERSION,
        };
        let tellers: String = self.tellers.iter().map(|of| named_line(TELLER, of)).collect();
        let triggers: String = self.in_force.iter().map(|of| named_line(TRIGGER, of)).collect();
        let text = format!("{HEAD}{version}\nnext {}\n{lines}{tellers}{triggers}", self.next);
        let checksum = xxh3_64(text.as_bytes());
        format!("{text}checksum {checksum:016x}\n")
    }

    /// From what was written; says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let body = text.strip_suffix('\n').ok_or("its end is missing")?;
        let at = body.rfind('\n').ok_or("its end is missing")? + 1;
        let checksum = body[at..].strip_prefix("checksum ").ok_or("its end is missing")?;
        if checksum != format!("{:016x}", xxh3_64(&text.as_bytes()[..at])) {
            return Err("its checksum is another one".to_owned());
        }
        let mut lines = body[..at].lines();
        let version = lines.next().and_then(|line| line.strip_prefix(HEAD)).ok_or("it does not begin as one")?;
        if !VERSIONS.contains(&version) {
            return Err(format!("its version is {version:?}"));
        }
        let next = lines.next().and_then(|line| line.strip_prefix("next ")).and_then(|next| next.parse().ok());
        let mut catalogue = Catalogue { next: next.ok_or("it does not tell the next id")?, ..Catalogue::default() };
        let mut latest = DefinitionId(0);
        for (text, number) in lines.zip(3..) {
            if let Some((name, process)) = (version != VERSION).then(|| named(TELLER, text)).flatten() {
                if catalogue.tellers.insert(name, process).is_some() {
                    return Err(format!("line {number}: the destination is there twice"));
                }
                continue;
            }
            if let Some((name, since)) = (version == VERSION_WITH_TRIGGERS).then(|| named(TRIGGER, text)).flatten() {
                if catalogue.in_force.insert(name, Tick::from_ms(since)).is_some() {
                    return Err(format!("line {number}: the trigger is there twice"));
                }
                continue;
            }
            let (key, of) = definition(text).ok_or_else(|| format!("line {number} is no definition"))?;
            if of.id <= latest || of.id.0 >= catalogue.next {
                return Err(format!("line {number}: id {} is not between those around it", of.id));
            }
            latest = of.id;
            if catalogue.by_name.insert(key, of).is_some() {
                return Err(format!("line {number}: the definition is there twice"));
            }
        }
        Ok(catalogue)
    }
}

fn line(kind: DefinitionKind, name: &str, Catalogued { id, version, meaning }: Catalogued) -> String {
    format!("{id} {} {version} {meaning:032x} {}\n", kind.name(), serde_json::Value::from(name))
}

/// The line of this kind that has a number for a name.
fn named_line(kind: &str, (name, number): (&String, impl Display)) -> String {
    format!("{kind}{number} {}\n", serde_json::Value::from(&**name))
}

/// A name, and the number that a line of this kind has for it.
fn named<N: FromStr>(kind: &str, line: &str) -> Option<(String, N)> {
    let (number, name) = line.strip_prefix(kind)?.split_once(' ')?;
    Some((serde_json::from_str(name).ok()?, number.parse().ok()?))
}

fn definition(line: &str) -> Option<((DefinitionKind, String), Catalogued)> {
    let mut words = line.splitn(5, ' ');
    let id = DefinitionId(words.next()?.parse().ok()?);
    let kind = words.next()?;
    let kind = DefinitionKind::ALL.into_iter().find(|known| known.name() == kind)?;
    let version = words.next()?.parse().ok().filter(|version| *version > 0)?;
    let meaning = u128::from_str_radix(words.next()?, 16).ok()?;
    let name = serde_json::from_str(words.next()?).ok()?;
    Some(((kind, name), Catalogued { id, version, meaning }))
}
