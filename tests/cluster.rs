//! One program in several workers and processes: the same input gives the same output, whoever does the work.

mod apart;
#[cfg(feature = "s3")]
mod bucket;
mod clocks;
mod ended;
mod folders;
mod former;
mod history;
mod killed;
mod live;
mod orders;
mod placed;
mod replayed;
mod rewound;
mod rounds;
mod sources;
mod waiting;

use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::NamedTempFile;

/// A hosts file for this many processes on this machine.
///
/// Its ports are below those that the system gives out by itself: one of those could go to somebody else between this
/// and the moment when the process wants it.
pub fn hosts(processes: usize) -> NamedTempFile {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests run in processes of their own or in threads of one.
    let start = (std::process::id() * 101 % u32::from(COUNT)) as u16;
    let mut hosts = NamedTempFile::new().unwrap();
    let mut found = 0;
    while found < processes {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            writeln!(hosts, "127.0.0.1:{port}").unwrap();
            found += 1;
        }
    }
    hosts
}
