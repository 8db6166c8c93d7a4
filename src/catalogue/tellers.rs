//! Which process of a cluster tells a destination what changes.
//!
//! What a destination acknowledged is in the data folder of the process that tells it. So it is told by the same process for ever,
//! whatever else is defined: who that is stands in the catalogue. A new destination goes to the process that tells the fewest, of
//! several to the first.
//!
//! Earlier versions went by the place of a destination among all, in order of names. A catalogue of theirs does not say who tells
//! what; the rule above gives its destinations, in this order, to the same processes.

use super::{Catalogue, DefinitionKind};
use crate::limits::TELLERS_MAX;

impl Catalogue {
    /// Gives each destination without one a process that tells it.
    pub(super) fn place(&mut self, processes: usize) {
        if processes < 2 {
            return;
        }
        let names: Vec<String> = self.destinations().map(str::to_owned).collect();
        if self.tellers.len() + names.len() > TELLERS_MAX {
            self.tellers.retain(|name, _| names.contains(name));
        }
        let mut told_by = vec![0usize; processes];
        let known = names.iter().filter_map(|name| self.tellers.get(name));
        known.for_each(|process| told_by[usize::from(*process) % processes] += 1);
        for name in names {
            if self.tellers.contains_key(&name) {
                continue;
            }
            let fewest = (0u16..).zip(&told_by).min_by_key(|(_, count)| **count).map_or(0, |(process, _)| process);
            told_by[usize::from(fewest)] += 1;
            self.tellers.insert(name, fewest);
        }
    }

    /// The process that tells a destination; a process on its own tells all.
    pub fn teller(&self, destination: &str) -> usize {
        self.tellers.get(destination).copied().unwrap_or_default().into()
    }

    /// Whether all tellers are among so many processes, and those of `earlier` where they were. Says what speaks against it.
    pub(super) fn keeps_tellers(&self, earlier: &Catalogue, processes: usize) -> Result<(), String> {
        for (name, process) in &self.tellers {
            if usize::from(*process) >= processes {
                return Err(format!("process {process} tells destination {name:?}, and there are {processes}"));
            }
            if let Some(before) = earlier.tellers.get(name).filter(|before| *before != process) {
                return Err(format!("process {process} tells destination {name:?}, and process {before} did"));
            }
        }
        Ok(())
    }

    /// The names of the destinations, in order.
    fn destinations(&self) -> impl Iterator<Item = &str> {
        let all = self.by_name.keys().filter(|(kind, _)| *kind == DefinitionKind::Destination);
        all.map(|(_, name)| name.as_str())
    }
}
