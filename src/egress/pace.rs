//! How calls to a destination follow each other, and who makes them: what the project says of it, put into numbers.

use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;

use super::connector::Connector;
use super::outbox::BatchLimit;
use super::{EgressError, file, webhook};
use crate::project::{Destination, DestinationKind, Project};

/// Bytes of one call, about: a usual limit on the bodies that endpoints take is 1 MB.
const CALL_BYTES_MAX: usize = 512 * 1024;

/// How a file is written to. Batches are large since each costs one write; failures are such as a full disk, which
/// passes when somebody comes. A file never refuses, so the number of attempts does not matter.
const FILE_PACE: Pace = Pace {
    limit: BatchLimit { changes: 1_000, bytes: CALL_BYTES_MAX },
    backoff_min: Duration::from_millis(100),
    backoff_max: Duration::from_secs(5),
    attempts_max: 1,
    retry_deletes: Duration::from_secs(600),
    concurrency: 1,
    calls_per_second: None,
};

/// How calls follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// What a batch may hold.
    pub limit: BatchLimit,
    /// The first wait after a failure.
    pub backoff_min: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// Refusals of one batch until it is given up.
    pub attempts_max: u32,
    /// How often deletes that were given up are tried again.
    pub retry_deletes: Duration,
    /// Calls on their way at a time.
    pub concurrency: usize,
    /// Calls that begin in a second, at most.
    pub calls_per_second: Option<u32>,
}

/// Who carries to `destination`, and at what pace.
pub fn connector(
    project: &Project,
    destination: &Destination,
    audiences: &Arc<[CompactString]>,
) -> Result<(Connector, Pace), EgressError> {
    let audiences = audiences.clone();
    Ok(match &destination.kind {
        DestinationKind::Webhook(webhook) => {
            let connector = webhook::WebhookConnector::new(destination.name.clone(), webhook, audiences)?;
            let limit = BatchLimit { changes: webhook.batch_changes_max, bytes: CALL_BYTES_MAX };
            let pace = Pace {
                limit,
                backoff_min: webhook.backoff_min,
                backoff_max: webhook.backoff_max,
                attempts_max: webhook.attempts_max,
                retry_deletes: webhook.retry_deletes,
                concurrency: webhook.concurrency,
                calls_per_second: webhook.calls_per_second,
            };
            (Connector::Webhook(connector), pace)
        }
        DestinationKind::File { path } => {
            let connector = file::FileConnector::new(destination.name.clone(), project.folder.join(path), audiences);
            (Connector::File(connector), FILE_PACE)
        }
    })
}
