//! `deltaic destination`: asks a running engine how its destinations are doing, and orders them to pause, resume or resync.

use std::time::Duration;

use compact_str::CompactString;
use reqwest::{Client, Method, Url};
use serde::Deserialize;
use thiserror::Error;

use crate::egress::client;

/// The environment variable with the admin token: what is an argument is seen by all who list processes.
const TOKEN_VARIABLE: &str = "DELTAIC_ADMIN_TOKEN";

/// How long an answer may take: an order waits for a disk.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// How all of them are doing.
    List,
    /// An order to one of them: `pause`, `resume` or `resync`.
    Order {
        /// The word, as in the address.
        order: &'static str,
        /// The destination.
        name: String,
    },
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum DestinationError {
    /// Nobody says who asks.
    #[error("there is no admin token: set {TOKEN_VARIABLE} to one of `admin_tokens` of the project")]
    NoToken,
    /// The address is none.
    #[error("cannot read the url {url:?}: {reason}; expected one such as http://127.0.0.1:8080")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine was not reached, or its answer did not arrive: an order may have been carried out or not.
    #[error(
        "no answer from {url}: {source}; an order may have been carried out or not: `deltaic destination list` tells"
    )]
    NoAnswer {
        /// The engine.
        url: Url,
        /// Why.
        source: reqwest::Error,
    },
    /// The engine refuses; nothing was done.
    #[error("the engine answered {status}: {message}")]
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// The answer cannot be read.
    #[error("the answer is not that of a deltaic engine of this version: {0}")]
    Answer(#[from] serde_json::Error),
}

/// A destination, as the engine tells of it.
#[derive(Debug, Deserialize)]
struct Told {
    name: CompactString,
    state: CompactString,
    desired: u64,
    acknowledged: u64,
    pending: u64,
    resync: u64,
    oldest_pending_ms: Option<u64>,
    dead_letters: u64,
    failed_calls: u64,
    last_error: Option<String>,
}

/// Asks the engine at `url`; gives what is to be printed.
pub async fn run(command: Command, url: &str) -> Result<String, DestinationError> {
    let token = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
    let token = token.ok_or(DestinationError::NoToken)?;
    let wrong = |reason: String| DestinationError::Url { url: url.to_owned(), reason };
    let mut address: Url = url.parse().map_err(|error| wrong(format!("{error}")))?;
    let client = client(&address, TIMEOUT).map_err(|error| wrong(error.to_string()))?;
    {
        let mut path = address.path_segments_mut().map_err(|()| wrong("it has no host".to_owned()))?;
        path.pop_if_empty().extend(["v1", "destinations"]);
        if let Command::Order { order, name } = &command {
            path.extend([name.as_str(), order]);
        }
    }
    match command {
        Command::List => {
            #[derive(Deserialize)]
            struct Body {
                destinations: Vec<Told>,
            }
            let body: Body = serde_json::from_str(&ask(&client, Method::GET, address, &token).await?)?;
            Ok(table(&body.destinations))
        }
        Command::Order { .. } => {
            let told: Told = serde_json::from_str(&ask(&client, Method::POST, address, &token).await?)?;
            Ok(table(&[told]))
        }
    }
}

/// The body of an answer that is a good one.
async fn ask(client: &Client, method: Method, url: Url, token: &str) -> Result<String, DestinationError> {
    let no_answer =
        |source: reqwest::Error| DestinationError::NoAnswer { url: url.clone(), source: source.without_url() };
    let answer = client.request(method, url.clone()).bearer_auth(token).send().await.map_err(no_answer)?;
    let status = answer.status();
    let text = answer.text().await.map_err(no_answer)?;
    if status.is_success() {
        return Ok(text);
    }
    #[derive(Deserialize)]
    struct Problem {
        message: String,
    }
    let message = serde_json::from_str(&text).map_or_else(|_| status.to_string(), |Problem { message }| message);
    Err(DestinationError::Refused { status: status.as_u16(), message })
}

/// One destination a line, under a line of headings.
fn table(all: &[Told]) -> String {
    const HEADINGS: [&str; 9] =
        ["name", "state", "desired", "acknowledged", "pending", "oldest", "resync", "dead", "failed calls"];
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    for told in all {
        let oldest = told.oldest_pending_ms.map_or("-".to_owned(), |ms| format!("{ms} ms"));
        let counts = [told.desired, told.acknowledged, told.pending, told.resync, told.dead_letters, told.failed_calls];
        let [desired, acknowledged, pending, resync, dead, failed] = counts.map(|count| count.to_string());
        let (name, state) = (told.name.to_string(), told.state.to_string());
        lines.push([name, state, desired, acknowledged, pending, oldest, resync, dead, failed]);
    }
    let widths: [usize; 9] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default());
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    for told in all {
        if let Some(error) = &told.last_error {
            text += &format!("{}: the latest error: {error}\n", told.name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_a_table() {
        let told: Told = serde_json::from_str(
            r#"{"name": "crm", "state": "paused", "desired": 12, "acknowledged": 10, "pending": 2, "resync": 0,
                "oldest_pending_ms": 1500, "frontier": 1, "dead_letters": 0, "failed_calls": 3, "given_up": 0,
                "last_error": "the endpoint answered 500 Internal Server Error"}"#,
        )
        .unwrap();
        let expected = "\
name  state   desired  acknowledged  pending  oldest   resync  dead  failed calls
crm   paused  12       10            2        1500 ms  0       0     3
crm: the latest error: the endpoint answered 500 Internal Server Error
";
        assert_eq!(table(&[told]), expected);
    }
}
