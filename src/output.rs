//! Standard output of commands whose reader may have seen enough, such as `head`.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the reader has gone. There is one standard output in a process.
static READER_IS_GONE: AtomicBool = AtomicBool::new(false);

/// Standard output. What it writes when nobody reads any more is an error, as usual; that it was that error can be asked.
#[derive(Debug, Default)]
pub struct Stdout;

impl Stdout {
    /// Whether the reader has gone: then what follows is of no use, and no failure.
    pub fn reader_is_gone() -> bool {
        READER_IS_GONE.load(Ordering::Relaxed)
    }
}

fn noted<T>(result: io::Result<T>) -> io::Result<T> {
    if matches!(&result, Err(error) if error.kind() == ErrorKind::BrokenPipe) {
        READER_IS_GONE.store(true, Ordering::Relaxed);
    }
    result
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        noted(io::stdout().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        noted(io::stdout().flush())
    }
}

/// A writer that goes on without its reader: for what is found out on the way.
#[derive(Debug)]
pub struct Patient<W>(pub W);

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(_) if Stdout::reader_is_gone() => Ok(bytes.len()),
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(_) if Stdout::reader_is_gone() => Ok(()),
            result => result,
        }
    }
}
