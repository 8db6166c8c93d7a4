//! How a replay went: said at its end, and written beside its results, with all that it takes to repeat it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dataflows::model::Tick;
use serde::{Serialize, Serializer};

use super::{ReplayError, ReplayOptions};
use crate::history::HistoryAddress;
use crate::json::TimeText;
use crate::project::Project;

/// What the name of the file ends in that says how a result came to be; before it there is the name of the result.
const ENDING: &str = ".replay.json";

/// How a replay went.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// What was taken for now, if anything was.
    pub now: Option<Tick>,
    /// Events that were replayed.
    pub events: u64,
    /// Events that were there before.
    pub duplicates: u64,
    /// Events that are later than the end that was asked for.
    pub later: u64,
    /// Lines that were wrong, by code.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Events of which something is to be told, by code.
    pub warnings: BTreeMap<&'static str, u64>,
    /// The tick that the result is of; none in a process that only helps.
    pub as_of: Option<Tick>,
    /// How long it took.
    pub elapsed: Duration,
    /// The size of each audience at the end, by name; empty unless members or profiles were asked for.
    pub sizes: BTreeMap<String, usize>,
}

impl Summary {
    /// Whether there were lines, and not one of them was right: that is no replay.
    pub fn is_all_rejected(&self) -> bool {
        self.events + self.duplicates + self.later == 0 && !self.rejected.is_empty()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let Some(as_of) = self.as_of else {
            return writeln!(f, "helped for {seconds:.1} s");
        };
        let (events, per_second) = (self.events, self.events as f64 / seconds);
        writeln!(f, "{events} events in {seconds:.1} s ({per_second:.0} a second), as of {}", TimeText(as_of))?;
        if let Some(now) = self.now {
            writeln!(f, "taken for now: {} (--now)", TimeText(now))?;
        }
        if self.duplicates > 0 {
            writeln!(f, "{} duplicates", self.duplicates)?;
        }
        if self.later > 0 {
            writeln!(f, "{} events after --until, left out", self.later)?;
        }
        for (code, count) in &self.rejected {
            writeln!(f, "{count} lines rejected: {code}")?;
        }
        for (code, count) in &self.warnings {
            writeln!(f, "{count} events with a warning: {code}")?;
        }
        for (audience, size) in &self.sizes {
            writeln!(f, "{audience}: {size} members")?;
        }
        Ok(())
    }
}

/// What is written beside a result.
#[derive(Serialize)]
struct SummaryJson<'a> {
    version: &'static str,
    project: &'a str,
    files: &'a [PathBuf],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    histories: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "in_words")]
    from: Option<Tick>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "in_words")]
    now: Option<Tick>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "in_words")]
    until: Option<Tick>,
    #[serde(serialize_with = "in_words")]
    as_of: Option<Tick>,
    events: u64,
    duplicates: u64,
    later: u64,
    rejected: &'a BTreeMap<&'static str, u64>,
    warnings: &'a BTreeMap<&'static str, u64>,
}

fn in_words<S: Serializer>(tick: &Option<Tick>, to: S) -> Result<S::Ok, S::Error> {
    match tick {
        Some(tick) => to.collect_str(&TimeText(*tick)),
        None => to.serialize_none(),
    }
}

/// Writes beside each result that is a file how it came to be.
pub(super) fn write(summary: &Summary, project: &Project, options: &ReplayOptions) -> Result<(), ReplayError> {
    if summary.as_of.is_none() {
        return Ok(());
    }
    let recorded = options.recorded.as_ref();
    let named = |history: &HistoryAddress| match history {
        HistoryAddress::Folder(folder) => folder.display().to_string(),
        HistoryAddress::Bucket(settings) => settings.url.to_string(),
    };
    let histories = recorded.map(|recorded| recorded.histories.iter().map(named).collect());
    let written = SummaryJson {
        version: env!("CARGO_PKG_VERSION"),
        project: &project.name,
        files: recorded.map_or(&options.events, |recorded| &recorded.dumps),
        histories: histories.unwrap_or_default(),
        from: recorded.map(|recorded| recorded.from).filter(|from| *from > Tick::default()),
        now: summary.now,
        until: options.until,
        as_of: summary.as_of,
        events: summary.events,
        duplicates: summary.duplicates,
        later: summary.later,
        rejected: &summary.rejected,
        warnings: &summary.warnings,
    };
    let results = [&options.changes, &options.identities, &options.memberships, &options.profiles];
    // Not beside a terminal, a pipe, or what takes everything and keeps nothing.
    for result in results.into_iter().flatten().filter(|result| result.is_file()) {
        let path = beside(result);
        let text = serde_json::to_string_pretty(&written).map_err(io::Error::from);
        let done = text.and_then(|text| std::fs::write(&path, text + "\n"));
        done.map_err(|source| ReplayError::Write { path, source })?;
    }
    Ok(())
}

fn beside(result: &Path) -> PathBuf {
    let mut name: OsString = result.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}
