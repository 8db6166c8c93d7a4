//! `deltaic cluster`: asks a process of a cluster who is there.

use std::io::Write;

use clap::Subcommand;
use compact_str::CompactString;
use reqwest::Method;
use serde::Deserialize;

use super::caller::Caller;
use super::table::table;
use super::{AdminError, EngineAddress};

/// What can be asked of a cluster.
#[derive(Clone, Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show all processes as the one that is asked sees them. Exit code 75 if one is missing.
    Status,
}

/// A process, as another one tells of it.
#[derive(Debug, Deserialize)]
struct ProcessReply {
    process: usize,
    #[serde(default)]
    address: CompactString,
    state: CompactString,
    version: CompactString,
    workers: usize,
    frontier: u64,
    heard_ms_ago: u64,
    skew_ms: Option<i64>,
}

/// Does what is asked for; writes to `out` what came of it.
pub async fn run(
    engine: EngineAddress,
    command: ClusterCommand,
    token: Option<String>,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let ClusterCommand::Status = command;
    let mut answer = Caller::new(engine, token)?.call(Method::GET, &["cluster"], &[], None).await?;
    let told: Vec<ProcessReply> = serde_json::from_value(answer["members"].take())?;
    out.write_all(shown(&told).as_bytes())?;
    match away(&told) {
        away if away.is_empty() => Ok(()),
        away => Err(AdminError::NotWhole(away)),
    }
}

/// Who is not there, in words.
fn away(told: &[ProcessReply]) -> String {
    let away = told.iter().filter(|of| !["here", "there"].contains(&of.state.as_str()));
    away.map(|of| format!("process {} is {}", of.process, of.state)).collect::<Vec<_>>().join(", ")
}

fn shown(told: &[ProcessReply]) -> String {
    let heads = ["process", "address", "state", "version", "workers", "frontier", "heard", "clock"].map(str::to_owned);
    let furthest = told.iter().map(|of| of.frontier).max().unwrap_or_default();
    let line = |of: &ProcessReply| {
        let behind = furthest - of.frontier;
        [
            of.process.to_string(),
            if of.address.is_empty() { "-".to_owned() } else { of.address.to_string() },
            of.state.to_string(),
            of.version.to_string(),
            of.workers.to_string(),
            if behind == 0 { of.frontier.to_string() } else { format!("{} (-{behind} ms)", of.frontier) },
            if of.state == "here" { "-".to_owned() } else { format!("{} ms ago", of.heard_ms_ago) },
            of.skew_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:+} ms")),
        ]
    };
    table(&[heads].into_iter().chain(told.iter().map(line)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_a_table() {
        let told = |process: usize, state: &str, frontier| ProcessReply {
            process,
            address: format!("10.0.0.{process}:7001").into(),
            state: state.into(),
            version: "0.1.0".into(),
            workers: 2,
            frontier,
            heard_ms_ago: 120,
            skew_ms: (process > 0).then_some(-7),
        };
        let expected = "\
process  address        state   version  workers  frontier      heard       clock
0        10.0.0.0:7001  here    0.1.0    2        1000          -           -
1        10.0.0.1:7001  silent  0.1.0    2        990 (-10 ms)  120 ms ago  -7 ms
";
        assert_eq!(shown(&[told(0, "here", 1_000), told(1, "silent", 990)]), expected);
        assert_eq!(away(&[told(0, "here", 1_000), told(1, "there", 990)]), "");
        let states = ["there", "here", "silent", "gone", "stopping"];
        let all: Vec<ProcessReply> =
            states.into_iter().enumerate().map(|(process, state)| told(process, state, 1)).collect();
        assert_eq!(away(&all), "process 2 is silent, process 3 is gone, process 4 is stopping");
    }
}
