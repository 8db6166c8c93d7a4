//! Which processes of the cluster are not there yet, for who asks meanwhile.

use std::sync::{Arc, Mutex, PoisonError};

/// The processes that are waited for, in words. Clones are of the same start.
#[derive(Clone, Debug, Default)]
pub struct Awaited(Arc<Mutex<String>>);

impl Awaited {
    /// These are missing; none where it is empty.
    pub fn set(&self, missing: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = missing;
    }

    /// What the start waits for.
    pub fn reason(&self) -> String {
        let missing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match missing.as_str() {
            "" => "the engine is starting: it takes nothing in yet".to_owned(),
            missing => format!("waiting for {missing} of the cluster: nothing is taken in before all are there"),
        }
    }
}

/// How far a start is does not tell where it is.
impl PartialEq for Awaited {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Awaited {}
