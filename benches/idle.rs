//! How much CPU does an engine take that has many people in it, and to which nobody sends anything?
//!
//! Everybody is introduced, and has some open windows if `--deeds` says so; then it is left alone until its memory is at rest,
//! and the CPU time of this process (user and system) is read before and after. The rest of this process sleeps meanwhile.
//!
//! ```text
//! cargo bench --bench idle -- [--profiles N] [--deeds SECONDS] [--seconds N] [--workers N]
//! ```

mod crowd;
mod engine;
mod latencies;
mod load;
mod pace;
mod shop;
mod watch;

use std::time::{Duration, Instant};

use load::Load;
use shop::{BenchArguments, Memory};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(worker_threads = 3)]
async fn main() {
    let arguments = BenchArguments::of_command_line();
    let profiles = arguments.number("profiles", 1_000_000);
    let seconds = arguments.number("seconds", 30);
    let workers = arguments.number("workers", 1);
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let before = Memory::now();
    let load = Load::start(folder.path(), profiles, workers, &crowd::SHOP, "").await;
    load.introduce(0..profiles).await;
    let deeds = arguments.number("deeds", 0);
    if deeds > 0 {
        load.as_many_as_possible(Duration::from_secs(deeds)).await;
    }
    let bytes = Memory::at_rest_since(&before);
    // Merges go on a little at a time, and need not change what is resident.
    let mut settled = 0;
    while settled < 30 {
        let share = share_of_a_core(Duration::from_secs(2)).await;
        settled += 1;
        if share < 5.0 {
            break;
        }
    }
    println!(
        "idle: {profiles} profiles, {workers} workers, {} MB, at rest after {} s more",
        bytes / 1_000_000,
        settled * 2
    );
    let share = share_of_a_core(Duration::from_secs(seconds)).await;
    println!("  {share:.2} % of one core over {seconds} s (user and system)");
    load.stop().await;
}

/// The CPU time of this process in a while, in percent of the while.
async fn share_of_a_core(while_: Duration) -> f64 {
    let (began, before) = (Instant::now(), cpu());
    tokio::time::sleep(while_).await;
    100.0 * (cpu() - before).as_secs_f64() / began.elapsed().as_secs_f64()
}

/// The CPU time, user and system, of all threads of this process so far. In hundredths of a second, as Linux tells.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("this is Linux");
    // The name of the program, in brackets, may have spaces in it; of what comes after it these are the 12th and 13th.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
