//! What a running engine reads anew when it is told to (SIGHUP): who is let in, and what is logged.
//!
//! All else of a project is fixed while it runs, since it changes what is true, or what is open. Where a project cannot be read, all
//! stays as it was.

use crate::http::Admission;
use crate::project::{Colour, Loaded, Problems, Project, Source};

/// Takes a project that was read anew, of which `running` runs, and lets in whom it lets in. Gives it, for what else may be taken of
/// it; nothing where it could not be read, and stays as it was.
pub fn reload(running: &Project, read: Result<Loaded, Problems>, admission: &Admission) -> Option<Project> {
    let read = match read {
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
    let changed = changed_beside(running, &read);
    if !changed.is_empty() {
        let what = changed.join(", ");
        tracing::warn!(what, "what else has changed in the project is left out until the next start");
    }
    Some(read)
}

/// What differs in two projects, but for what may change while they run.
fn changed_beside(running: &Project, read: &Project) -> Vec<&'static str> {
    let source = |source: &Source| Source { kind: source.kind.without_write_keys(), ..source.clone() };
    let sources = |project: &Project| project.sources.iter().map(source).collect::<Vec<_>>();
    let parts = [
        ("sources", sources(running) == sources(read)),
        ("destinations", running.destinations == read.destinations),
        ("definitions", running.definitions == read.definitions),
        ("limits", running.limits == read.limits),
        ("storage", running.storage == read.storage && running.history == read.history),
    ];
    let mut changed: Vec<&str> = parts.into_iter().filter(|(_, is_same)| !is_same).map(|(part, _)| part).collect();
    let rest = |project: &Project| Project {
        sources: Vec::new(),
        destinations: Vec::new(),
        definitions: running.definitions.clone(),
        limits: running.limits,
        storage: None,
        history: None,
        read_tokens: Vec::new(),
        admin_tokens: Vec::new(),
        log: None,
        ..project.clone()
    };
    if rest(running) != rest(read) {
        changed.push("other settings");
    }
    changed
}
