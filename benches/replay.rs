//! How fast is `deltaic replay`, JSON parsing included, on a shop-shaped stream with three windowed audiences?
//!
//! ```text
//! cargo bench --bench replay -- [--people N] [--events N] [--workers N] [--seed N] [--sequence 1] [--session 1]
//! ```
//!
//! With `--sequence 1` there is an audience of a sequence of three steps over seven days beside them, with `--sequence 2` one of the same
//! product in all steps. With `--session 1` there is a session of all events with a pause of 30 minutes and three values, and an audience of
//! those whose session has something in the cart.

mod shop;

use std::io::{BufWriter, Write};

use deltaic::engine::Topology;
use deltaic::replay::{ReplayOptions, replay};
use shop::{BenchArguments, Memory, ShopStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments = BenchArguments::of_command_line();
    let people = arguments.number("people", 200_000);
    let events = arguments.number("events", 1_000_000);
    let workers = arguments.number("workers", 1) as usize;
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let sequence = match arguments.number("sequence", 0) {
        0 => None,
        1 => Some(
            "step('Product Viewed'), step('Product Added', within => '1 hour'), step('Order Completed', within => '30 min')",
        ),
        _ => Some(
            "step('Product Viewed'), step('Product Added'), step('Product Viewed', within => '1 hour'), same => properties.product_id",
        ),
    };
    let of_sequence = sequence.map_or_else(String::new, |steps| {
        format!("\n[audiences.in_order]\nwhen = \"sequence({steps}, over => '7 days')\"\n")
    });
    let of_session = match arguments.number("session", 0) {
        0 => "",
        _ => {
            "\n[sessions.visit]\ngap = \"30 min\"\nvalues = { carts = \"count('Product Added')\", \
             spent = \"sum('Order Completed', properties.total)\", landing = \"first('page', properties.path)\" }\n\
             [audiences.shopping]\nwhen = \"in_session('visit') and session.visit.carts > 0 and session.visit.spent is null\"\n"
        }
    };
    let project = shop::load(folder.path(), &[shop::PROJECT, &of_sequence, of_session].concat());

    let path = folder.path().join("events.jsonl");
    let mut file = BufWriter::new(std::fs::File::create(&path).expect("a new file can be created"));
    let mut stream = ShopStream::new(arguments.number("seed", 1), people);
    let mut line = String::new();
    for _ in 0..events {
        line.clear();
        stream.next_event(&mut line);
        writeln!(file, "{line}").expect("there is room for the events");
    }
    file.flush().expect("there is room for the events");
    let bytes = path.metadata().expect("the file is there").len();

    let before = Memory::now();
    let options = ReplayOptions {
        recorded: None,
        events: vec![path],
        now: None,
        until: None,
        changes: Some(folder.path().join("changes.jsonl")),
        identities: None,
        triggers: None,
        memberships: None,
        profiles: None,
        topology: Topology::local(workers),
    };
    let summary = replay(&project, &options).expect("the replay goes through");
    let seconds = summary.elapsed.as_secs_f64();
    println!(
        "replay: {events} events of {} bytes, {people} people, {workers} worker(s): {:.0} events/s ({seconds:.2} s), {}",
        bytes / events,
        events as f64 / seconds,
        Memory::now().since(&before),
    );
}
