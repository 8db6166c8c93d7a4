//! Who is let in: senders, readers and operators. It may be replaced as a whole while the engine runs.

use std::sync::Arc;

use compact_str::CompactString;
use parking_lot::RwLock;

use super::role::Role;
use super::tokens::Tokens;
use crate::project::Project;

/// Who is let in now; clones share it.
#[derive(Clone, Debug)]
pub struct Admission(Arc<RwLock<Arc<Admitted>>>);

/// Who is let in, at one time.
#[derive(Debug)]
pub struct Admitted {
    readers: Tokens,
    admins: Tokens,
    senders: Tokens,
    /// By key of a sender: the place of its source among those of the engine.
    sources: Vec<usize>,
}

impl Admission {
    /// Those whom a project lets in.
    pub fn new(project: &Project) -> Self {
        Admission(Arc::new(RwLock::new(Arc::new(Admitted::of(project, &names(project))))))
    }

    /// Who is let in now.
    pub fn now(&self) -> Arc<Admitted> {
        // Nothing that holds it can fail half-way.
        self.0.read().clone()
    }

    /// Lets in those of `project` from now on, and nobody else. An engine that runs has the sources of `running`: others are left out.
    pub fn replace(&self, project: &Project, running: &Project) {
        let admitted = Arc::new(Admitted::of(project, &names(running)));
        *self.0.write() = admitted;
    }
}

fn names(project: &Project) -> Vec<CompactString> {
    project.sources.iter().map(|source| source.name.clone()).collect()
}

impl Admitted {
    fn of(project: &Project, sources: &[CompactString]) -> Self {
        let place = |name: &CompactString| sources.iter().position(|source| source == name);
        let known = || project.sources.iter().filter_map(|source| Some((source, place(&source.name)?)));
        Admitted {
            readers: Tokens::new(&project.read_tokens),
            admins: Tokens::new(&project.admin_tokens),
            senders: Tokens::new(known().flat_map(|(source, _)| source.kind.write_keys())),
            sources: known().flat_map(|(source, place)| source.kind.write_keys().iter().map(move |_| place)).collect(),
        }
    }

    /// The tokens of a role.
    pub fn tokens(&self, role: Role) -> &Tokens {
        match role {
            Role::Reader => &self.readers,
            Role::Admin => &self.admins,
        }
    }

    /// The place of the source that has this write key.
    pub fn source(&self, key: &str) -> Option<usize> {
        self.sources.get(self.senders.find(key)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::project::Secret;

    #[test]
    fn keys_are_those_of_the_latest_project_and_sources_those_of_the_running_one() {
        let running = example::project();
        let admission = Admission::new(&running);
        let clone = admission.clone();
        assert_eq!(["app-key", "web-key", "x"].map(|key| clone.now().source(key)), [Some(0), Some(1), None]);
        let mut changed = example::project();
        changed.sources[0].name = "another".into();
        let keys = ["old", "new"].map(|key| Secret::new(key.into()));
        changed.sources[1].kind = example::sending_with(keys);
        changed.sources.reverse();
        changed.read_tokens = vec![Secret::new("r".into())];
        admission.replace(&changed, &running);
        let sources = ["app-key", "web-key", "old", "new"].map(|key| clone.now().source(key));
        assert_eq!(sources, [None, None, Some(1), Some(1)]);
        let readers = ["read-token", "r"].map(|token| clone.now().tokens(Role::Reader).find(token).is_some());
        assert_eq!(readers, [false, true]);
        assert!(clone.now().tokens(Role::Admin).find("admin-token").is_some());
    }
}
