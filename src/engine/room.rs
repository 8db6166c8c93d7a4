//! Whether the log has room. The sequencer looks now and then, whether anybody sends or not: who is told that the engine is not
//! ready sends nothing, and would never make it find out that there is room again.

use std::time::{Duration, Instant};

use super::progress::Progress;
use crate::log::LogError;
use crate::observe::seldom::Seldom;

/// How often there is a look: it costs a microsecond.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What was seen of it.
#[derive(Debug, Default)]
pub(super) struct Room {
    looked: Option<Instant>,
    is_short: bool,
    told: Seldom,
}

impl Room {
    /// Whether it is time for another look.
    pub fn is_due(&self, now: Instant) -> bool {
        self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK_EVERY)
    }

    /// A look found this.
    pub fn found(&mut self, room: Result<(), LogError>, now: Instant, progress: &Progress) {
        self.looked = Some(now);
        match room {
            Ok(()) if self.is_short => {
                tracing::info!("there is room on the disk again: events are taken in");
                self.is_short = false;
                progress.room(true);
            }
            Ok(()) => {}
            Err(error @ LogError::Full { .. }) => self.is_full(&error, now, progress),
            // A disk that does not answer is no full one: the next append says what is wrong with it.
            Err(error) => tracing::debug!(%error, "cannot tell how much room there is"),
        }
    }

    /// A batch was refused for want of room, or would be.
    pub fn is_full(&mut self, error: &LogError, now: Instant, progress: &Progress) {
        self.is_short = true;
        progress.room(false);
        if self.told.happened(now).is_some() {
            tracing::error!(%error, "senders get 503 (not_logged)");
        }
    }
}
