//! What a running engine reads anew when it is told to (SIGHUP): who is let in, and what is logged.
//!
//! All else of a project is fixed while it runs, since it changes what is true, or what is open. Where a project cannot be read, all
//! stays as it was.

use std::path::Path;

use crate::http::Admission;
use crate::project::{self, Colour, Project, Source};

/// Reads anew the project in `folder`, of which `running` runs, and lets in whom it lets in. Gives it, for what else may be taken of
/// it; nothing where it stays as it was.
pub fn reload(
    running: &Project,
    folder: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    admission: &Admission,
) -> Option<Project> {
    let read = match project::load(folder, environment) {
        Ok(loaded) => loaded.project,
        Err(problems) => {
            let shown = problems.render(Colour::Plain);
            tracing::error!(
                "the project cannot be read anew, and keys, tokens and the log level stay as they were: {problems}\n{shown}"
            );
            return None;
        }
    };
    admission.replace(&read, running);
    tracing::info!("the project is read anew: keys, tokens and the log level are those that it has now");
    if !is_same_beside(running, &read) {
        tracing::warn!("what else has changed in the project is left out until the next start");
    }
    Some(read)
}

/// Whether two projects are the same but for what may change while they run.
fn is_same_beside(running: &Project, read: &Project) -> bool {
    let without = |project: &Project| {
        let source = |source: &Source| Source { write_keys: Vec::new(), ..source.clone() };
        let sources = project.sources.iter().map(source).collect();
        Project { sources, read_tokens: Vec::new(), admin_tokens: Vec::new(), log: None, ..project.clone() }
    };
    without(running) == without(read)
}
