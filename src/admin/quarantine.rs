//! `deltaic quarantine`: looks at what a running engine has rejected, tries it again, or deletes it.

mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use self::shown::{list, show};
use super::caller::{Caller, WORK_MAX};
use super::{AdminError, EngineAddress};

/// How often a retry waits for an engine that is behind, a second at a time.
const WAITS_MAX: usize = 60;

/// What can be done with rejected events.
#[derive(Clone, Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List rejected events, oldest first: number, time, source, code, bytes.
    List {
        /// Only entries after this one.
        #[arg(long, value_name = "ID", default_value_t = 0)]
        after: u64,
        /// The most entries to list.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        /// Only entries with this code.
        #[arg(long)]
        code: Option<String>,
    },
    /// Show an entry and what was sent. The output is personal data.
    Show {
        /// Its number.
        id: u64,
    },
    /// Retry entries: what is accepted now leaves the quarantine, the rest stays. Nothing counts twice.
    Retry {
        /// Which entries.
        #[command(flatten)]
        which: EntryArguments,
    },
    /// Delete entries.
    Purge {
        /// Which entries.
        #[command(flatten)]
        which: EntryArguments,
        /// All entries before this one.
        #[arg(long, value_name = "ID", conflicts_with_all = ["ids", "all"])]
        before: Option<u64>,
    },
}

/// Which entries.
#[derive(Args, Clone, Debug)]
pub struct EntryArguments {
    /// Their numbers.
    #[arg(value_name = "ID")]
    ids: Vec<u64>,
    /// All of them.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// All of this code.
    #[arg(long, conflicts_with = "ids")]
    code: Option<String>,
}

/// Does what is asked for; writes the result to `out`.
pub async fn run(
    engine: EngineAddress,
    command: QuarantineCommand,
    token: Option<String>,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let caller = Caller::new(engine, token)?;
    match command {
        QuarantineCommand::List { after, limit, code } => {
            let mut query = vec![("after", after.to_string()), ("limit", limit.to_string())];
            query.extend(code.map(|code| ("code", code)));
            list(&caller.call(Method::GET, &["quarantine"], &query, None).await?, out)
        }
        QuarantineCommand::Show { id } => {
            let entry = caller.call(Method::GET, &["quarantine", &id.to_string()], &[], None).await?;
            show(&entry, io::stdout().is_terminal(), out)
        }
        QuarantineCommand::Retry { which } => retry(&caller, which, out).await,
        QuarantineCommand::Purge { which: EntryArguments { ids, all, code }, before } => {
            let mut query = Vec::new();
            if !ids.is_empty() {
                query.push(("ids", ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",")));
            }
            query.extend(all.then(|| ("all", "true".to_owned())));
            query.extend(before.map(|before| ("before", before.to_string())));
            query.extend(code.map(|code| ("code", code)));
            if query.is_empty() {
                return Err(AdminError::Nothing);
            }
            let answer = caller.call(Method::DELETE, &["quarantine"], &query, None).await?;
            let removed = answer["removed"].as_u64().unwrap_or_default();
            if removed > 0 || !ids.is_empty() {
                writeln!(out, "{removed} entries are deleted")?;
            }
            are_there(&ids, removed, out)
        }
    }
}

/// Retries, as many calls as it takes.
async fn retry(caller: &Caller, which: EntryArguments, out: &mut impl Write) -> Result<(), AdminError> {
    let mut body = match &which {
        EntryArguments { ids, all: false, code: None } if !ids.is_empty() => json!({ "ids": ids }),
        EntryArguments { all: true, code: None, .. } => json!({"all": true}),
        EntryArguments { code: Some(code), .. } => json!({ "code": code }),
        _ => return Err(AdminError::Nothing),
    };
    let (mut sums, mut waits, mut reasons) = ([0; 4], 0, BTreeMap::<String, u64>::new());
    const KEYS: [&str; 4] = ["removed", "accepted", "duplicates", "failed"];
    loop {
        let answer = match caller.call_within(WORK_MAX, Method::POST, &["quarantine", "retry"], &[], Some(&body)).await
        {
            Err(AdminError::Refused { status: 429 | 503, .. }) if waits < WAITS_MAX => {
                waits += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            answer => answer?,
        };
        sums.iter_mut().zip(KEYS).for_each(|(sum, key)| *sum += answer[key].as_u64().unwrap_or_default());
        for (reason, count) in answer["reasons"].as_object().into_iter().flatten() {
            *reasons.entry(reason.clone()).or_default() += count.as_u64().unwrap_or_default();
        }
        let next = answer["next"].as_u64();
        match (next, body.get_mut("ids")) {
            (None, _) => break,
            (Some(_), Some(_)) => {
                let message = "the engine is behind, and has not retried all of these: try again".to_owned();
                return Err(AdminError::Refused { status: 429, message });
            }
            (Some(next), None) => {
                body["after"] = next.into();
                // What is rejected from now on was not meant.
                if body.get("until").is_none() {
                    body["until"] = answer["newest"].clone();
                }
            }
        }
    }
    let [removed, accepted, duplicates, failed] = sums;
    let found = removed + failed;
    if found > 0 || !which.ids.is_empty() {
        writeln!(
            out,
            "{removed} entries are gone: {accepted} events accepted, {duplicates} of them were there before"
        )?;
        writeln!(out, "{failed} entries are still wrong: they stay")?;
    }
    for (reason, count) in reasons {
        writeln!(out, "  {count} {reason}")?;
    }
    are_there(&which.ids, found, out)
}

/// Says where nothing was meant. Who names entries by their numbers takes them to be there, so it is an error where one is not; of all, or of a
/// code, there may be none.
fn are_there(ids: &[u64], found: u64, out: &mut impl Write) -> Result<(), AdminError> {
    let named = ids.iter().collect::<BTreeSet<_>>().len() as u64;
    if found < named {
        return Err(AdminError::NoEntry { missing: named - found, named });
    }
    if found == 0 {
        writeln!(out, "no entries match: nothing was done")?;
    }
    Ok(())
}
