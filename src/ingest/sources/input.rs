//! What a source that runs hands its records to.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use compact_str::CompactString;
use dataflows::model::Tick;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Entrance;
use super::entrance::SourceArrival;
use crate::engine::SubmitError;
use crate::ingest::quarantine::{RejectedInput, RejectedPart};
use crate::ingest::segment::Stamp;
use crate::ingest::{Attempt, Rejection, Sent};
use crate::limits::Limits;

/// The way in of one source that runs. Cheap to clone.
#[derive(Clone)]
pub struct SourceInput {
    pub(super) entrance: Entrance,
    pub(super) name: CompactString,
    /// Its place among those of the project.
    pub(super) place: usize,
    pub(super) folder: PathBuf,
    pub(super) limits: Limits,
    pub(super) stopping: watch::Receiver<bool>,
}

/// Records that follow each other, each of them an event as JSON, as it would be sent over HTTP.
#[derive(Clone, Copy, Debug)]
pub struct SourceBatch<'a> {
    /// The records.
    pub records: &'a [&'a [u8]],
    /// Where they are from, such as a topic with its partition, or a file.
    pub place: &'a str,
    /// The number of the first one there; the next ones have the next numbers. Place and number are the same whenever a record is read:
    /// where an event has no `messageId`, its id is made of them, so that it counts once.
    pub first: u64,
    /// Whether they are of the past, as what is imported over HTTP.
    pub is_historical: bool,
}

/// What became of a batch: all of it is safely in the log, or in the quarantine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceReceipt {
    /// The tick of the last events, where any were accepted: the token for reads with `after`.
    pub tick: Option<Tick>,
    /// Events that were accepted, duplicates included.
    pub accepted: usize,
    /// Of these those that had counted before.
    pub duplicates: usize,
    /// Records that are no event.
    pub rejected: usize,
}

/// The engine stops. What was handed in has no receipt, and may have been accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the engine is stopping")]
pub struct SourceStopping;

impl From<SourceStopping> for String {
    fn from(stopping: SourceStopping) -> Self {
        stopping.to_string()
    }
}

impl SourceInput {
    /// The name of the source.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder of the project, where relative paths start.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Comes back when the source is to stop.
    pub async fn stopped(&self) {
        // Where nobody can say so any more, it is over.
        _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }

    /// A count of the source's own, such as `records`. They are served as
    /// `deltaic_source_connector_total{source="…",kind="…"}`.
    pub fn counter(&self, name: &'static str) -> Arc<AtomicU64> {
        self.entrance.with.counters.of_connector(self.place, name)
    }

    /// Hands in a batch, and waits for its receipt, for as long as the engine is behind, starts, or has no memory or disk to take it: so a
    /// source is never faster than the engine. A large batch is taken in parts, in their order.
    pub async fn submit(&self, batch: SourceBatch<'_>) -> Result<SourceReceipt, SourceStopping> {
        let mut receipt = SourceReceipt::default();
        let (mut rest, mut first) = (batch.records, batch.first);
        while !rest.is_empty() {
            let (part, after) = rest.split_at(self.part(rest));
            let SourceReceipt { tick, accepted, duplicates, rejected } =
                self.submit_part(SourceBatch { records: part, first, ..batch }).await?;
            receipt.tick = tick.or(receipt.tick);
            receipt.accepted += accepted;
            receipt.duplicates += duplicates;
            receipt.rejected += rejected;
            first = first.wrapping_add(part.len() as u64);
            rest = after;
        }
        Ok(receipt)
    }

    /// How many records are within the limits of one request; at least one.
    fn part(&self, records: &[&[u8]]) -> usize {
        let mut bytes = 0usize;
        let fits = |record: &&&[u8]| {
            bytes += record.len();
            bytes <= self.limits.request_bytes_max
        };
        records.iter().take(self.limits.batch_events_max).take_while(fits).count().max(1)
    }

    async fn submit_part(&self, batch: SourceBatch<'_>) -> Result<SourceReceipt, SourceStopping> {
        let SourceBatch { records, place, first, is_historical } = batch;
        let mut attempt = Attempt::First;
        loop {
            let at = self.entrance.with.clock.now();
            let stamp = Stamp::from(at);
            let sent = Sent {
                source: &self.name,
                call: None,
                received: &stamp,
                ip: None,
                position: (place, first),
                is_placed: true,
            };
            let Entrance { decoder, again, .. } = &self.entrance;
            let decoder = if attempt == Attempt::First { decoder } else { again };
            let mut decoded = decoder.take_records(records, is_historical, &sent);
            let (accepted, rejected) = (decoded.accepted.len(), decoded.rejected.len());
            let arrival = SourceArrival { place: self.place, source: &self.name, instant: Instant::now(), at, attempt };
            attempt = Attempt::Again;
            let keep = |rejected: &[(usize, Rejection)]| self.keep(at, &batch, rejected);
            let wait = match self.entrance.take_in(arrival, &mut decoded, keep).await {
                Ok(receipt) => {
                    let (tick, duplicates) =
                        receipt.map_or((None, 0), |receipt| (Some(receipt.tick), receipt.duplicates));
                    return Ok(SourceReceipt { tick, accepted, duplicates, rejected });
                }
                Err(SubmitError::Stopping) => return Err(SourceStopping),
                Err(
                    SubmitError::Busy { retry_after_s }
                    | SubmitError::NoMemory { retry_after_s }
                    | SubmitError::Recovering { retry_after_s }
                    | SubmitError::OwnerAway { retry_after_s }
                    | SubmitError::Contested { retry_after_s },
                ) => Duration::from_secs(retry_after_s),
                // It may be there: then it does not count again.
                Err(SubmitError::NotLogged | SubmitError::Unknown) => Duration::from_secs(1),
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = self.stopped() => return Err(SourceStopping),
            }
        }
    }

    fn keep(&self, at: Tick, batch: &SourceBatch<'_>, rejected: &[(usize, Rejection)]) {
        let quarantine = &self.entrance.with.quarantine;
        let bytes = rejected.iter().map(|(index, _)| batch.records[*index].len()).sum();
        if rejected.is_empty() {
            return;
        }
        if !quarantine.has_room(bytes) {
            return quarantine.count_dropped(rejected.len());
        }
        let refused = |(index, why): &(usize, Rejection)| RejectedInput {
            at,
            source: self.name.clone(),
            what: RejectedPart::Event,
            call: None,
            is_historical: batch.is_historical,
            sent_at: None,
            context: None,
            code: why.code().into(),
            message: why.to_string(),
            raw: batch.records[*index].to_vec(),
        };
        quarantine.keep(rejected.iter().map(refused).collect());
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::super::IngestDependencies;
    use super::*;
    use crate::clock::SteadyClock;
    use crate::engine::{Handle, Receipt, Submission};
    use crate::example;
    use crate::http::{Admission, Timeouts};
    use crate::ingest::quarantine::{Keeper, MemoryQuarantineStore};
    use crate::ingest::segment::Extractor;
    use crate::ingest::{IngestCounters, KnownNames};
    use crate::memory::Gate;

    /// How many were accepted, and how many rejected by code.
    type CountedRecords = (u64, Vec<(&'static str, u64)>);

    const EVENT: &[u8] = br#"{"type":"page","userId":"1"}"#;

    /// The way in of the source `web` at a pretended engine, which a test plays.
    fn input() -> (SourceInput, UnboundedReceiver<Submission>, watch::Sender<bool>, impl Fn() -> CountedRecords) {
        let mut project = example::project();
        project.limits.batch_events_max = 2;
        let (handle, submissions, _, progress) = Handle::new(&project.limits, Gate::off());
        progress.recovered();
        let counters = Arc::new(IngestCounters::new(&project, Arc::new(KnownNames::new(&project))));
        let (quarantine, _) =
            Keeper::start(Box::<MemoryQuarantineStore>::default(), Extractor::new(&project), project.limits).unwrap();
        let with = IngestDependencies {
            notes: Arc::new(Vec::new),
            handle,
            counters: counters.clone(),
            quarantine,
            observer: Arc::new(|_, _| {}),
            clock: SteadyClock::still(Tick::from_ms(1_704_067_200_000)),
            admission: Admission::new(&project),
            timeouts: Timeouts::default(),
        };
        let (stop, stopping) = watch::channel(false);
        let entrance = Entrance::new(&project, with);
        let (folder, limits) = (project.folder.clone(), project.limits);
        let input = SourceInput { entrance, name: "web".into(), place: 1, folder, limits, stopping };
        let counts = move || {
            let web = counters.sources().remove(1);
            (web.accepted, web.rejected)
        };
        (input, submissions, stop, counts)
    }

    fn messages(submission: &Submission) -> Vec<u128> {
        submission.events.iter().map(|event| event.message).collect()
    }

    fn reply(submission: Submission, with: Result<Receipt, SubmitError>) {
        _ = submission.reply.send(with);
    }

    #[tokio::test]
    async fn a_batch_goes_in_parts_and_again_until_it_has_its_receipt() {
        let (input, mut submissions, _stop, counts) = input();
        let submit = async |place: &'static str| {
            let records = [EVENT, b"none", EVENT, EVENT, EVENT];
            input.submit(SourceBatch { records: &records, place, first: 7, is_historical: false }).await.unwrap()
        };
        let mut seen = Vec::new();
        let receipt = |ms, duplicates| Receipt { tick: Tick::from_ms(ms), duplicates };
        let play = async |seen: &mut Vec<Vec<u128>>, submissions: &mut UnboundedReceiver<Submission>| {
            for ms in 1..=3 {
                let next = submissions.recv().await.unwrap();
                seen.push(messages(&next));
                reply(next, Ok(receipt(ms, 1)));
            }
        };
        let fail_first = async |seen: &mut Vec<Vec<u128>>, submissions: &mut UnboundedReceiver<Submission>| {
            let first = submissions.recv().await.unwrap();
            seen.push(messages(&first));
            reply(first, Err(SubmitError::NotLogged));
            play(seen, submissions).await;
        };
        let (got, ()) = tokio::join!(submit("a"), fail_first(&mut seen, &mut submissions));
        let expected = SourceReceipt { tick: Some(Tick::from_ms(3)), accepted: 4, duplicates: 3, rejected: 1 };
        assert_eq!(got, expected);
        assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 2, 1]);
        assert_eq!(seen[0], seen[1]);
        assert_eq!(counts(), (4, vec![("not_json", 1)]), "each record is counted once");

        // Read once more, the records have the same ids; at another place they are others.
        let mut again = Vec::new();
        _ = tokio::join!(submit("a"), play(&mut again, &mut submissions));
        assert_eq!(again, seen[1..]);
        let mut elsewhere = Vec::new();
        _ = tokio::join!(submit("b"), play(&mut elsewhere, &mut submissions));
        assert!(elsewhere.iter().flatten().all(|message| !seen.iter().flatten().any(|other| other == message)));
    }

    #[tokio::test]
    async fn what_waits_for_the_engine_ends_when_it_stops() {
        let (input, mut submissions, stop, _) = input();
        let batch = SourceBatch { records: &[EVENT], place: "a", first: 0, is_historical: false };
        let play = async {
            reply(submissions.recv().await.unwrap(), Err(SubmitError::Unknown));
            stop.send_replace(true);
        };
        let (got, ()) = tokio::join!(input.submit(batch), play);
        assert_eq!(got, Err(SourceStopping));
        input.stopped().await;
    }
}
