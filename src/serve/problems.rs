//! What the engine refuses, as an answer over HTTP.

use axum::http::StatusCode;

use crate::engine::{NotReady, SubmitError};
use crate::http::Problem;

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Busy { retry_after_s } => Problem::busy(error.to_string(), retry_after_s),
            SubmitError::NoMemory { retry_after_s } => {
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "memory", error.to_string()).to_retry_after(retry_after_s)
            }
            SubmitError::Stopping => Problem::stopping(),
            SubmitError::Recovering { retry_after_s } => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", error.to_string())
                    .to_retry_after(retry_after_s)
            }
            SubmitError::OwnerAway { retry_after_s } => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "owner_away", error.to_string())
                    .to_retry_after(retry_after_s)
            }
            SubmitError::Contested { retry_after_s } => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "contested", error.to_string())
                    .to_retry_after(retry_after_s)
            }
            SubmitError::Unknown => Problem::new(StatusCode::GATEWAY_TIMEOUT, "no_receipt", error.to_string()),
            SubmitError::NotLogged => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_logged", error.to_string()).to_retry_after(1)
            }
        }
    }
}

impl From<NotReady> for Problem {
    fn from(why: NotReady) -> Self {
        let code = match why {
            NotReady::StartingOrStopping => "not_ready",
            NotReady::NoMemory => "memory",
            NotReady::NoRoom => "disk_full",
        };
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, why.to_string())
    }
}
