//! `--print-project`: the project that the load test is for.

use std::io::{self, Write};
use std::path::Path;

use super::triggers::LoadTrigger;

/// The project file, without triggers.
pub const PROJECT: &str = include_str!("../../examples/load/deltaic.toml");

/// What the project's key of identifiers is derived from.
pub const IDENTITY_KEY: &str = "load";

/// The project file with so many triggers.
pub fn with_triggers(triggers: usize) -> String {
    let definitions = LoadTrigger::ALL.into_iter().take(triggers).map(LoadTrigger::definition);
    [PROJECT].into_iter().chain(definitions).collect()
}

/// Writes the project into a folder (which is made), or to standard output for `-`.
pub fn print(folder: &Path, triggers: usize) -> io::Result<()> {
    let project = with_triggers(triggers);
    if folder == Path::new("-") {
        return io::stdout().lock().write_all(project.as_bytes());
    }
    std::fs::create_dir_all(folder)?;
    // Never over a project that somebody has written.
    let mut file = std::fs::File::create_new(folder.join("deltaic.toml"))?;
    file.write_all(project.as_bytes())
}
