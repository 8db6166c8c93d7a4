//! Consent is looked at again when an event is sent: what was let through may have waited for long.
//!
//! Whose an event is was kept with it, as the identifier that it came under; who that is, and whether they consent, is what
//! the engine says now. An event whose person is not known any more does not go. A message may have a purpose of its own beside that of
//! the destination.

use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use dataflows::model::IdentifierId;
use dataflows::relations::Consents;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::entries::QueuedEvent;
use super::message::purpose_of;
use crate::engine::{AskError, Handle, ReadOptions};

/// Says whose the event of a stored text is; nothing where all its identifiers are blocked, or it cannot be read.
pub type Whose = Arc<dyn Fn(&[u8]) -> Option<IdentifierId> + Send + Sync>;

/// How long an answer is waited for before the question is put once more. It takes a tick, unless the engine reads its log.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// What has to be known before something goes: whether the person of an identifier consents to a purpose.
pub type ConsentAsked = (IdentifierId, CompactString);

/// How it is looked at again for one destination.
pub struct Recheck {
    /// What its people must consent to, whatever they are sent.
    purpose: Option<CompactString>,
    /// For entries that earlier versions wrote.
    whose: Whose,
    /// Who is asked, once it is there.
    engine: watch::Receiver<Option<Handle>>,
}

impl Recheck {
    /// For this purpose, and those of messages.
    pub fn new(purpose: Option<CompactString>, whose: Whose, engine: watch::Receiver<Option<Handle>>) -> Self {
        Recheck { purpose, whose, engine }
    }

    /// What an entry asks for; nothing where it asks, and it is nobody's.
    pub fn asked(&self, entry: &QueuedEvent) -> Option<Vec<ConsentAsked>> {
        let purposes = self.purpose.iter().cloned().chain(purpose_of(&entry.json).map(CompactString::from));
        purposes.map(|purpose| Some((self.whose(entry)?, purpose))).collect()
    }

    fn whose(&self, entry: &QueuedEvent) -> Option<IdentifierId> {
        #[derive(Deserialize)]
        struct EventEnvelope<'a> {
            #[serde(borrow)]
            event: &'a RawValue,
        }
        entry.whose.or_else(|| {
            let EventEnvelope { event } = serde_json::from_slice(&entry.json).ok()?;
            (self.whose)(event.get().as_bytes())
        })
    }

    /// What of this is so now; nothing where nobody can be asked, because the engine is not there yet or stops.
    pub async fn consenting(&self, asked: &[ConsentAsked]) -> Option<Vec<ConsentAsked>> {
        if asked.is_empty() {
            return Some(Vec::new());
        }
        let handle = self.engine.borrow().clone()?;
        loop {
            match handle.look_up_all::<Consents>(asked.to_vec(), ReadOptions::within(ANSWER_WAIT)).await {
                Ok(answered) => {
                    let consents = asked.iter().zip(answered.found).filter(|(_, consent)| consent.is_some());
                    return Some(consents.map(|(asked, _)| asked.clone()).collect());
                }
                Err(AskError::NotYet { .. }) => {}
                Err(AskError::Stopping) => return None,
            }
        }
    }
}
