//! Who carries batches, by the kind of destination, and how that may fail.

use std::time::Duration;

use bytes::Bytes;

use super::outbox::Batch;
use super::{file, forward, webhook};

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may succeed later; or it did, and the answer was lost.
    Later {
        /// What happened, without personal data.
        error: String,
        /// How long the other side asks to wait.
        wait: Option<Duration>,
    },
    /// The destination does not want it as it is.
    Refused {
        /// What happened, without personal data.
        error: String,
        /// The beginning of its answer, which may repeat personal data.
        answer: String,
        /// What it is about.
        blame: Blame,
    },
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Something in the body: another one may be taken.
    Content,
    /// The call itself, such as its address or its signature: any body is refused.
    Endpoint,
}

impl Failure {
    /// It may succeed later, at any time.
    pub fn later(error: String) -> Self {
        Failure::Later { error, wait: None }
    }
}

/// Who carries batches.
#[derive(Debug)]
pub enum Courier {
    /// To an HTTP endpoint.
    Webhook(webhook::Courier),
    /// To a file.
    File(file::Courier),
}

impl Courier {
    /// The body of the call that carries changes.
    pub fn changes(&self, batch: &Batch) -> Bytes {
        match self {
            Courier::Webhook(courier) => courier.body(batch),
            Courier::File(courier) => courier.body(batch),
        }
    }

    /// The body of the call that carries events.
    pub fn events(&self, destination: &str, batch: &forward::Batch) -> Bytes {
        match self {
            Courier::Webhook(_) => forward::envelope::call(destination, batch),
            Courier::File(_) => forward::envelope::lines(batch),
        }
    }

    /// Tries once. `Ok` means acknowledged.
    pub async fn attempt(&self, body: &Bytes) -> Result<(), Failure> {
        match self {
            Courier::Webhook(courier) => courier.attempt(body).await,
            Courier::File(courier) => courier.attempt(body).await,
        }
    }
}
