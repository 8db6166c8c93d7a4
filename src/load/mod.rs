//! `deltaic load`: an honest load generator for `examples/load`, which knows what has to come out.
//!
//! ```text
//!  stream ─► senders ══ POST /v1/batch ══► engine ══ webhook ══► receiver
//!              └── acknowledged, tick ──► judge ◄── changes ────────┘
//!                                          │ model
//! ```
//!
//! - **Open loop.** Every event has a due time, by the rate alone, and every latency counts from there: no stall is hidden
//!   (coordinated omission). The events of a batch are due together, at the time at which the batch is; what a client
//!   library waits to fill a batch is not part of any figure. What could not be sent at all counts with the time that it waited.
//! - **Correct.** The [`model`] says of each batch, at the tick of its answer, which changes it must cause, and which ones time
//!   must; the [`judge`] finds what is missing, extra or late, and in the end compares who is in which audience, member by member.
//!   [`judge`] says what may differ, and what is not looked at.
//! - **Repeatable.** A seed gives the same [`stream`]. Only the names of people differ from run to run, so that a run does not
//!   meet what the one before has left.
//!
//! The order of the events of one person is that of the stream: all of them, and all of their devices, are on one connection,
//! which has one call under way at a time. Windows of an hour and less end on their own time, in the model as in the engine. The
//! clocks of both machines must agree to some milliseconds: times are the generator's, ticks the engine's.
//!
//! # Deliberately absent
//!
//! Clusters (one address), several sources, traits at the destination, and a search for the highest rate that holds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinSet;
use tokio::time::timeout;

pub mod body;
mod engine;
mod error;
pub mod judge;
pub mod messages;
pub mod mix;
pub mod model;
mod options;
pub mod plot;
pub mod project;
mod receiver;
mod sender;
pub mod stream;
pub mod table;
pub mod tally;
pub mod triggers;

pub use error::LoadError;
pub use options::{LoadOptions, Secrets};

use body::LaneNames;
use engine::{Connection, EngineClient};
use judge::Judge;
use judge::handle::{Gone, JudgeHandle};
use receiver::LoadReceiver;
use sender::{LaneSender, LoadTest, Schedule};
use stream::Stream;
use table::{LoadTriggerLine, TableLine};
use tally::{LoadStage, RateStep};

use crate::observe::hlog::IntervalLog;

/// How long the first change may take; there is no load yet.
const FIRST_CHANGE: Duration = Duration::from_secs(20);

/// Between the answer to one fence and the next step: the first batches of a step are not to be due before they are made.
const BREATH: Duration = Duration::from_millis(50);

impl From<Gone> for LoadError {
    fn from(_: Gone) -> Self {
        LoadError::Own("the judge has panicked".into())
    }
}

/// A test under way.
struct Test {
    options: LoadOptions,
    load: Arc<LoadTest>,
    connection: Connection,
    /// Fences so far.
    fences: usize,
}

/// Runs a load test; `say` is told the table, as it grows. Gives whether all was right.
pub async fn run(options: LoadOptions, secrets: Secrets, say: impl Fn(&str)) -> Result<bool, LoadError> {
    if let Some(folder) = &options.print_project {
        project::print(folder, options.triggers.into()).map_err(LoadError::write(folder))?;
        return Ok(true);
    }
    let steps: Arc<[RateStep]> = options.rate.iter().map(|rate| RateStep::new(*rate)).collect();
    let base = (Instant::now(), SystemTime::now());
    let since = base.1.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (has_regulars, triggers) = (options.triggers > 0, usize::from(options.triggers));
    let names = LaneNames { run: format!("l{}", since.as_millis()), has_regulars };
    let judge = Judge::new(names.clone(), options.connections, options.late, steps.clone());
    let judge = judge.with_triggers(triggers, base);
    let judge = JudgeHandle::open(judge).map_err(|error| LoadError::Own(format!("there is no thread: {error}")))?;
    let receiver =
        LoadReceiver::start(options.listen, secrets.webhook.clone(), options.lose_call, judge.clone()).await?;
    let engine = EngineClient::new(options.url.clone(), secrets);
    let connection = engine.connect()?;
    engine.ready(&connection).await?;
    let (batch, lanes, read_every) = (options.batch, options.connections, options.read_every);
    let load = Arc::new(LoadTest { engine, names, steps, judge, batch, lanes, read_every, base });
    let mut test = Test { options, load, connection, fences: 0 };
    test.try_out().await?;

    let hlog = test.options.hlog.clone();
    let log = hlog.as_deref().map(|path| IntervalLog::of(path, tally::series(&test.load.steps, triggers)));
    let log = log.transpose().map_err(LoadError::write(hlog.clone().unwrap_or_default()))?;
    let is_right = test.steps(&receiver, &say).await?;
    log.map_or(Ok(()), IntervalLog::stop).map_err(LoadError::write(hlog.unwrap_or_default()))?;
    test.options.plot.as_deref().map_or(Ok(()), |path| test.plot(path))?;
    Ok(is_right)
}

impl Test {
    /// That an event goes in and a change comes out, before anything is measured.
    async fn try_out(&mut self) -> Result<(), LoadError> {
        if self.fence(FIRST_CHANGE).await? {
            return Ok(());
        }
        let listen = self.options.listen.to_string();
        Err(LoadError::NoCall { listen, seconds: FIRST_CHANGE.as_secs() })
    }

    /// Sends what comes out behind all else, and waits for it, and for all that is expected. False if that took too long.
    async fn fence(&mut self, wait: Duration) -> Result<bool, LoadError> {
        let (number, deadline) = (self.fences, Instant::now() + wait);
        self.fences += 1;
        let body = self.load.names.fence_batch(number);
        let Some(receipt) = self.load.engine.send(&self.connection, body, 1, None, deadline).await? else {
            return Ok(false);
        };
        let rest = deadline.saturating_duration_since(Instant::now());
        timeout(rest, self.load.judge.settle(number, receipt.tick))
            .await
            .map_or(Ok(false), |settled| Ok(settled.map(|()| true)?))
    }

    async fn steps(&mut self, receiver: &LoadReceiver, say: &impl Fn(&str)) -> Result<bool, LoadError> {
        say(&table::head());
        let mut lanes = Vec::new();
        for number in 0..self.load.lanes {
            let (stream, connection) = (Stream::new(&self.options.shape(), number), self.load.engine.connect()?);
            lanes.push(LaneSender { number, stream, connection, tick: 0 });
        }
        let mut is_right = true;
        for index in 0..self.load.steps.len() {
            let (line, back) = self.step(index, lanes).await?;
            lanes = back;
            is_right &=
                line.failed() == 0 && line.unsent == 0 && line.failed_reads == 0 && line.is_within(self.options.p99_ms);
            say(&table::line(&line));
        }
        // Until the short windows are over: what changes after the last fence would be compared with what is not yet told.
        tokio::time::sleep(Duration::from_millis(model::SHORT_WINDOW_MS) + BREATH).await;
        let is_settled = self.fence(self.options.drain).await?;
        let last = self.load.steps.len() - 1;
        is_right &= is_settled && {
            let (changes, messages) = self.load.judge.close(last).await?;
            changes.wrong() == 0 && messages.iter().all(|counts| counts.failed() == 0)
        };
        let (comparison, complaints) = self.load.judge.compare().await?;
        say(&table::end(comparison, &complaints, receiver.calls()));
        Ok(is_right && comparison.different == 0)
    }

    /// Runs a step, and waits for what it causes.
    async fn step(&mut self, index: usize, lanes: Vec<LaneSender>) -> Result<(TableLine, Vec<LaneSender>), LoadError> {
        let LoadOptions { warm_up, duration, drain, triggers, .. } = self.options;
        let schedule = Schedule { step: index, start: Instant::now() + BREATH, warm_up, duration, drain };
        let mut running = JoinSet::new();
        lanes.into_iter().for_each(|lane| _ = running.spawn(lane.run(self.load.clone(), schedule)));
        let mut back = Vec::new();
        while let Some(lane) = running.join_next().await {
            back.push(lane.map_err(|error| LoadError::Own(format!("a sender: {error}")))??);
        }
        let took = schedule.start.elapsed().max(warm_up + duration);
        if triggers > 0 {
            // Until the last visit is over, so that its message is in the line of this step.
            tokio::time::sleep(Duration::from_millis(triggers::VISIT_GAP_MS) + BREATH).await;
        }
        self.fence(drain).await?;
        let (counts, of_messages) = self.load.judge.close(index).await?;
        let step = &self.load.steps[index];
        let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let line = TableLine {
            rate: step.rate,
            achieved: count(&step.acknowledged) as f64 / took.as_secs_f64(),
            stages: LoadStage::ALL.map(|stage| step.histogram(stage)),
            counts,
            messages: LoadTriggerLine::of(step, &of_messages, triggers.into()),
            refused: count(&step.refused),
            unsent: count(&step.unsent),
            failed_reads: count(&step.failed_reads),
        };
        Ok((line, back))
    }

    fn plot(&self, path: &Path) -> Result<(), LoadError> {
        let of = |step: &RateStep| {
            let messages = (format!("{}@{}", tally::MESSAGES, step.rate), step.messages());
            let stages = LoadStage::ALL.map(|stage| (format!("{}@{}", stage.name(), step.rate), step.histogram(stage)));
            stages.into_iter().chain([messages])
        };
        let curves: Vec<_> = self.load.steps.iter().flat_map(of).collect();
        plot::draw(path, &curves)
    }
}
