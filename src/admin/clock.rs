//! `deltaic clock`: how ticks and the clock of the machine stand, and the order to follow it.

use std::io::Write;

use clap::Subcommand;
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;

use super::caller::Caller;
use super::{AdminError, EngineAddress};

/// What to do.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ClockCommand {
    /// Show the time of ticks and the machine's clock.
    Status,
    /// Accept the machine's clock: ticks behind it jump forward, and windows end; ticks ahead of it go at half
    /// speed until it has caught up.
    Accept,
}

#[derive(Deserialize)]
struct ClockReply {
    message: String,
    ticks: String,
    wall: String,
    jumps: Vec<JumpReply>,
    jumped_ms: Option<u64>,
}

#[derive(Deserialize)]
struct JumpReply {
    at: i64,
    by_ms: u64,
}

/// Asks or orders; writes to `out` what came of it.
pub async fn run(
    engine: EngineAddress,
    command: ClockCommand,
    token: Option<String>,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let (method, path): (_, &[&str]) = match command {
        ClockCommand::Status => (Method::GET, &["clock"]),
        ClockCommand::Accept => (Method::POST, &["clock", "accept"]),
    };
    let told: ClockReply = serde_json::from_value(Caller::new(engine, token)?.call(method, path, &[], None).await?)?;
    if let Some(jumped_ms) = told.jumped_ms.filter(|ms| *ms > 0) {
        writeln!(out, "ticks were set forward by {} s", seconds(jumped_ms))?;
    }
    writeln!(out, "ticks   {}\nclock   {}\n        {}", told.ticks, told.wall, told.message)?;
    for JumpReply { at, by_ms } in told.jumps {
        let at = Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| format!("{at:.3}"));
        writeln!(out, "jumped  {at}, by {} s", seconds(by_ms))?;
    }
    Ok(())
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}
