//! Why a call did not succeed.

use std::time::Duration;

/// Why a call did not succeed. What follows from it is the engine's business: see [`super::Connector::deliver`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may succeed later; or it did, and the answer was lost.
    Later {
        /// What happened, without personal data.
        error: String,
        /// How long the other side asks to wait.
        wait: Option<Duration>,
    },
    /// It did not reach the destination.
    NotReached {
        /// What happened, without personal data.
        error: String,
    },
    /// The address does not take it, nor anything else: it is wrong, moved, or lets nobody in.
    Elsewhere {
        /// What happened, without personal data.
        error: String,
    },
    /// The destination does not want it as it is: another body may be taken.
    Refused {
        /// What happened, without personal data.
        error: String,
        /// The beginning of its answer, which may repeat personal data.
        answer: String,
        /// Whether it is too large, so that repeating it is of no use.
        is_too_large: bool,
    },
}

impl Failure {
    /// What happened, without personal data.
    pub fn error(&self) -> &str {
        match self {
            Failure::Later { error, .. }
            | Failure::NotReached { error }
            | Failure::Elsewhere { error }
            | Failure::Refused { error, .. } => error,
        }
    }

    /// It may succeed later, at any time.
    pub fn later(error: String) -> Self {
        Failure::Later { error, wait: None }
    }
}
