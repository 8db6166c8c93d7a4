//! A batch of which it is not known any more whether all of it may go: it waited since its people were looked at.

use crate::log::Offset;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::entries::{EventBatch, OutgoingEvents, QueuedEvent};
use super::recheck::{ConsentAsked, Recheck};

/// What is to go as soon as it is known who consents.
pub struct Doubt {
    /// What is to go.
    pub outgoing: OutgoingEvents,
    /// What was told, if it was.
    pub told: Option<DoubtVerdict>,
    /// What its events ask for, in their order; nothing for those that are nobody's.
    asked: Vec<Option<Vec<ConsentAsked>>>,
}

/// What was told of a doubt: for each event, in their order, whether it may go.
pub struct DoubtVerdict(Vec<bool>);

impl Doubt {
    /// Nothing is told yet.
    pub fn new(outgoing: OutgoingEvents, recheck: &Recheck) -> Self {
        let asked = outgoing.batch.entries.iter().map(|entry| recheck.asked(entry)).collect();
        Doubt { outgoing, told: None, asked }
    }

    /// What is to be asked, each once.
    pub fn asked(&self) -> Vec<ConsentAsked> {
        let asked: FxHashSet<&ConsentAsked> = self.asked.iter().flatten().flatten().collect();
        asked.into_iter().cloned().collect()
    }

    /// These consent, and nobody else.
    pub fn tell(&mut self, consenting: &[ConsentAsked]) {
        let consenting: FxHashSet<&ConsentAsked> = consenting.iter().collect();
        let may_go = |asked: &Option<Vec<ConsentAsked>>| {
            asked.as_ref().is_some_and(|asked| asked.iter().all(|asked| consenting.contains(asked)))
        };
        self.told = Some(DoubtVerdict(self.asked.iter().map(may_go).collect()));
    }
}

impl DoubtVerdict {
    /// What may go of a outgoing, and the places of what may not.
    pub fn divide(self, outgoing: OutgoingEvents) -> (OutgoingEvents, Vec<Offset>) {
        if self.0.iter().all(|may_go| *may_go) {
            return (outgoing, Vec::new());
        }
        let all = outgoing.batch.entries.iter().zip(self.0);
        let (go, stay): (Vec<_>, Vec<_>) = all.partition(|(_, may_go)| *may_go);
        let entries: Vec<QueuedEvent> = go.into_iter().map(|(entry, _)| entry.clone()).collect();
        let withheld = stay.into_iter().map(|(entry, _)| entry.position).collect();
        // When they arrived does not matter: what waited is no latency.
        let batch = Arc::new(EventBatch { entries, received: Vec::new() });
        (OutgoingEvents { batch, ..outgoing }, withheld)
    }
}
