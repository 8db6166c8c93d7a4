//! The senders: one a lane, in an open loop. Each batch has a due time that no answer changes, and every latency counts from there;
//! so a stall of the engine, in which nothing can be sent, is in the figures of all that was due meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinSet;

use super::body::{LaneIdentifier, LaneNames};
use super::engine::{Connection, EngineClient};
use super::error::LoadError;
use super::judge::handle::JudgeHandle;
use super::judge::{Acked, Cause};
use super::stream::Stream;
use super::tally::{LoadStage, RateStep};

/// What all lanes share.
pub struct LoadTest {
    /// What is under test.
    pub engine: EngineClient,
    /// The names of people.
    pub names: LaneNames,
    /// All steps.
    pub steps: Arc<[RateStep]>,
    /// Where acknowledged batches go.
    pub judge: JudgeHandle,
    /// Events in a batch.
    pub batch: u32,
    /// How many lanes there are.
    pub lanes: u32,
    /// Somebody of every n-th batch is read.
    pub read_every: u64,
    /// Both at the same moment: what turns a due time into the time of an event.
    pub base: (Instant, SystemTime),
}

/// When a step is.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Its place.
    pub step: usize,
    /// When it begins.
    pub start: Instant,
    /// How long it runs before it is measured.
    pub warm_up: Duration,
    /// How long it is measured.
    pub duration: Duration,
    /// How long it may go on, when it is over, to send what was due.
    pub drain: Duration,
}

/// A sender.
pub struct LaneSender {
    /// Which one.
    pub number: u32,
    /// What it sends.
    pub stream: Stream,
    /// Its own connection.
    pub connection: Connection,
    /// The tick of its latest batch.
    pub tick: u64,
}

impl LoadTest {
    /// A due time, in milliseconds since the Unix epoch.
    fn ms(&self, due: Instant) -> u64 {
        let at = self.base.1 + due.saturating_duration_since(self.base.0);
        at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }
}

impl LaneSender {
    /// Sends its share of a step.
    pub async fn run(mut self, load: Arc<LoadTest>, schedule: Schedule) -> Result<Self, LoadError> {
        let Schedule { step: index, start, warm_up, duration, drain } = schedule;
        let step = &load.steps[index];
        let end = start + warm_up + duration;
        let mut reads = JoinSet::new();
        let events = u64::from(load.batch);
        // The lanes take turns, so that the batches of all of them are due at equal distances.
        let nth = |number: u64| Duration::from_nanos((number as f64 * events as f64 * 1e9 / step.rate as f64) as u64);
        let every = nth(load.lanes.into());
        for number in 0.. {
            let due = start + nth(number * u64::from(load.lanes) + u64::from(self.number));
            if due >= end {
                break;
            }
            let counts = due >= start + warm_up;
            let late_by = || Instant::now().saturating_duration_since(due);
            if Instant::now() >= end + drain {
                // What was never sent has waited at least this long: left out, it would make the figures better.
                RateStep::count(&step.unsent, events);
                step.record(LoadStage::Acknowledged, late_by(), if counts { events } else { 0 });
                continue;
            }
            let batch = self.stream.batch(load.batch, load.ms(due), every.as_millis() as u64);
            let body = load.names.batch(self.number, &batch);
            tokio::time::sleep_until(due.into()).await;
            let sent = load.engine.send(&self.connection, body, events, Some(step), end + drain).await?;
            step.record(LoadStage::Acknowledged, late_by(), if counts { events } else { 0 });
            let Some(receipt) = sent else {
                RateStep::count(&step.unsent, events);
                continue;
            };
            RateStep::count(&step.acknowledged, events);
            let tick = receipt.tick;
            if load.read_every > 0 && number % load.read_every == 0 && counts {
                let last = batch.last().map_or(LaneIdentifier::Device(0), |event| LaneIdentifier::Device(event.device));
                let identifier = load.names.written(self.number, last);
                let (load, connection) = (load.clone(), self.connection.clone());
                // Beside the lane: its next batch does not wait for a read.
                reads.spawn(async move {
                    let step = &load.steps[index];
                    if load.engine.read(&connection, &identifier, tick).await {
                        step.record(LoadStage::Readable, due.elapsed(), 1);
                    } else {
                        RateStep::count(&step.failed_reads, 1);
                    }
                });
            }
            let earliest = if receipt.is_clear { tick } else { self.tick + 1 };
            let cause = Cause { due, step: index, counts };
            load.judge.acked(Acked { lane: self.number, events: batch, earliest, tick, cause });
            self.tick = tick;
        }
        while reads.join_next().await.is_some() {}
        Ok(self)
    }
}
