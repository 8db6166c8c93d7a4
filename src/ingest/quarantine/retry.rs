//! Retrying: what was rejected goes through the same checks again, under the limits and definitions that hold now.
//!
//! An event keeps the time of its arrival: without a time of its own that is its time, and `sentAt` is compared with it. Its
//! tick is that of the retry, so a window that ended in between does not count it.
//!
//! A whole body stays until all of its events are accepted; those that were are duplicates at the next retry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use compact_str::CompactString;
use dataflows::model::Tick;
use serde::Serialize;

use super::{EntryFilter, EntryId, Quarantine, QuarantineEntry, QuarantineError, RejectedPart};
use crate::engine::{Handle, SubmitError};
use crate::http::Problem;
use crate::ingest::segment::Stamp;
use crate::ingest::{BatchDecoder, IngestCounters, RequestBatch, Sent, Via};
use crate::limits::{QUARANTINE_CALL_ENTRIES_MAX, RECEIPT_TIMEOUT, RETRY_EVENTS_MAX};
use crate::log::Accepted;

/// Retries entries.
pub(super) struct Retry {
    pub quarantine: Quarantine,
    pub decoder: BatchDecoder,
    pub handle: Handle,
    pub counters: Arc<IngestCounters>,
    pub sources: Vec<CompactString>,
}

/// What a retry came to.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct RetryOutcome {
    /// Entries that were accepted, and are gone.
    pub removed: usize,
    /// Events that were accepted, duplicates included.
    pub accepted: usize,
    /// Events of them that were there before.
    pub duplicates: usize,
    /// Entries that are still wrong, and stay.
    pub failed: usize,
    /// The same by reason.
    pub reasons: BTreeMap<CompactString, usize>,
    /// Where to go on with `after`; nothing where this was all.
    pub next: Option<EntryId>,
    /// The last entry that was there at the call: with `until`, what comes later is left out.
    pub newest: EntryId,
}

/// Entries that are handed in together.
#[derive(Default)]
struct RetryGroup {
    /// Those that are in order.
    ids: Vec<EntryId>,
    events: Vec<Accepted>,
    /// Why others are still wrong, and how many.
    reasons: BTreeMap<CompactString, usize>,
    last: EntryId,
}

/// Why an entry is still wrong.
struct Wrong {
    code: CompactString,
    message: String,
}

impl RetryOutcome {
    /// What was done, with the place where to go on; the problem where that is nothing.
    fn up_to_here(self, problem: Problem) -> Result<Self, Problem> {
        if self.next.is_some() { Ok(self) } else { Err(problem) }
    }
}

impl Retry {
    /// Retries the first of those that are meant.
    pub async fn retry(&self, which: EntryFilter) -> Result<RetryOutcome, Problem> {
        let (ids, is_more) = self.quarantine.select(which, QUARANTINE_CALL_ENTRIES_MAX).await?;
        let mut outcome = RetryOutcome { newest: self.quarantine.newest().await?, ..RetryOutcome::default() };
        let mut group = RetryGroup::default();
        for chunk in ids.chunks(RETRY_EVENTS_MAX) {
            for entry in self.quarantine.get(chunk.to_vec()).await? {
                group.last = entry.id;
                match self.read(&entry) {
                    Ok(events) => {
                        group.ids.push(entry.id);
                        group.events.extend(events);
                    }
                    Err((events, wrong)) => {
                        self.quarantine.again(entry.id, &wrong.code, &wrong.message);
                        *group.reasons.entry(wrong.code).or_default() += 1;
                        group.events.extend(events);
                    }
                }
                if group.events.len() >= RETRY_EVENTS_MAX
                    && let Err(problem) = self.submit(&mut group, &mut outcome).await
                {
                    return outcome.up_to_here(problem);
                }
            }
        }
        match self.submit(&mut group, &mut outcome).await {
            Ok(()) => Ok(RetryOutcome { next: ids.last().copied().filter(|_| is_more), ..outcome }),
            Err(problem) => outcome.up_to_here(problem),
        }
    }

    /// Hands events in; their entries go after the receipt, and not before.
    async fn submit(&self, group: &mut RetryGroup, outcome: &mut RetryOutcome) -> Result<(), Problem> {
        let RetryGroup { ids, events, reasons, last } = std::mem::take(group);
        let accepted = events.len();
        let mut duplicates = 0;
        if accepted > 0 {
            let submitted = tokio::time::timeout(RECEIPT_TIMEOUT, self.handle.submit(events, Instant::now())).await;
            duplicates = submitted.unwrap_or(Err(SubmitError::Unknown))?.duplicates;
            self.counters.count_accepted(Via::Quarantine, accepted, duplicates);
        }
        outcome.removed += self.quarantine.remove(ids).await?;
        outcome.accepted += accepted;
        outcome.duplicates += duplicates;
        for (reason, failed) in reasons {
            outcome.failed += failed;
            *outcome.reasons.entry(reason).or_default() += failed;
        }
        outcome.next = Some(last);
        Ok(())
    }

    /// The events of an entry that is in order now; else those that are, and what is wrong with the rest.
    fn read(&self, entry: &QuarantineEntry) -> Result<Vec<Accepted>, (Vec<Accepted>, Wrong)> {
        let head = &entry.head;
        let wrong = |code: &str, message: &str| (Vec::new(), Wrong { code: code.into(), message: message.to_owned() });
        if head.is_cut {
            return Err(wrong(&head.code, &head.message));
        }
        if !self.sources.contains(&head.source) {
            return Err(wrong("unknown_source", "the project has no such source any more: expected its section"));
        }
        let call = entry.call();
        let mut batch = match head.what {
            RejectedPart::Request => self
                .decoder
                .open(entry.text.as_bytes(), call)
                .map_err(|problem| wrong(problem.code(), problem.message()))?,
            RejectedPart::Event => RequestBatch {
                events: vec![&entry.text],
                sent_at: head.sent_at.map(|ms| Stamp::from(Tick::from_ms(ms))),
                context: head.context.as_deref(),
                is_historical: false,
                write_key: None,
            },
        };
        batch.is_historical |= head.is_historical;
        // The same at each retry, and so is a message id that is made of it.
        let place = format!("quarantine {}", entry.id);
        let received = Stamp::from(Tick::from_ms(head.at));
        let sent =
            Sent { source: &head.source, call, received: &received, ip: None, position: (&place, 0), is_placed: false };
        let parsed = self.decoder.take(&batch, &sent);
        parsed.warnings.iter().for_each(|(_, of_one)| self.counters.count_warnings(*of_one));
        match parsed.rejected.first() {
            None => Ok(parsed.accepted),
            Some((index, why)) => {
                let message = match head.what {
                    RejectedPart::Event => why.to_string(),
                    RejectedPart::Request => {
                        let (wrong, all) = (parsed.rejected.len(), batch.events.len());
                        format!("{wrong} of {all} events are wrong; the first of them, {index}: {why}")
                    }
                };
                Err((parsed.accepted, Wrong { code: why.code().into(), message }))
            }
        }
    }
}

impl From<QuarantineError> for Problem {
    fn from(error: QuarantineError) -> Self {
        match error {
            QuarantineError::Stopping => Problem::stopping(),
            QuarantineError::Store(_) => {
                tracing::error!(%error, "the quarantine failed");
                let message = "the quarantine cannot be read or written: the engine's log says why";
                Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "quarantine_failed", message)
            }
        }
    }
}
