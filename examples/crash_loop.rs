//! Kills the real program again and again under load, and compares what it knows with what its clients know.
//!
//! ```text
//! cargo run --release --example crash_loop -- [--rounds N] [--seed N] [--rate REQUESTS_A_SECOND] [--binary PATH]
//! cargo run --release --example crash_loop -- --first-starts N [--seed N] [--binary PATH]
//! ```
//!
//! The tests do the same for some rounds; here the rounds are many. The program is built first, in the same profile, unless
//! there is a `--binary`. A failure says what differs and keeps the data folder.

#![allow(clippy::unwrap_used, reason = "it is a test, whoever starts it")]

#[path = "../tests/crash/mod.rs"]
mod crash;
#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
#[path = "../tests/oracle/mod.rs"]
mod oracle;

use std::path::PathBuf;
use std::process::Command;

use clap::Parser;

/// Kills the real program again and again under load, and compares what it knows with what its clients know.
#[derive(Parser)]
struct LoopArguments {
    /// How often it is killed.
    #[arg(long, default_value_t = 500)]
    rounds: u32,
    /// First starts that are killed, each in a folder of its own, in the place of the loop.
    #[arg(long, conflicts_with_all = ["rounds", "rate"])]
    first_starts: Option<u32>,
    /// Where all chance comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests that are sent in a second, of up to eight events each.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// The program, in the place of one that is built now.
    #[arg(long)]
    binary: Option<PathBuf>,
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let LoopArguments { rounds, first_starts, seed, rate, binary } = LoopArguments::parse();
    let binary = binary.unwrap_or_else(build);
    if let Some(kills) = first_starts {
        println!("crash_loop --first-starts {kills} --seed {seed}");
        println!("{kills} first starts killed; there was {}", crash::first_start::run(&binary, kills, seed).await);
        return;
    }
    println!("crash_loop --rounds {rounds} --seed {seed} --rate {rate}");
    let settings = crash::CrashSettings { binary, rounds, seed, requests_per_s: rate, compare_every: 25 };
    println!("{}", crash::run(settings).await);
}

/// Builds the program as this one was built: cargo does not do that for examples, and an old one would be worse than none.
fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--bin", "deltaic"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    assert!(command.status().unwrap().success(), "the program is to be built: see above, or name one with --binary");
    // …/target/release/examples/crash_loop → …/target/release/deltaic
    let examples = std::env::current_exe().unwrap();
    examples.ancestors().nth(2).expect("examples are in a folder of their own").join("deltaic")
}
