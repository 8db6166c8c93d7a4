//! `deltaic destination`: asks a running engine how its destinations are doing, and orders what operators wish of them.

use std::io::Write;
use std::time::Duration;

use clap::Subcommand;
use compact_str::CompactString;
use reqwest::Method;
use serde::Deserialize;
use tokio::time::sleep;

use super::caller::Caller;
use super::table::table;
use super::{AdminError, EngineAddress};

/// How often it is looked whether a destination has nothing any more.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What can be done with destinations.
#[derive(Clone, Debug, Subcommand)]
pub enum DestinationCommand {
    /// Show all destinations.
    List,
    /// Pause a destination: no call begins until it is resumed.
    Pause {
        /// The destination.
        name: String,
    },
    /// Resume a destination.
    Resume {
        /// The destination.
        name: String,
    },
    /// Resync a destination: deliver all of its audiences again. Events are not sent again.
    Resync {
        /// The destination.
        name: String,
    },
    /// Give up the failing calls to a destination: what they carry becomes dead letters, and what waits behind them is delivered.
    Skip {
        /// The destination.
        name: String,
    },
    /// Its address has changed, and nothing is there yet: deliver everything.
    AsNew {
        /// The destination.
        name: String,
    },
    /// Its address has changed, and what it confirmed is there: deliver what is new.
    AsMoved {
        /// The destination.
        name: String,
    },
    /// Retire a destination: delete everything it holds, and wait for that. Do this before you remove it from the project. Its events wait.
    Retire {
        /// The destination.
        name: String,
        /// Undo: deliver to it again.
        #[arg(long)]
        undo: bool,
    },
}

/// A destination, as the engine tells of it.
#[derive(Debug, Deserialize)]
pub(super) struct DestinationReply {
    pub(super) name: CompactString,
    state: CompactString,
    desired: u64,
    acknowledged: u64,
    pending: u64,
    resync: u64,
    oldest_pending_ms: Option<u64>,
    dead_letters: u64,
    failed_calls: u64,
    last_error: Option<String>,
    held: Option<String>,
    events: Option<ToldEvents>,
}

impl DestinationReply {
    /// Whether it has nothing, and is not to be told anything.
    fn is_empty(&self) -> bool {
        (self.acknowledged, self.pending, self.resync, self.dead_letters) == (0, 0, 0, 0)
    }
}

/// The same of its events.
#[derive(Debug, Deserialize)]
struct ToldEvents {
    acknowledged: u64,
    pending: u64,
    oldest_pending_ms: Option<u64>,
    dead_letters: u64,
    failed_calls: u64,
    withheld: u64,
    last_error: Option<String>,
}

/// Does what is asked for; writes to `out` how those that it is about are doing then.
pub async fn run(
    engine: EngineAddress,
    command: DestinationCommand,
    token: Option<String>,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let caller = Caller::new(engine, token)?;
    let (name, order) = match &command {
        DestinationCommand::List => return Ok(out.write_all(shown(&all(&caller).await?).as_bytes())?),
        DestinationCommand::Pause { name } => (name, "pause"),
        DestinationCommand::Resume { name } => (name, "resume"),
        DestinationCommand::Resync { name } => (name, "resync"),
        DestinationCommand::Skip { name } => (name, "skip"),
        DestinationCommand::AsNew { name } => (name, "as-new"),
        DestinationCommand::AsMoved { name } => (name, "as-moved"),
        DestinationCommand::Retire { name, undo: false } => (name, "retire"),
        DestinationCommand::Retire { name, undo: true } => (name, "unretire"),
    };
    let answer = caller.call(Method::POST, &["destinations", name, order], &[], None).await?;
    let mut told = serde_json::from_value(answer)?;
    if order == "retire" {
        told = until_empty(&caller, name).await?;
    }
    Ok(out.write_all(shown(&[told]).as_bytes())?)
}

const COLUMNS: usize = 10;

/// All destinations.
pub(super) async fn all(caller: &Caller) -> Result<Vec<DestinationReply>, AdminError> {
    #[derive(Deserialize)]
    struct DestinationsReply {
        destinations: Vec<DestinationReply>,
    }
    let answer = caller.call(Method::GET, &["destinations"], &[], None).await?;
    let DestinationsReply { destinations } = serde_json::from_value(answer)?;
    Ok(destinations)
}

/// Waits until a destination that is retired has nothing any more.
async fn until_empty(caller: &Caller, name: &str) -> Result<DestinationReply, AdminError> {
    loop {
        let told: DestinationReply =
            serde_json::from_value(caller.call(Method::GET, &["destinations", name], &[], None).await?)?;
        if told.state != "retired" || told.is_empty() {
            return Ok(told);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// A line for each destination and for its events, under a line of headings.
pub(super) fn shown(all: &[DestinationReply]) -> String {
    const HEADINGS: [&str; COLUMNS] =
        ["name", "state", "desired", "acknowledged", "pending", "oldest", "resync", "dead", "withheld", "failed calls"];
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    let mut errors = String::new();
    let age = |ms: Option<u64>| ms.map_or("-".to_owned(), |ms| format!("{ms} ms"));
    for told in all {
        let counts = [told.desired, told.acknowledged, told.pending, told.resync, told.dead_letters, told.failed_calls];
        let [desired, acknowledged, pending, resync, dead, failed] = counts.map(|count| count.to_string());
        let (name, state) = (told.name.to_string(), told.state.to_string());
        // What consent takes from changes was never desired.
        let (oldest, withheld) = (age(told.oldest_pending_ms), "-".to_owned());
        lines.push([name, state, desired, acknowledged, pending, oldest, resync, dead, withheld, failed]);
        if let Some(error) = &told.last_error {
            errors += &format!("{}: the latest error: {error}\n", told.name);
        }
        if let Some(held) = &told.held {
            errors += &format!("{}: nothing is delivered: {held}\n", told.name);
        }
        let Some(events) = &told.events else { continue };
        let counts = [events.acknowledged, events.pending, events.dead_letters, events.withheld, events.failed_calls];
        let [acknowledged, pending, dead, withheld, failed] = counts.map(|count| count.to_string());
        let (name, oldest) = ("  events".to_owned(), age(events.oldest_pending_ms));
        // Events are not desired for good, and are not told again by a resync.
        let none = || "-".to_owned();
        lines.push([name, String::new(), none(), acknowledged, pending, oldest, none(), dead, withheld, failed]);
        if let Some(error) = &events.last_error {
            errors += &format!("{}: the latest error with events: {error}\n", told.name);
        }
    }
    table(&lines) + &errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_a_table() {
        let told: [DestinationReply; 2] = serde_json::from_str(
            r#"[{"name": "crm", "state": "paused", "desired": 12, "acknowledged": 10, "pending": 2, "resync": 0,
                "oldest_pending_ms": 1500, "frontier": 1, "dead_letters": 0, "failed_calls": 3, "given_up": 0,
                "last_error": "the endpoint answered 500 Internal Server Error",
                "events": {"pending": 7, "oldest_pending_ms": 90, "acknowledged": 41, "dead_letters": 2, "failed_calls": 1, "given_up": 2,
                           "withheld": 3, "last_error": "the endpoint answered 400 Bad Request"}},
               {"name": "ads", "state": "delivering", "desired": 0, "acknowledged": 0, "pending": 0, "resync": 0,
                "oldest_pending_ms": null, "frontier": 1, "dead_letters": 0, "failed_calls": 0, "given_up": 0,
                "last_error": null}]"#,
        )
        .unwrap();
        let expected = "\
name      state       desired  acknowledged  pending  oldest   resync  dead  withheld  failed calls
crm       paused      12       10            2        1500 ms  0       0     -         3
  events              -        41            7        90 ms    -       2     3         1
ads       delivering  0        0             0        -        0       0     -         0
crm: the latest error: the endpoint answered 500 Internal Server Error
crm: the latest error with events: the endpoint answered 400 Bad Request
";
        assert_eq!(shown(&told), expected);
    }
}
