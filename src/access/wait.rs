//! How long a read waits, and for what.

use std::time::Duration;

use axum::http::StatusCode;
use dataflows::limits::LIST_KEPT_MS;
use dataflows::model::Tick;
use serde::Deserialize;

use crate::engine::{AsOf, AskError, ReadOptions, ScanError};
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
    /// How a relation is read. A wish to wait longer than `wait_ms_max` is one to wait that long.
    pub fn options(self, limits: &Limits) -> ReadOptions {
        let wait_ms = self.wait_ms.unwrap_or(WAIT_MS_DEFAULT).min(limits.wait_ms_max);
        let after = self.after.map(Tick::from_ms);
        ReadOptions { as_of: AsOf::Soonest, after, wait: Duration::from_millis(wait_ms) }
    }
}

/// Why there is no answer.
pub(super) fn problem(error: AskError) -> Problem {
    match error {
        AskError::NotYet { .. } => Problem::new(StatusCode::GATEWAY_TIMEOUT, "not_yet", error.to_string()),
        AskError::Stopping => Problem::stopping(),
    }
}

/// Why a scan does not go on.
pub(super) fn scan_problem(error: ScanError) -> Problem {
    match error {
        ScanError::Gone => gone(),
        ScanError::Ask(error) => problem(error),
        ScanError::Busy => Problem::busy(format!("{error}: try again"), 1),
        ScanError::OutOfTime(_) | ScanError::TooLarge(_) => {
            Problem::new(StatusCode::GATEWAY_TIMEOUT, "not_yet", error.to_string())
        }
    }
}

fn gone() -> Problem {
    let message = format!(
        "the list that this page is of is not kept any more: begin again without `cursor`. A list is kept for {} s after its latest \
         page, less where much happens, and not over a restart; with a larger `limit` it takes fewer pages",
        LIST_KEPT_MS / 1_000
    );
    Problem::new(StatusCode::GONE, "list_gone", message)
}
