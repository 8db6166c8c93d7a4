//! `--print-project`: the project that the load test is for.

use std::io::{self, Write};
use std::path::Path;

/// The project file.
pub const PROJECT: &str = include_str!("../../examples/load/deltaic.toml");

/// What the project's key of identifiers is derived from.
pub const IDENTITY_KEY: &str = "load";

/// Writes the project into a folder (which is made), or to standard output for `-`.
pub fn print(folder: &Path) -> io::Result<()> {
    if folder == Path::new("-") {
        return io::stdout().lock().write_all(PROJECT.as_bytes());
    }
    std::fs::create_dir_all(folder)?;
    // Never over a project that somebody has written.
    let mut file = std::fs::File::create_new(folder.join("deltaic.toml"))?;
    file.write_all(PROJECT.as_bytes())
}
