//! Commands that talk to a running engine, over HTTP and with an admin token: `deltaic quarantine`, `deltaic destination`,
//! `deltaic dead-letters`, `deltaic cluster`, `deltaic take-over`, `deltaic clock`, `deltaic events`, `deltaic top` and `deltaic dot`.

mod caller;
pub mod clock;
pub mod cluster;
pub mod dead_letters;
pub mod destination;
pub mod dot;
pub mod events;
pub mod quarantine;
mod table;
pub mod take_over;
pub mod top;

use std::io;

use clap::Args;
use reqwest::Url;
use thiserror::Error;

/// The environment variable with the admin token: an argument would be in the list of processes.
const TOKEN_VARIABLE: &str = "DELTAIC_ADMIN_TOKEN";

/// Which engine.
#[derive(Args, Clone, Debug)]
pub struct EngineAddress {
    /// The URL of the engine. The token comes from the environment variable DELTAIC_ADMIN_TOKEN.
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = engine_url)]
    url: Url,
}

/// The URL of an engine, as somebody writes it.
fn engine_url(text: &str) -> Result<Url, String> {
    let expected = |why: String| format!("{why}: expected such as http://127.0.0.1:8080");
    let url = text.parse::<Url>().map_err(|error| expected(error.to_string()))?;
    if url.has_host() { Ok(url) } else { Err(expected("it has no host".to_owned())) }
}

/// Why a command came to nothing, or not to its end.
#[derive(Debug, Error)]
pub enum AdminError {
    /// There is no token.
    #[error(
        "there is no admin token: set {TOKEN_VARIABLE} to an `admin_token` of the project, under [access] in its deltaic.toml"
    )]
    NoToken,
    /// Nothing is said to be meant.
    #[error("nothing is named: give the numbers of entries, or --all, or --code")]
    Nothing,
    /// Entries that are named are not there.
    #[error(
        "{missing} of {named} entries named are not there: they may have been retried, purged, or the oldest when there were too many; all \
         others are done"
    )]
    NoEntry {
        /// How many.
        missing: u64,
        /// Of how many.
        named: u64,
    },
    /// Not all processes of the cluster are there.
    #[error("not all processes of the cluster are there: {0}")]
    NotWhole(String),
    /// What is given is no address.
    #[error("{text:?} is not a URL: {reason}; expected one such as http://127.0.0.1:8080")]
    Url {
        /// What is given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine does not log its dataflow.
    #[error("the engine does not log its dataflow: set `dataflow_log = true` under [observe] in its deltaic.toml")]
    NotLogged,
    /// There is no engine, or nothing was ordered of it.
    #[error("no answer of {url}: {reason}; is the engine running there?")]
    Unreachable {
        /// Where it should be.
        url: Url,
        /// Why.
        reason: String,
    },
    /// It takes the call and does not answer.
    #[error(
        "{url} does not answer within {seconds} s{doubt}: look at {url}readyz and at what the engine logs; it may hang"
    )]
    Silent {
        /// Where it is.
        url: Url,
        /// How long it was waited for.
        seconds: u64,
        /// What is not known, if anything was ordered.
        doubt: &'static str,
    },
    /// The answer did not arrive: what was ordered may have been done or not.
    #[error("no answer of {url}: {reason}; what was ordered may have been done or not")]
    NoAnswer {
        /// Where it should be.
        url: Url,
        /// Why.
        reason: String,
    },
    /// It said no; nothing was done.
    #[error("the engine refused it with {status}: {message}")]
    Refused {
        /// The status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The answer cannot be read.
    #[error("the answer is not that of a deltaic engine of this version: {0}")]
    Answer(#[from] serde_json::Error),
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Write(#[from] io::Error),
}

/// The token that the environment has.
pub fn token_of(environment: impl Fn(&str) -> Option<String>) -> Option<String> {
    environment(TOKEN_VARIABLE).filter(|token| !token.is_empty())
}
