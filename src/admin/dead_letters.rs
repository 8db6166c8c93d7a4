//! `deltaic dead-letters`: what the destinations of a running engine refused for good: looked at, told once more, or forgotten.

use std::fmt::Write as _;
use std::io::Write;

use clap::Subcommand;
use compact_str::CompactString;
use dataflows::model::Tick;
use reqwest::Method;
use serde::Deserialize;

use super::caller::Caller;
use super::destination::{self, DestinationReply};
use super::table::table;
use super::{AdminError, EngineAddress};
use crate::json::TimeText;

/// What can be done with dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// Show the latest dead letters, of one destination or of all.
    List {
        /// The destination.
        name: Option<String>,
    },
    /// Show one dead letter in full; an event with its text. The output is personal data.
    Show {
        /// The destination.
        name: String,
        /// Its id, as `list` shows it.
        id: String,
    },
    /// Resend all of them.
    Retry {
        /// The destination.
        name: String,
    },
    /// Drop all of them. Changes count as delivered; events are gone.
    Purge {
        /// The destination.
        name: String,
    },
}

/// What was given up of changes.
#[derive(Debug, Deserialize)]
struct ToldLetter {
    id: u64,
    at: u64,
    error: String,
    attempts: u32,
    changes: usize,
}

/// The same of an event.
#[derive(Debug, Deserialize)]
struct ToldEventLetter {
    at: u64,
    as_of: u64,
    index: u32,
    error: String,
    attempts: u32,
}

#[derive(Debug, Deserialize)]
struct ToldLetters {
    dead_letters: Vec<ToldLetter>,
    events: Option<Vec<ToldEventLetter>>,
}

/// Does what is asked for, and writes what came of it to `out`.
pub async fn run(
    engine: EngineAddress,
    command: DeadLettersCommand,
    token: Option<String>,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let caller = Caller::new(engine, token)?;
    let call = async |method, path: &[&str]| caller.call(method, &[&["destinations"], path].concat(), &[], None).await;
    match &command {
        DeadLettersCommand::List { name } => {
            let names: Vec<CompactString> = match name {
                Some(name) => vec![name.as_str().into()],
                None => destination::all(&caller).await?.into_iter().map(|told| told.name).collect(),
            };
            let mut all = Vec::with_capacity(names.len());
            for name in names {
                let answer = call(Method::GET, &[&name, "dead-letters"]).await?;
                all.push((name, serde_json::from_value(answer)?));
            }
            out.write_all(listed(&all).as_bytes())?;
        }
        DeadLettersCommand::Show { name, id } => {
            let letter = call(Method::GET, &[name, "dead-letters", id]).await?;
            writeln!(out, "{}", serde_json::to_string_pretty(&letter)?)?;
        }
        DeadLettersCommand::Retry { name } => {
            let answer = call(Method::POST, &[name, "dead-letters", "retry"]).await?;
            out.write_all(destination::shown(&[serde_json::from_value::<DestinationReply>(answer)?]).as_bytes())?;
        }
        DeadLettersCommand::Purge { name } => {
            let answer = call(Method::DELETE, &[name, "dead-letters"]).await?;
            out.write_all(destination::shown(&[serde_json::from_value::<DestinationReply>(answer)?]).as_bytes())?;
        }
    }
    Ok(())
}

/// A line for each letter.
fn listed(all: &[(CompactString, ToldLetters)]) -> String {
    let mut lines = vec![["destination", "id", "at", "what", "attempts", "error"].map(str::to_owned)];
    let time = |ms: u64| TimeText(Tick::from_ms(ms)).to_string();
    for (name, ToldLetters { dead_letters, events }) in all {
        for ToldLetter { id, at, error, attempts, changes } in dead_letters {
            let mut what = format!("{changes} change");
            if *changes != 1 {
                what.push('s');
            }
            lines.push([name.to_string(), id.to_string(), time(*at), what, attempts.to_string(), error.clone()]);
        }
        for ToldEventLetter { at, as_of, index, error, attempts } in events.iter().flatten() {
            let id = format!("{as_of}-{index}");
            lines.push([name.to_string(), id, time(*at), "an event".to_owned(), attempts.to_string(), error.clone()]);
        }
    }
    let mut text = table(&lines);
    if lines.len() == 1 {
        text.clear();
        _ = writeln!(text, "no dead letters");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_a_table() {
        let letters = |json: &str| serde_json::from_str::<ToldLetters>(json).unwrap();
        let crm = letters(
            r#"{"dead_letters": [{"id": 7, "at": 1700000000000, "as_of": 1, "error": "no", "answer": "", "attempts": 5, "changes": 1,
                "profiles": []}], "events": [{"at": 1700000000001, "as_of": 17, "index": 3, "error": "the endpoint answered 400",
                "answer": "", "attempts": 1, "bytes": 7}]}"#,
        );
        let expected = "\
destination  id    at                        what      attempts  error
crm          7     2023-11-14T22:13:20Z      1 change  5         no
crm          17-3  2023-11-14T22:13:20.001Z  an event  1         the endpoint answered 400
";
        assert_eq!(listed(&[("crm".into(), crm), ("ads".into(), letters(r#"{"dead_letters": []}"#))]), expected);
        assert_eq!(listed(&[]), "no dead letters\n");
    }
}
