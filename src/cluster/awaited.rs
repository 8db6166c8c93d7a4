//! Which processes of the cluster are not there yet, and why, for who asks meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

/// The processes that are waited for. Clones are of the same start.
#[derive(Clone, Debug, Default)]
pub struct Awaited(Arc<Mutex<Waits>>);

#[derive(Debug, Default)]
struct Waits {
    missing: Vec<usize>,
    /// What is known of each process that is called or has come, if anything is yet. Without an address: anybody may ask.
    found: BTreeMap<usize, Option<String>>,
    /// Why who called last was turned away: it may be one that is missing.
    turned_away: Option<String>,
}

impl Awaited {
    /// These are missing.
    pub fn set(&self, missing: Vec<usize>) {
        self.waits().missing = missing;
    }

    /// This process is going to be called.
    pub fn calls(&self, process: usize) {
        self.waits().found.entry(process).or_default();
    }

    /// A process is not there, for this reason, which names no address.
    pub fn found(&self, process: usize, reason: String) {
        self.waits().found.insert(process, Some(reason));
    }

    /// Whether something is known of each process that is called.
    pub fn is_known(&self) -> bool {
        let waits = self.waits();
        waits.missing.iter().filter_map(|process| waits.found.get(process)).all(Option::is_some)
    }

    /// Somebody called, and was turned away for this reason, which names no address.
    pub fn turned_away(&self, reason: String) {
        self.waits().turned_away = Some(reason);
    }

    /// What the start waits for.
    pub fn reason(&self) -> String {
        if self.waits().missing.is_empty() {
            return "the engine is starting: it takes nothing in yet".to_owned();
        }
        self.waiting(|process| format!("process {process}"))
    }

    /// What it waits for, with the name that `named` gives each process.
    pub fn waiting(&self, named: impl Fn(usize) -> String) -> String {
        let waits = self.waits();
        let names: Vec<String> = waits.missing.iter().map(|process| named(*process)).collect();
        let why = |process: &usize| match (waits.found.get(process), &waits.turned_away) {
            (Some(Some(reason)), _) => format!("; process {process}: {reason}"),
            (Some(None), _) => format!("; process {process}: it has not answered yet"),
            (None, None) => format!("; process {process}: it has not called yet"),
            (None, Some(reason)) => {
                format!("; process {process}: it has not called yet, or was turned away: of who was last, {reason}")
            }
        };
        let whys: String = waits.missing.iter().map(why).collect();
        format!("waiting for {} of the cluster: nothing is taken in before all are there{whys}", names.join(", "))
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.0.lock()
    }
}

/// How far a start is does not tell where it is.
impl PartialEq for Awaited {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Awaited {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_that_is_missing_has_its_reason() {
        let awaited = Awaited::default();
        assert_eq!(awaited.reason(), "the engine is starting: it takes nothing in yet");
        awaited.set(vec![0, 2]);
        awaited.calls(0);
        assert!(!awaited.is_known());
        assert!(awaited.reason().contains("; process 0: it has not answered yet; process 2: it has not called yet"));
        awaited.found(0, "it refuses the connection".to_owned());
        assert!(awaited.is_known());
        let begins = "waiting for process 0, process 2 of the cluster: nothing is taken in before all are there; process 0: it refuses \
                      the connection; process 2: it has not called yet";
        assert_eq!(awaited.reason(), begins);
        awaited.turned_away("it has another token".to_owned());
        assert_eq!(awaited.reason(), format!("{begins}, or was turned away: of who was last, it has another token"));
        assert!(awaited.waiting(|process| format!("process {process} (h{process}:1)")).starts_with(
            "waiting for process 0 (h0:1), process 2 (h2:1) of the cluster: nothing is taken in before all are there; process 0: it"
        ));
        awaited.set(Vec::new());
        assert_eq!(awaited.reason(), "the engine is starting: it takes nothing in yet");
    }
}
