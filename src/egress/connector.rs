//! Who carries batches, by the kind of destination, and how that may fail.

use std::time::Duration;

use bytes::Bytes;
use compact_str::CompactString;

use super::outbox::Batch;
use super::{file, forward, signature, webhook};

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

/// What is carried in a call, and in each that repeats it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Its id.
    pub id: CompactString,
    /// Its body.
    pub body: Bytes,
}

impl Carried {
    fn new(body: Bytes, resyncs: u32) -> Self {
        Carried { id: signature::id_of(&body, resyncs), body }
    }
}

/// Who carries batches.
#[derive(Debug)]
pub enum Connector {
    /// To an HTTP endpoint.
    Webhook(webhook::WebhookConnector),
    /// To a file.
    File(file::FileConnector),
}

impl Connector {
    /// The call that carries changes, after so many resyncs.
    pub fn changes(&self, batch: &Batch, resyncs: u32) -> Carried {
        let body = match self {
            Connector::Webhook(connector) => connector.body(batch),
            Connector::File(connector) => connector.body(batch, resyncs),
        };
        Carried::new(body, resyncs)
    }

    /// The call that carries events.
    pub fn events(&self, destination: &str, batch: &forward::EventBatch) -> Carried {
        let body = match self {
            Connector::Webhook(_) => forward::envelope::call(destination, batch),
            Connector::File(_) => forward::envelope::lines(batch),
        };
        Carried::new(body, 0)
    }

    /// Tries once. `Ok` means acknowledged.
    pub async fn attempt(&self, carried: &Carried) -> Result<(), Failure> {
        match self {
            Connector::Webhook(connector) => connector.attempt(carried).await,
            Connector::File(connector) => connector.attempt(&carried.body).await,
        }
    }
}
