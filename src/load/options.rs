//! What can be asked of a load test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::Url;

use super::mix::Mix;
use super::stream::StreamShape;
use super::triggers::LoadTrigger;
use crate::project::Secret;

/// Events of one call at most: the limit of `examples/load`.
const BATCH_MAX: i64 = 2_500;

/// Connections at most: each is a lane with people of its own.
const CONNECTIONS_MAX: i64 = 1_000;

/// A load test.
#[derive(Args, Clone, Debug)]
pub struct LoadOptions {
    /// The URL of the engine that runs `examples/load`.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: Url,
    /// The address to receive that engine's webhook calls on.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9000")]
    pub listen: SocketAddr,
    /// Events per second: one step for each rate.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1000", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate: Vec<u64>,
    /// The measured duration of each step, in seconds.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub duration: Duration,
    /// The warm-up before each step is measured, in seconds.
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    pub warm_up: Duration,
    /// The number of people.
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub people: u32,
    /// The skew of activity: the exponent of Zipf's law; 0 for none.
    #[arg(long, value_name = "S", default_value = "1.0", value_parser = |text: &str| number(text, 10.0))]
    pub skew: f64,
    /// The mix of actions, in shares.
    #[arg(long, value_name = "KIND=SHARE,…", default_value = "page=55,view=25,cart=8,purchase=4,login=8")]
    pub mix: Mix,
    /// The share of logins that are on somebody else's device, which moves it.
    #[arg(long, value_name = "SHARE", default_value = "0.002", value_parser = |text: &str| number(text, 1.0))]
    pub moves: f64,
    /// The number of triggers, up to 5, whose messages are verified, too. The engine has to run the project of `--print-project` with as
    /// many.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=LoadTrigger::ALL.len() as i64))]
    pub triggers: u8,
    /// Events per call.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=BATCH_MAX))]
    pub batch: u32,
    /// Connections. Each has its own people and one call at a time.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    pub connections: u32,
    /// The seed of the stream.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Read a profile after every n-th call; 0 for no reads.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub read_every: u64,
    /// The latest that a change may arrive, in seconds. Later ones are errors.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub late: Duration,
    /// The time to wait for outstanding changes after a step, in seconds.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub drain: Duration,
    /// Exit with 1 if the 99th percentile from due to delivered, of changes or of messages, is above this at any rate, in
    /// milliseconds.
    #[arg(long, value_name = "MS")]
    pub p99_ms: Option<f64>,
    /// Append the latencies of each second to this file (HdrHistogram interval log, V2).
    #[arg(long, value_name = "FILE")]
    pub hlog: Option<PathBuf>,
    /// Write the percentile curves to this file (SVG).
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Drop the n-th webhook call, to see that the test misses it.
    #[arg(long, value_name = "N")]
    pub lose_call: Option<u64>,
    /// Write the project for the engine into this folder (`-` for standard output), and exit.
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, default_missing_value = "-")]
    pub print_project: Option<PathBuf>,
}

impl LoadOptions {
    /// What the stream is like.
    pub fn shape(&self) -> StreamShape {
        let LoadOptions { seed, people, skew, mix, moves, connections, triggers, .. } = *self;
        StreamShape { seed, people, skew, mix, moves, lanes: connections, has_regulars: triggers > 0 }
    }
}

/// What a load test shows to the engine, and what it asks of the engine's calls.
#[derive(Debug)]
pub struct Secrets {
    /// The write key.
    pub write_key: Secret,
    /// The read token.
    pub read_token: Secret,
    /// The key of the signatures of webhook calls.
    pub webhook: Secret,
}

impl Secrets {
    /// From the environment; else those of `examples/load`.
    pub fn of(environment: impl Fn(&str) -> Option<String>) -> Self {
        let secret = |variable, default: &str| {
            let found = environment(variable).filter(|value| !value.is_empty());
            Secret::new(found.unwrap_or_else(|| default.to_owned()))
        };
        Secrets {
            write_key: secret("DELTAIC_WRITE_KEY", "load-write-key"),
            read_token: secret("DELTAIC_READ_TOKEN", "load-read-token"),
            webhook: secret("DELTAIC_WEBHOOK_SECRET", "load-webhook-secret"),
        }
    }
}

fn number(text: &str, max: f64) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=max).contains(number));
    number.ok_or_else(|| format!("expected a number from 0 to {max}"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    number(text, 86_400.0).map(Duration::from_secs_f64)
}
