//! How the processes of a cluster come to the same catalogue.
//!
//! Process 0 writes its own down first, and says it; what is said is in its folder, so it holds whatever becomes of the others.
//! Each of the others compares what it heard, and writes it down before it takes part: its copy may be behind, but never ahead. So of two copies one is always an earlier state of the other, unless somebody exchanged a folder.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use dataflows::definitions::Definitions;
use dataflows::model::Tick;

use super::{Catalogue, CatalogueError, Differences};

/// What to do about folders that do not go together.
const OWN_FOLDERS: &str = "start each process with the data folder that it had";

/// The catalogue of a process, on its way to be that of all.
#[derive(Clone, Debug)]
pub struct Agreement {
    definitions: Arc<Definitions>,
    processes: usize,
    /// The data folder, if there is one.
    folder: Option<PathBuf>,
    /// What this process has; in process 0, what it says.
    own: Option<Catalogue>,
    agreed: Arc<OnceLock<Catalogue>>,
}

impl Agreement {
    /// What the process begins with: process 0 of a cluster, or one on its own, gives ids to what is new, which is in force from the tick
    /// `present` on.
    pub fn open(
        folder: Option<PathBuf>,
        definitions: Arc<Definitions>,
        (process, processes): (usize, usize),
        present: Tick,
    ) -> Result<Self, CatalogueError> {
        let mut own = folder.as_deref().map(Catalogue::read).transpose()?.flatten();
        if process == 0 {
            let mut catalogue = own.clone().unwrap_or_default();
            // Those that were there before, by who told them before; and then those that are new.
            catalogue.place(processes);
            let differences = catalogue.update(&definitions, present)?;
            catalogue.place(processes);
            if let Some(folder) = folder.as_deref().filter(|_| own.as_ref() != Some(&catalogue)) {
                catalogue.write(folder)?;
            }
            // At the first start there was none before.
            if own.is_some() && differences != Differences::default() {
                let Differences { added, changed, removed } = differences;
                tracing::info!(added, changed, removed, "definitions are not those of the last start");
            }
            own = Some(catalogue);
        }
        Ok(Agreement { definitions, processes, folder, own, agreed: Arc::default() })
    }

    /// What process 0 says to all.
    pub fn said(&self) -> String {
        self.own.as_ref().map(Catalogue::to_text).unwrap_or_default()
    }

    /// Process 0 said this. The same for whoever hears it of this process. Says why not, where it cannot be.
    pub fn hear(&self, said: &str) -> Result<(), String> {
        let heard = Catalogue::parse(said).map_err(|reason| format!("the catalogue of process 0: {reason}"))?;
        if !heard.is_of(&self.definitions) {
            return Err(
                "process 0 has other definitions than this process: give all of them the same project".to_owned()
            );
        }
        let none = Catalogue::default();
        let own = self.own.as_ref().unwrap_or(&none);
        heard
            .keeps_tellers(own, self.processes)
            .map_err(|reason| format!("the catalogue of process 0: {reason}: {OWN_FOLDERS}"))?;
        if let Some(own) = &self.own {
            heard.continues(own).map_err(|reason| {
                format!(
                    "the catalogue of this process's data folder is no earlier state of that of process 0 ({reason}): {OWN_FOLDERS}"
                )
            })?;
        }
        self.agreed.get_or_init(|| heard);
        Ok(())
    }

    /// Writes down what was heard, where that is news. After [`Agreement::hear`], and before this process takes anything in: so one
    /// that has no catalogue never was part of a cluster in which something was accepted.
    pub fn keep(&self) -> Result<(), CatalogueError> {
        match (self.agreed.get(), &self.folder) {
            (Some(heard), Some(folder)) if self.own.as_ref() != Some(heard) => heard.write(folder),
            _ => Ok(()),
        }
    }

    /// By destination, the process that tells it. After [`Agreement::hear`] in a cluster.
    pub fn tellers(&self) -> Vec<usize> {
        let catalogue = self.agreed.get().or(self.own.as_ref());
        let teller = |name: &str| catalogue.map_or(0, |catalogue| catalogue.teller(name));
        self.definitions.destinations.iter().map(|destination| teller(&destination.name)).collect()
    }

    /// By trigger, the tick after which what is due may fire. After [`Agreement::hear`] in a cluster.
    pub fn in_force(&self) -> Vec<Tick> {
        let catalogue = self.agreed.get().or(self.own.as_ref());
        let since = |name: &str| catalogue.map_or(Tick::default(), |catalogue| catalogue.in_force(name));
        self.definitions.triggers.iter().map(|trigger| since(&trigger.name)).collect()
    }

    /// The catalogue of all. After [`Agreement::hear`] in a cluster; a process on its own agrees with itself.
    pub fn agreed(self) -> Catalogue {
        self.agreed.get().cloned().or(self.own).unwrap_or_default()
    }
}
