//! Checkpoints: what the log says up to a tick, consolidated, so that a start costs what there is to know and not how long it
//! took to happen.
//!
//! A checkpoint holds the facts of each identifier (`dataflows::facts`). The ids of messages that are still recognised are in runs
//! beside it ([`crate::dedupe`]), which go up to its tick at least; in a cluster, in those of their owners ([`crate::owners`]). The
//! next one is made of the one before and the log after it, on a thread of its own: the dataflow takes no part, so it does not
//! stall, and nothing of how it runs (workers, processes, batches) can get into a checkpoint.
//!
//! - `file`: how a checkpoint is written.
//! - [`CheckpointList`]: which there are; the last two.
//! - [`Gatherer`]: makes one from the log.
//! - [`RecoveryPlan`]: what a start can use, and what it lacks.
//! - [`Checkpointer`]: makes them while the engine runs, and drops what is not needed any more of the log.

mod checkpointer;
mod file;
mod kept;
mod make;
mod plan;
pub(crate) mod preallocate;
mod repeated;
mod salvage;
#[cfg(test)]
mod tests;
mod without;

pub use checkpointer::{Checkpointer, CheckpointerSettings, Growth, MayBeOf, SealIds};
pub use file::{CheckpointCounts, CheckpointFileError, CheckpointPiece, MessageIds};
pub use kept::{CheckpointList, Pieces};
pub use make::Gatherer;
pub use plan::{PastSources, RecoveryPlan, Restore, StartPlan, begins};
pub use repeated::{FormerLog, Repeated};
pub use salvage::salvage;

use std::path::PathBuf;

use dataflows::definitions::Definitions;
use dataflows::model::{Identifier, Tick, ValueType};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::StoreError;
use crate::history::HistoryError;
use crate::project::{ContextTraits, Project};

/// What facts depend on, beside the measures: under another basis they would be others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// The key of the identifier hash, as a hash, and the rules of identity.
    identity: String,
    /// Attributes whose texts are times, sorted.
    times: Vec<String>,
    /// The purposes of consent that there were, sorted; checkpoints that do not say have all that anybody decided on.
    #[serde(default)]
    purposes: Option<Vec<String>>,
    /// Attributes that objects add to, sorted; none where a checkpoint does not say.
    #[serde(default)]
    merged: Vec<String>,
    /// What events mean, as far as the program decides it: see [`MEANING`]. Checkpoints that do not say are of the first meaning.
    #[serde(default)]
    meaning: u32,
}

/// Counts up with each change of the program after which the same events say something else: then they are read anew.
///
/// 1: nothing is from the future, a decision on consent never travels, identifiers, names and decisions are read otherwise, numbers and
/// types are what was written, and a write to an attribute is one to all below it. 2: an alias creates no identifier, joins what other
/// events carry, and from trusted sources people too; `timestamp` wins over `originalTimestamp`, numbers are seconds to nanoseconds by
/// their size, times are read from numbers as texts and from RFC 2822, and as values from numbers and before 1970. 3: the grid of the
/// ends of windows is shifted for each identifier; identities have limits.
const MEANING: u32 = 3;

/// The meaning from which on a field has its type in each use of it, and not one in all of a project.
const TYPED_IN_EACH_USE: u32 = 2;

impl Basis {
    /// The basis under `project`.
    pub fn of(project: &Project) -> Self {
        let times = project.attribute_types.iter().filter(|(_, kind)| **kind == ValueType::Time);
        Basis {
            merged: project.merged_attributes.iter().map(ToString::to_string).collect(),
            identity: format!("{}{}{}", key_of(project), project.definitions.identity.signature(), origins_of(project)),
            purposes: Some(project.purposes.iter().map(ToString::to_string).collect()),
            times: times.map(|(name, _)| name.to_string()).collect(),
            meaning: MEANING,
        }
    }

    /// Why facts on this basis are not what they would be on that of `today`, as far as it concerns what was set on people.
    fn lacks(&self, today: &Basis) -> Vec<String> {
        let is_new = |purpose: &&String| self.purposes.as_ref().is_some_and(|known| !known.contains(purpose));
        let purpose = today.purposes.iter().flatten().find(is_new);
        let lacks = [
            purpose.map(|purpose| format!("the checkpoint has no decisions on the purpose `{purpose}`")),
            (self.times != today.times).then(|| "other attributes are times than in the checkpoint".to_owned()),
            (self.merged != today.merged)
                .then(|| "objects are merged in other attributes than in the checkpoint".to_owned()),
        ];
        lacks.into_iter().flatten().collect()
    }
}

/// Where identifiers come from, where the project says so.
fn origins_of(project: &Project) -> String {
    let full = project.sources.iter().filter(|source| source.context_traits == ContextTraits::Full);
    let full = full.map(|source| format!("; context.traits as in identify calls from {:?}", source.name));
    let trusted = project.sources.iter().filter(|source| source.trusted);
    let trusted = trusted.map(|source| format!("; aliases of two people from {:?}", source.name));
    project.origins.iter().map(|origin| format!("; {origin}")).chain(full).chain(trusted).collect()
}

/// The key of the identifier hash, as a hash, as a basis begins with it.
fn key_of(project: &Project) -> String {
    format!("key {}; ", Identifier::new(&project.identifier_key, "", "basis of facts").id())
}

/// What the measures mean, by id.
fn signatures(definitions: &Definitions) -> Vec<String> {
    definitions.measures.iter().map(|measure| measure.signature(definitions)).collect()
}

/// Why a start cannot use what there is.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// A file that is listed is not there, or has another size.
    #[error(
        "checkpoint {file} {found}: restore it from a copy; or delete its line in {list} to start from what is before it (an \
         older checkpoint, or the log, if that is complete)"
    )]
    Missing {
        /// The file.
        file: PathBuf,
        /// What was found in its place.
        found: String,
        /// The list.
        list: PathBuf,
    },
    /// A file is damaged.
    #[error(
        "checkpoint {file} is damaged: {source}; restore it from a copy; or delete its line in {list} to start from what is \
         before it (an older checkpoint, or the log, if that is complete)"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: CheckpointFileError,
        /// The list.
        list: PathBuf,
    },
    /// There are files, and no list of them.
    #[error(
        "{list} is missing or empty, and there are {files} files in {folder}: they may be the only copy of what is older than the \
         log, and were left as they are; restore {list} from a copy, make it anew with `deltaic log repair`, or write `none` into \
         it to start without them"
    )]
    Unlisted {
        /// The list.
        list: PathBuf,
        /// Where the files are.
        folder: PathBuf,
        /// How many.
        files: usize,
    },
    /// The list cannot be read as one.
    #[error(
        "{list}, line {line}: expected the tick, bytes, identifiers and name of a checkpoint; restore it from a copy"
    )]
    List {
        /// The list.
        list: PathBuf,
        /// Which line.
        line: usize,
    },
    /// The list, or a file, cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Facts are to be gathered anew, and not all events are kept that they came from.
    #[error(
        "an event cannot be taken back: what came up to tick {begins} is neither in the history nor in the log, and without it \
         what is known of its people cannot be gathered anew; nothing was changed"
    )]
    OutOfReach {
        /// What is at or before this tick is gone.
        begins: Tick,
    },
    /// What is needed is not kept any more.
    #[error(
        "{what}; log and history begin after tick {begins} and what came before is not kept in a form that serves: undo the \
         change, or start with --accept-partial to go on with what there is"
    )]
    Gone {
        /// What cannot be rebuilt.
        what: String,
        /// What is at or before this tick is gone.
        begins: Tick,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The history cannot be read or written.
    #[error(transparent)]
    History(#[from] HistoryError),
}
