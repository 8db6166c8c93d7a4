//! How long a read waits, and for what.

use std::time::Duration;

use axum::http::StatusCode;
use dataflows::model::{Question, Tick};
use serde::Deserialize;

use crate::engine::{AskError, Handle, QueryAnswer};
use crate::http::Problem;
use crate::limits::{Limits, WAIT_MS_DEFAULT};

/// The parameters that every read has.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Wait {
    /// The token of a write: the answer includes it.
    after: Option<u64>,
    /// How long to wait for it, in milliseconds.
    wait_ms: Option<u64>,
}

impl Wait {
    /// Asks the engine. A wish to wait longer than `wait_ms_max` is one to wait that long.
    pub async fn ask(self, handle: &Handle, limits: &Limits, question: Question) -> Result<QueryAnswer, Problem> {
        let wait_ms = self.wait_ms.unwrap_or(WAIT_MS_DEFAULT).min(limits.wait_ms_max);
        let asked = handle.read(question, self.after.map(Tick::from_ms), Duration::from_millis(wait_ms));
        asked.await.map_err(|error| match error {
            AskError::NotYet { .. } => Problem::new(StatusCode::GATEWAY_TIMEOUT, "not_yet", error.to_string()),
            AskError::Stopping => Problem::stopping(),
        })
    }
}
