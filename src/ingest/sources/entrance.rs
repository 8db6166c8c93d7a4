//! The one way in of what sources bring: decoded, counted, handed to the engine.

use std::sync::Arc;
use std::time::Instant;

use dataflows::model::Tick;

use crate::clock::SteadyClock;
use crate::engine::{Handle, Receipt, SubmitError};
use crate::http::{Admission, Timeouts};
use crate::ingest::quarantine::Quarantine;
use crate::ingest::{Attempt, BatchDecoder, DecodedBatch, IngestCounters, Rejection, Via};
use crate::observe::latency::{LatencyObserver, Stage};
use crate::project::Project;

/// What sources work with.
#[derive(Clone)]
pub struct IngestDependencies {
    /// Where events go.
    pub handle: Handle,
    /// Where they are counted.
    pub counters: Arc<IngestCounters>,
    /// Where rejected ones are kept.
    pub quarantine: Quarantine,
    /// Who is told of latency.
    pub observer: LatencyObserver,
    /// What `/readyz` is to say although events are taken, a line each.
    pub notes: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The clock.
    pub clock: Arc<SteadyClock>,
    /// Who may send.
    pub admission: Admission,
    /// How long requests may take.
    pub timeouts: Timeouts,
}

/// The one way in. Cheap to clone.
#[derive(Clone)]
pub struct Entrance {
    pub(super) decoder: Arc<BatchDecoder>,
    /// Counts nothing: for what is handed in once more.
    pub(super) again: Arc<BatchDecoder>,
    pub(super) with: IngestDependencies,
}

/// When something came, and from which source.
#[derive(Clone, Copy, Debug)]
pub(super) struct SourceArrival<'a> {
    /// The place of the source among those of the project.
    pub place: usize,
    /// Its name.
    pub source: &'a str,
    /// For the latency histograms.
    pub instant: Instant,
    /// By the engine's clock.
    pub at: Tick,
    /// Whether it was counted before.
    pub attempt: Attempt,
}

impl Entrance {
    /// That of an engine of `project`.
    pub fn new(project: &Project, with: IngestDependencies) -> Self {
        let decoder = BatchDecoder::counting(project, with.counters.fits().clone());
        let decoder = Arc::new(decoder.within(with.counters.names().clone(), Attempt::First));
        let again = BatchDecoder::new(project).within(with.counters.names().clone(), Attempt::Again);
        Entrance { decoder, again: Arc::new(again), with }
    }

    /// Hands in what was decoded, all of it counted once; its accepted events are taken out of it. Nothing where it has none.
    ///
    /// What was rejected is given to `keep` after the receipt: who gets none sends all of it again, and it would be there twice.
    pub(super) async fn take_in(
        &self,
        arrival: SourceArrival<'_>,
        decoded: &mut DecodedBatch,
        keep: impl FnOnce(&[(usize, Rejection)]),
    ) -> Result<Option<Receipt>, SubmitError> {
        let SourceArrival { place, source, instant, at, attempt } = arrival;
        let IngestDependencies { handle, counters, observer, timeouts, .. } = &self.with;
        if attempt == Attempt::First {
            decoded.rejected.iter().for_each(|(_, why)| counters.count_rejected(Via::Source(place), why));
            counters.seen().count(source, at, &decoded.accepted);
            observer(Stage::Parsed, instant.elapsed());
        }
        let accepted = std::mem::take(&mut decoded.accepted);
        if accepted.is_empty() {
            keep(&decoded.rejected);
            return Ok(None);
        }
        let events = accepted.len();
        let submitted = tokio::time::timeout(timeouts.receipt, handle.submit(accepted, instant)).await;
        let receipt = submitted.unwrap_or(Err(SubmitError::Unknown))?;
        counters.count_accepted(Via::Source(place), events, receipt.duplicates);
        decoded.warnings.iter().for_each(|(_, of_one)| counters.count_warnings(*of_one));
        observer(Stage::Accepted, instant.elapsed());
        keep(&decoded.rejected);
        Ok(Some(receipt))
    }
}
